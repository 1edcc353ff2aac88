//! The root on Debian and its like: the machine's own `/usr`, with packages laid over it as if apt had installed them.
//!
//! They are unpacked as for a fix, without root, and with what they depend on. What differs from installing them is that no
//! script of theirs runs, and that nobody else sees them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use pitstop_core::ldso::Loader;
use pitstop_core::ldso::cache::{self, Cache, NewEntry, flags};

use super::{Clash, GENERATOR, Made, below, entries};
use crate::files::SystemFiles;
use crate::lend::{LendError, Lender, Lent, is_soname};
use crate::namespace::{Change, Node};
use crate::provide::{self, Context};
use crate::remedy;

/// Folders of a package that are part of `/usr`, whether it says so or not: every Debian since 12 has merged them.
const USR: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Names that a package's script would have made.
const ALTERNATIVES: [(&str, &str); 2] = [("cc", "gcc"), ("c++", "g++")];
/// What apt and dpkg change when they install something.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

pub(super) fn make(names: &[String], own: &Loader, mut lender: Lender<'_>) -> Result<Made, LendError> {
    let io = provide::Error::Io;
    let keep_in = lender.keep_in.clone();
    let (looked_for, mut packages): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| name.contains('/') || is_soname(name));
    for name in &looked_for {
        lender.named(name)?;
    }
    // Whole packages, for a library alone may lack its data.
    let apt = remedy::apt(lender.sources, &keep_in);
    packages.extend(lender.files_found().filter_map(|file| package_of(file, &apt.destination)));
    let files = SystemFiles::new();
    let mut context = Context {
        files: &files,
        accept_inexact: false,
        progress: &mut *lender.progress,
        interrupt: lender.interrupt,
    };
    let folders = apt.packages(&packages, &mut context)?;
    let (found, troubles, mut witnesses) = lender.into_found();
    witnesses.extend(["/etc", DPKG_STATUS].map(PathBuf::from));
    let found = found.into_iter().filter(|(_, file)| !file.starts_with(&apt.destination));
    let kind = flags::default(own.target);
    let found: Vec<NewEntry> = found
        .map(|(soname, file)| NewEntry::plain(soname.as_bstr(), file.as_os_str().as_bytes().as_bstr(), kind))
        .collect();
    let mut made = Made {
        lent: Lent::default(),
        clashes: Vec::new(),
        witnesses,
        troubles,
        new: Vec::new(),
        differs: Vec::new(),
    };
    if folders.is_empty() && found.is_empty() {
        return Ok(made);
    }

    fs_err::create_dir_all(&keep_in).map_err(io)?;
    let root = tempfile::Builder::new().prefix("root-").tempdir_in(&keep_in).map_err(io)?;
    for folder in &folders {
        for name in USR {
            let to = if name == "usr" { "usr".into() } else { Path::new("usr").join(name) };
            merge(&folder.join(name), &root.path().join(to), &mut made.clashes).map_err(io)?;
        }
        merge(&folder.join("etc"), &root.path().join("etc"), &mut made.clashes).map_err(io)?;
    }
    for (name, program) in ALTERNATIVES {
        let bin = root.path().join("usr/bin");
        if bin.join(program).exists()
            && !bin.join(name).exists()
            && !Path::new("/usr/bin").join(name).exists()
        {
            fs_err::os::unix::fs::symlink(program, bin.join(name)).map_err(io)?;
        }
    }
    let ours = entries(libraries(root.path(), own), &files, own.target).into_iter();
    let entries: Vec<NewEntry> = ours.chain(own.cache.iter().flat_map(Cache::to_new)).chain(found).collect();
    let cache = cache::write(&entries, own.target.encoding, GENERATOR)?;
    fs_err::write(root.path().join("ld.so.cache"), cache).map_err(io)?;
    made.lent.changes = changes(&root.keep(), own);
    Ok(made)
}

/// The name of the package in whose folder a file lies, as [`provide::apt`] names these folders.
fn package_of(file: &Path, destination: &Path) -> Option<String> {
    let folder = file.strip_prefix(destination).ok()?.components().next()?;
    let (package, _) = folder.as_os_str().to_str()?.split_once('_')?;
    Some(package.to_owned())
}

