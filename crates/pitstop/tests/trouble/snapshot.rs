//! Everything about a tree that a command must leave as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What stands at one path: kind, mode, owner, modification time, and content or link target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    content: Vec<u8>,
}

pub(crate) type Snapshot = BTreeMap<PathBuf, Node>;

/// Looks at all that is in `root`, and at `root` itself. Pipes and devices are not opened.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut nodes = BTreeMap::new();
    let mut stack = vec![root.to_owned()];
    while let Some(path) = stack.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let node = Node {
            mode: metadata.permissions().mode(),
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            content,
        };
        nodes.insert(path.strip_prefix(root).unwrap().to_owned(), node);
    }
    nodes
}

/// Fails with the paths that differ, which say more than two whole trees.
#[track_caller]
pub(crate) fn assert_same(before: &Snapshot, after: &Snapshot, what: &str) {
    let paths: Vec<&PathBuf> = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    assert!(paths.is_empty(), "{what}: {paths:?}");
}
