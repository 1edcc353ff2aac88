//! Libraries out of a package set of Nix.
//!
//! One evaluation learns of every attribute in question; one `nix-store --realise` fetches or builds what is not there;
//! only then is it seen whether the file exists, and for those where it does not, the next idea is taken. What is used
//! gets an indirect root beside the venv. Nix itself is the only one here to use a network.

mod evaluate;
mod hash;
mod log;
mod package_set;
mod packages;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use pitstop_core::elf::Elf;
use pitstop_core::locate::Class;
use pitstop_core::lockfile::LockedSet;

pub use package_set::{PackageSet, Reference};
pub use packages::{Package, Packages};

use super::child::{self, Stream};
use super::{Context, Cost, Error, Event, Outcome, Provider, Provision, Refused, Want, fitting, soname_of};
use evaluate::{Idea, Set, State};
use log::Log;

/// What a whole log of Nix took, and its words: for fuzzing, which sees public items alone.
#[doc(hidden)]
#[must_use]
pub fn read_log(bytes: &[u8]) -> (Cost, String) {
    let mut log = Log::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        log.line(line);
    }
    (log.cost(), log.words("", &[]))
}

/// Said where Nix is not installed.
const MISSING_HINT: &str = "Install Nix (https://nixos.org/download), or choose another provider";

/// Nix, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Nix {
    /// Where libraries are taken from.
    pub set: PackageSet,
    /// The folder for roots, absolute: one link for each store path in use. Made when needed.
    pub roots: PathBuf,
    /// Variables set for Nix, beside those inherited.
    pub environment: Vec<(OsString, OsString)>,
}

/// One store path in which the library of one want may be.
#[derive(Clone, Debug)]
struct Attempt {
    attribute: String,
    derivation: String,
    output: String,
    path: PathBuf,
    /// What the library is called there.
    soname: String,
    exact: bool,
}

/// A want on its way.
struct Search<'a> {
    want: &'a Want,
    attempts: VecDeque<Attempt>,
    /// Why earlier ideas failed.
    reasons: Vec<String>,
    hint: Option<String>,
    found: Option<(Attempt, PathBuf, Arc<Elf>)>,
}

impl Nix {
    /// Provides what the package set has. Wants of class driver or libc are refused.
    pub fn provide(&self, wants: &[Want], context: &mut Context<'_>) -> Result<Outcome, Error> {
        let started = Instant::now();
        let (mut searches, mut outcome) = (Vec::new(), Outcome::default());
        for want in wants {
            match unsuitable(want, context.accept_inexact) {
                Some(reason) => {
                    let soname = want.soname.clone();
                    outcome.refused.push(Refused { soname, reason: reason.into(), hint: None });
                }
                None => searches.push(want),
            }
        }
        if searches.is_empty() {
            return Ok(outcome);
        }
        let names: BTreeSet<&str> = searches
            .iter()
            .flat_map(|want| want.candidates.nix())
            .filter(|(_, candidate)| candidate.exact || context.accept_inexact)
            .map(|(name, _)| name)
            .collect();
        (context.progress)(Event::Step("asking the package set".into()));
        let names: Vec<&str> = names.into_iter().collect();
        let (set, ideas) = evaluate::evaluate(self, &names, context)?;
        let ideas: BTreeMap<&str, &Idea> = ideas.iter().map(|idea| (idea.name.as_str(), idea)).collect();
        let mut searches: Vec<Search<'_>> = searches
            .into_iter()
            .map(|want| Search::new(want, &ideas, &set.describe(self), context.accept_inexact))
            .collect();

        // Derivations that this run built or fetched.
        let mut fresh = BTreeSet::new();
        while searches.iter().any(Search::is_open) {
            self.round(&mut searches, &mut fresh, &mut outcome.cost, context)?;
        }
        let found = searches.iter().any(|search| search.found.is_some());
        let locked = if found { self.locked(&set, context)? } else { LockedSet::default() };
        for search in searches {
            self.conclude(search, (&set, &locked), &fresh, &mut outcome, context)?;
        }
        outcome.cost.time = started.elapsed();
        Ok(outcome)
    }

    /// Realises the next attempt of every open search together, and looks for the files.
    fn round(
        &self,
        searches: &mut [Search<'_>],
        fresh: &mut BTreeSet<String>,
        cost: &mut Cost,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let open: BTreeMap<PathBuf, Attempt> = searches
            .iter()
            .filter(|search| search.is_open())
            .filter_map(|search| search.attempts.front())
            .map(|attempt| (attempt.path.clone(), attempt.clone()))
            .collect();
        let absent = self.invalid(open.keys(), context)?;
        let mut log = Log::default();
        // The links of this folder hold what was just made until it has roots of its own.
        let mut holding = None;
        if !absent.is_empty() {
            fs_err::create_dir_all(&self.roots)?;
            let folder = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.roots)?;
            let attempts = absent.iter().filter_map(|path| open.get(path));
            log = self.realise(attempts, &folder.path().join("result"), cost, context)?;
            holding = Some(folder);
        }
        let still_absent =
            if absent.is_empty() { BTreeSet::new() } else { self.invalid(absent.iter(), context)? };
        let made = absent.difference(&still_absent).filter_map(|path| open.get(path));
        fresh.extend(made.map(|attempt| attempt.derivation.clone()));
        for search in searches.iter_mut().filter(|search| search.is_open()) {
            let Some(attempt) = search.attempts.pop_front() else { continue };
            if still_absent.contains(&attempt.path) {
                let others: Vec<&str> = open.values().map(|other| other.derivation.as_str()).collect();
                let words = log.words(&attempt.derivation, &others);
                search.reasons.push(format!("{}: {words}", attempt.attribute));
                // What cannot be made has no other outputs either.
                search.attempts.retain(|other| other.derivation != attempt.derivation);
                continue;
            }
            match library(search.want, &attempt, context) {
                Ok((file, elf)) => {
                    self.root(&attempt.path, context)?;
                    search.found = Some((attempt, file, elf));
                }
                Err(reason) => search.reasons.push(reason),
            }
        }
        drop(holding);
        Ok(())
    }

