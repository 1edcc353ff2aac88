//! glibc's link map and the walk that fills it: `_dl_map_object_deps` in `elf/dl-deps.c`, `dl_open_worker_begin` in
//! `elf/dl-open.c`, `dl_main` in `elf/rtld.c`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;

use super::loading::{Loading, Need, Object, ObjectIndex, Outcome, Rule};
use super::memo::{self, Found, Hit, How, Memo, Name, Number, Scope, count};
use super::process::{Fallback, Process, no_fallback};
use super::{dst, search, versions};
use crate::files::Opened;

/// The chain without any path.
const NO_CHAIN: Number = 0;
/// The program, in every link map.
const PROGRAM: ObjectIndex = ObjectIndex(0);
const NONE: Number = Number::MAX;

/// What is in the link map, by name and by file. What one walk adds counts for that walk alone: its entries carry the
/// number of the walk.
#[derive(Default)]
pub(super) struct LinkMap {
    walk: u32,
    by_name: Vec<(u32, Number)>,
    by_file: Vec<(u32, Number)>,
    /// Names searched for in vain.
    unmet: Vec<(u32, Number)>,
    /// Chain and scope of the objects of the process.
    placed: Vec<(Number, Number)>,
}

/// Entries that no walk wears out.
const LASTING: u32 = u32::MAX;

fn get(slots: &[(u32, Number)], walk: u32, key: Number) -> Option<Number> {
    match slots.get(key as usize) {
        Some(&(of, value)) if of == walk || of == LASTING => Some(value),
        _ => None,
    }
}

/// The first entry stays: the loader goes through its list from the front.
fn set(slots: &mut Vec<(u32, Number)>, walk: u32, key: Number, value: Number) {
    let key = key as usize;
    if slots.len() <= key {
        slots.resize(key + 1, (0, NONE));
    }
    if slots[key].0 != walk && slots[key].0 != LASTING {
        slots[key] = (walk, value);
    }
}

impl LinkMap {
    /// The object that goes by a name.
    pub(super) fn named(&self, name: Number) -> Option<Number> {
        get(&self.by_name, self.walk, name)
    }

    /// Whether a name was searched for in vain in this walk.
    pub(super) fn is_unmet(&self, name: Number) -> bool {
        get(&self.unmet, self.walk, name).is_some()
    }

    /// Enters the objects of a process, for good.
    pub(super) fn fill(memo: &mut Memo, process: &Process<'_>, before: &[Object]) {
        let mut names: Vec<Vec<Number>> = vec![Vec::new(); before.len()];
        for (object, names) in before.iter().zip(&mut names) {
            match (&object.elf.soname, object.path.file_name()) {
                (Some(soname), _) => names.push(memo.names.number(soname)),
                (None, Some(name)) if object.rule == Rule::Given => {
                    names.push(memo.names.number(name.as_bytes().as_bstr()));
                }
                _ => {}
            }
        }
        let start = process.at_start();
        for need in &start.needs {
            let (Some(object), name) = (need.outcome.object(), need.position as usize) else { continue };
            let Some(&by) = memo.before.get(need.by.0 as usize) else { continue };
            if let (Name::Bare(name) | Name::Path(name), Some(names)) =
                (memo.libraries[by as usize].needed[name], names.get_mut(object.0 as usize))
            {
                names.push(name);
            }
        }
        for (index, names) in names.into_iter().enumerate() {
            for name in names {
                set(&mut memo.map.by_name, LASTING, name, count(index));
            }
        }
        // The program and its loader were mapped by the kernel, and their file numbers were never asked for.
        for (index, &library) in memo.before.iter().enumerate() {
            if index != PROGRAM.0 as usize && Some(index) != loader_index(memo, before) {
                let file = memo.libraries[library as usize].file;
                set(&mut memo.map.by_file, LASTING, file, count(index));
            }
        }
        for (index, object) in before.iter().enumerate() {
            let by = object.loaded_by.filter(|_| object.rule != Rule::Fallback);
            let parent = by.map_or(NO_CHAIN, |by| memo.map.placed[by.0 as usize].0);
            let placed = place(memo, memo.before[index], parent);
            memo.map.placed.push(placed);
        }
        if let (Some(loader), Some(program)) = (loader_index(memo, before), before.first())
            && let Some(name) = &program.elf.loader
        {
            let name = memo.names.number(name);
            set(&mut memo.map.by_name, LASTING, name, count(loader));
        }
    }
}

