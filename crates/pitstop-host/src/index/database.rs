//! nix-index's databases as files. See [`pitstop_core::index::database`] for what stands in them.

use std::io::{self, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bstr::BStr;
use fs_err as fs;
use pitstop_core::index::database::{self as format, HEADER_LENGTH, HeaderError};
use pitstop_core::index::search::{Query, Search};
use pitstop_core::index::{Entry, Package, frcode};
use tempfile::NamedTempFile;

use super::unpack::{Broken, unpack};

/// Why a database could not be read to its end. What was given before stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no database, or one of another version.
    #[error("{} cannot be read", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What it is not.
        source: HeaderError,
    },
    /// The packed stream is cut off or damaged.
    #[error(
        "{} is damaged: its zstd stream cannot be unpacked at byte {offset} of the file, {unpacked} bytes into what \
         was unpacked",
        path.display()
    )]
    Packed {
        /// The file.
        path: PathBuf,
        /// How far it was read, in bytes from the start of the file.
        offset: u64,
        /// How much was unpacked until then, in bytes.
        unpacked: u64,
        /// What zstd or the system says.
        source: io::Error,
    },
    /// What was unpacked is not what a database holds.
    #[error("{} is damaged", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: format::Error,
    },
}

/// A database that was opened: its magic and version are those that are read.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: std::fs::File,
}

impl Reader {
    /// Opens a database: the file itself, which nix-index names `files`.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] and [`Error::Header`].
    pub fn open(path: &Path) -> Result<Reader, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(failed)?;
        let (mut file, path) = file.into_parts();
        let mut header = Vec::with_capacity(HEADER_LENGTH);
        (&mut file).take(HEADER_LENGTH as u64).read_to_end(&mut header).map_err(failed)?;
        match format::check_header(&header) {
            Ok(()) => Ok(Reader { path, file }),
            Err(source) => Err(Error::Header { path, source }),
        }
    }

    /// Gives every package with those of its entries whose path `keep` likes, in the order of the database, until `each`
    /// breaks; a package none of whose entries is kept is left out. `each` may take the entries.
    ///
    /// One thread unpacks while this one reads. Memory is zstd's window and the entries of one package.
    ///
    /// # Errors
    ///
    /// [`Error::Packed`] and [`Error::Content`].
    pub fn for_each(
        self,
        mut keep: impl FnMut(&BStr) -> bool,
        mut each: impl FnMut(&Package, &mut Vec<Entry>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut reader = format::Reader::default();
        let mut stop = false;
        let unpacked = unpack(self.file, |piece| {
            let fed = reader.feed(piece.bytes, &mut keep, |package, entries| {
                let flow = each(package, entries);
                stop = flow.is_break();
                flow
            });
            match fed {
                Err(error) => ControlFlow::Break(Err(error)),
                Ok(_) if stop => ControlFlow::Break(Ok(())),
                Ok(read) => ControlFlow::Continue(read),
            }
        });
        ended(self.path, unpacked, |left| if stop { Ok(()) } else { reader.finish(left) })
    }

    /// Gives every entry that the query asks for, with its package, as nix-locate does and in its order, until `each`
    /// breaks.
    ///
    /// One thread unpacks while this one searches. Memory is zstd's window, some paths, and what was found in one
    /// package and one piece of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Packed`] and [`Error::Content`]. What was found before it was given.
    pub fn search(
        self,
        query: &Query,
        mut each: impl FnMut(&Package, &Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut search = Search::new(query);
        let mut stop = false;
        let unpacked = unpack(self.file, |piece| match search.feed(piece.bytes, piece.reads, &mut each) {
            Err(error) => ControlFlow::Break(Err(error)),
            Ok(ControlFlow::Break(())) => {
                stop = true;
                ControlFlow::Break(Ok(()))
            }
            Ok(ControlFlow::Continue(read)) => ControlFlow::Continue(read),
        });
        if stop {
            return Ok(());
        }
        match unpacked {
            Ok(Ok(left)) => ended(self.path, Ok(Ok(left)), |left| search.finish(left, &mut each)),
            broken => {
                search.give_up(&mut each);
                ended(self.path, broken, |_| Ok(()))
            }
        }
    }
}

/// What came of reading a stream to its end.
fn ended(
    path: PathBuf,
    unpacked: Result<Result<Vec<u8>, format::Error>, Broken>,
    finish: impl FnOnce(&[u8]) -> Result<(), format::Error>,
) -> Result<(), Error> {
    match unpacked {
        Err(Broken { source, packed, unpacked }) => {
            Err(Error::Packed { path, offset: HEADER_LENGTH as u64 + packed, unpacked, source })
        }
        Ok(left) => left.and_then(|left| finish(&left)).map_err(|source| Error::Content { path, source }),
    }
}

/// Writes a database beside the place where it is to stand, and puts it there once it is whole.
pub struct Writer {
    path: PathBuf,
    packer: zstd::Encoder<'static, BufWriter<NamedTempFile>>,
    lines: Vec<u8>,
}

/// What a database is packed with where speed matters little: as nix-index packs its own.
pub const LEVEL: i32 = 22;

impl Writer {
    /// Begins a database that will stand at `path`, packed by zstd at `level` (1 to 22) on so many threads; with none, on
    /// this one.
    ///
    /// # Errors
    ///
    /// The folder takes no file, or zstd no such level.
    pub fn create(path: &Path, level: i32, threads: u32) -> io::Result<Writer> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        // As any other file: the umask takes from it.
        builder.prefix(".files-").permissions(std::fs::Permissions::from_mode(0o666));
        let mut file = BufWriter::new(builder.tempfile_in(folder.unwrap_or(Path::new(".")))?);
        file.write_all(&format::header())?;
        let mut packer = zstd::Encoder::new(file, level)?;
        if threads > 0 {
            packer.multithread(threads)?;
        }
        Ok(Writer { path: path.to_owned(), packer, lines: Vec::new() })
    }

    /// Adds a package with its entries; those of a folder should stand together.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for names that the format cannot express (the package is left out then, and others
    /// may follow), else what the system says.
    pub fn add<'a>(
        &mut self,
        package: &Package,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> io::Result<()> {
        self.lines.clear();
        format::write(package, entries, &mut self.lines)
            .map_err(|error: frcode::Error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.packer.write_all(&self.lines)
    }

    /// Ends the database, puts it where it belongs, in place of what stood there, and gives its length in bytes.
    ///
    /// # Errors
    ///
    /// What the system says. What stood there stands then.
    pub fn finish(self) -> io::Result<u64> {
        let file = self.packer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        let length = file.as_file().metadata()?.len();
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(length)
    }
}
