//! What a walk has learnt and the next one need not ask again: names, files, folders and whole searches, all numbered.
//!
//! Hundreds of extension modules of one process share most of their needs and folders. With everything numbered, a need
//! that is met by what is loaded costs one array access, and a search that was made before costs one hash look-up.
//! The world stands still as long as a memo lives.

use std::ffi::OsStr;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use foldhash::{HashMap, HashMapExt};

use super::dst::{self, PathKind, Tokens};
use super::loader::{Flavour, Loader};
use super::loading::{Object, Shortfall};
use super::process::Process;
use crate::elf::{Elf, Kind};
use crate::files::{FileId, Files, Opened};

/// A number given to each distinct thing, counted from 0.
pub(super) type Number = u32;

/// Multiply and rotate: keys are small numbers of our own making, so nobody can choose them to collide.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

pub(super) type NumberMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Distinct values in the order in which they came.
pub(super) struct Interned<T> {
    numbers: HashMap<T, Number>,
    values: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn new() -> Self {
        Interned { numbers: HashMap::new(), values: Vec::new() }
    }

    pub(super) fn number<Q>(&mut self, value: &Q) -> Number
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + std::hash::Hash + ToOwned<Owned = T> + ?Sized,
    {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let number = count(self.values.len());
        self.values.push(value.to_owned());
        self.numbers.insert(value.to_owned(), number);
        number
    }

    pub(super) fn value(&self, number: Number) -> &T {
        &self.values[number as usize]
    }
}

/// A length as a number. More than four thousand million of anything do not fit in memory here.
pub(super) fn count(length: usize) -> Number {
    Number::try_from(length).unwrap_or(Number::MAX)
}

/// What a path leads to, as far as the search is concerned (`open_verify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a file for another machine.
    Nothing,
    /// A file of the other class; the search goes on, but its message will say so.
    OtherClass,
    /// The number of a library.
    Library(Number),
    /// The number of a refusal.
    Refused(Number),
}

/// A needed name as the search sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A bare name.
    Bare(Number),
    /// One with a slash, tokens replaced.
    Path(Number),
    /// One whose tokens have no value.
    Skipped,
}

/// A file under one of its paths.
pub(super) struct Library {
    pub(super) path: Arc<Path>,
    pub(super) id: FileId,
    pub(super) elf: Arc<Elf>,
    /// The number of `id`.
    pub(super) file: Number,
    pub(super) soname: Option<Number>,
    /// In the order of the file, with its tokens replaced.
    pub(super) needed: Arc<[Name]>,
    /// `vn_file` of each version need.
    pub(super) version_files: Arc<[Number]>,
    /// The folders of its `DT_RPATH`, where it has one that counts.
    pub(super) rpath: Option<Number>,
    pub(super) has_runpath: bool,
    pub(super) runpath: Option<Number>,
    /// `DF_1_NODEFLIB`.
    pub(super) no_default: bool,
}

/// A search folder.
pub(super) struct Folder {
    /// As written, tokens replaced.
    pub(super) path: Arc<Path>,
    /// Those of its subdirectories that exist, itself last; `None` as long as nobody looked.
    places: Option<Arc<[PathBuf]>>,
}

/// By which list of folders a search succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Rpath { list: Number, folder: Number },
    LibraryPath { folder: Number },
    Runpath { folder: Number },
    Cache,
    Default { folder: Number },
}

/// A search and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    Missing,
    WrongClass,
    Refused(Number),
    Library(Number, How),
}

/// All places where an object's needs are searched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// `DT_RPATH`s, nearest first.
    pub(super) rpaths: Vec<Number>,
    pub(super) runpath: Option<Number>,
    pub(super) no_default: bool,
}

/// The version problems of one need: which version, and what is wrong with it.
pub(super) type Shortfalls = Arc<[(u32, Shortfall)]>;

