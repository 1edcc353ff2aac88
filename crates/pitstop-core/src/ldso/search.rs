//! The search for one bare name: `_dl_map_object` in `elf/dl-load.c` of glibc, `load_library` in musl's `ldso/dynlink.c`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, ByteSlice};

use super::glibc;
use super::loader::Flavour;
use super::loading::{Loading, ObjectIndex};
use super::memo::{Found, Hit, How, Memo, Mismatch, Name, Number, verify};
use super::process::Process;
use crate::files::{Files, Opened};

/// Why a path was passed over, or that it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The search folder does not exist, so nothing is looked for in it.
    NoFolder,
    /// Nothing there that can be opened.
    Absent,
    /// An ELF file for another class or machine.
    OtherMachine,
    /// The search ends here, in failure.
    Unusable(Arc<str>),
    /// Taken.
    Taken,
    /// In the cache, but the asker has `DF_1_NODEFLIB` and the file is in a default folder.
    DefaultFolderRefused,
}

/// One path that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The path.
    pub path: PathBuf,
    /// The rule by which it was tried: `RPATH`, `LD_LIBRARY_PATH`, `RUNPATH`, `ld.so.cache`, `default`, `path`.
    pub rule: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// A list of folders and what finding something in it means.
type Stage = (Number, fn(Number, Number) -> How, &'static str);

/// The lists to search before the cache, in order.
fn stages(memo: &Memo, scope: Number) -> Vec<Stage> {
    let scope = memo.scopes.value(scope);
    let rpaths = scope
        .rpaths
        .iter()
        .map(|&list| -> Stage { (list, |list, folder| How::Rpath { list, folder }, "RPATH") });
    let variable = memo
        .library_path
        .map(|list| -> Stage { (list, |_, folder| How::LibraryPath { folder }, "LD_LIBRARY_PATH") });
    let runpath =
        scope.runpath.map(|list| -> Stage { (list, |_, folder| How::Runpath { folder }, "RUNPATH") });
    match memo.loader.flavour {
        Flavour::Glibc => rpaths.chain(variable).chain(runpath).collect(),
        Flavour::Musl => variable.into_iter().chain(rpaths).collect(),
    }
}

fn system_stage(memo: &Memo, scope: Number) -> Option<Stage> {
    let searched = !memo.scopes.value(scope).no_default;
    searched.then_some((memo.system, |_, folder| How::Default { folder }, "default"))
}

/// Searches for a bare name with the paths of a scope, or remembers how that ended.
pub(super) fn search(memo: &mut Memo, files: &dyn Files, scope: Number, name: Number) -> Hit {
    if let Some(&hit) = memo.hits.get(&(scope, name)) {
        return hit;
    }
    let hit = search_afresh(memo, files, scope, name);
    memo.hits.insert((scope, name), hit);
    hit
}

fn search_afresh(memo: &mut Memo, files: &dyn Files, scope: Number, name: Number) -> Hit {
    let mut other_class = false;
    for (list, how, _) in stages(memo, scope) {
        if let Some(hit) = search_list(memo, files, list, how, name, &mut other_class) {
            return hit;
        }
    }
    let no_default = memo.scopes.value(scope).no_default;
    if let Some(path) = cached(memo, name).filter(|path| !no_default || !in_default_folder(memo, path)) {
        match memo.open(files, &path) {
            Found::Nothing => {}
            Found::OtherClass => other_class = true,
            Found::Library(library) => return Hit::Library(library, How::Cache),
            Found::Refused(refusal) => return Hit::Refused(refusal),
        }
    }
    if let Some((list, how, _)) = system_stage(memo, scope)
        && let Some(hit) = search_list(memo, files, list, how, name, &mut other_class)
    {
        return hit;
    }
    if other_class { Hit::WrongClass } else { Hit::Missing }
}

fn search_list(
    memo: &mut Memo,
    files: &dyn Files,
    list: Number,
    how: fn(Number, Number) -> How,
    name: Number,
    other_class: &mut bool,
) -> Option<Hit> {
    for place in 0..memo.lists.value(list).len() {
        let folder = memo.lists.value(list)[place];
        match memo.probe(files, folder, name) {
            Found::Nothing => {}
            Found::OtherClass => *other_class = true,
            Found::Library(library) => return Some(Hit::Library(library, how(list, folder))),
            Found::Refused(refusal) => return Some(Hit::Refused(refusal)),
        }
    }
    None
}

/// The file that the cache has for a name.
fn cached(memo: &Memo, name: Number) -> Option<PathBuf> {
    let loader = &memo.loader;
    let cache = loader.cache.as_ref()?;
    let path = cache.lookup(memo.names.value(name).as_bstr(), loader.target, loader.capabilities())?;
    Some(path.to_owned())
}

/// Whether the text of a path starts with a default folder; not only its own folder counts (`_dl_map_object`).
fn in_default_folder(memo: &Memo, path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    memo.loader.system_dirs.iter().any(|folder| {
        path.strip_prefix(folder.as_os_str().as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
    })
}

/// The same search again, nothing remembered, each step written down.
pub(super) fn probes(process: &Process<'_>, loading: &Loading, by: ObjectIndex, soname: &BStr) -> Vec<Probe> {
    let mut memo = Memo::new(process, process.objects());
    let memo = &mut memo;
    let scope = glibc::scope_in(memo, loading, by);
    let asker = &loading.object(by).path;
    let origin = super::dst::origin(asker.as_os_str().as_bytes().as_bstr());
    let mut recorder = Recorder { process, probes: Vec::new() };
    match memo.name(soname, origin) {
        Name::Skipped => {}
        Name::Path(path) => {
            let path = PathBuf::from(OsStr::from_bytes(memo.names.value(path)));
            recorder.file(path, "path");
        }
        Name::Bare(name) => {
            let name = memo.names.value(name).clone();
            for (list, _, rule) in stages(memo, scope) {
                if recorder.list(memo, list, rule, name.as_bstr()) {
                    return recorder.probes;
                }
            }
            let number = memo.names.number(&name);
            if let Some(path) = cached(memo, number) {
                if memo.scopes.value(scope).no_default && in_default_folder(memo, &path) {
                    recorder.note(path, "ld.so.cache", Verdict::DefaultFolderRefused);
                } else if recorder.file(path, "ld.so.cache") {
                    return recorder.probes;
                }
            }
            if let Some((list, _, rule)) = system_stage(memo, scope) {
                recorder.list(memo, list, rule, name.as_bstr());
            }
        }
    }
    recorder.probes
}

struct Recorder<'p, 'f> {
    process: &'p Process<'f>,
    probes: Vec<Probe>,
}

impl Recorder<'_, '_> {
    fn note(&mut self, path: PathBuf, rule: &'static str, verdict: Verdict) {
        self.probes.push(Probe { path, rule, verdict });
    }

    /// Whether the search ends in this list.
    fn list(&mut self, memo: &mut Memo, list: Number, rule: &'static str, name: &BStr) -> bool {
        for folder in memo.lists.value(list).clone() {
            let places = memo.places(self.process.files, folder);
            if places.is_empty() {
                self.note(memo.folders[folder as usize].path.to_path_buf(), rule, Verdict::NoFolder);
            }
            for place in places.iter() {
                if self.file(place.join(OsStr::from_bytes(name)), rule) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether the search ends at this file.
    fn file(&mut self, path: PathBuf, rule: &'static str) -> bool {
        let loader = self.process.loader();
        let verdict = match self.process.files.open(&self.process.environment.current_dir.join(&path)) {
            Opened::Absent => Verdict::Absent,
            Opened::Unusable(why) => Verdict::Unusable(why),
            Opened::Elf(_, elf) => match verify(loader, &elf) {
                Ok(()) => Verdict::Taken,
                Err(Mismatch::Fatal(why)) => Verdict::Unusable(why.into()),
                Err(Mismatch::OtherClass | Mismatch::OtherMachine) => Verdict::OtherMachine,
            },
        };
        let ends = matches!(verdict, Verdict::Taken | Verdict::Unusable(_));
        self.note(path, rule, verdict);
        ends
    }
}
