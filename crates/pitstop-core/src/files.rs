//! How this crate sees a file system: by asking what a loader would find at a path.

use std::path::Path;
use std::sync::Arc;

use crate::elf::Elf;

#[cfg(any(test, feature = "testing"))]
mod fake;
#[cfg(any(test, feature = "testing"))]
pub use fake::FakeFiles;

/// Which file a path leads to, links followed: two paths with the same identity are one library to a loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// What opening a path for loading comes to.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Nothing there, or nothing that may be opened (`ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, a folder): a loader goes on
    /// to the next place.
    Absent,
    /// A file that is no ELF file, or a damaged one. The text says why; a loader stops here.
    Unusable(Arc<str>),
    /// A file whose facts were read.
    Elf(FileId, Arc<Elf>),
}

/// A file system, seen as a loader sees it. Answers may be cached: within one diagnosis the world stands still.
pub trait Files: Sync {
    /// What lies at `path`, symbolic links followed.
    fn open(&self, path: &Path) -> Opened;

    /// Whether `path` is a folder. A loader that learns that a search folder does not exist never looks there again.
    fn is_folder(&self, path: &Path) -> bool;
}
