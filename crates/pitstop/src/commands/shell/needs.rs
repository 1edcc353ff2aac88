//! What an environment lacks, whatever machine it is looked at on and whatever was done to it: nothing that a variable, a shim
//! or an earlier fix provides counts.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use pitstop_core::diagnose::{Diagnosis, Missing};
use pitstop_core::index::sonames::Kind;
use pitstop_core::ldso::Process;
use pitstop_core::locate::{self, Class, Suite};
use pitstop_core::nix::Library;
use pitstop_host::fixing::Originals;
use pitstop_host::locating::Locator;
use pitstop_host::programs::Programs;
use pitstop_host::survey::{Asking, Survey};

use super::super::{fix, progress, target};
use crate::error::CommandError;
use crate::output::{Output, shown};

/// What a shell is made of.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) libraries: Vec<Library>,
    pub(super) present: Vec<String>,
    pub(super) drivers: Vec<String>,
    pub(super) absent: Vec<String>,
    /// Whether something is wrong that no library mends.
    pub(super) is_damaged: bool,
}

/// Which needs are meant.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    /// What packages can do without, too.
    pub(super) optional: bool,
    /// What the Python or another wheel has, too: a search path does not lead there.
    pub(super) everything: bool,
}

/// By soname who needs it; what a package has, by the package's names: its sonames, and who needs those.
#[derive(Default)]
struct Gathered {
    packages: BTreeMap<Vec<String>, (BTreeSet<String>, BTreeSet<String>)>,
    present: BTreeMap<String, BTreeSet<String>>,
    drivers: BTreeMap<String, BTreeSet<String>>,
    absent: BTreeMap<String, BTreeSet<String>>,
}

/// Finds out what the environment lacks, and who has it.
pub(super) fn of(survey: &Survey, scope: Scope, output: &Output) -> Result<Needs, CommandError> {
    let process = survey.process().map_err(target::survey_error)?;
    let building = Box::new(progress::indexing(output));
    let locator = RefCell::new(Locator::new(Kind::Nix, Suite::Debian13, &survey.files, building));
    let pythons_own = survey.libraries_of_python(&process);
    let is_here = |missing: &Missing| {
        let in_wheels = !missing.in_wheels.is_empty();
        !scope.everything && (in_wheels || pythons_own.contains_key(&missing.soname))
    };
    let names = |missing: &Missing| names(&mut locator.borrow_mut(), missing);
    let diagnosis = diagnosis(survey, &process, &|missing| {
        is_here(missing) || is_driver(missing) || names(missing).is_some()
    });

    let mut gathered = Gathered::default();
    for missing in diagnosis.missing.iter().filter(|missing| scope.optional || !missing.optional) {
        gathered.add(survey, missing, is_here(missing), names(missing));
    }
    let originals = Originals::of(&survey.environment.root).map_err(fix::refused)?;
    let programs = Programs::of(survey, Asking::Allowed, &originals.facts()).forced(true, Vec::new());
    for missing in &programs.missing(&BTreeMap::new()) {
        gathered.add(survey, missing, false, names(missing));
    }
    for problem in locator.borrow().problems() {
        output.warning(problem);
    }
    let mut needs = gathered.needs();
    needs.is_damaged = !(diagnosis.mismatched.is_empty() && diagnosis.unusable.is_empty());
    Ok(needs)
}

/// What is missing where of alternatives the first counts that is to be had.
fn diagnosis(survey: &Survey, process: &Process<'_>, is_to_be_had: &dyn Fn(&Missing) -> bool) -> Diagnosis {
    let nothing: BTreeMap<BString, PathBuf> = BTreeMap::new();
    let mut given_up = BTreeSet::new();
    loop {
        let diagnosis = survey.diagnose_without(process, &nothing, &given_up);
        let asked = diagnosis.missing.iter().filter(|missing| !missing.named_by.is_empty());
        let hopeless: Vec<BString> = asked
            .filter(|missing| !given_up.contains(&missing.soname) && !is_to_be_had(missing))
            .map(|missing| missing.soname.clone())
            .collect();
        if hopeless.is_empty() {
            return diagnosis;
        }
        given_up.extend(hopeless);
    }
}

fn is_driver(missing: &Missing) -> bool {
    locate::locate(&missing.soname.to_str_lossy()).class == Class::Driver
}

/// The names in nixpkgs of the first package that has exactly this library.
fn names(locator: &mut Locator<'_>, missing: &Missing) -> Option<Vec<String>> {
    let versions: Vec<BString> = missing.versions.iter().cloned().collect();
    let located = locator.locate(&missing.soname.to_str_lossy(), &versions);
    let (attribute, _) = located.nix().find(|(_, candidate)| candidate.exact)?;
    Some(locate::names(attribute).into_iter().map(str::to_owned).collect())
}

impl Gathered {
    fn add(&mut self, survey: &Survey, missing: &Missing, is_here: bool, names: Option<Vec<String>>) {
        let soname = shown(missing.soname.as_slice());
        let needers = needers(survey, missing);
        let list = match names {
            _ if is_driver(missing) => &mut self.drivers,
            _ if is_here => &mut self.present,
            Some(names) => {
                let package = self.packages.entry(names).or_default();
                package.0.insert(soname);
                package.1.extend(needers);
                return;
            }
            None => &mut self.absent,
        };
        list.entry(soname).or_default().extend(needers);
    }

    fn needs(self) -> Needs {
        let words = |list: BTreeMap<String, BTreeSet<String>>| {
            list.into_iter()
                .map(|(soname, needers)| {
                    format!("{soname} for {}", needers.into_iter().collect::<Vec<_>>().join(", "))
                })
                .collect()
        };
        let packages = self.packages.into_iter();
        let libraries = packages.map(|(attributes, (sonames, needers))| Library {
            attributes,
            sonames: sonames.into_iter().collect(),
            needed_by: needers.into_iter().collect(),
        });
        Needs {
            libraries: libraries.collect(),
            present: words(self.present),
            drivers: words(self.drivers),
            absent: words(self.absent),
            is_damaged: false,
        }
    }
}

/// The packages that ask, without their versions: another version that asks for the same makes no other file.
fn needers(survey: &Survey, missing: &Missing) -> BTreeSet<String> {
    let of_file = |root: usize| match survey.package_of(root) {
        Some(package) => shown(&package.name),
        None => fix::shown_path(survey.short(&survey.natives[root].path)),
    };
    let asking = missing.named_by.iter().filter_map(|&ask| {
        let ask = &survey.asks[ask];
        let package = ask.package.map(|package| shown(&survey.packages[package].name));
        package.or_else(|| ask.before.first().map(|&native| of_file(native)))
    });
    missing.askers.iter().map(|asker| of_file(asker.root)).chain(asking).collect()
}
