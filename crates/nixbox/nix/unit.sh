# Builds one package of the miniature set: Debian's files, in nixpkgs' layout, tied together by RUNPATHs.
#
# From Nix: $debs ("name=version" each), $needs (store lib folders of the packages it depends on),
# $sonames (the names the table promises), $loader (the store's loader, empty for what comes before it),
# $finish (a script for what is special about this package), $outputs.
set -eu
shopt -s nullglob dotglob
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
umask 022

state=/nix/var/nixbox
# Only where the machine has no package lists of its own.
[ ! -e "$state/apt.conf" ] || export APT_CONFIG="$state/apt.conf"
lib_out=${lib:-$out}
bin_out=${bin:-$out}

fetch() {
    local deb wanted=()
    for deb in $debs; do
        [ -e "$state/debs/${deb/=/_}.deb" ] || wanted+=("$deb")
    done
    [ ${#wanted[@]} -gt 0 ] || return 0
    local folder
    folder=$(mktemp -d "$state/debs/fetch.XXXXXX")
    # A cache of its own, for some machines are told to keep none, and reading all lists takes a second.
    mkdir -p "$state/apt-cache/archives/partial"
    (cd "$folder" && apt-get -q=2 -o APT::Sandbox::User= -o Dir::Cache="$state/apt-cache" download "${wanted[@]}")
    for deb in "${wanted[@]}"; do mv "$folder/${deb%%=*}"_*.deb "$state/debs/${deb/=/_}.deb"; done
    rmdir "$folder"
}

# Moves everything in $1 into $2, merging folders.
merge() {
    [ -d "$1" ] || return 0
    mkdir -p "$2"
    cp -a --no-preserve=ownership "$1/." "$2/"
    rm -rf "$1"
}

lay_out() {
    local deb
    mkdir tree
    for deb in $debs; do dpkg-deb -x "$state/debs/${deb/=/_}.deb" tree; done
    local folder
    for folder in tree/usr/lib/*-linux-gnu tree/lib/*-linux-gnu; do merge "$folder" "$lib_out/lib"; done
    merge tree/usr/libexec "$lib_out/libexec"
    for folder in tree/usr/lib tree/lib; do merge "$folder" "$lib_out/lib"; done
    for folder in tree/bin tree/sbin tree/usr/bin tree/usr/sbin; do merge "$folder" "$bin_out/bin"; done
    rm -rf tree/usr/share/{doc,man,info,locale,lintian,bug}
    merge tree/usr/share "$out/share"
    merge tree/etc "$out/etc"
    local output
    for output in $outputs; do mkdir -p "${!output}"; done
}

# Links that pointed from one Debian folder into another, and names that Debian keeps in a
# folder of alternatives (blas/libblas.so.3) but nixpkgs in lib itself.
mend_links() {
    [ -d "$lib_out/lib" ] || return 0
    local link name found
    # Where both are one output, its lib is gone through twice.
    find "$lib_out/lib" "$bin_out" -xtype l -print | while read -r link; do
        name=$(basename "$(readlink "$link")")
        found=$(find "$lib_out/lib" "$bin_out" -name "$name" ! -path "$link" -print -quit)
        if [ -n "$found" ]; then ln -sfn "$found" "$link"; else rm -f "$link"; fi
    done
    for name in $sonames; do
        [ ! -e "$lib_out/lib/$name" ] || continue
        found=$(find "$lib_out/lib" -mindepth 2 -name "$name" -print -quit)
        [ -z "$found" ] || ln -s "${found#"$lib_out/lib/"}" "$lib_out/lib/$name"
    done
    # nixpkgs has the linker's name beside the soname; so ctypes and dlopen callers may use it.
    for name in "$lib_out"/lib/*.so.*; do
        link=${name%%.so.*}.so
        [ -e "$link" ] || ln -s "$(basename "$name")" "$link"
    done
}

is_elf() { [ "$(head -c 4 "$1" | tr -d '\0')" = $'\x7fELF' ]; }

# The folder in which this package, or one it needs, has soname $1.
folder_of() {
    if [ -n "${own[$1]:-}" ]; then
        printf '%s' "${own[$1]}"
        return
    fi
    local folder private
    for folder in $needs; do
        if [ -e "$folder/$1" ]; then
            printf '%s' "$folder"
            return
        fi
    done
    # Private libraries of a neighbour: pulseaudio/libpulsecommon-16.1.so.
    for folder in $needs; do
        for private in "$folder"/*/"$1"; do
            dirname "$private"
            return
        done
    done
    return 1
}

tie() {
    local file=$1 soname folder runpath=
    for soname in $(patchelf --print-needed "$file" 2>/dev/null); do
        case $soname in ld-linux*) continue ;; esac
        if folder=$(folder_of "$soname"); then
            case ":$runpath:" in *":$folder:"*) ;; *) runpath=$runpath${runpath:+:}$folder ;; esac
        else
            printf 'nixbox: %s needs %s, which none of its packages has\n' "${file#/nix/store/}" "$soname"
        fi
    done
    chmod u+w "$file"
    if patchelf --print-interpreter "$file" >/dev/null 2>&1 && [[ $file != *.so* ]]; then
        patchelf --set-interpreter "$loader" "$file"
    fi
    if [ -n "$runpath" ]; then patchelf --set-rpath "$runpath" "$file"; fi
}

tie_all() {
    [ -n "$loader" ] || return 0
    declare -gA own=()
    local file folders=()
    for file in "$lib_out/lib" "$lib_out/libexec" "$bin_out/bin"; do
        [ ! -d "$file" ] || folders+=("$file")
    done
    [ ${#folders[@]} -gt 0 ] || return 0
    while read -r file; do
        # lib itself wins over its subfolders: find lists the nearer ones later.
        own[${file##*/}]=${file%/*}
    done < <(find "$lib_out/lib" -depth -name '*.so*' ! -type d 2>/dev/null | awk -F/ '{print NF, $0}' | sort -rn | cut -d' ' -f2-)
    find "${folders[@]}" -type f \( -perm /111 -o -name '*.so*' \) ! -name '*.py' | while read -r file; do
        if is_elf "$file"; then tie "$file"; fi
    done
}

# Scripts get the store's shell, which is the only one there.
mend_scripts() {
    [ -d "$bin_out/bin" ] && [ -n "${shell:-}" ] || return 0
    local file
    for file in "$bin_out"/bin/*; do
        [ -f "$file" ] && [ ! -L "$file" ] && ! is_elf "$file" || continue
        sed -i "1s|^#! */bin/\(ba\)\?sh|#!$shell|" "$file"
    done
}

if [ -z "$debs" ]; then
    printf 'nixbox: this Debian has no package with the libraries of %s\n' "$unit" >&2
    exit 1
fi
fetch
cd "$(mktemp -d)"
lay_out
mend_links
if [ -n "$finish" ]; then . "$finish"; fi
tie_all
mend_scripts
if [ -n "${dev:-}" ]; then
    mkdir -p "$dev/nix-support" "$dev/include"
    printf '%s' "$out" >"$dev/nix-support/propagated-build-inputs"
fi
