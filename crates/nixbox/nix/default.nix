# A miniature of nixpkgs: the same attribute names, outputs and refusals; inside, Debian's libraries.
# Pure when called from flake.nix; otherwise settings come from where nixpkgs takes them.
{ system ? builtins.currentSystem or "x86_64-linux"
, config ? import ./settings.nix
, overlays ? [ ]
, ...
}:
let
  lib = import ./lib.nix;
  settings = if lib.isFunction config then config { inherit pkgs lib; } else config;
  check = import ./check.nix { inherit lib; config = settings; };
  derive = import ./derive.nix { inherit lib check system; };
  outputsOf = import ./outputs.nix;
  facts = import ./facts.nix { inherit lib; };
  units = builtins.fromJSON (builtins.readFile ./units.json);

  unit = id: given:
    let
      u = given // { outputs = outputsOf.${id} or (if lib.hasSuffix ".cc" id then [ "out" "lib" ] else [ "out" ]); };
      meta = facts.${id} or (facts.${lib.head (lib.splitString "." id)} or { });
      early = id == "glibc" || id == "nixbox.libgcc";
    in
    derive {
      inherit (u) pname outputs;
      # A package that this Debian lacks has the version that the facts know, or none that means anything.
      version = meta.version or u.version;
      meta = removeAttrs meta [ "version" ];
      builder = "/bin/bash";
      args = [ ./unit.sh ];
      env = {
        unit = id;
        debs = toString u.debs;
        sums = toString u.sums;
        sonames = toString u.sonames;
        needs = toString (map (need: "${lib.getLib all.${need}}/lib") u.needs);
        loader = if early then "" else "${all.glibc}/lib/ld-linux-x86-64.so.2";
        finish =
          if id == "glibc" then ./glibc.sh
          else if id == "python311" then ./python.sh
          else if id == "gcc" then ./gcc.sh
          else if id == "imagemagick" then ./imagemagick.sh
          else "";
      }
      // lib.optionalAttrs (u.program && id != "bash") { shell = "${all.bash}/bin/bash"; }
      // lib.optionalAttrs (id == "glibc") { libgcc = all."nixbox.libgcc"; loaderScript = ./loader.pl; };
    };
  all = lib.mapAttrs unit units;

  public = lib.filter (id: !units.${id}.internal) (lib.attrNames units);
  isNested = id: builtins.match ".*\\..*" id != null;
  flat = lib.genAttrs (lib.filter (id: !isNested id) public) (id: all.${id});
  nested = lib.foldl' lib.recursiveUpdate { }
    (map (id: lib.setAttrByPath (lib.splitString "." id) all.${id})
      (lib.filter (id: isNested id && !lib.hasPrefix "stdenv." id) public));

  own = import ./tools.nix { inherit lib derive all system pkgs; };
  base = nested // flat // own // {
    inherit lib system pkgs;
    config = settings;
    path = ./.;
    callPackage = file: args:
      let f = if lib.isFunction file then file else import file;
      in f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // args);
    nixbox = (nested.nixbox or { }) // own.nixbox // { internal = all; };
  };
  withAliases = base // import ./aliases.nix { inherit lib base; };
  extend = set: overlay:
    let final = set // overlay pkgs set; in final;
  pkgs = lib.foldl' extend withAliases overlays;
in
pkgs
