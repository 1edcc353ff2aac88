//! nix-index's databases, format version 1: what stands in them.
//!
//! A file begins with the magic `NIXI` and the version, 64 bits, the lowest byte first; one zstd stream follows. In it
//! stand [front-coded](super::frcode) lines: the entries of a package, each with what stands at the path in its
//! metadata, then the package itself, `p` in its metadata and JSON in place of a path (nix-index's `src/database.rs`
//! and `src/files.rs`).

use std::ops::ControlFlow;

use bstr::{BStr, ByteSlice};

use super::frcode::{self, Decoder, Encoder};
use super::{Entry, Node, Package};

/// What a database begins with.
pub const MAGIC: &[u8; 4] = b"NIXI";

/// The version of the format that is read and written.
pub const VERSION: u64 = 1;

/// The length of magic and version, in bytes. The zstd stream begins there.
pub const HEADER_LENGTH: usize = 12;

/// The metadata of a package's line.
pub const PACKAGE_META: &[u8] = b"p";

/// Why the beginning of a file is not that of a database that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin with the magic.
    #[error("it is not a nix-index database: it does not begin with NIXI")]
    Magic,
    /// Another version.
    #[error("it is a nix-index database of version {0}; version {VERSION} is read")]
    Version(u64),
}

/// Magic and version.
#[must_use]
pub fn header() -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    header[..4].copy_from_slice(MAGIC);
    header[4..].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// Whether a file that begins so is a database of the version that is read.
///
/// # Errors
///
/// What it is not.
pub fn check_header(header: &[u8]) -> Result<(), HeaderError> {
    let Some(version) = header.strip_prefix(MAGIC).and_then(<[u8]>::first_chunk) else {
        return Err(HeaderError::Magic);
    };
    match u64::from_le_bytes(*version) {
        VERSION => Ok(()),
        other => Err(HeaderError::Version(other)),
    }
}

/// What is wrong within the stream of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The lines are not front-coded as they should be.
    #[error(transparent)]
    Lines(#[from] frcode::Error),
    /// An entry's metadata is none.
    #[error("an entry that is neither file, folder nor link")]
    Entry,
    /// The line of a package does not hold one.
    #[error("the line of a package that holds none")]
    Package,
    /// Entries whose package does not follow.
    #[error("entries at the end that belong to no package")]
    NoPackage,
}

/// What is wrong with a database, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}, {offset} bytes into what was unpacked")]
pub struct Error {
    /// The start of the line, in bytes from the start of the unpacked stream.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

impl Node {
    /// What stands at a path, from an entry's metadata. `None` where that is malformed.
    #[must_use]
    pub fn from_meta(meta: &[u8]) -> Option<Node> {
        let (kind, rest) = meta.split_last()?;
        let size = || std::str::from_utf8(rest).ok()?.parse().ok();
        match kind {
            b'r' | b'x' => Some(Node::Regular { size: size()?, executable: *kind == b'x' }),
            b'd' => Some(Node::Directory { size: size()? }),
            b's' => Some(Node::Symlink { target: rest.into() }),
            _ => None,
        }
    }

    /// The metadata of an entry.
    #[must_use]
    pub fn to_meta(&self) -> Vec<u8> {
        match self {
            Node::Regular { size, executable: false } => format!("{size}r").into_bytes(),
            Node::Regular { size, executable: true } => format!("{size}x").into_bytes(),
            Node::Directory { size } => format!("{size}d").into_bytes(),
            Node::Symlink { target } => [target.as_slice(), b"s"].concat(),
        }
    }
}

/// Reads the unpacked stream of a database, in pieces as they come, and gives each package with its entries.
#[derive(Debug, Default)]
pub struct Reader {
    decoder: Decoder,
    entries: Vec<Entry>,
    /// Whether entries were read whose package is still to come.
    open: bool,
    /// Where the first of them begins.
    opened: u64,
    offset: u64,
}

impl Reader {
    /// Reads the whole lines at the start of `input`, and says how many bytes they take: the rest is to be given again,
    /// with what follows it. Less is read where `each` breaks.
    ///
    /// `each` is given every package with those of its entries whose path `keep` likes, in the order of the database. A
    /// package none of whose entries is kept is left out, and what it says of itself not looked at.
    ///
    /// # Errors
    ///
    /// The first fault. What was given before it stands.
    pub fn feed(
        &mut self,
        input: &[u8],
        mut keep: impl FnMut(&BStr) -> bool,
        mut each: impl FnMut(&Package, &mut Vec<Entry>) -> ControlFlow<()>,
    ) -> Result<usize, Error> {
        let mut read = 0;
        loop {
            let offset = self.offset;
            let at = |fault: Fault| Error { offset, fault };
            let line = match self.decoder.line(&input[read..]) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(read),
                Err(error) => return Err(at(error.into())),
            };
            read += line.length;
            self.offset += line.length as u64;
            if line.meta == PACKAGE_META {
                self.open = false;
                if !self.entries.is_empty() {
                    let package = serde_json::from_slice(line.path).map_err(|_| at(Fault::Package))?;
                    let flow = each(&package, &mut self.entries);
                    self.entries.clear();
                    if flow.is_break() {
                        return Ok(read);
                    }
                }
                continue;
            }
            if !self.open {
                (self.open, self.opened) = (true, offset);
            }
            if keep(line.path.as_bstr()) {
                let node = Node::from_meta(line.meta).ok_or_else(|| at(Fault::Entry))?;
                self.entries.push(Entry { path: line.path.into(), node });
            }
        }
    }

    /// Says whether the stream may end here, `left` being what [`Reader::feed`] did not read.
    ///
    /// # Errors
    ///
    /// A line that is cut off, and entries without a package.
    pub fn finish(&self, left: &[u8]) -> Result<(), Error> {
        if !left.is_empty() {
            return Err(Error { offset: self.offset, fault: frcode::Error::CutOff.into() });
        }
        if self.open {
            return Err(Error { offset: self.opened, fault: Fault::NoPackage });
        }
        Ok(())
    }
}

/// Appends a package with its entries to a stream. A package without entries is left out, as nix-index leaves it out.
///
/// Entries of a folder should stand together, so that they share most of their paths.
///
/// # Errors
///
/// [`frcode::Error::Unwritable`] for names that the format cannot express, [`frcode::Error::TooLong`]. `to` is as it
/// was then.
pub fn write<'a>(
    package: &Package,
    entries: impl IntoIterator<Item = &'a Entry>,
    to: &mut Vec<u8>,
) -> Result<(), frcode::Error> {
    let start = to.len();
    let write = || {
        let mut encoder = Encoder::default();
        for entry in entries {
            encoder.line(&entry.node.to_meta(), &entry.path, to)?;
        }
        if to.len() > start {
            // Strings and a truth value: JSON has them all.
            let json = serde_json::to_vec(package).unwrap_or_default();
            encoder.last_line(PACKAGE_META, &json, to)?;
        }
        Ok(())
    };
    let written = write();
    if written.is_err() {
        to.truncate(start);
    }
    written
}

#[cfg(test)]
mod tests;
