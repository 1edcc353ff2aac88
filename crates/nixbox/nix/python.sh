# Python without Debian's own ways: site-packages instead of dist-packages, pip allowed, prefix = $out.
home=$out/lib/python3.11
rm -rf "$home/EXTERNALLY-MANAGED" "$home/sitecustomize.py" "$out/lib/binfmt.d" "$out/etc"
rm -rf "$out/lib/python3" "$out/share/applications" "$out/share/pixmaps" "$out/share/binfmts"
mkdir -p "$home/site-packages"
merge tree/usr/include "$out/include"
# `site` is frozen into the program, where a name of the same length can be exchanged.
sed -i -e 's|dist-packages|site-packages|g' "$home/site.py" "$out/bin/python3.11" "$out"/lib/libpython3.11.so.1.0
sed -i -e "s|prefix_scheme = 'posix_local'|prefix_scheme = 'posix_prefix'|" \
    -e "s|/lib/python3/dist-packages|/lib/python{py_version_short}/site-packages|" \
    -e "s|{base}/local/|{base}/|; s|{platbase}/local/|{platbase}/|; s|dist-packages|site-packages|" "$home/sysconfig.py"
sed -i -e 's|dist-packages|site-packages|g; s|posix_local|unix_prefix|g' "$home"/distutils/command/install.py
sed -i -e "s|/usr/share/python-wheels/|$out/share/python-wheels/|; s|'/usr|'$out|g; s|=/usr|=$out|g" "$home"/_sysconfigdata__*.py
# Debian refuses ensurepip outside a venv; the store is read-only anyway.
sed -i -e 's|^    _ensurepip_is_disabled_in_debian_for_system()|    pass|' "$home/ensurepip/__init__.py"
# nixpkgs' Python has zlib and pyexpat as modules, so their libraries are in its closure but not in
# every process. Debian's has both built in. So the program gets copies under names of its own (as
# long as the old ones), and a module that only stands there, with the RUNPATH that nixpkgs' has.
for pair in zlib:libz pyexpat:libexpat; do
    library=${pair#*:}
    for folder in $needs; do
        [ -e "$folder/$library.so.1" ] || continue
        sed "s|$library\.so\.1|$library.so.p|g" "$folder/$library.so.1" >"$out/lib/$library.so.p"
        chmod 0755 "$out/lib/$library.so.p"
    done
    sed -i "s|$library\.so\.1|$library.so.p|g" "$out/bin/python3.11" "$out/lib/libpython3.11.so.1.0"
    module=$home/lib-dynload/${pair%:*}.cpython-311-x86_64-linux-gnu.so
    cp "$home/lib-dynload/termios.cpython-311-x86_64-linux-gnu.so" "$module"
    patchelf --add-needed "$library.so.1" "$module"
done
# nixpkgs builds these two modules not at all.
rm -f "$home"/lib-dynload/{nis,_dbm}.cpython-*.so
# libmpdec++ alone would bring libstdc++ into Python's closure, where nixpkgs' Python has none.
rm -f "$out"/lib/libmpdec++*
ln -s python3.11 "$out/bin/python3"
ln -s python3.11 "$out/bin/python"
