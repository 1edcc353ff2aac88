//! musl's link map and walk: `load_library`, `load_deps` and `dlopen` in `ldso/dynlink.c`.
//!
//! Where it differs from glibc: `LD_LIBRARY_PATH` comes before all paths in files, runpath and rpath are the same thing
//! and both are inherited, a file opened by `dlopen` inherits from the program, sonames mean nothing (the name under
//! which a file was found counts), the names of the C library's parts are always the loader itself, and versions are
//! not looked at.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::loading::{Loading, Need, Object, ObjectIndex, Outcome, Rule};
use super::memo::{Found, Hit, How, Memo, Name, Number, Scope, count};
use super::process::{Fallback, Process, no_fallback};
use super::search;
use crate::files::Opened;

const PROGRAM: ObjectIndex = ObjectIndex(0);

struct Walk<'w, 'f> {
    memo: &'w mut Memo,
    process: &'w Process<'f>,
    fallback: Fallback<'w>,
    before: Arc<[Object]>,
    objects: Vec<Object>,
    libraries: Vec<Number>,
    /// The names by which objects can be found (`shortname`).
    names: Vec<Option<BString>>,
    needs: Vec<Need>,
}

pub(super) fn start(memo: &mut Memo, process: &Process<'_>, program: Object) -> Loading {
    let library = memo.library(program.path.clone(), program.id, program.elf.clone());
    memo.set_program(process, library);
    let dynamic = program.elf.dynamic;
    let mut walk = Walk::new(memo, process, &no_fallback);
    walk.push(library, program, None);
    if dynamic {
        let path = process.loader().path.clone();
        if let Opened::Elf(id, elf) = process.files.open(&path) {
            let library = walk.memo.library(path.as_path().into(), id, elf.clone());
            walk.push(
                library,
                Object { path: path.into(), id, elf, loaded_by: None, rule: Rule::Given },
                None,
            );
        }
        for name in &process.environment.preload {
            walk.load_library(name.as_bstr(), PROGRAM);
        }
        walk.follow_needs();
    }
    walk.finish(Outcome::Found { object: PROGRAM, rule: Rule::Given })
}

pub(super) fn load(memo: &mut Memo, process: &Process<'_>, root: &Path, fallback: Fallback<'_>) -> Loading {
    let mut walk = Walk::new(memo, process, fallback);
    let root = walk.load_library(root.as_os_str().as_bytes().as_bstr(), PROGRAM);
    walk.follow_needs();
    walk.finish(root)
}

/// `libc`, `libpthread` and so on: whatever follows the dot.
fn is_reserved(name: &BStr) -> bool {
    let Some(rest) = name.strip_prefix(b"lib") else { return false };
    [&b"c."[..], b"pthread.", b"rt.", b"m.", b"dl.", b"util.", b"xnet."]
        .iter()
        .any(|reserved| rest.starts_with(reserved))
}

impl<'w, 'f> Walk<'w, 'f> {
    fn new(memo: &'w mut Memo, process: &'w Process<'f>, fallback: Fallback<'w>) -> Self {
        let before = process.shared_objects();
        let short = |object: &Object| {
            // What has a path of its own choosing has no short name; here only the program and the loader.
            let named = !matches!(object.rule, Rule::Given | Rule::Path);
            object.path.file_name().filter(|_| named).map(|name| BString::from(name.as_bytes()))
        };
        let names = before.iter().map(short).collect();
        let libraries = memo.before.clone();
        Walk { memo, process, fallback, before, objects: Vec::new(), libraries, names, needs: Vec::new() }
    }

    fn finish(self, root: Outcome) -> Loading {
        Loading {
            root,
            before: self.before,
            objects: self.objects,
            needs: self.needs,
            version_problems: Vec::new(),
        }
    }

    fn follow_needs(&mut self) {
        let mut next = 0;
        while next < self.objects.len() {
            let by = ObjectIndex(count(self.before.len() + next));
            let elf = self.objects[next].elf.clone();
            for (position, name) in (0..).zip(&elf.needed) {
                let outcome = self.load_library(name.as_bstr(), by);
                self.needs.push(Need { by, position, outcome });
            }
            next += 1;
        }
    }

