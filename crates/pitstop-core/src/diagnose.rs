//! What an environment lacks, and for whom.
//!
//! Roots are what a process really opens: extension modules, and libraries that Python code names. Every other library
//! is judged as its importers reach it (a bundled `libgfortran` finds its `libquadmath` through the RPATH of the module
//! that pulled it in, and lacks it when looked at alone).

mod asked;
mod loadings;
mod order;
mod plugins;
mod siblings;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString};
use rayon::prelude::*;

use crate::files::FileId;
use crate::hints::Ask;
use crate::ldso::{Loading, Object, Outcome, Process, Rule, no_fallback};
use crate::targets::{Native, Role};

pub use loadings::loadings;
use plugins::Openers;
use siblings::Siblings;

/// What is asked: which files, in which process, and what is known besides.
pub struct Question<'a> {
    /// The native files of the environment.
    pub natives: &'a [Native],
    /// The Python that imports them, started.
    pub process: &'a Process<'a>,
    /// Libraries that something else makes available, by soname: what a fix has provided, or would.
    pub provided: &'a BTreeMap<BString, PathBuf>,
    /// Whether the first package requires the second, so that it loads what the second brings. Indexes as in
    /// [`Native::package`].
    pub requires: &'a (dyn Fn(usize, usize) -> bool + Sync),
    /// Whether Python code of its package names this library: it is then loaded although nothing links it. Asked only of
    /// libraries that lack something.
    pub named: &'a (dyn Fn(&Native) -> bool + Sync),
    /// Libraries that packages ask for by name.
    pub asks: &'a [Ask],
    /// Sonames that nobody could provide: of alternatives, the next is then asked for.
    pub given_up: &'a BTreeSet<BString>,
}

/// A file that asks for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The file that Python opens, as an index into the natives.
    pub root: usize,
    /// The file whose `DT_NEEDED` it is: the root itself, or a library that it brings in.
    pub by: Arc<Path>,
}

/// A soname that the loader does not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name.
    pub soname: BString,
    /// Versions that its askers want it to define.
    pub versions: BTreeSet<BString>,
    /// Who asks, by root; each root once.
    pub askers: Vec<Asker>,
    /// Who asks for it by name, as indexes into [`Question::asks`].
    pub named_by: Vec<usize>,
    /// The packages work without: only plugins, libraries that no code names, and asks that may fail want it.
    pub optional: bool,
    /// Files of other packages in this environment that have it, as indexes into the natives.
    pub in_wheels: Vec<usize>,
}

/// A version that a library which is found does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatched {
    /// The name by which the library is asked for.
    pub soname: BString,
    /// The version that it lacks.
    pub version: BString,
    /// The library that is found; `None` where none goes by that name.
    pub found: Option<Arc<Path>>,
    /// Whether it is in the process before anything is imported, so that no other can take its place.
    pub is_pythons_own: bool,
    /// Who asks.
    pub askers: Vec<Asker>,
}

/// A file on the way to a library that ends the search, because it cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The file.
    pub path: Arc<Path>,
    /// The loader's reason.
    pub why: Arc<str>,
    /// Who asks.
    pub askers: Vec<Asker>,
}

/// What an environment lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Sonames that are not found, by name.
    pub missing: Vec<Missing>,
    /// Versions that are not defined.
    pub mismatched: Vec<Mismatched>,
    /// Files that end a search.
    pub unusable: Vec<Unusable>,
    /// For each root that needs any: the provided libraries to load before it, in dependency order.
    pub preloads: BTreeMap<usize, Vec<PathBuf>>,
    /// For each ask that something provided serves (an index into [`Question::asks`]): its soname, and the provided libraries
    /// to load, dependencies first, itself last. None to load where the loader finds it by that soname.
    pub asked: BTreeMap<usize, (String, Vec<PathBuf>)>,
    /// The files that were looked at as roots.
    pub roots: Vec<usize>,
}

