# nixpkgs' own search for settings: $NIXPKGS_CONFIG, then the user's file.
let
  named = builtins.getEnv "NIXPKGS_CONFIG";
  home = builtins.getEnv "HOME";
  users = home + "/.config/nixpkgs/config.nix";
in
if named != "" && builtins.pathExists named then import named
else if home != "" && builtins.pathExists users then import (/. + users)
else { }
