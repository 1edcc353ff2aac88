//! The file system as it would be with a farm in it, and with one program changed.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bstr::{BString, ByteSlice};
use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};

use crate::remedy::Found;

/// See the [module](self).
pub(super) struct Pretend<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) farm: &'a Path,
    /// What is in the farm.
    pub(super) found: &'a BTreeMap<BString, Found>,
    /// What the program says of itself then.
    pub(super) program: (&'a Path, Arc<Elf>),
}

impl Files for Pretend<'_> {
    fn open(&self, path: &Path) -> Opened {
        if path == self.program.0 {
            return match self.files.open(path) {
                Opened::Elf(id, _) => Opened::Elf(id, self.program.1.clone()),
                other => other,
            };
        }
        // The farm may be there already, from an earlier fix: what counts is what it will hold.
        let plain = plain(path);
        if plain.parent() != Some(self.farm) {
            return self.files.open(path);
        }
        let name = plain.file_name().map(|name| name.as_encoded_bytes().as_bstr().to_owned());
        let found = name.and_then(|name| self.found.get(&name));
        found.map_or(Opened::Absent, |found| self.files.open(&found.file))
    }

    fn is_folder(&self, path: &Path) -> bool {
        plain(path) == self.farm || self.files.is_folder(path)
    }
}

/// A path without `..`, as it is where no folder on the way is a link. Those of an environment that a program is in are
/// walked, so they are none.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}