pub(super) struct Memo {
    pub(super) loader: Arc<Loader>,
    tokens: (BString, Option<BString>),
    current_dir: PathBuf,
    subdirectories: Vec<String>,
    pub(super) names: Interned<BString>,
    files: HashMap<FileId, Number>,
    pub(super) libraries: Vec<Library>,
    pub(super) refusals: Vec<(Arc<Path>, Arc<str>)>,
    /// By their bytes: a path is hashed part by part, slowly.
    paths: HashMap<BString, Found>,
    folder_numbers: HashMap<BString, Number>,
    pub(super) folders: Vec<Folder>,
    /// Lists of folders: one for each distinct path.
    pub(super) lists: Interned<Vec<Number>>,
    /// What a folder has for a name.
    in_folder: NumberMap<(Number, Number), Found>,
    /// Chains of `DT_RPATH`s, each a list of lists; number 0 is the empty one.
    pub(super) chains: Interned<Vec<Number>>,
    pub(super) scopes: Interned<Scope>,
    /// From a library and the chain of who loaded it: its own chain and scope.
    pub(super) placed: NumberMap<(Number, Number), (Number, Number)>,
    /// From scope and name.
    pub(super) hits: NumberMap<(Number, Number), Hit>,
    /// From asker, place of the need, and the library that met it.
    pub(super) shortfalls: NumberMap<(Number, Number, Number), Option<Shortfalls>>,
    pub(super) library_path: Option<Number>,
    pub(super) system: Number,
    /// The program's `DT_RPATH`.
    pub(super) program_rpath: Option<Number>,
    /// The objects of the process, as libraries.
    pub(super) before: Vec<Number>,
    pub(super) map: super::glibc::LinkMap,
}

impl Memo {
    pub(super) fn new(process: &Process<'_>, before: &[Object]) -> Memo {
        let loader = process.loader.clone();
        let text = |text: &String| BString::from(text.as_str());
        let mut memo = Memo {
            tokens: (text(&loader.lib), loader.platform.as_ref().map(text)),
            subdirectories: loader.subdirectories(),
            current_dir: process.environment.current_dir.clone(),
            loader,
            names: Interned::new(),
            files: HashMap::new(),
            libraries: Vec::new(),
            refusals: Vec::new(),
            paths: HashMap::new(),
            folder_numbers: HashMap::new(),
            folders: Vec::new(),
            lists: Interned::new(),
            in_folder: NumberMap::default(),
            chains: Interned::new(),
            scopes: Interned::new(),
            placed: NumberMap::default(),
            hits: NumberMap::default(),
            shortfalls: NumberMap::default(),
            library_path: None,
            system: 0,
            program_rpath: None,
            before: Vec::new(),
            map: super::glibc::LinkMap::default(),
        };
        memo.chains.number(&[][..]);
        let system: Vec<BString> =
            memo.loader.system_dirs.iter().map(|folder| folder.as_os_str().as_bytes().into()).collect();
        memo.system = memo.list(&system);
        for object in before {
            let library = memo.library(object.path.clone(), object.id, object.elf.clone());
            memo.before.push(library);
        }
        if let Some(&program) = memo.before.first() {
            memo.set_program(process, program);
        }
        super::glibc::LinkMap::fill(&mut memo, process, before);
        memo
    }

    /// Takes the program's paths into account, and the variable's, in which `$ORIGIN` is the program's.
    pub(super) fn set_program(&mut self, process: &Process<'_>, program: Number) {
        let program = &self.libraries[program as usize];
        self.program_rpath = program.rpath;
        let origin = dst::origin(program.path.as_os_str().as_bytes().as_bstr()).map(BStr::to_owned);
        let Some(path) = &process.environment.library_path else { return };
        let folders = match self.loader.flavour {
            Flavour::Glibc => dst::split(
                path.as_bstr(),
                PathKind::Variable,
                tokens(&self.tokens, origin.as_ref().map(|origin| origin.as_bstr())),
            ),
            Flavour::Musl => dst::musl_elements(path.as_bstr()),
        };
        self.library_path = (!folders.is_empty()).then(|| self.list(&folders));
    }

    /// The number of a list of folders.
    fn list(&mut self, folders: &[BString]) -> Number {
        let folders: Vec<Number> = folders.iter().map(|folder| self.folder(folder)).collect();
        self.lists.number(&folders[..])
    }

    fn folder(&mut self, folder: &BString) -> Number {
        if let Some(&number) = self.folder_numbers.get(folder) {
            return number;
        }
        let number = count(self.folders.len());
        let path: Arc<Path> = Path::new(OsStr::from_bytes(folder)).into();
        self.folders.push(Folder { path, places: None });
        self.folder_numbers.insert(folder.clone(), number);
        number
    }