    fn load_library(&mut self, name: &BStr, asker: ObjectIndex) -> Outcome {
        let loader = self.process.loader().path.as_os_str().as_bytes();
        if is_reserved(name) || *name == loader {
            // The loader is the second object; where its file could not be read, the program stands in for it.
            let loader = self.all().nth(1).filter(|object| *object.path == *self.process.loader().path);
            let object = if loader.is_some() { ObjectIndex(1) } else { PROGRAM };
            return Outcome::Found { object, rule: Rule::Reserved };
        }
        let files = self.process.files;
        if name.contains(&b'/') {
            let path = PathBuf::from(OsStr::from_bytes(name));
            return match self.memo.open(files, &path) {
                Found::Library(library) => self.map(library, asker, Rule::Path),
                Found::Refused(refusal) => self.refused(refusal),
                Found::Nothing | Found::OtherClass => self.fall_back(name, asker),
            };
        }
        if let Some(object) =
            self.names.iter().position(|short| short.as_ref().is_some_and(|short| *short == name))
        {
            return Outcome::Found { object: ObjectIndex(count(object)), rule: Rule::AlreadyLoaded };
        }
        let scope = self.scope(asker);
        let Name::Bare(number) = self.memo.name(name, None) else { return Outcome::Missing };
        match search::search(self.memo, files, scope, number) {
            Hit::Library(library, how) => {
                let rule = self.rule(how, asker);
                self.map(library, asker, rule)
            }
            Hit::Refused(refusal) => self.refused(refusal),
            Hit::Missing | Hit::WrongClass => self.fall_back(name, asker),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.before.iter().chain(&self.objects)
    }

    fn refused(&self, refusal: Number) -> Outcome {
        let (path, why) = self.memo.refusals[refusal as usize].clone();
        Outcome::Unusable { path, why }
    }

    fn map(&mut self, library: Number, asker: ObjectIndex, rule: Rule) -> Outcome {
        let facts = &self.memo.libraries[library as usize];
        let (path, id, elf) = (facts.path.clone(), facts.id, facts.elf.clone());
        let short =
            path.file_name().map(|name| BString::from(name.as_bytes())).filter(|_| rule != Rule::Path);
        // The program is at the head of the list, which the comparison of files leaves out.
        let known = self.all().skip(1).position(|object| object.id == id).map(|place| place + 1);
        if let Some(object) = known {
            if self.names[object].is_none() {
                self.names[object] = short;
            }
            return Outcome::Found { object: ObjectIndex(count(object)), rule: Rule::AlreadyLoaded };
        }
        let object = Object { path, id, elf, loaded_by: Some(asker), rule: rule.clone() };
        let object = self.push(library, object, short);
        Outcome::Found { object, rule }
    }

    fn fall_back(&mut self, name: &BStr, asker: ObjectIndex) -> Outcome {
        let asker_file = self.all().nth(asker.0 as usize).map(|object| object.id);
        let path = asker_file.and_then(|asker| (self.fallback)(name, asker));
        match path.map(|path| self.memo.open(self.process.files, &path)) {
            Some(Found::Library(library)) => self.map(library, asker, Rule::Fallback),
            _ => Outcome::Missing,
        }
    }

    fn push(&mut self, library: Number, object: Object, short: Option<BString>) -> ObjectIndex {
        self.objects.push(object);
        self.libraries.push(library);
        self.names.push(short);
        ObjectIndex(count(self.libraries.len() - 1))
    }

    /// The asker's path and those of all through which it was loaded.
    fn scope(&mut self, asker: ObjectIndex) -> Number {
        let mut rpaths = Vec::new();
        let mut at = Some(asker);
        while let Some(index) = at {
            rpaths.extend(self.memo.libraries[self.libraries[index.0 as usize] as usize].rpath);
            at = self.all().nth(index.0 as usize).and_then(|object| object.loaded_by);
        }
        self.memo.scopes.number(&Scope { rpaths, runpath: None, no_default: false })
    }

    fn rule(&self, how: How, asker: ObjectIndex) -> Rule {
        let folder = |number: Number| self.memo.folders[number as usize].path.clone();
        match how {
            How::Rpath { list, folder: number } => {
                let mut at = asker;
                while self.memo.libraries[self.libraries[at.0 as usize] as usize].rpath != Some(list) {
                    match self.all().nth(at.0 as usize).and_then(|object| object.loaded_by) {
                        Some(by) => at = by,
                        None => break,
                    }
                }
                Rule::Rpath { of: at, folder: folder(number) }
            }
            How::LibraryPath { folder: number } => Rule::LibraryPath { folder: folder(number) },
            How::Runpath { folder: number } => Rule::Runpath { folder: folder(number) },
            How::Default { folder: number } => Rule::Default { folder: folder(number) },
            How::Cache => Rule::Cache,
        }
    }
}