impl Diagnosis {
    /// Whether everything that the environment needs loads, as far as can be said without loading it.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.missing.iter().all(|missing| missing.optional)
            && self.mismatched.is_empty()
            && self.unusable.is_empty()
    }

    /// What must be provided: what is missing and not optional.
    pub fn required(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(|missing| !missing.optional)
    }
}

/// Says what an environment lacks.
#[must_use]
pub fn diagnose(question: &Question<'_>) -> Diagnosis {
    let siblings = Siblings::of(question.natives);
    let walk = |root: &usize| Findings::of(question, &siblings, *root);

    let extensions = natives_of(question, Role::Extension);
    let mut findings: Vec<Findings> = extensions.par_iter().map(walk).collect();
    for found in &mut findings {
        found.optional = found.is_tolerated(question.asks);
    }

    let reached: HashSet<FileId> = findings.iter().flat_map(|found| found.reached.iter().copied()).collect();
    let unreached: Vec<usize> = natives_of(question, Role::Library)
        .into_iter()
        .filter(|&library| !reached.contains(&question.natives[library].id))
        .collect();
    let alone: Vec<Findings> = unreached.par_iter().map(walk).collect();
    findings.extend(independent(question, alone).into_iter().map(|mut found| {
        found.optional = found.lacks_something() && !(question.named)(&question.natives[found.root]);
        found
    }));
    gather(question, &siblings, findings)
}

/// The libraries that come with a Python: those of its own process, and those that its standard library's modules bring
/// in. One process has one `libssl.so.3`; where Python has it, that is the one to use.
#[must_use]
pub fn libraries_of_python(process: &Process<'_>, modules: &[PathBuf]) -> BTreeMap<BString, PathBuf> {
    let mut libraries = BTreeMap::new();
    let mut add = |object: &Object| {
        if let Some(soname) = &object.elf.soname {
            libraries.entry(soname.clone()).or_insert_with(|| object.path.to_path_buf());
        }
    };
    process.objects().iter().for_each(&mut add);
    let loadings: Vec<Loading> =
        modules.par_iter().map(|module| process.load(module, None, &no_fallback)).collect();
    loadings
        .iter()
        .flat_map(|loading| &loading.objects)
        .filter(|object| object.rule != Rule::Path)
        .for_each(add);
    libraries
}

fn natives_of(question: &Question<'_>, role: Role) -> Vec<usize> {
    let target = question.process.loader().target;
    // A module for another machine is passed over by the loader, and a program of its own brings its own loader.
    let fits = |native: &Native| native.role == role && native.elf.target == target;
    (0..question.natives.len()).filter(|&index| fits(&question.natives[index])).collect()
}

/// A version asked for in vain, by one file.
struct Mismatch {
    soname: BString,
    version: BString,
    /// What was found, and whether the process had it before.
    found: Option<(Arc<Path>, bool)>,
    by: Arc<Path>,
}

/// What opening one root came to.
struct Findings {
    root: usize,
    reached: Vec<FileId>,
    missing: Vec<(BString, Arc<Path>, Vec<BString>)>,
    mismatched: Vec<Mismatch>,
    unusable: Vec<(Arc<Path>, Arc<str>, Arc<Path>)>,
    preloads: Vec<PathBuf>,
    optional: bool,
}

