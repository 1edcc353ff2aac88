# The loader shim, pitstop-ld. `loader` and `libraryPath` are what it uses where no variable says otherwise.
{
  lib,
  rustPlatform,
  stdenv,
  loader ? "/run/current-system/sw/share/nix-ld/lib/ld.so",
  libraryPath ? "/run/current-system/sw/share/nix-ld/lib",
}:
let
  inherit (lib.importTOML ../Cargo.toml) workspace;
in
rustPlatform.buildRustPackage {
  pname = "pitstop-ld";
  inherit (workspace.package) version;

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  env = {
    PITSTOP_LD_DEFAULT = loader;
    PITSTOP_LD_DEFAULT_LIBRARY_PATH = libraryPath;
  };
  # A profile of its own: no unwinding, and small.
  buildType = "shim";
  buildFeatures = [ "standalone" ];
  cargoBuildFlags = [ "--package=pitstop-ld" ];
  checkType = "debug";
  checkFeatures = [ ];
  cargoTestFlags = [
    "--package=pitstop-ld"
    "--lib"
  ];
  # The shim comes from the linker as it must be: without a loader, a search path or symbols.
  dontPatchELF = true;
  dontStrip = true;

  # Under nix-ld's name too, so that `programs.nix-ld.package = pkgs.pitstop-ld;` is all it takes to try it.
  postInstall = ''
    mkdir -p $out/libexec $out/nix-support
    mv $out/bin/pitstop-ld $out/libexec/pitstop-ld
    rmdir $out/bin
    ln -s pitstop-ld $out/libexec/nix-ld
    echo "/${stdenv.hostPlatform.libDir}/$(basename ${stdenv.cc.bintools.dynamicLinker})" > $out/nix-support/ldpath
  '';

  meta = {
    description = "Stands where foreign programs look for their loader, and hands over to the real one";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    platforms = [ "x86_64-linux" ];
  };
}
