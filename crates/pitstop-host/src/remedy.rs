//! Finding what mends an environment: each missing library from the first who has it, and what that library lacks in turn.
//!
//! The order, unless settings say otherwise: the environment's own wheels, Python's own libraries, what the lock or the
//! settings pin, the machine, then a package set. One process has one `libssl.so.3`, so what is nearest to the process comes first.

mod asking;
mod pinned;
mod record;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::diagnose::{Diagnosis, Missing};
use pitstop_core::files::{Files, Opened};
use pitstop_core::index::sonames::Kind;
use pitstop_core::ldso::{Process, no_fallback};
use pitstop_core::locate::{Candidate, Distribution, Suite, Witness};
use pitstop_core::lockfile::{Origin, Systems};
use pitstop_core::settings::Giver;

use crate::locating::Locator;
use crate::programs::{ProgramRemedy, Programs};
use crate::project;
use crate::provide::host::{self, Drivers, Places, is_of_driver};
use crate::provide::{Context, Cost, Error, Event, Interrupt, Outcome, Provider, Provision, Refused, Want};
use crate::survey::Survey;

pub use asking::{apt, ask_all, asks_nix, nix};
pub use pinned::Pinned;
pub use record::{Change, Kept, Record, RecordError};

/// Rounds of looking for what libraries that were found lack themselves. Real closures end after three or four.
const ROUNDS_MAX: usize = 32;

/// Where libraries may come from.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--nixpkgs`.
    pub nixpkgs: Option<String>,
    /// Another version of a library is accepted where the exact one is not to be had.
    pub accept_inexact: bool,
    /// Debian packages are installed on the machine.
    pub system: bool,
    /// What the machine runs.
    pub distribution: Distribution,
    /// The folder whose `flake.lock` counts.
    pub project: Option<PathBuf>,
    /// What the project's `pitstop.lock` and settings say.
    pub pinned: Pinned,
    /// The working folder, for a relative `--nixpkgs`.
    pub folder: PathBuf,
    /// A folder for what may be thrown away: package lists, downloads.
    pub cache: PathBuf,
    /// Whether what packages can do without is provided too.
    pub optional: bool,
    /// Whether only what is already known may be used: nothing is evaluated, downloaded or built.
    pub offline: bool,
    /// Whether an index of packages may be fetched where no other knows a library.
    pub online: bool,
}

/// A library that was found, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The soname that was missing.
    pub soname: BString,
    /// The file.
    pub file: PathBuf,
    /// Who gave it, in a word or two: `python`, `wheel`, `host`, `nix: zlib`, `apt: libodbc2 2.3.11-2`.
    pub from: String,
    /// What was done, in one line.
    pub note: String,
    /// Who told that this package has it: the embedded table, or which index. `None` where nobody was asked.
    pub told_by: Option<String>,
    /// Where it came from, as a lock has it. `None` where it was installed on the machine.
    pub origin: Option<Origin>,
}

/// What mends an environment.
#[derive(Debug, Default)]
pub struct Remedy {
    /// What was found, by soname.
    pub found: BTreeMap<BString, Found>,
    /// What nobody gave, and why each of those asked did not.
    pub refused: Vec<Refused>,
    /// What a package set would be asked for, were it not for [`Sources::offline`]: the soname, and by which name.
    pub pending: Vec<(String, String)>,
    /// What each package set took.
    pub costs: Vec<(&'static str, Cost)>,
    /// What is wrong once all that was found is there.
    pub after: Diagnosis,
    /// What makes the environment's programs start.
    pub programs: ProgramRemedy,
}

impl Remedy {
    /// What only a GPU driver has, and this machine's has not.
    #[must_use]
    pub fn of_driver(&self) -> Vec<String> {
        let absent = self.after.missing.iter().filter(|missing| missing.optional);
        let absent = absent.filter(|missing| is_of_driver(missing.soname.as_ref()));
        absent.map(|missing| missing.soname.to_string()).collect()
    }

