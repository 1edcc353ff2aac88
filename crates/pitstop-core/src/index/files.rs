//! The files of one store path.

use bstr::BString;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A regular file.
    Regular {
        /// Its length, in bytes.
        size: u64,
        /// Whether anyone may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// What it says, as it stands there.
        target: BString,
    },
    /// A folder.
    Directory {
        /// How many entries it has.
        size: u64,
    },
}

/// A file of a store path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its path below the store path, with a leading slash: `/lib/libz.so.1`.
    pub path: BString,
    /// What stands there.
    pub node: Node,
}
