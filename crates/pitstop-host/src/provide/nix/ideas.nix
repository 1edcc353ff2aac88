# What a package set knows of some attributes. One evaluation for all of them, since reading the set is what takes time.
#
# `request` is JSON, so that nothing of it is ever part of an expression:
#   references  where the package set could be, the first that is there counts
#   ideas       attribute paths
#   every       whether every output with something to use is wanted, or only those that may have libraries
#   raise       instead of noting that an attribute fails, fail with its own words
{ request }:
let
  inherit (builtins) elemAt elem filter fromJSON getFlake head isAttrs isFunction isString length map split tryEval;

  asked = fromJSON request;

  subfolder = reference: path: if reference ? folder then path + "/${reference.folder}" else path;
  without = builtins.removeAttrs;
  # Where a reference leads, or null where there is nothing.
  resolve = reference:
    {
      path = { at = reference.path; };
      tarball = { at = subfolder reference (builtins.fetchTarball (without reference [ "kind" "folder" ])); };
      git =
        let tree = builtins.fetchGit (without reference [ "kind" "folder" ]);
        in { at = subfolder reference tree.outPath; } // identity tree;
      search-path =
        let found = tryEval (builtins.findFile builtins.nixPath reference.name);
        in if found.success then { at = found.value; } else null;
      flake =
        let flake = getFlake reference.flake;
        in { at = flake.outPath; } // identity flake;
    }.${reference.kind};
  # What tells its sources from all others, as far as they were fetched by something that knows.
  identity = tree:
    (if tree ? rev then { inherit (tree) rev; } else { })
    // (if tree ? narHash then { inherit (tree) narHash; } else { });

  choose = number:
    if number == length asked.references then null
    else
      let found = resolve (elemAt asked.references number);
      in if found == null then choose (number + 1) else found // { inherit number; };
  chosen = choose 0;

  imported = import chosen.at;
  packages = if isFunction imported then imported { } else imported;

  # Follows an attribute path. An alias that throws counts as refused, not as absent: its words say what became of it.
  follow = value: names:
    if names == [ ] then { state = "there"; inherit value; }
    else
      let forced = if asked.raise then { success = true; value = isAttrs value; } else tryEval (isAttrs value);
      in
      if !forced.success then { state = "refused"; }
      else if !forced.value || !(value ? ${head names}) then { state = "absent"; }
      else follow value.${head names} (builtins.tail names);

  outputsOf = package:
    let
      all = package.outputs or [ "out" ];
      # As lib.getLib chooses, then whatever else may hold a library.
      preferred = (if package.outputSpecified or false then [ package.outputName ] else [ ]) ++ [ "lib" "out" ];
      hardly = [ "doc" "devdoc" "man" "info" "debug" ] ++ (if asked.every then [ ] else [ "dev" "bin" ]);
      others = filter (name: !(elem name (preferred ++ hardly))) all;
    in
    map (name: { inherit name; path = "${package.${name}.outPath}"; })
      (unique (filter (name: elem name all) preferred ++ others));
  unique = builtins.foldl' (seen: name: if elem name seen then seen else seen ++ [ name ]) [ ];

  describe = name:
    let
      found = follow packages (filter isString (split "\\." name));
      facts =
        if !(isAttrs found.value && found.value ? drvPath) then { state = "absent"; }
        else { state = "there"; derivation = "${found.value.drvPath}"; outputs = outputsOf found.value; };
      tried = if asked.raise then { success = true; value = facts; } else tryEval (builtins.deepSeq facts facts);
    in
    {
      inherit name;
      facts =
        if found.state != "there" then { inherit (found) state; }
        else if tried.success then tried.value
        else { state = "refused"; };
    };

  version = tryEval (packages.lib.version or null);
  # Channels of nixpkgs say in a file which commit they are.
  told =
    let
      file = "${toString chosen.at}/.git-revision";
      read = tryEval (if builtins.pathExists file then builtins.readFile file else "");
      commit = if read.success then builtins.match "([0-9a-f]{40})[[:space:]]*" read.value else null;
    in
    if commit == null then null else head commit;
in
if chosen == null then { set = null; ideas = [ ]; }
else {
  set = {
    inherit (chosen) number;
    path = "${toString chosen.at}";
    rev = chosen.rev or told;
    narHash = chosen.narHash or null;
    version = if version.success && isString version.value then version.value else null;
  };
  ideas = map describe asked.ideas;
}
