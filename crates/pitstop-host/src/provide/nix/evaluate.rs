//! Asking a package set about attributes: one evaluation for all of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Nix, Reference, words};
use crate::provide::child::Finished;
use crate::provide::{Context, Error, child};

/// The expression; all that varies reaches it as one JSON string.
const EXPRESSION: &str = include_str!("ideas.nix");

#[derive(Serialize)]
struct Request<'a> {
    references: &'a [Reference],
    ideas: &'a [&'a str],
    every: bool,
    raise: bool,
}

/// What the package set said.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    set: Option<Set>,
    ideas: Vec<Idea>,
}

/// The package set that was used.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Set {
    /// Which of the references.
    pub(super) number: usize,
    /// Where its sources are.
    pub(super) path: PathBuf,
    /// Its commit, where known.
    pub(super) rev: Option<String>,
    /// The hash of its files, where Nix fetched it by something that knows.
    #[serde(rename = "narHash")]
    pub(super) nar_hash: Option<String>,
    /// Its release, such as `26.05pre-git`.
    pub(super) version: Option<String>,
}

/// One attribute.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Idea {
    pub(super) name: String,
    pub(super) facts: State,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum State {
    /// The set has no such attribute, or it is not a package.
    Absent,
    /// The set has it, and refuses to evaluate it; the words come with a second evaluation.
    Refused {
        #[serde(default)]
        words: String,
    },
    /// It can be realised.
    There { derivation: String, outputs: Vec<Output> },
}

/// One output of a derivation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The facts of all `names`, and of the set. Refusals carry Nix's own words.
pub(super) fn evaluate(
    nix: &Nix,
    names: &[&str],
    context: &mut Context<'_>,
) -> Result<(Set, Vec<Idea>), Error> {
    with_words(nix, names, false, context)
}

/// The same with every output that holds something to use, not only those with libraries.
pub(super) fn evaluate_every(
    nix: &Nix,
    names: &[&str],
    context: &mut Context<'_>,
) -> Result<(Set, Vec<Idea>), Error> {
    with_words(nix, names, true, context)
}

fn with_words(
    nix: &Nix,
    names: &[&str],
    every: bool,
    context: &mut Context<'_>,
) -> Result<(Set, Vec<Idea>), Error> {
    let how = How { every, raise: false };
    let finished = ask(nix, names, how, context)?;
    let (set, mut ideas) = if finished.status.success() {
        answer(nix, &finished)?
    } else {
        one_by_one(nix, names, how, context)?
    };
    for idea in &mut ideas {
        if let State::Refused { words } = &mut idea.facts
            && words.is_empty()
        {
            let finished = ask(nix, &[&idea.name], How { every, raise: true }, context)?;
            *words = words::message(&finished.errors);
        }
    }
    Ok((set, ideas))
}

/// Some errors of Nix (a missing attribute within the package, a wrong type, `abort`) cannot be caught in an expression,
/// so one bad attribute spoils the evaluation of all; then each is asked for by itself.
fn one_by_one(
    nix: &Nix,
    names: &[&str],
    how: How,
    context: &mut Context<'_>,
) -> Result<(Set, Vec<Idea>), Error> {
    let finished = ask(nix, &[], how, context)?;
    if !finished.status.success() {
        return Err(Error::NoPackageSet { reason: words::message(&finished.errors) });
    }
    let (set, mut ideas) = answer(nix, &finished)?;
    for name in names {
        let finished = ask(nix, &[name], how, context)?;
        if finished.status.success() {
            ideas.extend(answer(nix, &finished)?.1);
        } else {
            let words = words::message(&finished.errors);
            ideas.push(Idea { name: (*name).to_owned(), facts: State::Refused { words } });
        }
    }
    Ok((set, ideas))
}

fn answer(nix: &Nix, finished: &Finished) -> Result<(Set, Vec<Idea>), Error> {
    let answer: Answer = serde_json::from_slice(&finished.output).map_err(|error| Error::ToolAnswer {
        program: "nix-instantiate".into(),
        reason: error.to_string(),
    })?;
    match answer.set {
        Some(set) if set.number < nix.set.chosen_by.len() => Ok((set, answer.ideas)),
        _ => {
            let places: Vec<String> = nix.set.references.iter().map(ToString::to_string).collect();
            let reason = format!("{} does not exist", places.join(" or "));
            Err(Error::NoPackageSet { reason })
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct How {
    /// Every useful output.
    every: bool,
    /// An attribute that fails ends the evaluation, with its own words.
    raise: bool,
}

fn ask(nix: &Nix, ideas: &[&str], how: How, context: &mut Context<'_>) -> Result<Finished, Error> {
    let How { every, raise } = how;
    let request = Request { references: &nix.set.references, ideas, every, raise };
    let request = serde_json::to_string(&request)
        .map_err(|error| Error::NoPackageSet { reason: format!("its path cannot be written: {error}") })?;
    let mut command = nix.command("nix-instantiate");
    // Evaluation writes the derivations that `nix-store --realise` is then given.
    command.args(["--eval", "--strict", "--json", "--read-write-mode", "--argstr", "request"]);
    command.arg(request).args(["-E", EXPRESSION]);
    if nix.set.references.iter().any(|reference| matches!(reference, Reference::Flake { .. })) {
        command.args(["--extra-experimental-features", "nix-command flakes"]);
    }
    child::run(&mut command, super::MISSING_HINT, context.interrupt, &mut |_, _| {})
}

impl Set {
    /// The set in a few words, such as `nixpkgs 25.11 (flake.lock)`.
    pub(super) fn describe(&self, nix: &Nix) -> String {
        let chosen_by = nix.set.chosen_by.get(self.number).map_or("", String::as_str);
        match (&self.version, &self.rev) {
            (Some(version), _) => format!("nixpkgs {version} ({chosen_by})"),
            (None, Some(rev)) => format!("nixpkgs {} ({chosen_by})", rev.get(..12).unwrap_or(rev)),
            (None, None) => format!("nixpkgs ({chosen_by}: {})", self.path.display()),
        }
    }
}
