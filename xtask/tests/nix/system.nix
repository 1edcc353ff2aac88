# A NixOS with our module, out of nixbox's packages: its profile, and where its loader for foreign programs is. The shim and the
# command were built beforehand; everything else that the module and the packages do is done here.
{
  # Store paths of the two programs.
  pitstop,
  pitstop-ld,
  settings ? { },
}:
let
  built = { inherit pitstop pitstop-ld; };
  # Cargo has run already; what remains is what the package says about the result.
  rustPlatform.buildRustPackage =
    {
      pname,
      postInstall ? "",
      ...
    }:
    pkgs.runCommand pname { } ''
      install -D ${builtins.storePath built.${pname}} $out/bin/${pname}
      ${installFunctions}
      ${postInstall}
    '';
  # What installShellFiles brings to a build in nixpkgs, as far as it is used.
  installFunctions = ''
    installManPage() { install -D -t "$out/share/man/man1" "$@"; }
    installShellCompletion() {
      while [ $# -gt 0 ]; do
        case "$1" in
          --bash) install -D "$2" "$out/share/bash-completion/completions/$2" ;;
          --fish) install -D "$2" "$out/share/fish/vendor_completions.d/$2" ;;
          --zsh) install -D "$2" "$out/share/zsh/site-functions/$2" ;;
          *) return 1 ;;
        esac
        shift 2
      done
    }
  '';
  inherit (import ./modules.nix) lib;
  pkgs = import <nixpkgs> {
    overlays = [
      (_: prev: {
        inherit rustPlatform;
        installShellFiles = null;
        stdenv = prev.stdenv // {
          buildPlatform = prev.stdenv.buildPlatform // {
            canExecute = _: true;
          };
        };
        testers.runNixOSTest = _: throw "no machine is started here";
        lib = prev.lib // lib;
      })
    ];
  };
  inherit
    (import ./evaluate.nix {
      inherit pkgs lib;
      settings = _: {
        imports = [ settings ];
        programs.pitstop.enable = true;
        # Without what this Debian has no package for, which nixbox shows by the version 0.
        programs.pitstop.libraries = lib.mkForce (
          lib.filter (package: package.version != "0") (import ../../../nix/libraries.nix { inherit pkgs; })
        );
      };
    })
    config
    ;
in
{
  profile = pkgs.buildEnv {
    name = "system-path";
    paths = config.environment.systemPackages ++ [ pkgs.nixbox.system ];
    # As NixOS has by itself.
    pathsToLink = [
      "/bin"
      "/lib"
    ]
    ++ config.environment.pathsToLink;
    ignoreCollisions = true;
  };
  ldso = pkgs.writeText "ldso" config.environment.ldso;
  variables = pkgs.writeText "variables" (
    toString (
      builtins.attrValues (
        builtins.mapAttrs (name: value: "${name}=${value}") config.environment.variables
      )
    )
  );
}
