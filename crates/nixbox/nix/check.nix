# What nixpkgs refuses to evaluate, in the words it uses; asked for by a package's meta.
{ lib, config }:
let
  insecure = meta: (meta.knownVulnerabilities or [ ]) != [ ];
  unfree = meta: !(meta.license.free or true);
  broken = meta: meta.broken or false;
  fromEnvironment = name: builtins.getEnv name == "1";

  allows = {
    unfree = config.allowUnfree or (fromEnvironment "NIXPKGS_ALLOW_UNFREE");
    broken = config.allowBroken or (fromEnvironment "NIXPKGS_ALLOW_BROKEN");
    insecure = fromEnvironment "NIXPKGS_ALLOW_INSECURE";
  };
  unfreePredicate = config.allowUnfreePredicate or (_: false);
  permitted = name:
    builtins.elem name (config.permittedInsecurePackages or [ ]) || allows.insecure;

  refuse = { name, meta }: reason: advice:
    throw "Package ‘${name}’ in ${meta.position} ${reason}, refusing to evaluate.\n\n${advice}\n";

  allow = setting: variable: ''
    a) For one call of the nix tools, set an environment variable:
         $ export ${variable}=1
       With flakes, `--impure` is needed too.
    b) In the configuration of nixpkgs:
         { ${setting} }
  '';
in
# The value of `pkg` when its package may be evaluated.
{ name, pname, version, meta }@package:
if broken meta && !allows.broken then
  refuse { inherit name meta; } "is marked as broken" (allow "allowBroken = true;" "NIXPKGS_ALLOW_BROKEN")
else if unfree meta && !allows.unfree && !(unfreePredicate package) then
  refuse { inherit name meta; } "has an unfree license (‘${meta.license.shortName}’)"
    (allow "allowUnfree = true;" "NIXPKGS_ALLOW_UNFREE")
else if insecure meta && !permitted name then
  refuse { inherit name meta; } "is marked as insecure"
    ("\nKnown issues:\n" + lib.concatMapStringsSep "" (v: " - ${v}\n") meta.knownVulnerabilities + "\n"
      + allow ''permittedInsecurePackages = [ "${name}" ];'' "NIXPKGS_ALLOW_INSECURE")
else
  true
