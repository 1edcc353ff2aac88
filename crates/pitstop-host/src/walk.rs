//! Finding every native file below a folder, by content and not by name.
//!
//! Wheels hold ELF files of any name (`ruff`, `libtorch_cpu.so`, `libquadmath-96973f99.so.0.0.0`), and files of such names
//! that are none (`x.so.parquet`, linker scripts). So a file's first bytes decide. Only names that nobody gives to a
//! loader are passed over unopened, see [`is_never_loaded`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use pitstop_core::elf::{Elf, ElfError};
use pitstop_core::files::FileId;
use pitstop_core::targets::Shebang;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::Errno;

use crate::reading::{Begun, First, READ_FLAGS, id, kind};

/// Threads of a walk. The work is system calls on a warm cache, and two threads are what its time is promised for.
pub const DEFAULT_THREADS: usize = 2;

/// Bytes of directory entries asked of the kernel at once: most folders fit, few calls do for the others.
const ENTRIES_BYTES: usize = 32 * 1024;

/// What lies below a folder, in the order of paths. All paths are relative to `root`.
#[derive(Debug, Default)]
pub struct Tree {
    /// The folder walked.
    pub root: PathBuf,
    /// Its native files, each once.
    pub files: Vec<NativeFile>,
    /// Its scripts: regular files that may be executed and that begin with `#!` and a path.
    pub scripts: Vec<ScriptFile>,
    /// What could not be read, and why. What vanished during the walk is not in the tree and not in here.
    pub unreadable: Vec<Unreadable>,
    /// `*.dist-info/RECORD`: the files of an installed package ("Recording installed projects", PyPA specifications).
    pub records: Vec<PathBuf>,
    /// `*.dist-info/METADATA`.
    pub metadata: Vec<PathBuf>,
    /// `*.egg-info`, files or folders: packages installed in older ways.
    pub egg_infos: Vec<PathBuf>,
}

impl Tree {
    /// A folder in which nothing was looked for.
    pub(crate) fn nothing(root: PathBuf) -> Self {
        Self {
            root,
            files: Vec::new(),
            scripts: Vec::new(),
            unreadable: Vec::new(),
            records: Vec::new(),
            metadata: Vec::new(),
            egg_infos: Vec::new(),
        }
    }
}

/// A regular file that begins with the ELF magic number.
#[derive(Debug)]
pub struct NativeFile {
    /// The first of its paths that is not a symbolic link; else the first.
    pub path: PathBuf,
    /// Its other paths: symbolic links within the tree, and hard links.
    pub aliases: Vec<PathBuf>,
    /// Whether symbolic links are all that leads to it: the file itself lies outside of the tree.
    pub outside: bool,
    /// Its identity.
    pub id: FileId,
    /// What it says about itself, or why that could not be read.
    pub facts: Result<Arc<Elf>, ElfError>,
}

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFile {
    /// Its path.
    pub path: PathBuf,
    /// Its first line.
    pub line: Shebang,
}

/// A file or folder that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its path.
    pub path: PathBuf,
    /// The cause.
    pub cause: io::Error,
}

