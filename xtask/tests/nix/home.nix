# The home-manager module in a home that has only the options it touches.
{
  pkgs,
  lib,
  settings ? { },
}:
let
  inherit (lib) mkOption types;
in
lib.evalModules {
  inherit pkgs;
  modules = [
    {
      options.home = {
        packages = mkOption {
          type = types.listOf types.package;
          default = [ ];
        };
        profileDirectory = mkOption { type = types.str; };
        sessionVariables = mkOption {
          type = types.attrsOf types.str;
          default = { };
        };
      };
      config.home.profileDirectory = "/home/user/.nix-profile";
    }
    ../../../nix/home-manager.nix
    settings
  ];
}