    /// The files by soname, as the diagnosis takes them.
    #[must_use]
    pub fn provided(&self) -> BTreeMap<BString, PathBuf> {
        self.found.iter().map(|(soname, found)| (soname.clone(), found.file.clone())).collect()
    }
}

/// A search for what mends one environment.
pub struct Search<'a, 'l> {
    /// The environment.
    pub survey: &'a Survey,
    /// Its programs.
    pub programs: &'a Programs<'a>,
    /// Its Python's process, without any variable set.
    pub process: &'a Process<'a>,
    /// Where libraries may come from.
    pub sources: &'a Sources,
    /// Gives the folder in which package sets keep what they give; made when first asked for.
    pub keep_in: &'a mut dyn FnMut() -> Result<PathBuf, Error>,
    /// Told what happens.
    pub progress: &'a mut dyn FnMut(Event),
    /// Asked whether to stop.
    pub interrupt: &'a Interrupt,
    /// Says who has a soname.
    pub locator: &'a RefCell<Locator<'l>>,
}

impl Search<'_, '_> {
    /// Looks for everything that is missing. `known` is what an earlier fix provided and what is still there.
    ///
    /// An error means that a package set could not be asked at all; what one of them does not have is in
    /// [`Remedy::refused`].
    pub fn run(mut self, known: BTreeMap<BString, Found>) -> Result<Remedy, Error> {
        let mut remedy = Remedy { found: known, ..Remedy::default() };
        let mut given_up: BTreeSet<BString> = BTreeSet::new();
        let drivers = Drivers::new(&self.survey.files, self.survey.loader.target);
        remedy.after = self.survey.diagnose(self.process, &remedy.provided());
        // What a record names and what is no such library, by accident or because somebody wrote it so, serves nobody.
        for missing in &remedy.after.missing {
            remedy.found.remove(&missing.soname);
        }
        for _ in 0..ROUNDS_MAX {
            if self.interrupt.is_requested() {
                return Err(Error::Interrupted);
            }
            let mut open: Vec<Missing> = remedy
                .after
                .missing
                .iter()
                .filter(|missing| !missing.optional || self.is_wished(&missing.soname))
                .cloned()
                .collect();
            for missing in self.programs.missing(&remedy.found) {
                match open.iter_mut().find(|other| other.soname == missing.soname) {
                    Some(other) => other.versions.extend(missing.versions),
                    None => open.push(missing),
                }
            }
            // What a driver would have that is not here is nobody's to give.
            open.retain(|missing| {
                !given_up.contains(&missing.soname) && !drivers.lacks(missing.soname.as_ref())
            });
            if open.is_empty() {
                break;
            }
            let left = self.round(&open, &mut remedy)?;
            given_up.extend(left);
            // Of alternatives, the next is asked for where one was refused.
            let refused =
                remedy.refused.iter().map(|refused| BString::from(refused.soname.as_str())).collect();
            remedy.after = self.survey.diagnose_without(self.process, &remedy.provided(), &refused);
        }
        let of_programs = self.programs.missing(&remedy.found);
        let is_open = |soname: &str| {
            remedy.after.missing.iter().chain(&of_programs).any(|missing| missing.soname == soname)
        };
        remedy.refused.retain(|refused| is_open(&refused.soname));
        // What was provided for nobody any more is let go.
        remedy.programs = self.programs.remedy(&remedy.found);
        let used: BTreeSet<&PathBuf> = remedy
            .after
            .preloads
            .values()
            .chain(remedy.after.asked.values().map(|(_, asked)| asked))
            .flatten()
            .chain(remedy.programs.farm.values())
            .collect();
        remedy.found.retain(|_, found| used.contains(&found.file));
        Ok(remedy)
    }

    /// Asks everyone in turn for what is still open; gives what nobody has.
    fn round(&mut self, open: &[Missing], remedy: &mut Remedy) -> Result<Vec<BString>, Error> {
        let mut wants: Vec<Want> = open.iter().map(|missing| self.want(missing)).collect();
        let mut reasons: HashMap<String, Vec<Refused>> = HashMap::new();
        let mut left: Vec<BString> = Vec::new();

        let order = self.sources.order(&self.survey.loader.path);
        let mut pins_are_open = true;
        for &giver in &order {
            if matches!(giver, Giver::Wheel | Giver::Python) {
                self.near(giver, open, remedy);
                wants.retain(|want| !remedy.found.contains_key(want.soname.as_bytes().as_bstr()));
                continue;
            }
            if pins_are_open {
                pins_are_open = false;
                left.extend(self.pinned(&order, &mut wants, remedy, &mut reasons)?);
            }
            if wants.is_empty() {
                break;
            }
            match giver {
                Giver::Host => self.host(&mut wants, remedy, &mut reasons)?,
                // What the lock does not have, no package set may give.
                _ if self.sources.pinned.strict => {}
                set => left.extend(self.set(set, &mut wants, remedy, &mut reasons)?),
            }
        }
        left.extend(wants.iter().map(|want| BString::from(want.soname.as_str())));
        for want in wants {
            let mut refused = refusal(&want, reasons.get(&want.soname).map_or(&[], Vec::as_slice));
            let hint = || self.locator.borrow().hint().map(str::to_owned);
            let unknown = !want.candidates.candidates.iter().any(|candidate| candidate.exact);
            refused.hint = refused.hint.or_else(|| hint().filter(|_| unknown));
            remedy.refused.push(refused);
        }
        Ok(left)
    }

