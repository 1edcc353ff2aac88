//! Folders in which something appears that was not there: a tmpfs, in which everything else is shown again.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdir, open, openat, readlinkat, statat, symlink};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};

use super::{Change, NamespaceError, Node, at, make_read_only, overlay, show};

/// A folder, and what is to be in it; or a file or folder that only is covered by another.
#[derive(Debug)]
pub(super) struct Covered {
    /// The folder as it is, links resolved.
    folder: PathBuf,
    /// What differs: paths below the folder. The empty path is the folder itself.
    changes: BTreeMap<PathBuf, Node>,
}

/// Sorts changes by the folder that must be covered: the nearest that is there. The root, if it is one of them, comes
/// by itself, for it cannot be covered but only left.
pub(super) fn group(changes: &[Change]) -> (Option<Covered>, Vec<Covered>) {
    let root = Path::new("/");
    let is_top = |path: &Path| path.parent() == Some(root);
    let linked: Vec<&Path> = changes
        .iter()
        .filter(|change| matches!(change.node, Node::Linked(_)))
        .map(|change| change.path.as_path())
        .collect();
    let places: Vec<(PathBuf, PathBuf)> = changes.iter().map(place).collect();
    let made_anew = !linked.is_empty() || places.iter().any(|(folder, _)| folder == root);
    let mut folders: BTreeMap<PathBuf, BTreeMap<PathBuf, Node>> = BTreeMap::new();
    for (change, (folder, below)) in changes.iter().zip(places) {
        // Where the root is made anew, what stands in it is made with it.
        let of_root = is_top(&change.path) || linked.iter().any(|folder| change.path.starts_with(folder));
        let (folder, below) = if made_anew && of_root {
            (root.to_owned(), change.path.strip_prefix(root).unwrap_or(&change.path).to_owned())
        } else {
            (folder, below)
        };
        folders.entry(folder).or_default().insert(below, change.node.clone());
    }
    let root = folders.remove(root).map(|changes| Covered { folder: root.to_owned(), changes });
    (root, folders.into_iter().map(|(folder, changes)| Covered { folder, changes }).collect())
}

/// The folder in which a change is made, and the path below it; what is there and need only be covered is its own folder.
fn place(change: &Change) -> (PathBuf, PathBuf) {
    let path = &change.path;
    if matches!(change.node, Node::Show(_) | Node::Over(_))
        && let Ok(real) = std::fs::canonicalize(path)
    {
        return (real, PathBuf::new());
    }
    let there =
        path.ancestors().skip(1).find_map(|folder| Some((folder, std::fs::canonicalize(folder).ok()?)));
    let (named, real) = there.unwrap_or((Path::new("/"), PathBuf::from("/")));
    (real, path.strip_prefix(named).unwrap_or(path).to_owned())
}

/// Covers a folder, or a file.
pub(super) fn apply(covered: &Covered) -> Result<(), NamespaceError> {
    match covered.changes.get(Path::new("")) {
        Some(Node::Show(source)) => show(source, &covered.folder),
        Some(Node::Over(layer)) => overlay::lay(layer, &covered.folder),
        _ => build(covered, &covered.folder),
    }
}

/// Mounts a tmpfs at `place`, and makes in it the folder of `covered` with what is to be there.
pub(super) fn build(covered: &Covered, place: &Path) -> Result<(), NamespaceError> {
    let old = Old::open(&covered.folder)?;
    let hidden = Old::open(place)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", place, "tmpfs", flags, Some(c"mode=0755")).map_err(at(place))?;
    let changed = Changed::of(&covered.changes);
    for name in old.names()? {
        if changed.at(&name).is_none() {
            old.show_again(&name, place, (&covered.folder, &hidden))?;
        }
    }
    for (name, below) in &changed.0 {
        make(&old, name, below, place)?;
    }
    make_read_only(place)
}

/// Changes by the first part of their paths.
struct Changed<'a>(BTreeMap<&'a OsStr, BTreeMap<PathBuf, &'a Node>>);

impl<'a> Changed<'a> {
    fn of(changes: &'a BTreeMap<PathBuf, Node>) -> Self {
        let mut first: BTreeMap<&OsStr, BTreeMap<PathBuf, &Node>> = BTreeMap::new();
        for (path, node) in changes {
            let mut parts = path.components();
            let Some(part) = parts.next() else { continue };
            first.entry(part.as_os_str()).or_default().insert(parts.as_path().to_owned(), node);
        }
        Self(first)
    }

    fn at(&self, name: &OsStr) -> Option<&BTreeMap<PathBuf, &'a Node>> {
        self.0.get(name)
    }
}

