//! From the names that code uses to sonames.
//!
//! `find_library("magic")` gives `libmagic.so.1` on a machine that has it: the file's soname, which only the file, or a
//! table, can tell (`_findSoname_ldconfig` in CPython's `Lib/ctypes/util.py`).

use crate::locate::known_versions;

/// What names come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sonames {
    /// Sonames, best first: those that somebody has, in the order of the names, then others.
    pub sonames: Vec<String>,
    /// Whether the first is one that somebody is known to have.
    pub known: bool,
}

/// The sonames that names of a library may stand for, each of which may be a file name (`libmagic.so.1`,
/// `libmagic.so`), or a short name as `find_library` takes it (`magic`). cffi's `dlopen` takes both.
pub fn sonames(names: &[String]) -> Sonames {
    let (mut known, mut unknown): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| is_plausible(name)) {
        let stem = match name.find(".so") {
            Some(at) if matches!(name.as_bytes().get(at + 3), None | Some(b'.')) => &name[..at + 3],
            Some(_) => continue,
            None => &format!("lib{name}.so"),
        };
        let versions = known_versions(stem);
        let is_exact = name.len() > stem.len();
        if versions.iter().any(|version| version == name) {
            known.push(name.clone());
        } else if is_exact {
            unknown.push(name.clone());
        } else {
            known.extend(versions.into_iter().map(str::to_owned));
        }
    }
    let is_known = !known.is_empty();
    let mut all: Vec<String> = Vec::new();
    for soname in known.into_iter().chain(unknown) {
        if !all.contains(&soname) {
            all.push(soname);
        }
    }
    Sonames { sonames: all, known: is_known }
}

/// Whether a text may name a library of Linux: no path, no file of another system, nothing that is no file name.
pub(super) fn is_plausible(name: &str) -> bool {
    let other = [".dll", ".dylib", ".pyd", ".framework", ".exe", ".py", ".a"];
    (2..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
        && !name.starts_with(['.', '-'])
        && !other.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        sonames(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).sonames
    }

    #[test]
    fn a_short_name_is_the_soname_that_find_library_would_give() {
        assert_eq!(of(&["magic"]), ["libmagic.so.1"]);
        assert_eq!(of(&["usb-1.0"]), ["libusb-1.0.so.0"]);
        assert_eq!(of(&["libzbar.so"]), ["libzbar.so.0"]);
        assert_eq!(of(&["gobject-2.0-0", "libgobject-2.0.so.0"]), ["libgobject-2.0.so.0"]);
    }

    #[test]
    fn what_nobody_has_comes_last_and_what_is_no_library_not_at_all() {
        assert_eq!(of(&["libvendor.so.3", "libmagic.so.1"]), ["libmagic.so.1", "libvendor.so.3"]);
        assert!(of(&["magic1.dll", "libmagic.dylib", "a b", "vendor", "/x/libmagic.so.1"]).is_empty());
    }
}
