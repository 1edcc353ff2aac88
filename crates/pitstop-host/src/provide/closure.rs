//! What a library needs in turn, where its own search path does not lead there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};
use pitstop_core::locate::{Class, locate};

use super::Want;

/// How many libraries one want may draw in.
const DEPENDENCIES_LIMIT: usize = 2_000;

/// All that a library needs in turn, as far as `places` leads to it and the search path of whoever needs it does not.
/// The libc is left out: the process has one.
pub(super) fn dependencies(
    file: &Path,
    elf: &Elf,
    want: &Want,
    files: &dyn Files,
    places: &dyn Fn(&str) -> Vec<PathBuf>,
) -> BTreeMap<String, PathBuf> {
    let matching = |file: PathBuf| match files.open(&file) {
        Opened::Elf(_, elf) if elf.target == want.target => Some((file, elf)),
        _ => None,
    };
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::from([want.soname.clone()]);
    let mut open = needs(file, elf);
    while let Some((soname, own_folders)) = open.pop() {
        if seen.len() > DEPENDENCIES_LIMIT || !seen.insert(soname.clone()) {
            continue;
        }
        if soname.contains('/') || locate(&soname).class == Class::Libc {
            continue;
        }
        if let Some((file, elf)) = own_folders.iter().map(|folder| folder.join(&soname)).find_map(matching) {
            open.extend(needs(&file, &elf));
            continue;
        }
        if let Some((file, elf)) = places(&soname).into_iter().find_map(matching) {
            open.extend(needs(&file, &elf));
            found.insert(soname, file);
        }
    }
    found
}

/// What a library needs, each with the folders of the library's own search path.
fn needs(file: &Path, elf: &Elf) -> Vec<(String, Vec<PathBuf>)> {
    let search_path =
        elf.runpath.as_ref().or(elf.rpath.as_ref()).map(ToString::to_string).unwrap_or_default();
    let origin = file.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let folders: Vec<PathBuf> = search_path
        .split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
        .collect();
    elf.needed.iter().map(|needed| (needed.to_string(), folders.clone())).collect()
}
