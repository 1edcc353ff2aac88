//! The soname index as a file: built on first use, replaced as a whole, and read by position.
//!
//! Indexes lie in `$XDG_CACHE_HOME/pitstop/index`, one for each source. An index is built anew where its source has
//! changed, where another version of pitstop wrote it, and where it is damaged. It is written beside and renamed over, so
//! that a reader has the old one or the new one, whole. Of two that would build the same index one builds; the other uses
//! what is there, or waits.

mod build;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use pitstop_core::elf::Source;
use pitstop_core::index::sonames::{Holder, Kind, Sonames, SonamesError, Stamp};
use sha2::{Digest, Sha256};

use super::Closures;

pub use build::{BuildError, Gathering};

/// What an index is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A nix-index database: the file, which nix-index calls `files`.
    Nix(PathBuf),
    /// Debian's lists of files for an architecture, such as `amd64`.
    Debian {
        /// The lists.
        lists: Vec<PathBuf>,
        /// The architecture.
        architecture: String,
    },
}

/// How an index came to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was there, and its source is what it was made from.
    Current,
    /// It was built now.
    Built,
    /// Its source has changed since, and another process is building the new one.
    Old,
    /// It was built now, and could not be kept: the next question builds it again.
    Passing,
}

/// Why there is no index to ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It cannot be read, and could not be built anew.
    #[error("the soname index {} cannot be used", .path.display())]
    Unusable {
        /// The index.
        path: PathBuf,
        /// Why.
        source: SonamesError,
    },
    /// There is no home for it.
    #[error("there is nowhere to keep an index: neither XDG_CACHE_HOME nor HOME is set")]
    Homeless,
}

/// Where an index is read from.
#[derive(Debug)]
pub enum IndexFile {
    /// Its file, read by position. It is never changed in place, so what was opened stays whole.
    File {
        /// The open file.
        file: File,
        /// Its length, in bytes.
        size: u64,
    },
    /// Memory, where no file can be written.
    Memory(Vec<u8>),
}

impl Source for IndexFile {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.read_exact_at(buffer, offset),
            Self::Memory(bytes) => bytes.as_slice().read_exact_at(offset, buffer),
        }
    }
}

/// Where the index of Debian's packages lies in `folder`.
#[must_use]
pub fn debian_place(folder: &Path) -> PathBuf {
    folder.join("debian.sonames")
}

/// The name of the index, in pitstop's own folder, that was made of a package set of Nix without a database.
pub const NIX: &str = "nix.sonames";

impl Input {
    /// Where the index of this source lies in `folder`.
    #[must_use]
    pub fn place(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Debian { .. } => debian_place(folder),
            Self::Nix(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let digest = Sha256::digest(path.as_os_str().as_bytes());
                let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                folder.join(format!("nix-{name}.sonames"))
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Nix(_) => Kind::Nix,
            Self::Debian { .. } => Kind::Debian,
        }
    }

    fn files(&self) -> &[PathBuf] {
        match self {
            Self::Nix(path) => std::slice::from_ref(path),
            Self::Debian { lists, .. } => lists,
        }
    }
}

/// What a file is now, as far as can be told without reading it.
fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs_err::metadata(path)?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Stamp {
        size: metadata.size(),
        modified: unsigned(metadata.mtime()) * 1_000_000_000 + unsigned(metadata.mtime_nsec()),
        inode: metadata.ino(),
        device: metadata.dev(),
    })
}

/// An index that can be asked.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    sonames: Sonames<IndexFile>,
    /// From what it can be built anew where it is found damaged.
    input: Option<Input>,
    freshness: Freshness,
}

impl Index {
    /// Opens the index at `path` whatever has become of its source. `None` where there is none.
    pub fn at(path: &Path) -> Result<Option<Self>, Error> {
        let unusable = |source| Error::Unusable { path: path.to_owned(), source };
        match open(path) {
            Ok(index) => Ok(index.map(|index| Self {
                path: path.to_owned(),
                sonames: index,
                input: None,
                freshness: Freshness::Current,
            })),
            Err(error) => Err(unusable(error)),
        }
    }

