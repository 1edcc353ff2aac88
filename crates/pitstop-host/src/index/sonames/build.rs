//! Building an index: one pass over its source, and one file put in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use pitstop_core::index::sonames::{
    Builder, Form, Kind, Made, PackageNumber, SourceFile, Stamp, TooLarge, library,
};
use pitstop_core::index::{Entry, Package, database as format};
use sha2::{Digest, Sha256};

use super::{Input, stamp};
use crate::index::{Closures, contents, database};

/// Why an index could not be built. What stood in its place stands.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database cannot be read to its end.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// Another source cannot be read.
    #[error("{} cannot be read", .path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The source is another than it was when reading began.
    #[error("{} changed while it was read", .path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A source in which there is no library is the wrong one.
    #[error("{} names no library", .path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Too much for one file.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The index cannot be written.
    #[error("the soname index cannot be written")]
    Io(#[from] io::Error),
}

/// Held by the one process that builds an index. The kernel gives it up with the process; the file stays, since another
/// process may be waiting on it.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    fn open(path: &Path) -> Result<File, BuildError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let place = path.with_extension("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&place);
        file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.display())).into())
    }

    /// The lock, or none where another process has it. Where the file system has no locks, everyone gets one: the worst is
    /// that two build the same.
    pub(super) fn try_take(path: &Path) -> Result<Option<Self>, BuildError> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(Some(Self { _file: file })),
        }
    }

    /// The lock, once whoever has it is done.
    pub(super) fn wait(path: &Path) -> Result<Self, BuildError> {
        let file = Self::open(path)?;
        let _ = file.lock();
        Ok(Self { _file: file })
    }
}

/// Reads the source, and gives its index.
pub(super) fn build(
    input: &Input,
    closures: Option<&Closures<'_>>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<u8>, BuildError> {
    let files = input.files();
    let before = stamps(files)?;
    // The digest is had by another thread meanwhile: the bytes are in the page cache then.
    let (digest, builder) = thread::scope(|scope| {
        let digest = scope.spawn(|| digest(files));
        let builder = match input {
            Input::Nix(path) => of_database(path, closures, progress),
            Input::Debian { lists, architecture } => of_contents(lists, architecture, progress),
        };
        (digest.join(), builder)
    });
    let builder = builder?;
    let digest = digest.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let changed = stamps(files)?.iter().zip(&before).position(|(now, then)| now != then);
    if let Some(changed) = changed {
        return Err(BuildError::Changed { path: files[changed].clone() });
    }
    if builder.libraries() == 0 {
        return Err(BuildError::Empty { path: files.first().cloned().unwrap_or_default() });
    }
    let sources = files
        .iter()
        .zip(before)
        .map(|(file, stamp)| SourceFile { place: file.as_os_str().as_bytes().into(), stamp: Some(stamp) });
    let kind = match input {
        Input::Nix(_) => Kind::Nix,
        Input::Debian { .. } => Kind::Debian,
    };
    Ok(builder.finish(&Made { kind, sources: sources.collect(), digest, built: now() })?)
}

/// Puts an index in its place, whole.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new();
    let new = new.prefix(".sonames-").permissions(std::fs::Permissions::from_mode(0o644));
    let mut file = new.tempfile_in(folder)?;
    file.write_all(bytes)?;
    // What is renamed over a whole file must be whole itself after a crash.
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn stamps(files: &[PathBuf]) -> Result<Vec<Stamp>, BuildError> {
    let stamp =
        |path: &PathBuf| stamp(path).map_err(|source| BuildError::Source { path: path.clone(), source });
    files.iter().map(stamp).collect()
}

/// SHA-256 over the bytes of all files.
fn digest(files: &[PathBuf]) -> Result<[u8; 32], BuildError> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    for path in files {
        let failed = |source| BuildError::Source { path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => hasher.update(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(hasher.finalize().into())
}

/// Packages that come one after another, from no file.
#[derive(Default)]
pub struct Gathering {
    builder: Builder,
    lines: Vec<u8>,
    hasher: Sha256,
}

impl Gathering {
    /// Adds a package with its files, and the size in bytes of all that it needs, where that is known.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for names that a database could not express, so that both hold the same.
    pub fn add(&mut self, package: &Package, entries: &[Entry], closure: Option<u64>) -> io::Result<()> {
        self.lines.clear();
        format::write(package, entries, &mut self.lines)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.hasher.update(&self.lines);
        add(&mut self.builder, package, entries, closure);
        Ok(())
    }

    /// Writes the index of all that was added, and gives its length in bytes. `sources` say where it came from.
    pub fn finish(self, path: &Path, sources: &[String]) -> Result<u64, BuildError> {
        if self.builder.libraries() == 0 {
            return Err(BuildError::Empty { path: sources.first().map(PathBuf::from).unwrap_or_default() });
        }
        let sources = sources.iter().map(|place| SourceFile { place: place.as_str().into(), stamp: None });
        let digest = self.hasher.finalize().into();
        let made = Made { kind: Kind::Nix, sources: sources.collect(), digest, built: now() };
        let bytes = self.builder.finish(&made)?;
        write(path, &bytes)?;
        Ok(bytes.len() as u64)
    }
}

/// Adds the libraries of a package.
fn add(builder: &mut Builder, package: &Package, entries: &[Entry], closure: Option<u64>) {
    let mut number = None;
    for entry in entries {
        if let (Some(library), Some(form)) = (library(&entry.path), Form::of(&entry.node)) {
            let number = *number.get_or_insert_with(|| builder.package(package.clone(), closure));
            builder.holds(number, library, form);
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn of_database(
    path: &Path,
    closures: Option<&Closures<'_>>,
    progress: &mut dyn FnMut(usize),
) -> Result<Builder, BuildError> {
    let mut builder = Builder::default();
    database::Reader::open(path)?.for_each(
        |path| library(path).is_some(),
        |package, entries| {
            add(&mut builder, package, entries, closures.and_then(|known| known.bytes(&package.path)));
            progress(builder.libraries());
            ControlFlow::Continue(())
        },
    )?;
    Ok(builder)
}

fn of_contents(
    lists: &[PathBuf],
    architecture: &str,
    progress: &mut dyn FnMut(usize),
) -> Result<Builder, BuildError> {
    let mut builder = Builder::default();
    let mut packages: HashMap<String, PackageNumber> = HashMap::new();
    let mut absolute = Vec::new();
    for list in lists {
        contents::for_each(list, |line| {
            absolute.clear();
            absolute.push(b'/');
            absolute.extend_from_slice(line.path);
            let Some(library) = library(&absolute) else { return };
            for (section, name) in line.packages() {
                let number = if let Some(number) = packages.get(name) {
                    *number
                } else {
                    let package = pitstop_core::index::contents::package(section, name, Some(architecture));
                    let number = builder.package(package, None);
                    packages.insert(name.to_owned(), number);
                    number
                };
                builder.holds(number, library, Form::File);
            }
            progress(builder.libraries());
        })
        .map_err(|source| BuildError::Source { path: list.clone(), source })?;
    }
    Ok(builder)
}