/// The loader is the second object of a process, where its file could be read.
fn loader_index(memo: &Memo, before: &[Object]) -> Option<usize> {
    before.get(1).filter(|object| *object.path == *memo.loader.path).map(|_| 1)
}

/// The chain and the scope of a library that was loaded by an object with the chain `parent`.
fn place(memo: &mut Memo, library: Number, parent: Number) -> (Number, Number) {
    if let Some(&placed) = memo.placed.get(&(library, parent)) {
        return placed;
    }
    let facts = &memo.libraries[library as usize];
    let (has_runpath, runpath, no_default) = (facts.has_runpath, facts.runpath, facts.no_default);
    let chain = match facts.rpath {
        None => parent,
        Some(own) => {
            // Nearest first; a list that comes again further up can find nothing new.
            let further = memo.chains.value(parent).iter().copied().filter(|&list| list != own);
            let chain: Vec<Number> = [own].into_iter().chain(further).collect();
            memo.chains.number(&chain[..])
        }
    };
    let mut rpaths = Vec::new();
    if !has_runpath {
        rpaths.clone_from(memo.chains.value(chain));
        rpaths.extend(memo.program_rpath.filter(|list| !memo.chains.value(chain).contains(list)));
    }
    let scope = memo.scopes.number(&Scope { rpaths, runpath, no_default });
    memo.placed.insert((library, parent), (chain, scope));
    (chain, scope)
}

/// The scope of an object of a finished loading.
pub(super) fn scope_in(memo: &mut Memo, loading: &Loading, index: ObjectIndex) -> Number {
    let mut chain = NO_CHAIN;
    let mut scope = None;
    for link in loading.chain(index) {
        let object = loading.object(link);
        if object.rule == Rule::Fallback {
            chain = NO_CHAIN;
        }
        let library = memo.library(object.path.clone(), object.id, object.elf.clone());
        let placed = place(memo, library, chain);
        (chain, scope) = (placed.0, Some(placed.1));
    }
    scope.unwrap_or_else(|| {
        memo.scopes.number(&Scope { rpaths: Vec::new(), runpath: None, no_default: false })
    })
}

/// One walk in progress.
struct Walk<'w, 'f> {
    memo: &'w mut Memo,
    process: &'w Process<'f>,
    fallback: Fallback<'w>,
    by_dlopen: bool,
    /// Number of objects that were there before.
    first: Number,
    objects: Vec<Object>,
    /// Library, chain and scope of each of `objects`.
    placed: Vec<(Number, Number, Number)>,
    needs: Vec<Need>,
}

/// Plays the start of a program.
pub(super) fn start(memo: &mut Memo, process: &Process<'_>, program: Object) -> Loading {
    let library = memo.library(program.path.clone(), program.id, program.elf.clone());
    memo.set_program(process, library);
    let loader_name = program.elf.loader.clone();
    let dynamic = program.elf.dynamic;
    let mut walk = Walk::new(memo, process, &no_fallback, false);
    walk.push(library, NO_CHAIN, program);
    if dynamic {
        let path = walk.process.loader().path.clone();
        if let Opened::Elf(id, elf) = process.files.open(&path) {
            let library = walk.memo.library(path.as_path().into(), id, elf.clone());
            let index = walk.push(
                library,
                NO_CHAIN,
                Object { path: path.into(), id, elf, loaded_by: None, rule: Rule::Given },
            );
            if let Some(name) = loader_name {
                let name = walk.memo.names.number(&name);
                walk.give_name(name, index);
            }
        }
        for name in &process.environment.preload {
            let origin = walk.objects[0].path.clone();
            let name = walk.memo.name(name.as_bstr(), dst::origin(origin.as_os_str().as_bytes().as_bstr()));
            // What cannot be preloaded is ignored, with a message (`do_preload`).
            walk.resolve(name, PROGRAM);
        }
        walk.follow_needs();
    }
    let root = Outcome::Found { object: PROGRAM, rule: Rule::Given };
    walk.finish(root)
}

