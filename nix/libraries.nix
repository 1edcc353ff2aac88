# The libraries that a foreign program may expect of any Linux: what nix-ld offers, and what the manylinux policies
# (PEP 513, 571, 599 and 600) let a wheel leave to the machine. `a or b` stands where releases of nixpkgs between
# 24.05 and 26.05 name a package differently. glibc is not here: the loader in the farm brings its own.
{ pkgs }:
[
  # gcc's runtime: libstdc++, libgcc_s, libatomic, libgomp. In the policies; nothing in C++ runs without it.
  pkgs.stdenv.cc.cc

  # In the policies: compression, XML, and glib with its gobject and gthread (OpenCV, GTK, Qt).
  pkgs.zlib
  pkgs.expat
  pkgs.glib

  # In the policies: OpenGL's dispatcher (libGL, libEGL), which finds the machine's driver by itself.
  (pkgs.libglvnd or pkgs.libGL)

  # In the policies: X11 and session management.
  (pkgs.libx11 or pkgs.xorg.libX11)
  (pkgs.libxext or pkgs.xorg.libXext)
  (pkgs.libxrender or pkgs.xorg.libXrender)
  (pkgs.libice or pkgs.xorg.libICE)
  (pkgs.libsm or pkgs.xorg.libSM)

  # In PEP 513 and 571, which still have wheels: libcrypt.so.1, libncursesw.so.5 and libpanelw.so.5.
  pkgs.libxcrypt-legacy
  pkgs.ncurses5

  # nix-ld's: compression, archives' attributes and access lists.
  pkgs.zstd
  pkgs.bzip2
  pkgs.xz
  pkgs.attr
  pkgs.acl

  # nix-ld's: the network and cryptography.
  pkgs.openssl
  pkgs.curl
  pkgs.libssh
  pkgs.libsodium

  # nix-ld's: libuuid, libmount and libblkid; libsystemd and libudev.
  pkgs.util-linux
  pkgs.systemd

  # nix-ld's: libxml2, and the libxml2.so.2 that programs were built for, where nixpkgs has moved on.
  pkgs.libxml2
  (pkgs.libxml2_13 or pkgs.libxml2)
]
