//! Libraries that other files of the same environment bring.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use crate::elf::Target;
use crate::files::FileId;
use crate::targets::{Native, Role};

/// The native files of an environment by the names that a loader would match: soname, and file name.
pub(super) struct Siblings<'a> {
    natives: &'a [Native],
    by_name: HashMap<BString, Vec<usize>>,
    by_id: HashMap<FileId, usize>,
}

impl<'a> Siblings<'a> {
    pub(super) fn of(natives: &'a [Native]) -> Self {
        let mut by_name: HashMap<BString, Vec<usize>> = HashMap::new();
        let mut by_id = HashMap::new();
        for (index, native) in natives.iter().enumerate() {
            by_id.entry(native.id).or_insert(index);
            if !matches!(native.role, Role::Library | Role::Extension | Role::Passenger) {
                continue;
            }
            let file_name = native.path.file_name().map(|name| BString::from(name.as_encoded_bytes()));
            let soname = native.elf.soname.clone();
            let same = soname == file_name;
            for name in soname.into_iter().chain(file_name.filter(|_| !same)) {
                by_name.entry(name).or_default().push(index);
            }
        }
        Self { natives, by_name, by_id }
    }

    /// The name under which a file of this environment is known.
    pub(super) fn path_of(&self, id: FileId) -> Option<&'a Path> {
        self.by_id.get(&id).map(|&index| self.natives[index].path.as_path())
    }

    /// A file that will be loaded when `asker` is, because the asker's own package, or one that it requires, brings it:
    /// `torchvision` links torch's libraries and imports torch first.
    pub(super) fn comes_along(
        &self,
        soname: &BStr,
        asker: FileId,
        requires: &dyn Fn(usize, usize) -> bool,
    ) -> Option<PathBuf> {
        let candidates = self.by_name.get(soname)?;
        let asker = *self.by_id.get(&asker)?;
        let package = self.natives[asker].package;
        let same = |other: usize| match (package, self.natives[other].package) {
            // Without a RECORD, files that lie together belong together.
            (None, None) => lie_together(&self.natives[asker].path, &self.natives[other].path),
            (mine, its) => mine == its,
        };
        let fits = |&&index: &&usize| {
            index != asker && self.natives[index].elf.target == self.natives[asker].elf.target
        };
        let candidates = || candidates.iter().filter(fits);
        let is_required =
            |other: Option<usize>| package.zip(other).is_some_and(|(mine, other)| requires(mine, other));
        let found = candidates()
            .find(|&&index| same(index))
            .or_else(|| candidates().find(|&&index| is_required(self.natives[index].package)))?;
        Some(self.natives[*found].path.clone())
    }

    /// The files of this environment that have a soname, whosever they are.
    pub(super) fn anywhere(&self, soname: &BStr, target: Target) -> Vec<usize> {
        let found = self.by_name.get(soname.as_bytes().as_bstr()).map_or(&[][..], Vec::as_slice);
        found.iter().copied().filter(|&index| self.natives[index].elf.target == target).collect()
    }
}

fn lie_together(one: &Path, other: &Path) -> bool {
    let below = |path: &Path, file: &Path| file.parent().is_some_and(|folder| path.starts_with(folder));
    below(one, other) || below(other, one)
}
