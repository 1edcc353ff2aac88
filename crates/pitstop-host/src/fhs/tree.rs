//! Many packages' folders as one: a tree of links, with folders only where several packages meet.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// A file that a package has and another had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// Where it would be.
    pub path: PathBuf,
    /// What is there.
    pub kept: PathBuf,
    /// What is not.
    pub left_out: PathBuf,
}

#[derive(Debug)]
enum Entry {
    Link(PathBuf),
    Folder(Folder),
}

type Folder = BTreeMap<OsString, Entry>;

/// A folder that is being put together.
#[derive(Debug, Default)]
pub struct Tree {
    folders: BTreeMap<&'static str, Folder>,
    /// What two packages had under one name.
    pub clashes: Vec<Clash>,
}

impl Tree {
    /// Adds a folder's entries to the folder `name`. What is there already stays: the first counts. A folder that is
    /// absent adds nothing.
    pub fn add(&mut self, name: &'static str, folder: &Path) -> io::Result<()> {
        let into = self.folders.entry(name).or_default();
        merge(into, Path::new(name), folder, &mut self.clashes)
    }

    /// Adds one link to the folder `name`, unless something is there.
    pub fn add_link(&mut self, name: &'static str, entry: OsString, to: PathBuf) {
        self.folders.entry(name).or_default().entry(entry).or_insert(Entry::Link(to));
    }

    /// The entries of the folder `name`, each with what it leads to; folders of several packages are left out.
    pub fn links(&self, name: &str) -> impl Iterator<Item = (&OsString, &PathBuf)> {
        let entries = self.folders.get(name).into_iter().flatten();
        entries.filter_map(|(entry, what)| match what {
            Entry::Link(to) => Some((entry, to)),
            Entry::Folder(_) => None,
        })
    }

    /// Makes it all, in a folder that is not there yet.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        for (name, folder) in &self.folders {
            write(folder, &root.join(name))?;
        }
        Ok(())
    }
}

fn merge(into: &mut Folder, at: &Path, from: &Path, clashes: &mut Vec<Clash>) -> io::Result<()> {
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let (path, source) = (at.join(&name), from.join(&name));
        let Some(there) = into.get_mut(&name) else {
            into.insert(name, Entry::Link(source));
            continue;
        };
        if !source.is_dir() {
            if let Entry::Link(kept) = there
                && std::fs::canonicalize(&*kept).ok() != std::fs::canonicalize(&source).ok()
            {
                clashes.push(Clash { path, kept: kept.clone(), left_out: source });
            }
            continue;
        }
        if let Entry::Link(first) = there {
            if !first.is_dir() {
                clashes.push(Clash { path, kept: first.clone(), left_out: source });
                continue;
            }
            // Two packages meet here: what was a link to the folder of one becomes a folder of links.
            let first = first.clone();
            if std::fs::canonicalize(&first).ok() == std::fs::canonicalize(&source).ok() {
                continue;
            }
            let mut folder = Folder::new();
            merge(&mut folder, &path, &first, clashes)?;
            *there = Entry::Folder(folder);
        }
        if let Entry::Folder(folder) = there {
            merge(folder, &path, &source, clashes)?;
        }
    }
    Ok(())
}

fn write(folder: &Folder, at: &Path) -> io::Result<()> {
    fs_err::create_dir_all(at)?;
    for (name, entry) in folder {
        let path = at.join(name);
        match entry {
            Entry::Link(to) => fs_err::os::unix::fs::symlink(to, path)?,
            Entry::Folder(folder) => write(folder, &path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_meet_and_the_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("a/lib/libx.so", "a"),
            ("a/lib/pkgconfig/x.pc", "a"),
            ("b/lib/libx.so", "b"),
            ("b/lib/pkgconfig/y.pc", "b"),
            ("b/lib/only/b", "b"),
            ("c/lib/pkgconfig", "c"),
        ] {
            let path = folder.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let mut tree = Tree::default();
        for package in ["a", "b", "c", "absent"] {
            tree.add("lib", &folder.path().join(package).join("lib")).unwrap();
        }
        let root = folder.path().join("root");
        tree.write(&root).unwrap();
        let read = |path: &str| fs_err::read_to_string(root.join("lib").join(path)).unwrap();
        assert_eq!(
            (read("libx.so"), read("pkgconfig/x.pc"), read("pkgconfig/y.pc")),
            ("a".into(), "a".into(), "b".into())
        );
        assert!(root.join("lib/only").is_symlink() && !root.join("lib/pkgconfig").is_symlink());
        let clashes: Vec<&Path> = tree.clashes.iter().map(|clash| clash.path.as_path()).collect();
        assert_eq!(clashes, [Path::new("lib/libx.so")]);
    }
}
