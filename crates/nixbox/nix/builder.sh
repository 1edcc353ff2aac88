# stdenv's default builder, as much of it as the trivial builders need.
. "$stdenv/setup"
if [ -n "${buildCommandPath:-}" ]; then
    . "$buildCommandPath"
elif [ -n "${buildCommand:-}" ]; then
    eval "$buildCommand"
else
    if [ -n "${src:-}" ]; then cp -r --no-preserve=mode "$src" source && cd source; fi
    eval "${buildPhase:-:}"
    eval "${installPhase:-mkdir -p "$out"}"
fi