/// Walks the folder `root` with so many threads, at least one.
///
/// Symbolic links to folders are not followed: `lib64 -> lib` would double every file. A link to a file is one more path
/// of that file.
#[must_use]
pub fn walk(root: &Path, threads: usize) -> Tree {
    let queue = Queue::default();
    let mut found = Found::default();
    match openat(CWD, root, FOLDER_FLAGS, Mode::empty()) {
        Ok(folder) => {
            let workers = threads.max(1);
            queue.add([PathBuf::new()]);
            thread::scope(|scope| {
                let work = || Worker::new(&folder).run(&queue);
                let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
                found = work();
                for other in others {
                    match other.join() {
                        Ok(more) => found.merge(more),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            });
        }
        Err(error) => found.unreadable.push(Unreadable { path: PathBuf::new(), cause: error.into() }),
    }
    found.into_tree(root)
}

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether a file of this name is never given to a loader, and so need not be opened.
///
/// Source and byte code of Python, C, C++, CUDA, Fortran, Qt and the like; text and markup; pictures, fonts, sounds and
/// numbers. They are all but 1,829 of the 56,536 files of an
/// environment with large wheels, of which 829 are native. A name must leave no doubt: `.bin`, `.dat`, `.exe`,
/// `.node`, `.0`, `.so.parquet` and names without a suffix are opened.
#[must_use]
pub fn is_never_loaded(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    matches!(
        &name[dot + 1..],
        b"py"
            | b"pyc"
            | b"pyi"
            | b"pyx"
            | b"pxd"
            | b"pxi"
            | b"typed"
            | b"ipynb"
            | b"h"
            | b"hh"
            | b"hpp"
            | b"hxx"
            | b"cuh"
            | b"inc"
            | b"inl"
            | b"ipp"
            | b"tpp"
            | b"c"
            | b"cc"
            | b"cpp"
            | b"cxx"
            | b"cu"
            | b"f"
            | b"f90"
            | b"rs"
            | b"go"
            | b"cmake"
            | b"pc"
            | b"proto"
            | b"sip"
            | b"qml"
            | b"qmltypes"
            | b"qm"
            | b"js"
            | b"ts"
            | b"css"
            | b"txt"
            | b"md"
            | b"rst"
            | b"html"
            | b"xml"
            | b"json"
            | b"toml"
            | b"yaml"
            | b"yml"
            | b"cfg"
            | b"ini"
            | b"csv"
            | b"npy"
            | b"npz"
            | b"mat"
            | b"png"
            | b"jpg"
            | b"gif"
            | b"svg"
            | b"ico"
            | b"ttf"
            | b"otf"
            | b"afm"
            | b"wav"
            | b"gz"
    )
}

/// Whether a file of this name is an extension module of CPython and nothing else: `_x.cpython-311-x86_64-linux-gnu.so`,
/// `_x.abi3.so`. A plain `.so` may be a script for the linker.
fn is_module(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".abi3.so")
        || (name.ends_with(b".so") && name.windows(9).any(|part| part == b".cpython-"))
}

/// Folders that a thread has found and left to others. A thread keeps its own folders as long as nobody waits: sharing
/// each one costs more than reading it.
#[derive(Default)]
struct Queue {
    shared: Mutex<Shared>,
    changed: Condvar,
    /// How many threads wait; a hint, read without the lock.
    hungry: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    folders: Vec<PathBuf>,
    /// Threads that have folders, and so may find more.
    busy: usize,
}

impl Queue {
    fn add(&self, folders: impl IntoIterator<Item = PathBuf>) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).folders.extend(folders);
        self.changed.notify_one();
    }

    /// A folder from another thread, or `None` once all are read; `had` where the caller had folders until now.
    fn next(&self, had: bool) -> Option<PathBuf> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.busy = shared.busy.saturating_sub(had.into());
        loop {
            if let Some(folder) = shared.folders.pop() {
                shared.busy += 1;
                return Some(folder);
            }
            if shared.busy == 0 {
                drop(shared);
                self.changed.notify_all();
                return None;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Lets the other threads end where this one panics, instead of waiting for it for ever.
struct EndOnPanic<'q>(&'q Queue);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0.shared.lock().unwrap_or_else(PoisonError::into_inner) = Shared::default();
            self.0.changed.notify_all();
        }
    }
}

/// A path to a native file; several may have the same identity.
struct Sighting {
    path: PathBuf,
    link: bool,
    id: FileId,
    facts: Result<Arc<Elf>, ElfError>,
}

/// What one thread found.
#[derive(Default)]
struct Found {
    paths: Vec<Sighting>,
    scripts: Vec<ScriptFile>,
    unreadable: Vec<Unreadable>,
    records: Vec<PathBuf>,
    metadata: Vec<PathBuf>,
    egg_infos: Vec<PathBuf>,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.scripts.extend(other.scripts);
        self.unreadable.extend(other.unreadable);
        self.records.extend(other.records);
        self.metadata.extend(other.metadata);
        self.egg_infos.extend(other.egg_infos);
    }

    fn into_tree(mut self, root: &Path) -> Tree {
        // Threads race; the order of paths does not.
        self.paths.sort_by(|a, b| (a.link, &a.path).cmp(&(b.link, &b.path)));
        let mut files: Vec<NativeFile> = Vec::new();
        let mut known: BTreeMap<FileId, usize> = BTreeMap::new();
        for Sighting { path, link, id, facts } in self.paths {
            if let Some(index) = known.get(&id) {
                files[*index].aliases.push(path);
            } else {
                known.insert(id, files.len());
                files.push(NativeFile { path, aliases: Vec::new(), outside: link, id, facts });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        self.scripts.sort_by(|a, b| a.path.cmp(&b.path));
        self.records.sort();
        self.metadata.sort();
        self.egg_infos.sort();
        Tree {
            root: root.to_path_buf(),
            files,
            scripts: self.scripts,
            unreadable: self.unreadable,
            records: self.records,
            metadata: self.metadata,
            egg_infos: self.egg_infos,
        }
    }
}

/// One thread of a walk.
struct Worker<'w> {
    root: &'w OwnedFd,
    first: First,
    found: Found,
}