/// Plays `dlopen`.
pub(super) fn load(
    memo: &mut Memo,
    process: &Process<'_>,
    root: &Path,
    caller: Option<ObjectIndex>,
    fallback: Fallback<'_>,
) -> Loading {
    let caller = caller.filter(|caller| (caller.0 as usize) < memo.before.len()).unwrap_or(PROGRAM);
    let caller_path = memo.libraries[memo.before[caller.0 as usize] as usize].path.clone();
    let origin = dst::origin(caller_path.as_os_str().as_bytes().as_bstr());
    let name = memo.name(root.as_os_str().as_bytes().as_bstr(), origin);
    let mut walk = Walk::new(memo, process, fallback, true);
    let root = match walk.resolve_root(name, caller) {
        // `expand_dynamic_string_token` made it empty, and there is no file with an empty name.
        Outcome::Skipped => Outcome::Missing,
        root => root,
    };
    walk.follow_needs();
    walk.finish(root)
}

impl<'w, 'f> Walk<'w, 'f> {
    fn new(memo: &'w mut Memo, process: &'w Process<'f>, fallback: Fallback<'w>, by_dlopen: bool) -> Self {
        memo.map.walk = memo.map.walk % (LASTING - 1) + 1;
        let first = count(memo.before.len());
        Walk {
            memo,
            process,
            fallback,
            by_dlopen,
            first,
            objects: Vec::new(),
            placed: Vec::new(),
            needs: Vec::new(),
        }
    }

    fn finish(self, root: Outcome) -> Loading {
        let placed: Vec<Number> = self.placed.iter().map(|&(library, ..)| library).collect();
        let version_problems = versions::check(self.memo, self.first, &placed);
        Loading {
            root,
            before: self.process.shared_objects(),
            objects: self.objects,
            needs: self.needs,
            version_problems,
        }
    }

    /// Breadth first: the objects are the queue.
    fn follow_needs(&mut self) {
        let mut next = 0;
        while next < self.objects.len() {
            let by = ObjectIndex(self.first + count(next));
            let needed = self.memo.libraries[self.placed[next].0 as usize].needed.clone();
            for (position, &name) in (0..).zip(needed.iter()) {
                let outcome = self.resolve(name, by);
                self.needs.push(Need { by, position, outcome });
            }
            next += 1;
        }
    }

    /// `_dl_map_object` for a need of `by`.
    fn resolve(&mut self, name: Name, by: ObjectIndex) -> Outcome {
        self.map_object(name, by, Some(by))
    }

    /// The same for the file that `caller` opens, and which has no loader of its own afterwards.
    fn resolve_root(&mut self, name: Name, caller: ObjectIndex) -> Outcome {
        self.map_object(name, caller, None)
    }

    fn map_object(&mut self, name: Name, asker: ObjectIndex, loaded_by: Option<ObjectIndex>) -> Outcome {
        let requested = match name {
            Name::Skipped => return Outcome::Skipped,
            Name::Bare(requested) | Name::Path(requested) => requested,
        };
        if let Some(object) = self.memo.map.named(requested) {
            return Outcome::Found { object: ObjectIndex(object), rule: Rule::AlreadyLoaded };
        }
        let files = self.process.files;
        let (chain, scope) = self.placed_at(asker);
        let hit = match name {
            Name::Bare(name) => search::search(self.memo, files, scope, name),
            _ => {
                let path = PathBuf::from(OsStr::from_bytes(self.memo.names.value(requested)));
                match self.memo.open(files, &path) {
                    Found::Nothing => Hit::Missing,
                    Found::OtherClass => Hit::WrongClass,
                    Found::Refused(refusal) => Hit::Refused(refusal),
                    Found::Library(library) => Hit::Library(library, How::Cache),
                }
            }
        };
        match hit {
            Hit::Library(library, how) => {
                let rule = match name {
                    Name::Bare(_) => self.rule(how, asker),
                    _ => Rule::Path,
                };
                let parent = if loaded_by.is_some() { chain } else { NO_CHAIN };
                self.map_file(library, requested, parent, loaded_by, rule)
            }
            Hit::Refused(refusal) => {
                self.note_unmet(requested);
                let (path, why) = self.memo.refusals[refusal as usize].clone();
                Outcome::Unusable { path, why }
            }
            Hit::Missing | Hit::WrongClass => self.fall_back(requested, asker, hit),
        }
    }

