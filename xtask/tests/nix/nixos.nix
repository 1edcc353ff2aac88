# The options of NixOS that our module touches, as nixpkgs declares them.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  list =
    type:
    mkOption {
      type = types.listOf type;
      default = [ ];
    };
  loader = mkOption {
    type = types.nullOr types.path;
    default = null;
  };
in
{
  options = {
    assertions = list types.anything;
    environment = {
      ldso = loader;
      ldso32 = loader;
      pathsToLink = list types.str;
      systemPackages = list types.package;
      variables = mkOption {
        type = types.attrsOf types.str;
        default = { };
      };
    };
    boot.isContainer = mkOption {
      type = types.bool;
      default = false;
    };
    system.stateVersion = mkOption { type = types.str; };
  };
  # What stands there in NixOS by default: a program that says that it cannot start foreign programs.
  config.environment.ldso = lib.mkDefault "/stub-ld";
  config.environment.ldso32 = lib.mkDefault "/stub-ld32";
}
