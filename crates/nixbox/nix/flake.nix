{
  description = "nixbox's miniature of nixpkgs";
  outputs = { self }: {
    lib = import ./lib.nix;
    legacyPackages.x86_64-linux = import ./. { system = "x86_64-linux"; config = { }; };
  };
}
