# The part of nixpkgs' `lib` that people write in a shell.nix, with the same meaning.
rec {
  inherit (builtins)
    all any attrNames attrValues concatLists concatMap concatStringsSep elem elemAt filter foldl'
    genList getAttr hasAttr head isAttrs isFunction isList isString length listToAttrs map mapAttrs
    match parseDrvName replaceStrings split splitVersion stringLength substring tail toJSON typeOf;

  id = x: x;
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  optionalString = cond: s: if cond then s else "";
  optionalAttrs = cond: set: if cond then set else { };
  flatten = x: if isList x then concatMap flatten x else [ x ];
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
  remove = x: filter (y: y != x);
  last = xs: elemAt xs (length xs - 1);
  reverseList = xs: genList (n: elemAt xs (length xs - 1 - n)) (length xs);
  init = xs: genList (elemAt xs) (length xs - 1);
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  filterAttrs = keep: set:
    removeAttrs set (filter (n: !keep n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  concatMapStringsSep = sep: f: xs: concatStringsSep sep (map f xs);
  concatStrings = concatStringsSep "";
  splitString = sep: s: filter isString (split (escapeRegex sep) s);
  escapeRegex = replaceStrings
    [ "\\" "." "*" "+" "?" "(" ")" "[" "]" "{" "}" "^" "$" "|" ]
    [ "\\\\" "\\." "\\*" "\\+" "\\?" "\\(" "\\)" "\\[" "\\]" "\\{" "\\}" "\\^" "\\$" "\\|" ];
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix = suffix: s:
    let n = stringLength suffix; m = stringLength s;
    in m >= n && substring (m - n) n s == suffix;
  removeSuffix = suffix: s:
    if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;

  attrByPath = path: default: set:
    if path == [ ] then set
    else if isAttrs set && set ? ${head path} then attrByPath (tail path) default set.${head path}
    else default;
  hasAttrByPath = path: set:
    path == [ ] || (isAttrs set && set ? ${head path} && hasAttrByPath (tail path) set.${head path});
  getAttrFromPath = path: attrByPath path (throw "cannot find attribute `${concatStringsSep "." path}'");
  attrVals = names: set: map (n: set.${n}) names;
  setAttrByPath = path: value:
    if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
  # Merges sets of sets; a derivation is a leaf.
  recursiveUpdate = a: b:
    let
      both = n: isAttrs a.${n} && isAttrs b.${n} && !isDerivation a.${n} && !isDerivation b.${n};
      merged = filter (n: a ? ${n} && both n) (attrNames b);
    in
    a // b // genAttrs merged (n: recursiveUpdate a.${n} b.${n});
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  isDerivation = x: isAttrs x && (x.type or null) == "derivation";

  getOutput = output: pkg:
    if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getName = x: if isString x then (parseDrvName x).name else x.pname or (parseDrvName x.name).name;
  getVersion = x: if isString x then (parseDrvName x).version else x.version or (parseDrvName x.name).version;
  getExe = x: "${getBin x}/bin/${x.meta.mainProgram or (getName x)}";
  makeSearchPath = sub: pkgs: concatMapStringsSep ":" (p: "${p}/${sub}") (filter (p: p != null) pkgs);
  makeSearchPathOutput = output: sub: pkgs: makeSearchPath sub (map (getOutput output) pkgs);
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeBinPath = makeSearchPathOutput "bin" "bin";

  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  warn = message: builtins.trace "evaluation warning: ${message}";
  warnIf = cond: message: if cond then warn message else id;
  # Warns when the package is built, not when it is only looked at.
  warnOnInstantiate = message: pkg:
    pkg // mapAttrs (_: warn message) { inherit (pkg) drvPath outPath; };

  licenses = {
    free = { free = true; shortName = "free"; fullName = "Free software"; };
    unfree = { free = false; shortName = "unfree"; fullName = "Unfree"; };
  };
  platforms.linux = [ "x86_64-linux" ];
}
