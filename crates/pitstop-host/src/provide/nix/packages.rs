//! Whole packages, for those who name them: every output that holds something to use, and all that these refer to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use pitstop_core::lockfile::LockedSet;

use super::evaluate::{self, State};
use super::log::Log;
use super::{MISSING_HINT, Nix, failed, words};
use crate::provide::child::{self, Stream};
use crate::provide::{Context, Cost, Error, Event};

/// A package that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its attribute.
    pub attribute: String,
    /// The store paths of its outputs, the one with its libraries first.
    pub outputs: Vec<PathBuf>,
}

/// What asking for packages came to.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// Those that are there, in the order in which they were asked for.
    pub found: Vec<Package>,
    /// Where the package set lies, so that a change of it can be noticed.
    pub set: PathBuf,
    /// How the package set is named again.
    pub locked: LockedSet,
    /// What it took.
    pub cost: Cost,
}

impl Nix {
    /// Realises packages, and keeps them from being collected by links in [`Nix::roots`]. One that does not exist or cannot
    /// be built is an error, in Nix's own words: whoever names a package means it.
    pub fn packages(&self, names: &[&str], context: &mut Context<'_>) -> Result<Packages, Error> {
        let started = Instant::now();
        (context.progress)(Event::Step("asking the package set".into()));
        let (set, ideas) = evaluate::evaluate_every(self, names, context)?;
        let mut found = Vec::new();
        let (mut wanted, mut troubles, mut hint) = (Vec::new(), Vec::new(), None);
        for idea in ideas {
            match idea.facts {
                State::Absent => {
                    troubles.push(format!("{}: {} has no such package", idea.name, set.describe(self)));
                }
                State::Refused { words } => {
                    hint = hint.or_else(|| words::hint(&words));
                    troubles.push(format!("{}: {words}", idea.name));
                }
                State::There { derivation, outputs } => {
                    wanted.extend(outputs.iter().map(|output| format!("{derivation}!{}", output.name)));
                    let outputs = outputs.into_iter().map(|output| output.path).collect();
                    found.push(Package { attribute: idea.name, outputs });
                }
            }
        }
        if !troubles.is_empty() {
            return Err(Error::ToolFailed { program: "nix".into(), words: troubles.join("\n"), hint });
        }
        let mut cost = if wanted.is_empty() { Cost::default() } else { self.realise_all(&wanted, context)? };
        cost.time = started.elapsed();
        let locked = self.locked(&set, context)?;
        Ok(Packages { found, set: set.path, locked, cost })
    }

    /// Has store paths in the store that are known already, and keeps them from being collected, without asking the package
    /// set: they are there, or a cache has them. Whether that went well; if not, they must be built.
    pub fn outputs(&self, paths: &[&str], context: &mut Context<'_>) -> Result<bool, Error> {
        let wanted: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        match self.realise_all(&wanted, context) {
            Ok(_) => Ok(true),
            Err(Error::ToolFailed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn realise_all(&self, wanted: &[String], context: &mut Context<'_>) -> Result<Cost, Error> {
        fs_err::create_dir_all(&self.roots)?;
        (context.progress)(Event::Step("fetching from the package set".into()));
        let mut command = self.command("nix-store");
        command.args(["--realise", "--log-format", "internal-json", "--indirect", "--add-root"]);
        command.arg(self.roots.join("package")).args(wanted);
        let mut log = Log::default();
        let progress = &mut context.progress;
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |stream, line| {
            if stream == Stream::Error
                && let Some(event) = log.line(line)
            {
                progress(event);
            }
        })?;
        if finished.status.success() {
            return Ok(log.cost());
        }
        let derivations: BTreeSet<&str> = wanted.iter().filter_map(|one| one.split('!').next()).collect();
        let derivations: Vec<&str> = derivations.into_iter().collect();
        let told: BTreeSet<String> = derivations.iter().map(|one| log.words(one, &derivations)).collect();
        let words = told.into_iter().collect::<Vec<_>>().join("\n");
        Err(Error::ToolFailed { program: "nix-store --realise".into(), words, hint: None })
    }

    /// These store paths and all that they refer to.
    pub fn closure(&self, paths: &[PathBuf], context: &mut Context<'_>) -> Result<Vec<PathBuf>, Error> {
        let mut command = self.command("nix-store");
        command.args(["--query", "--requisites"]).args(paths);
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
        if !finished.status.success() {
            return Err(failed("nix-store --query --requisites", &finished.errors));
        }
        let mut closure: Vec<PathBuf> =
            String::from_utf8_lossy(&finished.output).lines().map(PathBuf::from).collect();
        // Nix lists what is needed before what needs it; what is nearer to the packages counts first.
        closure.reverse();
        Ok(closure)
    }
}