impl Findings {
    fn of(question: &Question<'_>, siblings: &Siblings<'_>, root: usize) -> Self {
        let fallback = |soname: &BStr, asker: FileId| {
            let comes_along = siblings.comes_along(soname, asker, question.requires);
            comes_along.or_else(|| question.provided.get(soname).cloned())
        };
        let loading = question.process.load(&question.natives[root].path, None, &fallback);
        // A name through `..` says less than the one under which the file is known.
        let path_of =
            |object: &Object| siblings.path_of(object.id).map_or_else(|| object.path.clone(), Arc::from);
        let mut findings = Self {
            root,
            reached: loading.objects.iter().map(|object| object.id).collect(),
            missing: Vec::new(),
            mismatched: Vec::new(),
            unusable: Vec::new(),
            preloads: order::provided(&loading, question.provided),
            optional: false,
        };
        if let Outcome::Unusable { path, why } = &loading.root {
            findings.unusable.push((path.clone(), why.clone(), path.clone()));
        }
        for need in loading.unmet() {
            let (soname, asker) = (loading.soname(need), loading.object(need.by));
            match &need.outcome {
                Outcome::Unusable { path, why } => {
                    findings.unusable.push((path.clone(), why.clone(), path_of(asker)));
                }
                _ => {
                    findings.missing.push((
                        soname.to_owned(),
                        path_of(asker),
                        versions_wanted(asker, soname),
                    ));
                }
            }
        }
        let first = loading.first_index();
        for problem in loading.version_problems.iter().filter(|problem| problem.shortfall.is_fatal()) {
            // That a missing library lacks a version is no news.
            if findings.missing.iter().any(|(soname, ..)| *soname == problem.file) {
                continue;
            }
            let found = problem.found_in.map(|index| (path_of(loading.object(index)), index < first));
            let by = path_of(loading.object(problem.by));
            findings.mismatched.push(Mismatch {
                soname: problem.file.clone(),
                version: problem.version.clone(),
                found,
                by,
            });
        }
        findings
    }

    /// Whether a module lacks what its package is known to do without, and so the module: numba passes over a threading
    /// layer that cannot be imported. What such a module lacks besides is of no use to it alone.
    fn is_tolerated(&self, asks: &[Ask]) -> bool {
        let known = |soname: &BString| {
            asks.iter().any(|ask| {
                ask.optional
                    && ask.before.contains(&self.root)
                    && ask.sonames.iter().any(|one| soname == one.as_str())
            })
        };
        self.missing.iter().any(|(soname, ..)| known(soname))
    }

    fn lacks_something(&self) -> bool {
        !(self.missing.is_empty() && self.mismatched.is_empty() && self.unusable.is_empty())
    }
}

fn versions_wanted(asker: &Object, soname: &BStr) -> Vec<BString> {
    let needs = asker.elf.version_needs.iter().filter(|need| need.file == soname);
    needs
        .flat_map(|need| &need.versions)
        .filter(|version| !version.weak)
        .map(|version| version.name.clone())
        .collect()
}

/// Of libraries that no module reaches, those that no other of them reaches either; of a ring, the first.
fn independent(question: &Question<'_>, alone: Vec<Findings>) -> Vec<Findings> {
    let id = |found: &Findings| question.natives[found.root].id;
    let mut reached_by: HashMap<FileId, Vec<usize>> = HashMap::new();
    for (index, found) in alone.iter().enumerate() {
        for reached in found.reached.iter().filter(|reached| **reached != id(found)) {
            reached_by.entry(*reached).or_default().push(index);
        }
    }
    let mut seen: HashSet<FileId> = HashSet::new();
    let is_first_of_ring = |index: usize, by: &[usize]| {
        by.iter().all(|&other| other > index && alone[index].reached.contains(&id(&alone[other])))
    };
    let keep: Vec<bool> = (0..alone.len())
        .map(|index| {
            let by = reached_by.get(&id(&alone[index])).map_or(&[][..], Vec::as_slice);
            // A file that lies under two names is looked at once.
            is_first_of_ring(index, by) && seen.insert(id(&alone[index]))
        })
        .collect();
    alone.into_iter().zip(keep).filter_map(|(found, keep)| keep.then_some(found)).collect()
}