/// Makes one entry that differs. What was there under that name is not shown: only what is new lies below it.
fn make(
    old: &Old,
    name: &OsStr,
    below: &BTreeMap<PathBuf, &Node>,
    folder: &Path,
) -> Result<(), NamespaceError> {
    let entry = folder.join(name);
    // Folders in which something was made just now: they are there.
    let mut there = folder.to_owned();
    for (path, node) in below {
        let target = if path.as_os_str().is_empty() { entry.clone() } else { entry.join(path) };
        if let Some(parent) = target.parent().filter(|parent| **parent != there) {
            std::fs::create_dir_all(parent)
                .map_err(|cause| NamespaceError::Mount { path: parent.to_owned(), cause })?;
            parent.clone_into(&mut there);
        }
        match node {
            Node::Link(to) => symlink(to, &target).map_err(at(&target))?,
            Node::Show(source) => {
                if std::fs::metadata(source).is_ok_and(|source| source.is_dir()) {
                    mkdir(&target, Mode::from_raw_mode(0o755)).map_err(at(&target))?;
                } else {
                    touch(&target)?;
                }
                show(source, &target)?;
            }
            Node::Same(source) => {
                mkdir(&target, Mode::from_raw_mode(0o755)).map_err(at(&target))?;
                mount_bind_recursive(source, &target).map_err(at(source))?;
            }
            Node::Linked(seen_at) => linked(old, name, seen_at, &target, below)?,
            Node::Over(layer) => {
                mkdir(&target, Mode::from_raw_mode(0o755)).map_err(at(&target))?;
                mount_bind_recursive(old.path(name), &target).map_err(at(&target))?;
                overlay::lay(layer, &target)?;
            }
        }
    }
    Ok(())
}

/// A folder whose entries are links to where the real one is shown.
fn linked(
    old: &Old,
    name: &OsStr,
    seen_at: &Path,
    target: &Path,
    others: &BTreeMap<PathBuf, &Node>,
) -> Result<(), NamespaceError> {
    mkdir(target, Mode::from_raw_mode(0o755)).map_err(at(target))?;
    let inner = Old::open(&old.path(name))?;
    for name in inner.names()? {
        if others.contains_key(Path::new(&name)) {
            continue;
        }
        let link = match readlinkat(&inner.descriptor, &name, Vec::new()) {
            Ok(to) => PathBuf::from(OsStr::from_bytes(to.as_bytes())),
            Err(_) => seen_at.join(&name),
        };
        symlink(&link, target.join(&name)).map_err(at(target))?;
    }
    Ok(())
}

fn touch(path: &Path) -> Result<(), NamespaceError> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    open(path, flags, Mode::from_raw_mode(0o644)).map(drop).map_err(at(path))
}

/// A folder as it is before it is covered.
struct Old {
    descriptor: OwnedFd,
    folder: PathBuf,
}

impl Old {
    fn open(folder: &Path) -> Result<Self, NamespaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat(CWD, folder, flags, Mode::empty()).map_err(at(folder))?;
        Ok(Self { descriptor, folder: folder.to_owned() })
    }

    /// A path by which something in it is found, whatever covers it.
    fn path(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.descriptor.as_raw_fd().to_string()).join(name)
    }

    fn names(&self) -> Result<Vec<OsString>, NamespaceError> {
        let failed = |cause| NamespaceError::Mount { path: self.folder.clone(), cause };
        let entries = std::fs::read_dir(self.path(OsStr::new("."))).map_err(failed)?;
        entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed)).collect()
    }

    /// Shows an entry of the old folder in the new one. What lies under the place where the new one is being made
    /// is shown from a descriptor of its own.
    fn show_again(&self, name: &OsStr, place: &Path, hidden: (&Path, &Self)) -> Result<(), NamespaceError> {
        let target = place.join(name);
        let kind = statat(&self.descriptor, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        let kind = match kind {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            // What this user may not even look at he does not miss, and what has just gone is gone.
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(at(&target)(error)),
        };
        let (folder, covered) = hidden;
        let source =
            if folder.join(name) == covered.folder { covered.path(OsStr::new(".")) } else { self.path(name) };
        match kind {
            FileType::Symlink => {
                let to = readlinkat(&self.descriptor, name, Vec::new()).map_err(at(&target))?;
                symlink(to, &target).map_err(at(&target))
            }
            FileType::Directory => {
                mkdir(&target, Mode::from_raw_mode(0o755)).map_err(at(&target))?;
                seen(mount_bind_recursive(source, &target), &target)
            }
            _ => {
                touch(&target)?;
                seen(mount_bind(source, &target), &target)
            }
        }
    }
}

/// A file system that another user has mounted for himself alone cannot be shown, nor could it be looked at before.
fn seen(shown: Result<(), Errno>, target: &Path) -> Result<(), NamespaceError> {
    match shown {
        Err(Errno::ACCESS) => Ok(()),
        shown => shown.map_err(at(target)),
    }
}
