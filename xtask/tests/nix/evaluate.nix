# The NixOS module in a system that has only the options it touches.
{
  pkgs,
  lib,
  # The settings of who uses it: a module.
  settings ? { },
  # Whether nixpkgs' module for nix-ld is there.
  withNixLd ? true,
}:
lib.evalModules {
  inherit pkgs;
  modules = [
    ./nixos.nix
    ../../../nix/module.nix
    settings
  ]
  ++ lib.optional withNixLd { options.programs.nix-ld.enable = lib.mkEnableOption "nix-ld"; };
}