    /// Registers a file under a path.
    pub(super) fn library(&mut self, path: Arc<Path>, id: FileId, elf: Arc<Elf>) -> Number {
        let own = path.as_os_str().as_bytes().as_bstr();
        let absolute = self.current_dir.join(&path);
        let origin = match self.loader.flavour {
            Flavour::Glibc => dst::origin(absolute.as_os_str().as_bytes().as_bstr()),
            Flavour::Musl => dst::origin(own),
        };
        let (rpath, runpath) = self.search_paths(&elf, origin);
        let needed = elf.needed.iter().map(|name| self.name(name.as_bstr(), origin)).collect();
        let version_files = elf.version_needs.iter().map(|need| self.names.number(&need.file)).collect();
        let next = count(self.files.len());
        let library = Library {
            soname: elf.soname.as_ref().map(|soname| self.names.number(soname)),
            file: *self.files.entry(id).or_insert(next),
            needed,
            version_files,
            rpath,
            has_runpath: elf.runpath.is_some(),
            runpath,
            no_default: elf.flags_1 & object::elf::DF_1_NODEFLIB.0 != 0,
            path,
            id,
            elf,
        };
        self.libraries.push(library);
        count(self.libraries.len() - 1)
    }

    /// `DT_RPATH`, which `DT_RUNPATH` silences, and `DT_RUNPATH`, as lists. musl hears the latter of the two as an rpath.
    fn search_paths(&mut self, elf: &Elf, origin: Option<&BStr>) -> (Option<Number>, Option<Number>) {
        let folders = match self.loader.flavour {
            Flavour::Glibc => {
                let text = elf.runpath.as_ref().or(elf.rpath.as_ref());
                text.map(|text| dst::split(text.as_bstr(), PathKind::InFile, tokens(&self.tokens, origin)))
            }
            Flavour::Musl => {
                let text = elf.runpath.as_ref().or(elf.rpath.as_ref());
                text.and_then(|text| dst::split_musl(text.as_bstr(), origin))
            }
        };
        let list = folders.filter(|folders| !folders.is_empty()).map(|folders| self.list(&folders));
        match (self.loader.flavour, &elf.runpath) {
            (Flavour::Glibc, Some(_)) => (None, list),
            _ => (list, None),
        }
    }

    /// A needed name with its tokens replaced (`expand_dst` in `elf/dl-deps.c`, and again in `_dl_map_object`).
    pub(super) fn name(&mut self, text: &BStr, origin: Option<&BStr>) -> Name {
        let expanded = match self.loader.flavour {
            Flavour::Glibc if text.contains(&b'$') => dst::expand(text, tokens(&self.tokens, origin)),
            _ => Some(text.to_owned()),
        };
        match expanded {
            None => Name::Skipped,
            Some(name) if name.is_empty() && !text.is_empty() => Name::Skipped,
            Some(name) if name.contains(&b'/') => Name::Path(self.names.number(&name)),
            Some(name) => Name::Bare(self.names.number(&name)),
        }
    }

    /// What lies at a path.
    pub(super) fn open(&mut self, files: &dyn Files, path: &Path) -> Found {
        let bytes = path.as_os_str().as_bytes().as_bstr();
        if let Some(&found) = self.paths.get(bytes) {
            return found;
        }
        let found = match files.open(&self.current_dir.join(path)) {
            Opened::Absent => Found::Nothing,
            Opened::Unusable(why) => self.refuse(path.into(), why),
            Opened::Elf(id, elf) => match verify(&self.loader, &elf) {
                Ok(()) => Found::Library(self.library(path.into(), id, elf)),
                Err(Mismatch::OtherClass) => Found::OtherClass,
                Err(Mismatch::OtherMachine) => Found::Nothing,
                Err(Mismatch::Fatal(why)) => self.refuse(path.into(), why.into()),
            },
        };
        self.paths.insert(bytes.to_owned(), found);
        found
    }

    pub(super) fn refuse(&mut self, path: Arc<Path>, why: Arc<str>) -> Found {
        self.refusals.push((path, why));
        Found::Refused(count(self.refusals.len() - 1))
    }

