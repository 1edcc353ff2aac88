# One folder with the libraries of many packages and the loader that reads them, laid out where nix-ld has it:
# `share/nix-ld/lib`, and in it `ld.so`. Of two packages with a library of the same name the first one's is taken.
{
  lib,
  buildEnv,
  stdenv,
}:
libraries:
buildEnv {
  name = "pitstop-libraries";
  paths = map lib.getLib libraries;
  pathsToLink = [ "/lib" ];
  extraPrefix = "/share/nix-ld";
  ignoreCollisions = true;
  postBuild = ''
    ln -s ${stdenv.cc.bintools.dynamicLinker} $out/share/nix-ld/lib/ld.so
  '';
}