    fn want(&self, missing: &Missing) -> Want {
        let soname = missing.soname.to_str_lossy().into_owned();
        let versions: Vec<BString> = missing.versions.iter().cloned().collect();
        let mut candidates = self.locator.borrow_mut().locate(&soname, &versions);
        if let Some(pin) = self.sources.pinned.settings.pins.get(&soname) {
            project::pin(&mut candidates, pin, suite(&self.sources.distribution));
        }
        Want { candidates, soname, target: self.survey.loader.target, versions }
    }

    /// Asks the machine.
    fn host(
        &mut self,
        wants: &mut Vec<Want>,
        remedy: &mut Remedy,
        reasons: &mut HashMap<String, Vec<Refused>>,
    ) -> Result<(), Error> {
        let target = self.survey.loader.target;
        let may = |want: &&Want| self.sources.pinned.asks_host(&want.soname);
        let asked: Vec<Want> = wants.iter().filter(may).cloned().collect();
        if asked.is_empty() {
            return Ok(());
        }
        let outcome = self.ask(|context| {
            let places = Places::of_this_machine(context.files, target);
            Ok(host::provide(&asked, &places, context))
        })?;
        self.take(outcome, wants, remedy, reasons);
        Ok(())
    }

    /// Asks a package set; gives what it would be asked for, were it not for [`Sources::offline`].
    fn set(
        &mut self,
        set: Giver,
        wants: &mut Vec<Want>,
        remedy: &mut Remedy,
        reasons: &mut HashMap<String, Vec<Refused>>,
    ) -> Result<Vec<BString>, Error> {
        if self.sources.offline {
            let (known, unknown): (Vec<Want>, Vec<Want>) =
                std::mem::take(wants).into_iter().partition(|want| would_ask(set.name(), want).is_some());
            let pending = |want: &Want| Some((want.soname.clone(), would_ask(set.name(), want)?));
            remedy.pending.extend(known.iter().filter_map(pending));
            *wants = unknown;
            return Ok(known.iter().map(|want| BString::from(want.soname.as_str())).collect());
        }
        let outcome = if set == Giver::Nix { self.nix(wants)? } else { self.apt(wants)? };
        remedy.costs.push((set.name(), outcome.cost));
        self.take(outcome, wants, remedy, reasons);
        Ok(Vec::new())
    }

    /// What the environment's own wheels or its Python have: no download, no second version, no clash.
    fn near(&self, giver: Giver, open: &[Missing], remedy: &mut Remedy) {
        let mut pythons = None;
        for missing in
            open.iter().filter(|missing| !remedy.found.contains_key(&missing.soname)).collect::<Vec<_>>()
        {
            let candidates: Vec<PathBuf> = if giver == Giver::Wheel {
                missing.in_wheels.iter().map(|&native| self.survey.natives[native].path.clone()).collect()
            } else {
                let pythons = pythons.get_or_insert_with(|| self.survey.libraries_of_python(self.process));
                pythons.get(&missing.soname).cloned().into_iter().collect()
            };
            let Some(file) = candidates.into_iter().find(|path| self.fits(path, missing, remedy)) else {
                continue;
            };
            let (note, origin) = match giver {
                Giver::Wheel => (
                    format!("brought by another wheel: {}", self.survey.short(&file).display()),
                    Origin::Wheel,
                ),
                _ => (format!("this Python has it: {}", file.display()), Origin::Python),
            };
            let (soname, from) = (missing.soname.clone(), giver.name().to_owned());
            let found =
                Found { soname: soname.clone(), file, from, note, told_by: None, origin: Some(origin) };
            remedy.found.insert(soname, found);
        }
    }

