//! A Debian package as a folder, and the libraries in such folders.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pitstop_core::elf::Target;
use pitstop_core::files::{Files, Opened};

use super::words;
use crate::provide::{Error, Interrupt, child};

/// How deep a package's folders may nest, and how many files are looked at.
const DEPTH_LIMIT: usize = 32;
const FILES_LIMIT: usize = 200_000;

/// Unpacks an archive as `folder`, all at once: what is there is whole.
pub(super) fn unpack(archive: &Path, folder: &Path, interrupt: &Interrupt) -> Result<(), Error> {
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let root = temporary.path().join("root");
    let mut command = child::command("dpkg-deb");
    command.arg("--extract").arg(archive).arg(&root);
    let finished = child::run(&mut command, super::MISSING_HINT, interrupt, &mut |_, _| {})?;
    if !finished.status.success() {
        let words = finished.errors.trim().to_owned();
        let hint = words::hint(&words);
        return Err(Error::ToolFailed { program: "dpkg-deb --extract".into(), words, hint });
    }
    disarm(&root, 0)?;
    match fs_err::rename(&root, folder) {
        // Somebody else was faster; a package's folder is the same whoever unpacks it.
        Err(_) if folder.is_dir() => Ok(()),
        result => Ok(result?),
    }
}

/// Takes set-user-id and set-group-id bits off: unpacked by root, they would make programs of the venv what only the
/// package manager may install.
fn disarm(folder: &Path, depth: usize) -> Result<(), Error> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & 0o6000 != 0 {
            fs_err::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode & 0o1777))?;
        }
        if metadata.is_dir() && depth < DEPTH_LIMIT {
            disarm(&entry.path(), depth + 1)?;
        }
    }
    Ok(())
}

/// The libraries of some folders, by soname and by file name.
pub(super) struct Pool(BTreeMap<String, Vec<PathBuf>>);

impl Pool {
    /// Looks at every file of the folders that is named like a library.
    pub(super) fn of(folders: &[PathBuf], target: Target, files: &dyn Files) -> Self {
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for folder in folders {
            let (mut paths, mut count) = (Vec::new(), 0);
            libraries(folder, 0, &mut count, &mut paths);
            for path in paths {
                // A link out of the folder leads to something that this package does not hold.
                let inside = fs_err::canonicalize(&path).is_ok_and(|real| {
                    fs_err::canonicalize(folder).is_ok_and(|folder| real.starts_with(folder))
                });
                let Opened::Elf(_, elf) = files.open(&path) else { continue };
                if !inside || elf.target != target {
                    continue;
                }
                let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let soname = elf.soname.as_ref().map(ToString::to_string);
                if soname != file_name {
                    found.entry(soname.unwrap_or_default()).or_default().push(path.clone());
                }
                found.entry(file_name.unwrap_or_default()).or_default().push(path);
            }
        }
        for (soname, paths) in &mut found {
            // A file of the very name first, then those in the outer folders: the inner ones hold plugins and variants.
            paths.sort_by_key(|path| (!path.ends_with(soname), path.components().count(), path.clone()));
        }
        Self(found)
    }

    /// The files for one soname, best first.
    pub(super) fn get(&self, soname: &str) -> &[PathBuf] {
        self.0.get(soname).map_or(&[], Vec::as_slice)
    }
}

/// Files named like libraries. What cannot be read is passed over.
fn libraries(folder: &Path, depth: usize, count: &mut usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        *count += 1;
        if *count > FILES_LIMIT {
            return;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEPTH_LIMIT {
            libraries(&entry.path(), depth + 1, count, found);
        } else if !kind.is_dir() && entry.file_name().to_string_lossy().contains(".so") {
            found.push(entry.path());
        }
    }
}
