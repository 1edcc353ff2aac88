# Names that have moved: some still work, some warn, some refuse.
{ lib, base }:
let
  rows = map (lib.splitString "\t")
    (lib.filter (line: line != "") (lib.tail (lib.splitString "\n" (builtins.readFile ./nix-renames.tsv))));
  moves = map
    (row: { old = lib.elemAt row 0; new = lib.elemAt row 1; warns = lib.hasPrefix "renamed" (lib.elemAt row 2); })
    rows;
  at = name: lib.attrByPath (lib.splitString "." name) null base;
  known = lib.filter (move: lib.hasAttrByPath (lib.splitString "." move.old) base && !(base ? ${move.new})) moves;
  renamed = lib.concatMap
    (move:
      [ (lib.nameValuePair move.new (at move.old)) ]
      ++ lib.optional move.warns (lib.nameValuePair move.old
        (lib.warnOnInstantiate "'${move.old}' has been renamed to '${move.new}'" (at move.old))))
    known;
  gone = name: other: lib.nameValuePair name (throw "'${name}' has been renamed to/replaced by '${other}'");
in
lib.listToAttrs (renamed ++ [
  (gone "gnome3" "gnome")
  (gone "libudev" "udev")
  (gone "xlibs" "xorg")
  (lib.nameValuePair "qt4" (throw "qt4 has been removed, because it is no longer maintained upstream"))
])
