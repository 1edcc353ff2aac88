{
  description = "Makes Python packages that ship native code run on machines that lack their libraries";

  # Who uses this flake chooses nixpkgs: `inputs.pitstop.inputs.nixpkgs.follows = "nixpkgs";`.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      # The shim is tested on x86_64, and offered there alone.
      withShim = [ "x86_64-linux" ];
      forSystems = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsOf = system: nixpkgs.legacyPackages.${system};
      # The module with packages of this flake, so that it serves a NixOS whose own nixpkgs has an older Rust.
      packagesOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};
    in
    {
      packages = forSystems (
        system:
        let
          pkgs = pkgsOf system;
          pitstop = pkgs.callPackage ./nix/package.nix { };
        in
        {
          inherit pitstop;
          default = pitstop;
        }
        // lib.optionalAttrs (lib.elem system withShim) {
          pitstop-ld = pkgs.callPackage ./nix/pitstop-ld.nix { };
        }
      );

      overlays.default = import ./nix/overlay.nix;

      nixosModules.default =
        { pkgs, ... }:
        {
          imports = [ ./nix/module.nix ];
          programs.pitstop.package = lib.mkDefault (packagesOf pkgs).pitstop;
          programs.pitstop.shim = lib.mkDefault (packagesOf pkgs).pitstop-ld;
        };

      homeManagerModules.default =
        { pkgs, ... }:
        {
          imports = [ ./nix/home-manager.nix ];
          programs.pitstop.package = lib.mkDefault (packagesOf pkgs).pitstop;
        };

      devShells = forSystems (system: {
        default = import ./shell.nix { pkgs = pkgsOf system; };
      });

      checks = forSystems (
        system:
        {
          inherit (self.packages.${system}) pitstop;
        }
        // lib.optionalAttrs (lib.elem system withShim) {
          inherit (self.packages.${system}) pitstop-ld;
          module = import ./nix/check.nix {
            inherit nixpkgs system;
            module = self.nixosModules.default;
          };
          nixos = (pkgsOf system).callPackage ./nix/test.nix { module = self.nixosModules.default; };
        }
      );

      formatter = forSystems (
        system:
        let
          pkgs = pkgsOf system;
        in
        pkgs.nixfmt-tree or pkgs.nixfmt-rfc-style
      );
    };
}
