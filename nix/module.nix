# Lets foreign programs run on NixOS: `programs.pitstop`, in the place of `programs.nix-ld`.
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
  # Where the system's profile shows the farm; pitstop-ld has the same path built in.
  shown = "/run/current-system/sw/share/nix-ld/lib";
in
{
  options.programs.pitstop = {
    enable = lib.mkEnableOption "Pitstop: foreign programs and Python packages with native code find their loader and libraries";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package of the command `pitstop`.";
    };

    shim = mkOption {
      type = types.package;
      default = pkgs.callPackage ./pitstop-ld.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./pitstop-ld.nix { }";
      description = ''
        The package of the loader shim. Its `libexec/pitstop-ld` stands where other systems have their loader, such as
        `/lib64/ld-linux-x86-64.so.2`.
      '';
    };

    libraries = mkOption {
      type = types.listOf types.package;
      default = [ ];
      defaultText = lib.literalExpression "[ ]";
      example = lib.literalExpression "[ pkgs.alsa-lib pkgs.fontconfig ]";
      description = ''
        Packages whose libraries foreign programs find. What is set here comes in addition to what nix-ld offers and the
        manylinux policies expect of every Linux; `lib.mkForce` puts it in their place. Of two packages with a library
        of the same name the first one's is taken; `lib.mkBefore` puts a package in front.
      '';
    };

    exposeLibraries = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether every session gets `NIX_LD` and `NIX_LD_LIBRARY_PATH`, as with nix-ld. The shim finds the libraries without
        them; they are for what was written for nix-ld and reads them.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        # nix-ld's module may not exist.
        assertion = !(config.programs.nix-ld.enable or false);
        message = ''
          programs.pitstop and programs.nix-ld both provide the loader for foreign programs, and only one can.
          Keep one: remove `programs.nix-ld.enable = true;` and move `programs.nix-ld.libraries` to
          `programs.pitstop.libraries`, or remove `programs.pitstop.enable = true;`.
        '';
      }
    ];

    # The loader of 32-bit programs (`environment.ldso32`) stays what NixOS makes of it: the shim has no 32-bit build.
    environment.ldso = "${cfg.shim}/libexec/pitstop-ld";

    environment.systemPackages = [
      cfg.package
      farm
    ];
    environment.pathsToLink = [ "/share/nix-ld" ];

    environment.variables = lib.mkIf cfg.exposeLibraries {
      NIX_LD = "${shown}/ld.so";
      NIX_LD_LIBRARY_PATH = shown;
    };

    # Not the option's default, for a default is gone as soon as somebody adds a package.
    programs.pitstop.libraries = import ./libraries.nix { inherit pkgs; };
  };
}
