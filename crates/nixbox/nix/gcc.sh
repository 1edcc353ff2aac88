# The compiler, with its headers: Debian's expects all below /usr, and finds it in an FHS root.
merge tree/usr/include "$out/include"
# Debian's names for its folders, in the linker's scripts of libc and libm.
for script in "$lib_out"/lib/*.so; do
    if [ -f "$script" ] && ! is_elf "$script"; then
        sed -i 's|\(/usr\)\?/lib/x86_64-linux-gnu/|/usr/lib/|g' "$script"
    fi
done
