//! Where nix-index databases lie.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use fs_err as fs;

use super::own;

/// The variable by which a person, or nix-index-database's wrapper of `nix-locate`, names the folder of the database.
const VARIABLE: &str = "NIX_INDEX_DATABASE";
/// The name of a database within its folder.
const FILE: &str = "files";
/// What a wrapper takes at most, in bytes: nix-locate itself is larger.
const WRAPPER_MAX: u64 = 1 << 20;

/// The database that is meant: `named`, or what `$NIX_INDEX_DATABASE` names, else the first that is there: pitstop's own
/// (`pitstop index build`, `update`, `import`), in `$XDG_CACHE_HOME/nix-index` or `~/.cache/nix-index`, where nix-index writes it and nix-index-database's home-manager
/// module links it, then where nix-index-database's wrapper of `nix-locate` finds it, which its modules for NixOS and
/// nix-darwin install. A folder means the file `files` in it.
///
/// # Errors
///
/// The places that were looked at, where nothing is named and none of them has a database.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(named) = named.map(Path::to_owned).or_else(variable) {
        return Ok(if named.is_dir() { named.join(FILE) } else { named });
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = [cache, home.map(|home| home.join(".cache"))];
    let caches = caches.into_iter().flatten().map(|cache| cache.join("nix-index"));
    // What pitstop was told to make or to fetch is meant before what lies there for somebody else.
    let mut looked: Vec<PathBuf> =
        own::folder().into_iter().chain(caches).map(|folder| folder.join(FILE)).collect();
    looked.dedup();
    if let Some(found) = looked.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/run/current-system/sw/bin")]);
    for wrapper in folders.map(|folder| folder.join("nix-locate")) {
        let wrapped = wrapped(&wrapper).map(|folder| folder.join(FILE));
        if let Some(found) = wrapped.filter(|path| path.exists()) {
            return Ok(found);
        }
    }
    looked.push(PathBuf::from("nix-locate"));
    Err(looked)
}

/// Whether the environment names a database.
#[must_use]
pub fn is_named() -> bool {
    variable().is_some()
}

fn variable() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder that a wrapper, a script or a small program, gives to nix-locate.
fn wrapped(wrapper: &Path) -> Option<PathBuf> {
    if fs::metadata(wrapper).ok().filter(|metadata| metadata.len() <= WRAPPER_MAX)?.is_dir() {
        return None;
    }
    folder_in(&fs::read(wrapper).ok()?)
}

/// The path that stands behind the variable: `export NIX_INDEX_DATABASE='/nix/store/…'` in a script;
/// `--set 'NIX_INDEX_DATABASE' '/nix/store/…'` in the words that nixpkgs' makeBinaryWrapper leaves in a program.
fn folder_in(wrapper: &[u8]) -> Option<PathBuf> {
    /// Quotes, an equals sign, spaces.
    const BETWEEN: usize = 8;
    wrapper.find_iter(VARIABLE).find_map(|at| {
        let rest = &wrapper[at + VARIABLE.len()..];
        let start = rest.iter().take(BETWEEN).position(|byte| *byte == b'/')?;
        let rest = &rest[start..];
        let end = rest.find_byteset(b"\0'\"\n ;:").unwrap_or(rest.len());
        Some(PathBuf::from(OsString::from_vec(rest[..end].to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_tells_the_folder_it_sets() {
        let folder = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nix-index-database";
        for wrapper in [
            format!("#!/bin/sh\nexport NIX_INDEX_DATABASE='{folder}'\nexec nix-locate \"$@\"\n"),
            format!("\x7fELF\0makeCWrapper '/nix-locate' \\\n    --set 'NIX_INDEX_DATABASE' '{folder}'\n\0"),
            format!("\x7fELF\0NIX_INDEX_DATABASE\0{folder}\0"),
            format!("unset NIX_INDEX_DATABASE\nNIX_INDEX_DATABASE={folder}"),
        ] {
            assert_eq!(folder_in(wrapper.as_bytes()), Some(folder.into()), "{wrapper}");
        }
        assert_eq!(folder_in(b"NIX_INDEX_DATABASE is not set. /usr"), None);
    }
}
