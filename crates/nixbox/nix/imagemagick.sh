# Debian's ImageMagick loads its coders from below /usr/lib/x86_64-linux-gnu, which is compiled in: found in an FHS root.
ln -s . "$lib_out/lib/x86_64-linux-gnu"
