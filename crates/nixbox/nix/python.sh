# Python without Debian's own ways: site-packages instead of dist-packages, pip allowed, prefix = $out.
home=$out/lib/python3.11
rm -rf "$home/EXTERNALLY-MANAGED" "$home/sitecustomize.py" "$out/lib/binfmt.d" "$out/etc"
mkdir -p "$home/site-packages"
sed -i -e 's|"local/lib"|"lib"|; s|"dist-packages"|"site-packages"|' "$home/site.py"
sed -i -e "s|prefix_scheme = 'posix_local'|prefix_scheme = 'posix_prefix'|" \
    -e "s|/lib/python3/dist-packages|/lib/python{py_version_short}/site-packages|" \
    -e "s|{base}/local/|{base}/|; s|{platbase}/local/|{platbase}/|; s|dist-packages|site-packages|" "$home/sysconfig.py"
sed -i -e 's|dist-packages|site-packages|g; s|posix_local|unix_prefix|g' "$home"/distutils/command/install.py
sed -i -e "s|/usr/share/python-wheels/|$out/share/python-wheels/|; s|'/usr|'$out|g; s|=/usr|=$out|g" "$home"/_sysconfigdata__*.py
# Debian refuses ensurepip outside a venv; the store is read-only anyway.
sed -i -e 's|^    _ensurepip_is_disabled_in_debian_for_system()|    pass|' "$home/ensurepip/__init__.py"
# libmpdec++ alone would bring libstdc++ into Python's closure, where nixpkgs' Python has none.
rm -f "$out"/lib/libmpdec++*
ln -s python3.11 "$out/bin/python3"
ln -s python3.11 "$out/bin/python"
