# For those without flakes: `nix-build -A pitstop`, and `imports = [ (import ./pitstop { }).nixosModule ];`.
{
  pkgs ? import <nixpkgs> { },
}:
{
  pitstop = pkgs.callPackage ./nix/package.nix { };
  pitstop-ld = pkgs.callPackage ./nix/pitstop-ld.nix { };
  overlay = import ./nix/overlay.nix;
  nixosModule = ./nix/module.nix;
  homeManagerModule = ./nix/home-manager.nix;
}