    /// The index of a source, built where there is none that fits. `progress` is told how many libraries were found.
    pub fn of(input: &Input, folder: &Path, progress: &mut dyn FnMut(usize)) -> Result<Self, Error> {
        let path = input.place(folder);
        if let Ok(Some(index)) = open(&path)
            && is_current(&index, input)
        {
            return Ok(Self {
                path,
                sonames: index,
                input: Some(input.clone()),
                freshness: Freshness::Current,
            });
        }
        Self::build(input, folder, None, progress)
    }

    /// Builds the index of a source anew, unless another process has just done so, or is doing so and an old one is there.
    /// `closures` knows how much the packages of a database need.
    pub fn build(
        input: &Input,
        folder: &Path,
        closures: Option<&Closures<'_>>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let path = input.place(folder);
        let with = |index, freshness| Self {
            path: path.clone(),
            sonames: index,
            input: Some(input.clone()),
            freshness,
        };
        let before = open(&path).ok().flatten();
        let was_current = before.as_ref().is_some_and(|index| is_current(index, input));
        let lock = match build::Lock::try_take(&path) {
            Ok(Some(lock)) => lock,
            Err(_) => return Self::of_bytes(build::build(input, closures, progress)?, input, path),
            Ok(None) => match before {
                // One whose source is gone from under it is still better than waiting for what takes a second.
                Some(old) if old.made().kind == input.kind() => return Ok(with(old, Freshness::Old)),
                _ => build::Lock::wait(&path)?,
            },
        };
        if !was_current
            && let Ok(Some(index)) = open(&path)
            && is_current(&index, input)
        {
            return Ok(with(index, Freshness::Built));
        }
        let bytes = build::build(input, closures, progress)?;
        if build::write(&path, &bytes).is_err() {
            return Self::of_bytes(bytes, input, path);
        }
        drop(lock);
        match open(&path) {
            Ok(Some(index)) => Ok(with(index, Freshness::Built)),
            Ok(None) => Err(BuildError::Io(io::ErrorKind::NotFound.into()).into()),
            Err(source) => Err(Error::Unusable { path, source }),
        }
    }

    /// The index of a source, where none can be kept.
    fn of_bytes(bytes: Vec<u8>, input: &Input, path: PathBuf) -> Result<Self, Error> {
        match Sonames::open(IndexFile::Memory(bytes)) {
            Ok(index) => {
                Ok(Self { path, sonames: index, input: Some(input.clone()), freshness: Freshness::Passing })
            }
            Err(source) => Err(Error::Unusable { path, source }),
        }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it came to be used.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The index itself.
    #[must_use]
    pub const fn sonames(&self) -> &Sonames<IndexFile> {
        &self.sonames
    }

    /// The packages that hold a file of this name. Where the index is found damaged, it is built anew if its source is
    /// known, and asked again.
    pub fn holders(&mut self, soname: &[u8], progress: &mut dyn FnMut(usize)) -> Result<Vec<Holder>, Error> {
        match self.sonames.holders(soname) {
            Ok(holders) => return Ok(holders),
            Err(error) => {
                let Some(input) = &self.input else {
                    return Err(Error::Unusable { path: self.path.clone(), source: error });
                };
                let folder = self.path.parent().unwrap_or(Path::new("/")).to_owned();
                *self = Self::build(&input.clone(), &folder, None, progress)?;
            }
        }
        let unusable = |source| Error::Unusable { path: self.path.clone(), source };
        self.sonames.holders(soname).map_err(unusable)
    }
}

fn open(path: &Path) -> Result<Option<Sonames<IndexFile>>, SonamesError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let size = file.metadata()?.len();
    Sonames::open(IndexFile::File { file, size }).map(Some)
}

/// Whether an index was made from this source as it is now.
fn is_current(index: &Sonames<IndexFile>, input: &Input) -> bool {
    let made = index.made();
    let files = input.files();
    made.kind == input.kind()
        && made.sources.len() == files.len()
        && made.sources.iter().zip(files).all(|(source, path)| {
            source.place == path.as_os_str().as_bytes()
                && source.stamp.is_some()
                && source.stamp == stamp(path).ok()
        })
}
