# The little of stdenv's setup that nix-shell and runCommand rely on. Sourced, also by nix-shell.
_nixbox_path=
for _nixbox_input in $nativeBuildInputs $buildInputs; do
    if [ -d "$_nixbox_input/bin" ]; then _nixbox_path=$_nixbox_path$_nixbox_input/bin:; fi
done
for _nixbox_input in $initialPath; do _nixbox_path=$_nixbox_path$_nixbox_input/bin:; done
# nix-shell keeps the user's PATH behind this one; a build has the placeholder /path-not-set.
if [ "${PATH:-}" = /path-not-set ]; then PATH=; fi
export PATH=${_nixbox_path%:}${PATH:+:$PATH}
unset _nixbox_path _nixbox_input

# nix-shell runs the shell hook only where this function is.
runHook() {
    if [ -n "${!1:-}" ]; then eval "${!1}"; fi
}
