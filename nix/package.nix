# The command `pitstop`.
{
  lib,
  callPackage,
  rustPlatform,
}:
let
  inherit (lib.importTOML ../Cargo.toml) workspace;
in
rustPlatform.buildRustPackage {
  pname = "pitstop";
  inherit (workspace.package) version;

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  cargoBuildFlags = [ "--package=pitstop" ];
  # The other tests make a NixOS-like root with apt, or fetch wheels.
  cargoTestFlags = [
    "--package=pitstop-core"
    "--lib"
  ];

  passthru.tests.nixos = callPackage ./test.nix { };

  meta = {
    description = "Makes Python packages that ship native code run on machines that lack their libraries";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    mainProgram = "pitstop";
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
}