impl<'w> Worker<'w> {
    fn new(root: &'w OwnedFd) -> Self {
        Self { root, first: First::new(), found: Found::default() }
    }

    fn run(mut self, queue: &Queue) -> Found {
        let _end = EndOnPanic(queue);
        let mut entries = vec![MaybeUninit::uninit(); ENTRIES_BYTES];
        let mut folders = Vec::new();
        let mut had = false;
        while let Some(path) = folders.pop().or_else(|| queue.next(had)) {
            had = true;
            if let Err(cause) = self.read_folder(&path, &mut entries, &mut folders) {
                self.unreadable(path, cause);
            }
            if folders.len() > 1 && queue.hungry.load(Ordering::Relaxed) > 0 {
                // The older half: those nearer the root, with more below them.
                queue.add(folders.drain(..folders.len() / 2));
            }
        }
        self.found
    }

    fn read_folder(
        &mut self,
        path: &Path,
        entries: &mut [MaybeUninit<u8>],
        folders: &mut Vec<PathBuf>,
    ) -> Result<(), Errno> {
        let flags = FOLDER_FLAGS.union(OFlags::NOFOLLOW);
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let folder = openat(self.root, here, flags, Mode::empty())?;
        let package = path.as_os_str().as_bytes().ends_with(b".dist-info");
        // Of what a person starts, no name says that it need not be looked at: `bin/rst2html.py`.
        let is_scripts = path == Path::new("bin");
        let mut entries = RawDir::new(&folder, entries);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind(&stat),
                    Err(_) => continue,
                },
                known => known,
            };
            let regular = kind == FileType::RegularFile;
            if (regular || kind == FileType::Directory) && name.as_bytes().ends_with(b".egg-info") {
                self.found.egg_infos.push(path.join(name));
            }
            match kind {
                FileType::Directory => folders.push(path.join(name)),
                FileType::RegularFile if package && name == "RECORD" => {
                    self.found.records.push(path.join(name));
                }
                FileType::RegularFile if package && name == "METADATA" => {
                    self.found.metadata.push(path.join(name));
                }
                FileType::RegularFile | FileType::Symlink if is_scripts || !is_never_loaded(name) => {
                    if let Err(cause) = self.read_file(&folder, path, name, !regular) {
                        self.unreadable(path.join(name), cause);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at a file's first bytes and, where it is an ELF file, reads its facts while it is open.
    fn read_file(&mut self, folder: &OwnedFd, path: &Path, name: &OsStr, link: bool) -> Result<(), Errno> {
        // A link may lead to a device, and opening one may act on it.
        if link && kind(&statat(folder, name, AtFlags::empty())?) != FileType::RegularFile {
            return Ok(());
        }
        let flags = if link { READ_FLAGS } else { READ_FLAGS.union(OFlags::NOFOLLOW) };
        let file = File::from(openat(folder, name, flags, Mode::empty())?);
        match self.first.read(&file) {
            Ok(true) => {}
            // Left to be told: an import finds this file and fails on it.
            Ok(false) if is_module(name) => {}
            Ok(false) if link => return Ok(()),
            Ok(false) => return self.note_script(&file, || path.join(name)),
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
        let stat = fstat(&file)?;
        if kind(&stat) != FileType::RegularFile {
            return Ok(());
        }
        let facts = Begun::new(&file, &self.first, &stat).facts().map(Arc::new);
        self.found.paths.push(Sighting { path: path.join(name), link, id: id(&stat), facts });
        Ok(())
    }

    /// Takes note of the file that was just begun, if it is a script that may be executed.
    fn note_script(&mut self, file: &File, path: impl FnOnce() -> PathBuf) -> Result<(), Errno> {
        if !self.first.bytes().starts_with(b"#!") {
            return Ok(());
        }
        let stat = fstat(file)?;
        let may_start = kind(&stat) == FileType::RegularFile && stat.st_mode & 0o111 != 0;
        if let Some(line) = Shebang::parse(self.first.bytes()).filter(|_| may_start) {
            self.found.scripts.push(ScriptFile { path: path(), line });
        }
        Ok(())
    }

    fn unreadable(&mut self, path: PathBuf, cause: Errno) {
        match cause {
            // It vanished, or a link leads nowhere, in circles, to a folder or to a FIFO: no file to be read.
            Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::AGAIN | Errno::NXIO | Errno::NOTDIR => {}
            cause => self.found.unreadable.push(Unreadable { path, cause: cause.into() }),
        }
    }
}
