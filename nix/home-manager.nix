# For one user, without root: the command, and libraries for the foreign programs that this user starts. The shim itself
# belongs to the machine; nix-ld or NixOS's `programs.pitstop` puts it there.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.programs.pitstop;
  farm = pkgs.callPackage ./farm.nix { } cfg.libraries;
  # In the profile, not in the store, so that a session that goes on after a switch sees the new libraries.
  shown = "${config.home.profileDirectory}/share/nix-ld/lib";
in
{
  options.programs.pitstop = {
    enable = lib.mkEnableOption "Pitstop: Python packages with native code find their libraries";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package of the command `pitstop`.";
    };

    libraries = mkOption {
      type = types.listOf types.package;
      default = [ ];
      defaultText = lib.literalExpression "[ ]";
      example = lib.literalExpression "[ pkgs.alsa-lib pkgs.fontconfig ]";
      description = ''
        Packages whose libraries foreign programs of this user find where `exposeLibraries` is on. What is set here comes in
        addition to what nix-ld offers and the manylinux policies expect of every Linux; `lib.mkForce` puts it in their
        place.
      '';
    };

    exposeLibraries = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether `libraries` go into the user's profile, and the user's sessions get `NIX_LD` and `NIX_LD_LIBRARY_PATH` that
        name them. Takes effect where the machine has pitstop-ld or nix-ld as the loader of foreign programs.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    home.packages = [ cfg.package ] ++ lib.optional cfg.exposeLibraries farm;

    home.sessionVariables = lib.mkIf cfg.exposeLibraries {
      NIX_LD = "${shown}/ld.so";
      NIX_LD_LIBRARY_PATH = shown;
    };

    # Not the option's default, for a default is gone as soon as somebody adds a package.
    programs.pitstop.libraries = import ./libraries.nix { inherit pkgs; };
  };
}
