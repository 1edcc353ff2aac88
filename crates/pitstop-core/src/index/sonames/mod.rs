//! The soname index: for each library file name, the packages that hold it, in a small file made for lookups.
//!
//! A lookup reads the head of the file once, one block of names, and a block of packages for each few holders: some ten
//! positional reads. Nothing is mapped, and nothing of the file is taken on trust: every part has a checksum.
//!
//! Format version 2. Numbers are LEB128 unless their width is given; those are little-endian. A string is its length and
//! its bytes. *Front-coded* is the number of bytes shared with the string before, then the rest as a string.
//!
//! ```text
//! preamble  magic "PITSONAM", version u32, length of the head u32, length of the file u64,
//!           CRC-32 of the head u32, CRC-32 of the 28 bytes before u32
//! head      kind u8, when it was built, digest of the source (32 bytes), counts,
//!           the sources: place, size, modified, inode, device each
//!           words: stores, outputs and systems
//!           length of each block of packages; of each block of folders; of each block of names with its first name
//! blocks    of packages (16 each), of folders (32 each), of names (some 4 KiB each), in this order
//! block     its records, then the CRC-32 of its number (u32) and them
//! package   flags, store, hash (20 bytes, or a string where it is none of Nix's), attribute front-coded, output,
//!           system (where the flag says so), name: bytes shared with the attribute's last part, the rest; size of the
//!           closure (where the flag says so)
//! folder    a string
//! name      front-coded; number of holders; each: package (difference to the one before), folder × 4 + form
//! ```
//!
//! Packages are in the order of their attributes, names in byte order, folders by how often they occur.

mod code;
mod name;
mod read;
mod write;

use bstr::BString;

use super::{Node, Package};

pub use name::{Library, library};
pub use read::Sonames;
pub use write::{Builder, PackageNumber, TooLarge};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"PITSONAM";
const PREAMBLE_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
const PACKAGES_IN_BLOCK: usize = 16;
const FOLDERS_IN_BLOCK: usize = 32;
const NAMES_BLOCK_BYTES: usize = 4096;

/// What an index was made from, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What kind of source it was.
    pub kind: Kind,
    /// The files that were read.
    pub sources: Vec<SourceFile>,
    /// SHA-256 over the bytes of all sources, as they lay on the disk.
    pub digest: [u8; 32],
    /// When the index was built, in seconds since 1970.
    pub built: u64,
}

/// What kind of source an index was made from, which says what its packages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A nix-index database: packages are store paths.
    Nix,
    /// Debian's Contents: packages are binary packages. [`super::contents::package`] says how they are written.
    Debian,
}

/// A file that an index was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path or URL.
    pub place: BString,
    /// Which file it was, so that a newer one is told from it. `None` where it was no file of this machine.
    pub stamp: Option<Stamp>,
}

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub modified: u64,
    /// The inode.
    pub inode: u64,
    /// The device.
    pub device: u64,
}

/// How much is in an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different file names.
    pub names: u64,
    /// Libraries: a file name in a folder of a package.
    pub libraries: u64,
    /// Packages that hold one.
    pub packages: u64,
}

/// A package that holds a file of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The package.
    pub package: Package,
    /// The folder in it, with a leading slash and none at the end; empty for the root.
    pub folder: BString,
    /// What stands there.
    pub form: Form,
    /// The size in bytes of all that the package needs, itself included, where whoever built the index knew it.
    pub closure: Option<u64>,
}

/// What a library is in its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A regular file.
    File,
    /// A link inside the package, as `libz.so.1` mostly is to `libz.so.1.3.1`.
    Link,
    /// A link by an absolute path: the library is another package's, of which this one makes a collection.
    LinkOutside,
}

impl Form {
    /// What an entry of a package is; `None` for a folder.
    #[must_use]
    pub fn of(node: &Node) -> Option<Form> {
        match node {
            Node::Regular { .. } => Some(Form::File),
            Node::Symlink { target } if target.starts_with(b"/") => Some(Form::LinkOutside),
            Node::Symlink { .. } => Some(Form::Link),
            Node::Directory { .. } => None,
        }
    }
}

/// Why an index cannot be used. Whatever it is, building it anew mends it.
#[derive(Debug, thiserror::Error)]
pub enum SonamesError {
    /// It begins like no soname index.
    #[error("this is no soname index")]
    Foreign,
    /// It was written by another version of pitstop.
    #[error("its format is version {found}, and this version of pitstop reads version {VERSION}")]
    Version {
        /// The version that it says.
        found: u32,
    },
    /// It ends too early, or too late.
    #[error("it has {found} bytes where {expected} were written")]
    Length {
        /// The length that it says.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// What is read does not have the checksum that was written, or makes no sense.
    #[error("it is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the damaged part begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
