# The command `pitstop`.
{
  lib,
  callPackage,
  installShellFiles,
  rustPlatform,
  stdenv,
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

  nativeBuildInputs = [ installShellFiles ];
  # The command tells of itself, where it can be started.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    $out/bin/pitstop man --output man
    installManPage man/*.1
    $out/bin/pitstop completions bash > pitstop.bash
    $out/bin/pitstop completions fish > pitstop.fish
    $out/bin/pitstop completions zsh > _pitstop
    installShellCompletion --bash pitstop.bash --fish pitstop.fish --zsh _pitstop
    # Older releases know no --nushell.
    mkdir -p $out/share/nushell/vendor/autoload
    $out/bin/pitstop completions nushell > $out/share/nushell/vendor/autoload/pitstop.nu
  '';

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