    /// `_dl_map_object_from_fd`.
    fn map_file(
        &mut self,
        library: Number,
        requested: Number,
        parent: Number,
        loaded_by: Option<ObjectIndex>,
        rule: Rule,
    ) -> Outcome {
        let facts = &self.memo.libraries[library as usize];
        if let Some(object) = get(&self.memo.map.by_file, self.memo.map.walk, facts.file) {
            let object = ObjectIndex(object);
            self.give_name(requested, object);
            return Outcome::Found { object, rule: Rule::AlreadyLoaded };
        }
        if let Some(why) = memo::refusal(&facts.elf, self.by_dlopen) {
            let path = facts.path.clone();
            self.note_unmet(requested);
            return Outcome::Unusable { path, why: why.into() };
        }
        let (path, id, elf, file) = (facts.path.clone(), facts.id, facts.elf.clone(), facts.file);
        let object = self.push(library, parent, Object { path, id, elf, loaded_by, rule: rule.clone() });
        self.give_name(requested, object);
        set(&mut self.memo.map.by_file, self.memo.map.walk, file, object.0);
        Outcome::Found { object, rule }
    }

    fn fall_back(&mut self, requested: Number, asker: ObjectIndex, hit: Hit) -> Outcome {
        let soname = self.memo.names.value(requested);
        let path = (self.fallback)(soname.as_bstr(), self.object(asker).0.id);
        if let Some(Found::Library(library)) = path.map(|path| self.memo.open(self.process.files, &path)) {
            // It will have been opened by its path, so nobody's paths but its own and the program's count for it.
            let outcome = self.map_file(library, requested, NO_CHAIN, Some(asker), Rule::Fallback);
            if let Outcome::Found { object, .. } = outcome {
                return Outcome::Found { object, rule: Rule::Fallback };
            }
        }
        self.note_unmet(requested);
        if hit == Hit::WrongClass { Outcome::WrongClass } else { Outcome::Missing }
    }

    fn push(&mut self, library: Number, parent: Number, object: Object) -> ObjectIndex {
        let index = ObjectIndex(self.first + count(self.objects.len()));
        let (chain, scope) = place(self.memo, library, parent);
        if let Some(soname) = self.memo.libraries[library as usize].soname {
            self.give_name(soname, index);
        }
        self.objects.push(object);
        self.placed.push((library, chain, scope));
        index
    }

    fn give_name(&mut self, name: Number, object: ObjectIndex) {
        let map = &mut self.memo.map;
        set(&mut map.by_name, map.walk, name, object.0);
    }

    fn note_unmet(&mut self, name: Number) {
        let map = &mut self.memo.map;
        set(&mut map.unmet, map.walk, name, 0);
    }

    fn placed_at(&self, index: ObjectIndex) -> (Number, Number) {
        match index.0.checked_sub(self.first) {
            None => self.memo.map.placed[index.0 as usize],
            Some(own) => {
                let (_, chain, scope) = self.placed[own as usize];
                (chain, scope)
            }
        }
    }

    fn object(&self, index: ObjectIndex) -> (&Object, Number) {
        match index.0.checked_sub(self.first) {
            None => (&self.process.objects()[index.0 as usize], self.memo.before[index.0 as usize]),
            Some(own) => (&self.objects[own as usize], self.placed[own as usize].0),
        }
    }

    fn rule(&self, how: How, asker: ObjectIndex) -> Rule {
        let folder = |number: Number| -> Arc<Path> { self.memo.folders[number as usize].path.clone() };
        match how {
            How::Rpath { list, folder: number } => {
                Rule::Rpath { of: self.owner(list, asker), folder: folder(number) }
            }
            How::LibraryPath { folder: number } => Rule::LibraryPath { folder: folder(number) },
            How::Runpath { folder: number } => Rule::Runpath { folder: folder(number) },
            How::Default { folder: number } => Rule::Default { folder: folder(number) },
            How::Cache => Rule::Cache,
        }
    }

    /// The nearest object, from the asker up, whose `DT_RPATH` is this list; else the program.
    fn owner(&self, list: Number, asker: ObjectIndex) -> ObjectIndex {
        let mut at = Some(asker);
        while let Some(index) = at {
            let (object, library) = self.object(index);
            if self.memo.libraries[library as usize].rpath == Some(list) {
                return index;
            }
            at = object.loaded_by;
        }
        PROGRAM
    }
}
