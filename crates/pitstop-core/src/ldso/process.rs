//! A process: a program that was started, and what it has loaded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bstr::{BStr, BString};

use super::loader::{Flavour, Loader};
use super::loading::{Loading, Object, ObjectIndex, Rule};
use super::memo::Memo;
use super::search::{self, Probe};
use super::{glibc, musl};
use crate::files::{FileId, Files, Opened};

/// Names a file for a soname that the loader does not find, asked for by the given file; `None` leaves it missing.
pub type Fallback<'a> = &'a dyn Fn(&BStr, FileId) -> Option<PathBuf>;

/// The fallback that knows nothing.
#[must_use]
pub fn no_fallback(_soname: &BStr, _asker: FileId) -> Option<PathBuf> {
    None
}

/// What a process is given that its loader acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<BString>,
    /// `LD_PRELOAD` and `/etc/ld.so.preload`, taken apart, in this order.
    pub preload: Vec<BString>,
    /// What relative folders and an empty element of a search path stand for.
    pub current_dir: PathBuf,
}

impl Default for Environment {
    fn default() -> Self {
        Environment { library_path: None, preload: Vec::new(), current_dir: PathBuf::from("/") }
    }
}

/// A program that its loader cannot even begin with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Nothing there.
    #[error("{}: no such program", .0.display())]
    Absent(PathBuf),
    /// No ELF file, or a damaged one.
    #[error("{}: {why}", program.display())]
    Unusable {
        /// The program.
        program: PathBuf,
        /// The reason.
        why: Arc<str>,
    },
    /// A program for another machine than its loader.
    #[error("{}: built for another machine than the loader {}", program.display(), loader.display())]
    OtherTarget {
        /// The program.
        program: PathBuf,
        /// The loader.
        loader: PathBuf,
    },
}

/// A running program, as its loader sees it. Files can be opened in it from several threads at once.
pub struct Process<'f> {
    pub(super) loader: Arc<Loader>,
    pub(super) files: &'f dyn Files,
    pub(super) environment: Environment,
    objects: Arc<[Object]>,
    start: Loading,
    /// What was learnt so far, one for each thread that is at work; a walk takes one and puts it back.
    memos: Mutex<Vec<Memo>>,
}

impl<'f> Process<'f> {
    /// Plays the start of a program (`dl_main` in `elf/rtld.c`).
    ///
    /// `program` is what `/proc/self/exe` would say: absolute, links resolved, since `$ORIGIN` is its folder.
    pub fn start(
        loader: Arc<Loader>,
        files: &'f dyn Files,
        program: &Path,
        environment: Environment,
    ) -> Result<Process<'f>, StartError> {
        let (id, elf) = match files.open(program) {
            Opened::Absent => return Err(StartError::Absent(program.to_owned())),
            Opened::Unusable(why) => return Err(StartError::Unusable { program: program.to_owned(), why }),
            Opened::Elf(id, elf) => (id, elf),
        };
        if elf.target != loader.target {
            return Err(StartError::OtherTarget { program: program.to_owned(), loader: loader.path.clone() });
        }
        let program = Object { path: program.into(), id, elf, loaded_by: None, rule: Rule::Given };
        let none: Arc<[Object]> = Arc::new([]);
        let mut process = Process {
            start: Loading::empty(none.clone()),
            objects: none,
            loader,
            files,
            environment,
            memos: Mutex::default(),
        };
        process.start = match process.loader.flavour {
            Flavour::Glibc => glibc::start(&mut Memo::new(&process, &[]), &process, program),
            Flavour::Musl => musl::start(&mut Memo::new(&process, &[]), &process, program),
        };
        process.objects = process.start.objects.as_slice().into();
        Ok(process)
    }

    /// Adds objects that are known to be loaded besides, such as those that `/proc/PID/maps` of the real process shows.
    /// What is loaded already, and what is no ELF file, is passed over.
    pub fn add_loaded<P: AsRef<Path>>(&mut self, paths: impl IntoIterator<Item = P>) {
        let mut objects = self.objects.to_vec();
        for path in paths {
            let Opened::Elf(id, elf) = self.files.open(path.as_ref()) else { continue };
            if elf.target != self.loader.target || objects.iter().any(|object| object.id == id) {
                continue;
            }
            objects.push(Object { path: path.as_ref().into(), id, elf, loaded_by: None, rule: Rule::Given });
        }
        self.objects = objects.into();
        self.memos.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the start came to: the first object is the program, then (glibc) the loader, what was preloaded, and the
    /// rest breadth first.
    #[must_use]
    pub fn at_start(&self) -> &Loading {
        &self.start
    }

    /// All that is loaded. The program is the first.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn shared_objects(&self) -> Arc<[Object]> {
        self.objects.clone()
    }

    /// The loader that started it.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Plays `dlopen(root)`; nothing is kept, so each call sees the process as it is now.
    ///
    /// `caller` is the object that calls `dlopen`, the program where it is `None`. It matters only where `root` is a bare
    /// name: glibc then searches the caller's paths. It passes nothing on to the needs of what it opens: the
    /// new object's `l_loader` is null, so of all paths outside the new objects only the program's `DT_RPATH` is heard
    /// (`_dl_map_object`, `__RTLD_CALLMAP`).
    #[must_use]
    pub fn load(&self, root: &Path, caller: Option<ObjectIndex>, fallback: Fallback<'_>) -> Loading {
        let kept = self.memos.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memo = kept.unwrap_or_else(|| Memo::new(self, &self.objects));
        let loading = match self.loader.flavour {
            Flavour::Glibc => glibc::load(&mut memo, self, root, caller, fallback),
            Flavour::Musl => musl::load(&mut memo, self, root, fallback),
        };
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).push(memo);
        loading
    }

    /// Every path that the loader tries for `soname` when `by` needs it, in order, and why each was passed over; the
    /// last is the one that was taken, if any was. What is loaded already is not asked.
    #[must_use]
    pub fn probes(&self, loading: &Loading, by: ObjectIndex, soname: &BStr) -> Vec<Probe> {
        search::probes(self, loading, by, soname)
    }
}
