//! What installed packages say of themselves: what they require, and which libraries their code names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use pitstop_core::targets::Native;

/// The most Python code of one package that is looked through for the name of a library.
const SOURCES_BYTES_MAX: u64 = 8 << 20;

/// A package's name as package indexes compare it (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(character.to_lowercase());
        }
    }
    out
}

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
    let listed = record.lines().filter_map(|line| line.split(|byte| *byte == b',').next());
    let python =
        listed.filter(|path| path.ends_with(b".py") && !path.starts_with(b"..") && !path.starts_with(b"/"));
    python.map(|path| site.join(path.to_path_lossy())).collect()
}

/// Whether Python code names a library by its file name: `lib_lightgbm.so`, or `_lightgbm` of `lib…so` built from parts.
pub(crate) fn names_library(sources: &[PathBuf], native: &Native) -> bool {
    let Some(name) = native.path.file_name().and_then(|name| name.to_str()) else { return false };
    // `libsndfile_x86_64.so` is often put together as 'libsndfile_' + machine() + '.so'.
    let stem = name.split(".so").next().unwrap_or(name);
    let stem = stem.trim_end_matches(std::env::consts::ARCH).trim_end_matches(['_', '-']);
    if stem.len() < 4 {
        return false;
    }
    let finder = bstr::Finder::new(stem.as_bytes());
    let mut left = SOURCES_BYTES_MAX;
    for path in sources {
        let Ok(metadata) = fs::symlink_metadata(path) else { continue };
        let Some(rest) = left.checked_sub(metadata.len()) else { return false };
        left = rest;
        if metadata.is_file() && fs::read(path).is_ok_and(|code| finder.find(&code).is_some()) {
            return true;
        }
    }
    false
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
    fn requirements_are_read_from_the_headers_only() {
        let metadata = b"Name: torchvision\nRequires-Dist: torch==2.9\nRequires-Dist: Pillow (!=8.3)\nRequires-Dist: numpy[x]; extra == 'a'\n\nRequires-Dist: not-me\n";
        let mut required: Vec<String> = required(metadata).into_iter().collect();
        required.sort();
        assert_eq!(required, ["numpy", "pillow", "torch"]);
    }
}
