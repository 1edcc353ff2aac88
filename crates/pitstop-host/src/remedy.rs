//! Finding what mends an environment: each missing library from the first who has it, and what that library lacks in turn.
//!
//! The order is fixed: the environment's own wheels, Python's own libraries, the machine, then a package set. One process
//! has one `libssl.so.3`, so what is nearest to the process comes first.

mod asking;
mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::diagnose::{Diagnosis, Missing};
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::{Process, no_fallback};
use pitstop_core::locate::{Candidate, Distribution, Suite, locate};

use crate::provide::host::{self, Places};
use crate::provide::{Context, Cost, Error, Event, Interrupt, Outcome, Provider, Provision, Refused, Want};
use crate::survey::Survey;

pub use asking::{apt, ask_all, asks_nix, nix};
pub use record::{Kept, Record, RecordError};

/// Rounds of looking for what libraries that were found lack themselves. Real closures end after three or four.
const ROUNDS_MAX: usize = 32;

/// Where libraries may come from.
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
    /// The folder whose `pitstop.lock` and `flake.lock` count.
    pub project: Option<PathBuf>,
    /// The working folder, for a relative `--nixpkgs`.
    pub folder: PathBuf,
    /// A folder for what may be thrown away: package lists, downloads.
    pub cache: PathBuf,
    /// Whether only what is already known may be used: nothing is evaluated, downloaded or built.
    pub offline: bool,
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
}

impl Remedy {
    /// The files by soname, as the diagnosis takes them.
    #[must_use]
    pub fn provided(&self) -> BTreeMap<BString, PathBuf> {
        self.found.iter().map(|(soname, found)| (soname.clone(), found.file.clone())).collect()
    }
}

/// A search for what mends one environment.
pub struct Search<'a> {
    /// The environment.
    pub survey: &'a Survey,
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
}

impl Search<'_> {
    /// Looks for everything that is missing. `known` is what an earlier fix provided and what is still there.
    ///
    /// An error means that a package set could not be asked at all; what one of them does not have is in
    /// [`Remedy::refused`].
    pub fn run(mut self, known: BTreeMap<BString, Found>) -> Result<Remedy, Error> {
        let mut remedy = Remedy { found: known, ..Remedy::default() };
        let mut given_up: BTreeSet<BString> = BTreeSet::new();
        remedy.after = self.survey.diagnose(self.process, &remedy.provided());
        for _ in 0..ROUNDS_MAX {
            if self.interrupt.is_requested() {
                return Err(Error::Interrupted);
            }
            let open: Vec<Missing> = remedy
                .after
                .required()
                .filter(|missing| !given_up.contains(&missing.soname))
                .cloned()
                .collect();
            if open.is_empty() {
                break;
            }
            let left = self.round(&open, &mut remedy)?;
            given_up.extend(left);
            remedy.after = self.survey.diagnose(self.process, &remedy.provided());
        }
        // What was provided for nobody any more is let go.
        let used: BTreeSet<&PathBuf> = remedy.after.preloads.values().flatten().collect();
        remedy.found.retain(|_, found| used.contains(&found.file));
        Ok(remedy)
    }

    /// Asks everyone in turn for what is still open; gives what nobody has.
    fn round(&mut self, open: &[Missing], remedy: &mut Remedy) -> Result<Vec<BString>, Error> {
        let mut wants: Vec<Want> = open.iter().map(|missing| self.want(missing)).collect();
        let mut reasons: HashMap<String, Vec<Refused>> = HashMap::new();
        let mut left: Vec<BString> = Vec::new();

        self.near(open, remedy);
        wants.retain(|want| !remedy.found.contains_key(want.soname.as_bytes().as_bstr()));
        if !wants.is_empty() {
            let outcome = {
                let target = self.survey.loader.target;
                self.ask(|context| {
                    let places = Places::of_this_machine(context.files, target);
                    Ok(host::provide(&wants, &places, context))
                })?
            };
            self.take(outcome, &mut wants, remedy, &mut reasons);
        }
        for &set in self.package_sets() {
            if wants.is_empty() {
                break;
            }
            if self.sources.offline {
                let (known, unknown): (Vec<Want>, Vec<Want>) =
                    wants.into_iter().partition(|want| would_ask(set, want).is_some());
                let pending = |want: &Want| Some((want.soname.clone(), would_ask(set, want)?));
                remedy.pending.extend(known.iter().filter_map(pending));
                left.extend(known.iter().map(|want| BString::from(want.soname.as_str())));
                wants = unknown;
                continue;
            }
            let outcome = match set {
                "nix" => self.nix(&wants)?,
                _ => self.apt(&wants)?,
            };
            remedy.costs.push((set, outcome.cost));
            self.take(outcome, &mut wants, remedy, &mut reasons);
        }
        left.extend(wants.iter().map(|want| BString::from(want.soname.as_str())));
        for want in wants {
            remedy.refused.push(refusal(&want, reasons.get(&want.soname).map_or(&[], Vec::as_slice)));
        }
        Ok(left)
    }

    fn want(&self, missing: &Missing) -> Want {
        let soname = missing.soname.to_str_lossy().into_owned();
        Want {
            candidates: locate(&soname),
            soname,
            target: self.survey.loader.target,
            versions: missing.versions.iter().cloned().collect(),
        }
    }

    /// What the environment's own wheels and its Python have: no download, no second version, no clash.
    fn near(&self, open: &[Missing], remedy: &mut Remedy) {
        let mut pythons = None;
        for missing in open {
            let wheels = missing.in_wheels.iter().map(|&native| &self.survey.natives[native].path);
            let wheel =
                wheels.map(|path| (path.clone(), "wheel")).find(|(path, _)| self.fits(path, missing, remedy));
            let own = || {
                let pythons = pythons.get_or_insert_with(|| self.survey.libraries_of_python(self.process));
                let path = pythons.get(&missing.soname)?.clone();
                Some((path, "python")).filter(|(path, _)| self.fits(path, missing, remedy))
            };
            let Some((file, from)) = wheel.or_else(own) else { continue };
            let note = match from {
                "wheel" => format!("brought by another wheel: {}", self.survey.short(&file).display()),
                _ => format!("this Python has it: {}", file.display()),
            };
            let found = Found { soname: missing.soname.clone(), file, from: from.to_owned(), note };
            remedy.found.insert(missing.soname.clone(), found);
        }
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

    /// The package sets to ask. A Python from a store fits to libraries from a store, one from a distribution to the
    /// distribution's; naming a package set settles it.
    fn package_sets(&self) -> &'static [&'static str] {
        if asks_nix(&self.survey.loader.path, self.sources) { &["nix"] } else { &["apt"] }
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
            let mut also: Vec<Found> = dependencies(&provision);
            also.retain(|found| !remedy.found.contains_key(&found.soname));
            let found = Found {
                soname: soname.clone(),
                file: provision.file.clone(),
                from: giver(&provision.by),
                note: provision.note.clone(),
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
fn dependencies(provision: &Provision) -> Vec<Found> {
    let from = giver(&provision.by);
    let found = |(soname, file): (&String, &PathBuf)| Found {
        soname: soname.as_str().into(),
        file: file.clone(),
        from: from.clone(),
        note: format!("needed by {}", provision.soname),
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