    /// Whether a library that packages can do without is provided all the same.
    fn is_wished(&self, soname: &BString) -> bool {
        self.sources.optional || self.sources.pinned.settings.optional.has(&soname.to_str_lossy())
    }

    /// Whether a file is the library, defines what is asked of it, and itself fits to what is in the process.
    fn fits(&self, file: &Path, missing: &Missing, remedy: &Remedy) -> bool {
        let Opened::Elf(_, elf) = self.survey.files.open(file) else { return false };
        let defined = elf.version_definitions.as_deref();
        elf.target == self.survey.loader.target
            && elf.soname.as_ref() == Some(&missing.soname)
            && missing.versions.iter().all(|version| defined.is_none_or(|defined| defined.contains(version)))
            && self.clash(file, remedy).is_none()
    }

    /// The first version that a library, or what it brings in, asks for in vain: both sides, in words.
    fn clash(&self, file: &Path, remedy: &Remedy) -> Option<String> {
        let provided = remedy.provided();
        let loading = if provided.is_empty() {
            self.process.load(file, None, &no_fallback)
        } else {
            self.process.load(file, None, &|soname, _| provided.get(soname).cloned())
        };
        let missing: BTreeSet<_> = loading.unmet().map(|need| loading.soname(need)).collect();
        let problem = loading
            .version_problems
            .iter()
            .find(|problem| problem.shortfall.is_fatal() && !missing.contains(problem.file.as_bstr()))?;
        let asker = loading.object(problem.by).path.display().to_string();
        let found = problem.found_in.map_or_else(
            || problem.file.to_string(),
            |index| loading.object(index).path.display().to_string(),
        );
        Some(format!("{asker} needs version {} of {found}, which does not define it", problem.version))
    }

    fn nix(&mut self, wants: &[Want]) -> Result<Outcome, Error> {
        let nix = nix(self.sources, &(self.keep_in)()?)?;
        self.ask(|context| nix.provide(wants, context))
    }

    fn apt(&mut self, wants: &[Want]) -> Result<Outcome, Error> {
        let apt = apt(self.sources, &(self.keep_in)()?);
        if self.sources.system {
            let target = self.survey.loader.target;
            let mut look_again = |wants: &[Want]| {
                let files = crate::files::SystemFiles::new();
                let mut silent = |_| {};
                let interrupt = Interrupt::default();
                let mut context = Context {
                    files: &files,
                    accept_inexact: false,
                    progress: &mut silent,
                    interrupt: &interrupt,
                };
                host::provide(wants, &Places::of_this_machine(&files, target), &mut context)
            };
            return self.ask(|context| apt.install(wants, &mut look_again, context));
        }
        self.ask(|context| apt.unpack(wants, context))
    }