fn gather(question: &Question<'_>, siblings: &Siblings<'_>, findings: Vec<Findings>) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let mut missing = MissingBySoname { question, siblings, found: BTreeMap::new() };
    let mut mismatched: BTreeMap<(BString, BString, Option<Arc<Path>>), Mismatched> = BTreeMap::new();
    let mut unusable: BTreeMap<Arc<Path>, Unusable> = BTreeMap::new();
    let mut openers = Openers::default();
    for found in findings {
        let root = found.root;
        diagnosis.roots.push(root);
        openers.add(root, found.reached);
        for (soname, by, versions) in found.missing {
            if let Some(entry) = missing.entry(soname, versions, found.optional) {
                add_asker(&mut entry.askers, root, by);
            }
        }
        // A plugin that does not load for a reason that no library mends is nobody's trouble until somebody asks for it.
        if !found.optional {
            for Mismatch { soname, version, found: library, by } in found.mismatched {
                let key = (soname.clone(), version.clone(), library.as_ref().map(|(path, _)| path.clone()));
                let entry = mismatched.entry(key).or_insert_with(|| Mismatched {
                    soname,
                    version,
                    is_pythons_own: library.as_ref().is_some_and(|(_, own)| *own),
                    found: library.map(|(path, _)| path),
                    askers: Vec::new(),
                });
                add_asker(&mut entry.askers, root, by);
            }
            for (path, why, by) in found.unusable {
                let entry = unusable.entry(path.clone()).or_insert_with(|| Unusable {
                    path,
                    why,
                    askers: Vec::new(),
                });
                add_asker(&mut entry.askers, root, by);
            }
        }
        // A plugin that lacks something stays as it is: half of what it needs is of no use to it.
        if !found.optional && !found.preloads.is_empty() {
            diagnosis.preloads.insert(root, found.preloads);
        }
    }
    openers.have_loaded(question, siblings, &mut diagnosis.preloads);
    for (index, answer) in asked::answers(question, siblings).into_iter().enumerate() {
        let (ask, Some(answer)) = (&question.asks[index], answer) else { continue };
        let is_served = answer.missing.is_empty();
        for (soname, _, versions) in answer.missing {
            if let Some(entry) = missing.entry(soname, versions, ask.optional) {
                entry.named_by.push(index);
            }
        }
        let Some(soname) = answer.soname.filter(|_| is_served) else { continue };
        let opened = ask.before.iter().flat_map(|&native| openers.of(question, siblings, native));
        let before: BTreeSet<usize> = ask.before.iter().copied().chain(opened).collect();
        for native in before {
            plugins::append(diagnosis.preloads.entry(native).or_default(), &answer.preloads);
        }
        if ask.before.is_empty() {
            diagnosis.asked.insert(index, (soname, answer.preloads));
        }
    }
    diagnosis.preloads.retain(|_, preloads| !preloads.is_empty());
    diagnosis.roots.sort_unstable();
    diagnosis.missing = missing.found.into_values().collect();
    diagnosis.mismatched = mismatched.into_values().collect();
    diagnosis.unusable = unusable.into_values().collect();
    diagnosis
}

/// What is missing, brought together by soname.
struct MissingBySoname<'a> {
    question: &'a Question<'a>,
    siblings: &'a Siblings<'a>,
    found: BTreeMap<BString, Missing>,
}

impl MissingBySoname<'_> {
    /// The entry to name an asker in; `None` where that asker can do without and others cannot.
    fn entry(&mut self, soname: BString, versions: Vec<BString>, optional: bool) -> Option<&mut Missing> {
        let entry = self.found.entry(soname.clone()).or_insert_with(|| Missing {
            in_wheels: self.siblings.anywhere(soname.as_ref(), self.question.process.loader().target),
            soname,
            versions: BTreeSet::new(),
            askers: Vec::new(),
            named_by: Vec::new(),
            optional: true,
        });
        // Who can do without is not named beside who cannot.
        if optional && !entry.optional {
            return None;
        }
        if !optional && std::mem::take(&mut entry.optional) {
            entry.askers.clear();
            entry.named_by.clear();
            entry.versions.clear();
        }
        entry.versions.extend(versions);
        Some(entry)
    }
}

fn add_asker(askers: &mut Vec<Asker>, root: usize, by: Arc<Path>) {
    if askers.last().is_none_or(|last| last.root != root) {
        askers.push(Asker { root, by });
    }
}

#[cfg(test)]
mod tests;
