# The outputs of nixpkgs' packages where there are more than `out`, the default one first. Facts
# about nixpkgs, kept to what matters here: what one installs, and where the library is.
let
  outDev = [ "out" "dev" ];
  binDevOut = [ "bin" "dev" "out" ];
  withLib = [ "out" "dev" "lib" ];
in
{
  "stdenv.cc.cc" = [ "out" "lib" ];
  glibc = [ "out" "bin" "dev" ];

  # The library is in `lib`, so that `${pkgs.dbus}/lib` has nothing to link with.
  audit = [ "bin" "lib" "dev" "out" ];
  brotli = [ "out" "dev" "lib" ];
  cups = [ "out" "lib" "dev" ];
  dbus = [ "out" "dev" "lib" ];
  ffmpeg_4 = [ "bin" "data" "dev" "lib" "out" ];
  ffmpeg_7 = [ "bin" "data" "dev" "lib" "out" ];
  fontconfig = [ "bin" "dev" "lib" "out" ];
  gdbm = [ "out" "dev" "lib" ];
  kmod = withLib;
  krb5 = [ "out" "lib" "dev" ];
  libarchive = [ "out" "lib" "dev" ];
  libcap = withLib;
  libgcrypt = [ "bin" "lib" "dev" "out" ];
  libkrb5 = [ "out" "lib" "dev" ];
  libtool = [ "out" "lib" ];
  libuuid = [ "bin" "dev" "out" "lib" ];
  lz4 = [ "dev" "lib" "out" ];
  nghttp2 = withLib;
  postgresql = [ "out" "lib" "dev" ];
  util-linux = [ "bin" "dev" "out" "lib" ];

  # The library is in `out`, but `out` is not the default output.
  acl = binDevOut;
  attr = binDevOut;
  bzip2 = binDevOut;
  curl = binDevOut;
  cyrus_sasl = binDevOut;
  e2fsprogs = binDevOut;
  elfutils = binDevOut;
  flac = binDevOut;
  glib = [ "bin" "out" "dev" ];
  gnutls = binDevOut;
  lcms2 = binDevOut;
  libjpeg = binDevOut;
  libjpeg_turbo = binDevOut;
  libselinux = [ "bin" "out" "dev" ];
  libsndfile = binDevOut;
  libtiff = binDevOut;
  libvpx = binDevOut;
  libxml2 = binDevOut;
  libxml2_13 = binDevOut;
  libxslt = binDevOut;
  openssl = binDevOut;
  pango = [ "bin" "out" "dev" ];
  pcre2 = binDevOut;
  sqlite = binDevOut;
  xz = binDevOut;
  zstd = binDevOut;

  alsa-lib = outDev;
  at-spi2-core = outDev;
  avahi = outDev;
  boost = outDev;
  cairo = outDev;
  expat = outDev;
  fftw = outDev;
  fftwFloat = outDev;
  freetype = outDev;
  fribidi = outDev;
  gdk-pixbuf = outDev;
  gmp = outDev;
  graphene = outDev;
  gtk3 = outDev;
  gtk4 = outDev;
  harfbuzz = outDev;
  json-glib = outDev;
  libdrm = outDev;
  libevent = outDev;
  libffi = outDev;
  libGL = outDev;
  libgpg-error = outDev;
  libogg = outDev;
  libpng = outDev;
  libpulseaudio = outDev;
  librsvg = outDev;
  libsodium = outDev;
  libssh2 = outDev;
  libusb1 = outDev;
  libuv = outDev;
  libvorbis = outDev;
  libxkbcommon = outDev;
  mpfr = outDev;
  ncurses = outDev;
  numactl = outDev;
  openblas = outDev;
  openldap = outDev;
  p11-kit = outDev;
  pixman = outDev;
  readline = outDev;
  systemd = outDev;
  vulkan-loader = outDev;
  wayland = outDev;
  "xorg.libX11" = outDev;
  "xorg.libXext" = outDev;
  "xorg.libXi" = outDev;
  "xorg.libXrender" = outDev;
  "xorg.libxcb" = outDev;
  zlib = outDev;
}
