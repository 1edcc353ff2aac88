//! From a file that a process opens, by way of who brought in whom, to a file that asks.

use std::path::PathBuf;

use pitstop_core::ldso::{Loading, ObjectIndex, Outcome};
use serde::Serialize;

use super::Scene;
use crate::commands::tree::graph::{known, outcome_edge};
use crate::commands::tree::render::plain_rule;
use crate::commands::tree::subject::shown_path;

/// One way to the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Chain {
    /// The package of the first file.
    pub(super) package: Option<String>,
    /// Files, from the one that a process opens to the one that asks.
    pub(super) files: Vec<String>,
    /// The file that is found.
    pub(super) found: Option<String>,
    /// By which rule it is, or why it is not, as in `pitstop tree --json`.
    pub(super) rule: &'static str,
    /// The same in words.
    #[serde(skip)]
    pub(super) words: String,
}

impl Chain {
    /// Whether the loader gives up at its end.
    pub(super) fn is_missing(&self) -> bool {
        self.found.is_none() && self.rule != "passed-over"
    }

    /// All but the file that is opened: what several files have in common.
    pub(super) fn tail(&self) -> (&[String], Option<&str>) {
        // Whether another file had brought it in before says nothing of the way.
        (self.files.get(1..).unwrap_or_default(), self.found.as_deref())
    }
}

/// A version of the library that somebody asks for and that it does not define.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct VersionChain {
    /// The package of the first file.
    pub(super) package: Option<String>,
    /// Files, from the one that a process opens to the one that asks.
    pub(super) files: Vec<String>,
    /// The version.
    pub(super) version: String,
    /// The file that does not define it.
    pub(super) found: Option<String>,
}

/// The ways to `soname` in one loading, and who asks for it first in vain.
pub(super) fn chains_of(
    scene: &Scene<'_>,
    loading: &Loading,
    soname: &str,
    package: Option<&str>,
) -> (Vec<Chain>, Option<ObjectIndex>) {
    let mut missing_at = None;
    let mut chains = Vec::new();
    for need in loading.needs.iter().filter(|need| loading.soname(need) == soname) {
        let edge = outcome_edge(&need.outcome, loading.soname(need));
        if edge.is_fatal() && need.outcome.is_fatal() {
            missing_at = missing_at.or(Some(need.by));
        }
        let found = need.outcome.object();
        let words = match (&need.outcome, found) {
            (Outcome::Unusable { why, .. }, _) => format!("unusable: {}", crate::output::shown(&**why)),
            (_, Some(object)) if object < loading.first_index() => {
                format!("already loaded by {}", scene.opener)
            }
            _ => plain_rule(edge.rule).to_owned(),
        };
        chains.push(Chain {
            package: package.map(str::to_owned),
            files: files(scene, loading, need.by),
            found: found.map(|object| name(scene, loading, object)),
            rule: edge.rule,
            words,
        });
    }
    (chains, missing_at)
}

/// The files of one loading that ask for a version of `soname` which is not there.
pub(super) fn version_chains_of(
    scene: &Scene<'_>,
    loading: &Loading,
    soname: &str,
    package: Option<&str>,
) -> Vec<VersionChain> {
    let problems = loading.version_problems.iter();
    problems
        .filter(|problem| problem.shortfall.is_fatal() && problem.file == soname)
        .map(|problem| VersionChain {
            package: package.map(str::to_owned),
            files: files(scene, loading, problem.by),
            version: problem.version.to_string(),
            found: problem.found_in.map(|object| name(scene, loading, object)),
        })
        .collect()
}

fn files(scene: &Scene<'_>, loading: &Loading, asker: ObjectIndex) -> Vec<String> {
    loading.chain(asker).into_iter().map(|index| name(scene, loading, index)).collect()
}

fn name(scene: &Scene<'_>, loading: &Loading, index: ObjectIndex) -> String {
    let object = loading.object(index);
    let Some(survey) = scene.survey else { return shown_path(&object.path) };
    let path: PathBuf = known(survey, object);
    shown_path(survey.short(&path))
}
