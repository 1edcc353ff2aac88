# Debian chooses among several by a link that is not part of the package.
ln -s which.debianutils "$bin_out/bin/which"