    fn ask(
        &mut self,
        work: impl FnOnce(&mut Context<'_>) -> Result<Outcome, Error>,
    ) -> Result<Outcome, Error> {
        let mut context = Context {
            files: &self.survey.files,
            accept_inexact: self.sources.accept_inexact,
            progress: &mut *self.progress,
            interrupt: self.interrupt,
        };
        work(&mut context)
    }

    /// Takes what was given, unless it clashes with what the process has.
    fn take(
        &self,
        outcome: Outcome,
        wants: &mut Vec<Want>,
        remedy: &mut Remedy,
        reasons: &mut HashMap<String, Vec<Refused>>,
    ) {
        for provision in outcome.provisions {
            let soname = BString::from(provision.soname.as_str());
            let systems = &self.sources.pinned.systems;
            let mut also: Vec<Found> = dependencies(&provision, systems, &outcome.hashes);
            also.retain(|found| !remedy.found.contains_key(&found.soname));
            let found = Found {
                soname: soname.clone(),
                file: provision.file.clone(),
                from: giver(&provision.by),
                note: provision.note.clone(),
                told_by: told_by(&provision.by, wants.iter().find(|want| want.soname == provision.soname)),
                origin: pinned::origin(&provision.by, systems, &outcome.hashes),
            };
            let added: Vec<BString> = also.iter().map(|found| found.soname.clone()).collect();
            remedy.found.extend(also.into_iter().map(|found| (found.soname.clone(), found)));
            if let Some(reason) = self.clash(&provision.file, remedy) {
                for soname in added {
                    remedy.found.remove(&soname);
                }
                let refused = Refused { soname: provision.soname.clone(), reason, hint: None };
                reasons.entry(provision.soname).or_default().push(refused);
                continue;
            }
            remedy.found.insert(soname, found);
            wants.retain(|want| want.soname != provision.soname);
        }
        for refused in outcome.refused {
            reasons.entry(refused.soname.clone()).or_default().push(refused);
        }
    }
}

/// Whose packages fit to a Python: those of a store to one from a store, or where a package set of Nix is named, or where
/// there is no apt.
#[must_use]
pub fn package_set(loader: &Path, distribution: &Distribution, named: bool) -> Kind {
    let from_store = loader.starts_with("/nix/store")
        || std::fs::canonicalize(loader).is_ok_and(|path| path.starts_with("/nix/store"));
    let debian = matches!(distribution, Distribution::Debian(_));
    if from_store || named || !debian { Kind::Nix } else { Kind::Debian }
}

/// The release of Debian whose names of packages are tried first.
#[must_use]
pub fn suite(distribution: &Distribution) -> Suite {
    match distribution {
        Distribution::Debian(suite) => *suite,
        _ => Suite::Debian13,
    }
}

/// Who told that the package which gave a library has it.
fn told_by(by: &Provider, want: Option<&Want>) -> Option<String> {
    let candidates = &want?.candidates;
    let suite = Suite::Debian12;
    let candidate = match by {
        Provider::Host { .. } => None,
        Provider::Nix { attribute, .. } => candidates.nix().find(|(name, _)| name == attribute),
        Provider::Apt { package, .. } | Provider::Installed { package } => {
            candidates.debian(suite).find(|(name, _)| name == package)
        }
    };
    candidate.map(|(_, candidate): (&str, &Candidate)| Witness::to_string(&candidate.told_by))
}

/// By which name a package set would be asked for a library.
fn would_ask(set: &str, want: &Want) -> Option<String> {
    let exact = |(_, candidate): &(&str, &Candidate)| candidate.exact;
    let name = match set {
        "nix" => want.candidates.nix().find(exact)?.0.to_owned(),
        _ => want.candidates.debian(Suite::Debian12).find(exact)?.0.to_owned(),
    };
    Some(format!("{set}: {name}"))
}

/// What a provision needs besides and would not find by itself.
fn dependencies(provision: &Provision, systems: &Systems, hashes: &BTreeMap<String, String>) -> Vec<Found> {
    let from = giver(&provision.by);
    let found = |(soname, file): (&String, &PathBuf)| Found {
        soname: soname.as_str().into(),
        file: file.clone(),
        from: from.clone(),
        note: format!("needed by {}", provision.soname),
        told_by: None,
        origin: pinned::origin_of_dependency(file, &provision.by, systems, hashes),
    };
    provision.dependencies.iter().map(found).collect()
}

fn giver(provider: &Provider) -> String {
    match provider {
        Provider::Host { .. } => "host".to_owned(),
        Provider::Nix { attribute, .. } => format!("nix: {attribute}"),
        Provider::Apt { package, version, .. } => format!("apt: {package} {version}"),
        Provider::Installed { package } => format!("apt: {package}, installed"),
    }
}

/// Why nobody gave a library: the reasons of all that were asked, as one.
fn refusal(want: &Want, reasons: &[Refused]) -> Refused {
    let hint = reasons.iter().rev().find_map(|refused| refused.hint.clone());
    let reason = match reasons.last() {
        Some(last) => last.reason.clone(),
        None => "nobody that was asked has it".to_owned(),
    };
    Refused { soname: want.soname.clone(), reason, hint }
}

/// What all package sets together took.
#[must_use]
pub fn total(costs: &[(&'static str, Cost)]) -> Cost {
    costs.iter().fold(Cost::default(), |sum, (_, cost)| Cost {
        built: sum.built + cost.built,
        downloaded: sum.downloaded + cost.downloaded,
        bytes: sum.bytes + cost.bytes,
        time: sum.time + cost.time,
    })
}