/// Puts a folder's files into another, by hard links where the file system has them. What is there stays.
fn merge(from: &Path, into: &Path, clashes: &mut Vec<Clash>) -> std::io::Result<()> {
    // A package with merged folders has links here.
    if !from.symlink_metadata().is_ok_and(|from| from.is_dir()) {
        return Ok(());
    }
    fs_err::create_dir_all(into)?;
    for (name, source) in below(from) {
        let target = into.join(&name);
        let kind = fs_err::symlink_metadata(&source)?.file_type();
        match target.symlink_metadata() {
            Ok(there) if kind.is_dir() && there.is_dir() => merge(&source, &target, clashes)?,
            Ok(_) => clashes.push(Clash { path: target.clone(), kept: target, left_out: source }),
            Err(_) if kind.is_dir() => merge(&source, &target, clashes)?,
            Err(_) if kind.is_symlink() => {
                fs_err::os::unix::fs::symlink(fs_err::read_link(&source)?, &target)?;
            }
            Err(_) => {
                if std::fs::hard_link(&source, &target).is_err() {
                    fs_err::copy(&source, &target)?;
                }
            }
        }
    }
    Ok(())
}

/// What lies in folders where ldconfig looks: those of the loader, those that the machine's cache has something of, and those
/// that a package adds.
fn libraries(root: &Path, own: &Loader) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let mut folders: BTreeSet<PathBuf> = own.system_dirs.iter().cloned().collect();
    for entry in own.cache.iter().flat_map(Cache::to_new) {
        folders.extend(Path::new(OsStr::from_bytes(&entry.path)).parent().map(Path::to_owned));
    }
    for (_, file) in below(&root.join("etc/ld.so.conf.d")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        folders.extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
    let merged = folders.into_iter().map(|folder| match folder.strip_prefix("/usr") {
        Ok(_) => folder,
        Err(_) => Path::new("/usr").join(folder.strip_prefix("/").unwrap_or(&folder)),
    });
    let merged: BTreeSet<PathBuf> = merged.collect();
    let root = root.to_owned();
    merged.into_iter().flat_map(move |folder| {
        let entries = below(&root.join(folder.strip_prefix("/").unwrap_or(&folder)));
        entries.into_iter().map(move |(name, file)| (folder.join(name), file))
    })
}

/// What is to be seen: the packages over `/usr`, the cache, and what only they have in `/etc`.
fn changes(root: &Path, own: &Loader) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |path: PathBuf, node: Node| changes.push(Change { path, node });
    if root.join("usr").exists() {
        add("/usr".into(), Node::Over(root.join("usr")));
    }
    if let Some(path) = &own.cache_path {
        add(path.clone(), Node::Show(root.join("ld.so.cache")));
    }
    for (name, source) in below(&root.join("etc")) {
        let path = Path::new("/etc").join(name);
        if path.symlink_metadata().is_err() {
            add(path, Node::Show(source));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_become_one_folder_and_the_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for path in [a.join("lib"), b.join("lib/deep")] {
            fs_err::create_dir_all(path).unwrap();
        }
        fs_err::write(a.join("lib/libx.so.1.0"), "a").unwrap();
        fs_err::os::unix::fs::symlink("libx.so.1.0", a.join("lib/libx.so.1")).unwrap();
        fs_err::write(b.join("lib/libx.so.1.0"), "b").unwrap();
        fs_err::write(b.join("lib/deep/y"), "b").unwrap();
        let (into, mut clashes) = (folder.path().join("into"), Vec::new());
        for from in [&a, &b, &folder.path().join("absent")] {
            merge(from, &into, &mut clashes).unwrap();
        }
        assert_eq!(fs_err::read_to_string(into.join("lib/libx.so.1")).unwrap(), "a");
        assert_eq!(fs_err::read_to_string(into.join("lib/deep/y")).unwrap(), "b");
        assert_eq!(clashes.len(), 1);
        assert_eq!(clashes[0].left_out, b.join("lib/libx.so.1.0"));
    }

    #[test]
    fn a_file_tells_its_package() {
        let of = |file: &str| package_of(Path::new(file), Path::new("/keep/apt"));
        assert_eq!(of("/keep/apt/libz1_1%3a2/usr/lib/libz.so"), Some("libz1".to_owned()));
        assert_eq!(of("/usr/lib/libz.so"), None);
    }
}
