# glibc: its loader looks in its own lib only. Sourced by unit.sh, after the files are in place.
perl "$loaderScript" "$out/lib/ld-linux-x86-64.so.2"
rm -rf "$out/lib/systemd" "$out/lib/tmpfiles.d"
# As in nixpkgs, so that a thread can be cancelled: glibc opens libgcc_s.so.1 by name.
ln -s "$libgcc/lib/libgcc_s.so.1" "$out/lib/libgcc_s.so.1"
sed -i "s|^RTLDLIST=.*|RTLDLIST=$out/lib/ld-linux-x86-64.so.2|" "$bin/bin/ldd"
# Its programs are tied to itself.
for program in "$bin"/bin/*; do
    if [ -f "$program" ] && is_elf "$program" && patchelf --print-interpreter "$program" >/dev/null 2>&1; then
        patchelf --set-interpreter "$out/lib/ld-linux-x86-64.so.2" "$program"
    fi
done
