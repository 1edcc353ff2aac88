# Adds `pitstop` and `pitstop-ld` to nixpkgs.
final: _prev: {
  pitstop = final.callPackage ./package.nix { };
  pitstop-ld = final.callPackage ./pitstop-ld.nix { };
}
