{
  description = "Stands in for nixpkgs where flake.nix is evaluated";
  outputs =
    { self }:
    let
      inherit (import ./modules.nix) lib;
      packagesFor = _: import ./packages.nix { inherit lib; };
    in
    {
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesFor;
      lib = lib // {
        nixosSystem =
          { system, modules }:
          lib.evalModules {
            pkgs = packagesFor system;
            modules = modules ++ [
              ./nixos.nix
              { options.programs.nix-ld.enable = lib.mkEnableOption "nix-ld"; }
            ];
          };
      };
    };
}
