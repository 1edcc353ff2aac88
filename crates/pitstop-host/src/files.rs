//! The machine's own file system, as a loader sees it.

use std::borrow::Borrow;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use foldhash::HashMap;
use foldhash::fast::RandomState;
use pitstop_core::elf::{self, Elf, ElfError};
use pitstop_core::files::{FileId, Files, Opened};
use rustix::fs::{CWD, FileType, Mode, fstat, openat, stat};
use rustix::io::Errno;

use crate::reading::{Begun, First, READ_FLAGS, id, kind};
use crate::walk::Tree;

/// The files of this machine. What was asked once is remembered, found or not, so that the world stands still for as long
/// as this lives; a file is read once, however many paths lead to it.
#[derive(Debug, Default)]
pub struct SystemFiles {
    /// By the bytes of a path, as are `folders`: hashing its parts one by one takes longer than opening it.
    paths: Shards<OsString, Opened>,
    files: Shards<FileId, Arc<OnceLock<Opened>>>,
    folders: Shards<OsString, bool>,
}

impl SystemFiles {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers what a walk has read, so that it is not read again.
    pub fn remember(&self, tree: &Tree) {
        for file in &tree.files {
            let opened = opened(file.id, file.facts.clone());
            let slot = self.files.get_or_insert_with(&file.id, || Arc::new(OnceLock::new()));
            let opened = slot.get_or_init(|| opened);
            for path in std::iter::once(&file.path).chain(&file.aliases) {
                self.paths.get_or_insert_with(tree.root.join(path).as_os_str(), || opened.clone());
            }
        }
    }

    fn open_anew(&self, path: &Path) -> Opened {
        let unusable = |error: io::Error| Opened::Unusable(error.to_string().into());
        let file = match openat(CWD, path, READ_FLAGS, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            // What a loader cannot open it passes over. Not so where we, not it, ran out of something.
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO)) => {
                return unusable(error.into());
            }
            Err(_) => return Opened::Absent,
        };
        let stat = match fstat(&file) {
            Ok(stat) => stat,
            Err(error) => return unusable(error.into()),
        };
        match kind(&stat) {
            FileType::RegularFile => {}
            FileType::Directory => return Opened::Absent,
            _ => return Opened::Unusable("not a regular file".into()),
        }
        let id = id(&stat);
        let slot = self.files.get_or_insert_with(&id, || Arc::new(OnceLock::new()));
        let read = || {
            let mut first = First::new();
            match first.read(&file) {
                Ok(true) => opened(id, Begun::new(&file, &first, &stat).facts().map(Arc::new)),
                Ok(false) => opened(id, Err(ElfError::NotElf)),
                Err(error) => unusable(error),
            }
        };
        slot.get_or_init(read).clone()
    }
}

impl Files for SystemFiles {
    fn open(&self, path: &Path) -> Opened {
        self.paths.get_or_insert_with(path.as_os_str(), || self.open_anew(path))
    }

    fn is_folder(&self, path: &Path) -> bool {
        let is_folder = || stat(path).is_ok_and(|stat| kind(&stat) == FileType::Directory);
        self.folders.get_or_insert_with(path.as_os_str(), is_folder)
    }
}

/// Whether the file at `path` defines a dynamic symbol: see [`elf::defines_symbol`]. The error names the path.
pub fn defines_symbol(path: &Path, name: &[u8]) -> io::Result<Result<bool, ElfError>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::from(openat(CWD, path, READ_FLAGS, Mode::empty()).map_err(|e| named(e.into()))?);
    let stat = fstat(&file).map_err(|error| named(error.into()))?;
    let mut first = First::new();
    if kind(&stat) != FileType::RegularFile || !first.read(&file).map_err(named)? {
        return Ok(Err(ElfError::NotElf));
    }
    Ok(elf::defines_symbol(&Begun::new(&file, &first, &stat), name))
}

fn opened(id: FileId, facts: Result<Arc<Elf>, ElfError>) -> Opened {
    match facts {
        Ok(elf) => Opened::Elf(id, elf),
        Err(error) => Opened::Unusable(error.to_string().into()),
    }
}

/// Locks of a map: more than threads that this program starts, so that two seldom want the same.
const SHARDS: usize = 16;

/// A map that many threads may ask at once, and that only grows.
#[derive(Debug)]
struct Shards<K, V> {
    hasher: RandomState,
    maps: [RwLock<HashMap<K, V>>; SHARDS],
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { hasher: RandomState::default(), maps: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl<K: Eq + Hash, V: Clone> Shards<K, V> {
    /// The value of a key, made where there is none; of two threads that make it at once the first one's stays.
    fn get_or_insert_with<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let shard = self.hasher.hash_one(key) % SHARDS as u64;
        // A map is whole at any moment, so a panic elsewhere leaves nothing half done.
        let map = &self.maps[usize::try_from(shard).unwrap_or(0)];
        if let Some(value) = map.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return value.clone();
        }
        let value = make();
        let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(key.to_owned()).or_insert(value).clone()
    }
}