    /// What a folder and its subdirectories have for a name (`open_path`, for one element).
    pub(super) fn probe(&mut self, files: &dyn Files, folder: Number, name: Number) -> Found {
        if let Some(&found) = self.in_folder.get(&(folder, name)) {
            return found;
        }
        let mut best = Found::Nothing;
        let file_name = self.names.value(name).clone();
        for place in self.places(files, folder).iter() {
            match self.open(files, &place.join(OsStr::from_bytes(&file_name))) {
                Found::Nothing => {}
                Found::OtherClass => best = Found::OtherClass,
                found => {
                    best = found;
                    break;
                }
            }
        }
        self.in_folder.insert((folder, name), best);
        best
    }

    /// The subdirectories of a folder that exist, and the folder.
    pub(super) fn places(&mut self, files: &dyn Files, folder: Number) -> Arc<[PathBuf]> {
        let folder = &mut self.folders[folder as usize];
        if let Some(places) = &folder.places {
            return places.clone();
        }
        let absolute = self.current_dir.join(&folder.path);
        let places: Arc<[PathBuf]> = if files.is_folder(&absolute) {
            // Hardly any folder has one of them, so it is asked first whether it has what all of one kind lie in.
            let is_there = |below: &&String| {
                let first = below.split('/').next().unwrap_or(below);
                files.is_folder(&absolute.join(first))
                    && (first.len() == below.len() || files.is_folder(&absolute.join(below)))
            };
            let below = self.subdirectories.iter().filter(is_there);
            below.map(|below| folder.path.join(below)).chain([folder.path.to_path_buf()]).collect()
        } else {
            Arc::new([])
        };
        folder.places = Some(places.clone());
        places
    }
}

fn tokens<'a>((lib, platform): &'a (BString, Option<BString>), origin: Option<&'a BStr>) -> Tokens<'a> {
    Tokens { origin, lib: lib.as_bstr(), platform: platform.as_ref().map(|platform| platform.as_bstr()) }
}

/// Why a file is not what the search looks for.
pub(super) enum Mismatch {
    /// Passed over, and told of where nothing else is found.
    OtherClass,
    /// Passed over.
    OtherMachine,
    /// The search ends here.
    Fatal(&'static str),
}

/// The checks of `open_verify` in `elf/dl-load.c`, in its order. musl makes none while it searches, so there a file for
/// another machine ends the search (`map_library`).
pub(super) fn verify(loader: &Loader, elf: &Elf) -> Result<(), Mismatch> {
    let (ours, theirs) = (loader.target, elf.target);
    if loader.flavour == Flavour::Musl {
        return if ours == theirs { Ok(()) } else { Err(Mismatch::Fatal("Exec format error")) };
    }
    if ours.class != theirs.class {
        return Err(Mismatch::OtherClass);
    }
    if ours.encoding != theirs.encoding {
        return Err(Mismatch::Fatal(match ours.encoding {
            crate::elf::Encoding::Little => "ELF file data encoding not little-endian",
            crate::elf::Encoding::Big => "ELF file data encoding not big-endian",
        }));
    }
    if !matches!(elf.os_abi, 0 | 3) {
        return Err(Mismatch::Fatal("ELF file OS ABI invalid"));
    }
    if ours.machine != theirs.machine {
        return Err(Mismatch::OtherMachine);
    }
    match elf.kind {
        Kind::Other(_) => Err(Mismatch::Fatal("only ET_DYN and ET_EXEC can be loaded")),
        Kind::Executable | Kind::SharedObject => Ok(()),
    }
}

/// The checks of `_dl_map_object_from_fd`, made when a file that was found is not in the link map yet.
pub(super) fn refusal(elf: &Elf, by_dlopen: bool) -> Option<&'static str> {
    let has = |flag: object::elf::DynamicFlags1| elf.flags_1 & flag.0 != 0;
    if elf.kind == Kind::Executable {
        return Some("cannot dynamically load executable");
    }
    if !elf.dynamic {
        return Some("object file has no dynamic section");
    }
    if has(object::elf::DF_1_PIE) {
        return Some("cannot dynamically load position-independent executable");
    }
    if by_dlopen && has(object::elf::DF_1_NOOPEN) {
        return Some("shared object cannot be dlopen()ed");
    }
    None
}
