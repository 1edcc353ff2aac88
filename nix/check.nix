# The module in a whole NixOS, evaluated: that every option it sets exists, and that it refuses nix-ld beside it.
{
  nixpkgs,
  system,
  module,
}:
let
  inherit (nixpkgs) lib;
  pkgs = nixpkgs.legacyPackages.${system};
  configuration =
    settings:
    (lib.nixosSystem {
      inherit system;
      modules = [
        module
        settings
        {
          boot.isContainer = true;
          system.stateVersion = lib.trivial.release;
        }
      ];
    }).config;
  alone = configuration { programs.pitstop.enable = true; };
  both = configuration {
    programs.pitstop.enable = true;
    programs.nix-ld.enable = true;
  };
  refused = lib.filter (one: !one.assertion) both.assertions;
in
assert lib.hasSuffix "/libexec/pitstop-ld" alone.environment.ldso;
assert alone.environment.variables.NIX_LD == "/run/current-system/sw/share/nix-ld/lib/ld.so";
assert lib.all (one: one.assertion) alone.assertions;
assert lib.any (one: lib.hasInfix "programs.pitstop and programs.nix-ld" one.message) refused;
pkgs.runCommand "pitstop-module-check" { } "touch $out"