    /// Which of these store paths are not in the store.
    fn invalid<'a>(
        &self,
        paths: impl Iterator<Item = &'a PathBuf>,
        context: &mut Context<'_>,
    ) -> Result<BTreeSet<PathBuf>, Error> {
        let mut command = self.command("nix-store");
        command.args(["--check-validity", "--print-invalid"]).args(paths);
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
        if !finished.status.success() {
            return Err(failed("nix-store --check-validity", &finished.errors));
        }
        Ok(String::from_utf8_lossy(&finished.output).lines().map(PathBuf::from).collect())
    }

    /// Fetches or builds. Whether it went well is seen in the store; why not, in the log.
    fn realise<'a>(
        &self,
        attempts: impl Iterator<Item = &'a Attempt>,
        root: &Path,
        cost: &mut Cost,
        context: &mut Context<'_>,
    ) -> Result<Log, Error> {
        (context.progress)(Event::Step("fetching from the package set".into()));
        let mut command = self.command("nix-store");
        command.args([
            "--realise",
            "--keep-going",
            "--log-format",
            "internal-json",
            "--indirect",
            "--add-root",
        ]);
        command.arg(root).args(attempts.map(|attempt| format!("{}!{}", attempt.derivation, attempt.output)));
        let mut log = Log::default();
        let progress = &mut context.progress;
        child::run(&mut command, MISSING_HINT, context.interrupt, &mut |stream, line| {
            if stream == Stream::Error
                && let Some(event) = log.line(line)
            {
                progress(event);
            }
        })?;
        let took = log.cost();
        cost.built += took.built;
        cost.downloaded += took.downloaded;
        cost.bytes += took.bytes;
        Ok(log)
    }

    /// Keeps a store path from being collected, for as long as the link lies where it is.
    fn root(&self, path: &Path, context: &mut Context<'_>) -> Result<(), Error> {
        fs_err::create_dir_all(&self.roots)?;
        let mut command = self.command("nix-store");
        // A link that is there already is registered again: the folder may have been moved since.
        command.args(["--realise", "--indirect", "--add-root"]).arg(self.root_of(path)).arg(path);
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
        if finished.status.success() { Ok(()) } else { Err(failed("nix-store --add-root", &finished.errors)) }
    }

    fn root_of(&self, path: &Path) -> PathBuf {
        path.file_name().map_or_else(|| self.roots.clone(), |name| self.roots.join(name))
    }

    fn conclude(
        &self,
        search: Search<'_>,
        (set, locked): (&Set, &LockedSet),
        fresh: &BTreeSet<String>,
        outcome: &mut Outcome,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let soname = search.want.soname.clone();
        let Some((attempt, file, elf)) = search.found else {
            let reason = search.reasons.join("\n");
            outcome.refused.push(Refused { soname, reason, hint: search.hint });
            return Ok(());
        };
        if context.interrupt.is_requested() {
            return Err(Error::Interrupted);
        }
        let what =
            if fresh.contains(&attempt.derivation) { "now in the store" } else { "already in the store" };
        let note =
            format!("{} of {}: {}, {what}", attempt.attribute, set.describe(self), attempt.path.display());
        outcome.provisions.push(Provision {
            soname,
            file,
            found: soname_of(&elf),
            exact: attempt.exact,
            by: Provider::Nix {
                root: self.root_of(&attempt.path),
                attribute: attempt.attribute,
                store_path: attempt.path,
                set: locked.clone(),
            },
            // A library of the store finds its own needs by its search path.
            dependencies: BTreeMap::new(),
            note,
        });
        Ok(())
    }

    /// How the package set is named again. A folder of the store has a hash; to hash another one, a checkout of nixpkgs with
    /// all its history, would take longer than the fix, and its outputs' paths say as much.
    fn locked(&self, set: &Set, context: &mut Context<'_>) -> Result<LockedSet, Error> {
        let reference = &self.set.references[set.number];
        let mut nar_hash = set.nar_hash.clone();
        let variable = self.environment.iter().find(|(name, _)| name == "NIX_STORE_DIR");
        let store = variable.map_or(Path::new("/nix/store"), |(_, folder)| Path::new(folder));
        // What the search path names is often a link, which leads elsewhere tomorrow.
        let at = match reference {
            Reference::SearchPath { .. } => fs_err::canonicalize(&set.path).unwrap_or(set.path.clone()),
            _ => set.path.clone(),
        };
        if nar_hash.is_none() && at.parent() == Some(store) {
            let mut command = self.command("nix-store");
            command.args(["--query", "--hash"]).arg(&at);
            let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
            // A path that is not valid has none; that is not what matters here.
            nar_hash = hash::to_sri(String::from_utf8_lossy(&finished.output).trim());
        }
        Ok(package_set::identity(reference, &at, set.rev.clone(), nar_hash))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = child::command(program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Keeps the store path that a file lies in from being collected, by a link in `roots`. What lies elsewhere is nobody's to
/// collect.
pub fn keep(file: &Path, roots: &Path, interrupt: &super::Interrupt) -> Result<(), Error> {
    let file = fs_err::canonicalize(file)?;
    let Ok(inside) = file.strip_prefix("/nix/store") else { return Ok(()) };
    let Some(name) = inside.components().next() else { return Ok(()) };
    fs_err::create_dir_all(roots)?;
    let mut command = child::command("nix-store");
    command.args(["--realise", "--indirect", "--add-root"]).arg(roots.join(name));
    command.arg(Path::new("/nix/store").join(name));
    let finished = child::run(&mut command, MISSING_HINT, interrupt, &mut |_, _| {})?;
    if finished.status.success() { Ok(()) } else { Err(failed("nix-store --add-root", &finished.errors)) }
}

impl<'a> Search<'a> {
    fn new(want: &'a Want, ideas: &BTreeMap<&str, &Idea>, set: &str, accept_inexact: bool) -> Self {
        let (mut attempts, mut reasons, mut hint) = (VecDeque::<Attempt>::new(), Vec::new(), None);
        for (name, candidate) in
            want.candidates.nix().filter(|(_, candidate)| candidate.exact || accept_inexact)
        {
            match ideas.get(name).map(|idea| &idea.facts) {
                None | Some(State::Absent) => reasons.push(format!("{name}: {set} has no such package")),
                Some(State::Refused { words }) => {
                    hint = hint.or_else(|| words::hint(words));
                    reasons.push(format!("{name}: {words}"));
                }
                Some(State::There { derivation, outputs }) => {
                    for output in outputs {
                        // Two names may lead to one path.
                        let seen = attempts
                            .iter()
                            .any(|earlier| earlier.path == output.path && earlier.soname == candidate.soname);
                        if seen {
                            continue;
                        }
                        attempts.push_back(Attempt {
                            attribute: name.to_owned(),
                            derivation: derivation.clone(),
                            output: output.name.clone(),
                            path: output.path.clone(),
                            soname: candidate.soname.clone(),
                            exact: candidate.exact,
                        });
                    }
                }
            }
        }
        Self { want, attempts, reasons, hint, found: None }
    }

    fn is_open(&self) -> bool {
        self.found.is_none() && !self.attempts.is_empty()
    }
}

/// Why a want is none of Nix's business, if so.
fn unsuitable(want: &Want, accept_inexact: bool) -> Option<&'static str> {
    match want.candidates.class {
        Class::Driver => Some("part of a GPU driver, which only the machine itself may provide"),
        Class::Libc => Some("a process has the libc that it started with, and no other"),
        Class::Toolchain | Class::Lib => match want.candidates.nix().next() {
            None => Some("no package of nixpkgs is known to have it"),
            Some((_, candidate)) if !candidate.exact && !accept_inexact => {
                Some("nixpkgs is known to have it only under another name or version")
            }
            Some(_) => None,
        },
    }
}

/// The library of one attempt: in `lib`, as nearly always, or in a folder below it.
fn library(want: &Want, attempt: &Attempt, context: &mut Context<'_>) -> Result<(PathBuf, Arc<Elf>), String> {
    let lib = attempt.path.join("lib");
    let mut folders = vec![lib.clone(), attempt.path.join("lib64")];
    if let Ok(entries) = fs_err::read_dir(&lib) {
        let below = entries.filter_map(Result::ok).map(|entry| entry.path());
        // A stub is there to link against, and fails when called.
        let mut below: Vec<PathBuf> =
            below.filter(|path| !path.ends_with("stubs") && path.is_dir()).collect();
        below.sort();
        folders.extend(below);
    }
    let mut misfit = None;
    for folder in folders {
        match fitting(context.files, &folder.join(&attempt.soname), want) {
            Ok(Some(elf)) => return Ok((folder.join(&attempt.soname), elf)),
            Ok(None) => {}
            Err(reason) => misfit = misfit.or(Some(reason)),
        }
    }
    let Attempt { attribute, output, soname, .. } = attempt;
    Err(misfit.unwrap_or_else(|| {
        format!("{attribute}: its output `{output}`, {}, has no {soname}", attempt.path.display())
    }))
}

fn failed(program: &str, errors: &str) -> Error {
    Error::ToolFailed { program: program.into(), words: words::message(errors), hint: None }
}
