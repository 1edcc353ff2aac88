//! What installed packages say of themselves: what they require, and which libraries their code names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
pub(crate) use pitstop_core::settings::normalized;

/// The most Python code of one package that is looked through for the name of a library.
const SOURCES_BYTES_MAX: u64 = 8 << 20;

/// The packages named by `Requires-Dist` in a `METADATA` file, normalised, whatever their conditions.
pub(crate) fn required(metadata: &[u8]) -> HashSet<String> {
    let headers = metadata.lines().take_while(|line| !line.is_empty());
    headers
        .filter_map(|line| line.strip_prefix(b"Requires-Dist:"))
        .map(|value| {
            let value = value.trim();
            let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let end = value.iter().position(|byte| !part(byte)).unwrap_or(value.len());
            normalized(&value[..end].to_str_lossy())
        })
        .collect()
}

/// The Python files that a package's `RECORD` lists.
pub(crate) fn sources(site: &Path, record: &[u8]) -> Vec<PathBuf> {
    let listed = record.lines().map(|line| &line[..line.find_byte(b',').unwrap_or(line.len())]);
    let python =
        listed.filter(|path| path.ends_with(b".py") && !path.starts_with(b"..") && !path.starts_with(b"/"));
    python.map(|path| site.join(path.to_path_lossy())).collect()
}

/// Which libraries Python code names by their file names: `lib_lightgbm.so`, or `_lightgbm` of `lib…so` built from parts.
/// All are looked for at once, so that the code is read once.
pub(crate) fn named_libraries<'a>(
    sources: &[PathBuf],
    libraries: impl IntoIterator<Item = &'a Path>,
) -> HashSet<&'a Path> {
    let mut sought: Vec<(bstr::Finder<'_>, &Path)> = libraries
        .into_iter()
        .filter_map(|path| Some((bstr::Finder::new(telling_part(path.file_name()?.to_str()?)?), path)))
        .collect();
    let mut named = HashSet::new();
    let mut left = SOURCES_BYTES_MAX;
    for path in sources {
        if sought.is_empty() {
            break;
        }
        let Ok(metadata) = fs::symlink_metadata(path) else { continue };
        let Some(rest) = left.checked_sub(metadata.len()) else { break };
        left = rest;
        let Some(code) = metadata.is_file().then(|| fs::read(path).ok()).flatten() else { continue };
        sought.retain(|(finder, library)| {
            let is_named = finder.find(&code).is_some();
            if is_named {
                named.insert(*library);
            }
            !is_named
        });
    }
    named
}

/// The part of a library's file name that code must write out; `None` where it is too short to tell anything.
fn telling_part(name: &str) -> Option<&str> {
    // `libsndfile_x86_64.so` is often put together as 'libsndfile_' + machine() + '.so'.
    let stem = name.split(".so").next().unwrap_or(name);
    let stem = stem.trim_end_matches(std::env::consts::ARCH).trim_end_matches(['_', '-']);
    (stem.len() >= 4).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_package_indexes_do() {
        assert_eq!(normalized("PyQt6_Qt6"), "pyqt6-qt6");
        assert_eq!(normalized("a.-_b"), "a-b");
    }

    #[test]
    fn libraries_are_found_in_code_by_the_part_of_their_names_that_tells_them_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.py"), "load('lib_lightgbm.so')").unwrap();
        fs::write(folder.path().join("b.py"), "load('libsndfile_' + machine() + '.so')").unwrap();
        let sources = sources(folder.path(), b"a.py,,\r\nb.py,,\r\ngone.py,,\r\na.txt,,\r\n");
        let libraries = ["p/lib_lightgbm.so", "p/libsndfile_x86_64.so", "p/libother.so.1", "p/lo.so"];
        let mut named: Vec<_> = named_libraries(&sources, libraries.map(Path::new)).into_iter().collect();
        named.sort();
        assert_eq!(named[0], Path::new(libraries[0]));
        assert_eq!(named.len(), if cfg!(target_arch = "x86_64") { 2 } else { 1 });
    }

    #[test]
    fn requirements_are_read_from_the_headers_only() {
        let metadata = b"Name: torchvision\nRequires-Dist: torch==2.9\nRequires-Dist: Pillow (!=8.3)\nRequires-Dist: numpy[x]; extra == 'a'\n\nRequires-Dist: not-me\n";
        let mut required: Vec<String> = required(metadata).into_iter().collect();
        required.sort();
        assert_eq!(required, ["numpy", "pillow", "torch"]);
    }
}
