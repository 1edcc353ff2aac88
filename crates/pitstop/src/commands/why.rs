//! `pitstop why`: every chain from a package to a library.

mod chains;
mod names;
mod picture;
mod render;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;
use pitstop_core::ldso::{self, Loader, Loading, Process};
use pitstop_core::locate::{Class, Source, Suite, locate};
use pitstop_core::report::{CandidateReport, SCHEMA};
use pitstop_core::targets::Role;
use pitstop_host::loader;
use pitstop_host::survey::{Asking, Survey};
use serde::Serialize;

use super::tree::graph::{Tried, tried};
use super::tree::subject::{Home, Subject, package_of, shown_path};
use super::{Done, answer_json, check, target};
use crate::args::Why;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Verbosity, shown};
use chains::{Chain, VersionChain, chains_of, version_chains_of};
use names::Match;

/// The answer, as other programs read it.
#[derive(Debug, Serialize)]
struct WhyReport {
    /// The version of this document.
    schema: u32,
    /// The name as it was given.
    asked: String,
    /// The name that it stands for.
    soname: String,
    /// The environment that was looked at.
    environment: Option<String>,
    /// The file that was looked at.
    file: Option<String>,
    /// Every way from a file that is opened to a file that asks for the library; what is missing first.
    chains: Vec<Chain>,
    /// Who asks for a version of it that is not defined.
    version_problems: Vec<VersionChain>,
    /// Whether somebody does not find it.
    missing: bool,
    /// Where the loader looked, for the first that does not find it.
    looked: Vec<Tried>,
    /// What kind of library it is: `libc`, `toolchain`, `driver` or `library`.
    class: &'static str,
    /// Who has it, best first.
    candidates: Vec<CandidateReport>,
    /// What could not be read.
    unread: Vec<String>,
}

/// One file that a process opens, and what that came to.
struct Root<'a, 'f> {
    path: PathBuf,
    process: &'a Process<'f>,
    loading: Loading,
}

/// Where the question is asked.
struct Scene<'a> {
    survey: Option<&'a Survey>,
    opener: &'static str,
}

/// Shows who asks for a library.
pub(super) fn run(why: &Why, json: bool, verbosity: Verbosity, output: &Output) -> Done {
    let report = match &why.path {
        Some(path) if path.is_file() => of_file(why, path)?,
        path => of_environment(why, path.as_deref())?,
    };
    if json {
        answer_json(output, &report)?;
    } else {
        let verbose = verbosity == Verbosity::Verbose;
        if why.drawing.is_asked() {
            picture::of(&report, verbose).answer(&why.drawing, output)?;
        } else {
            output.answer(&render::report(&report, verbose));
        }
        render::asides(&report, output);
    }
    Ok(match (report.unread.is_empty(), report.missing || !report.version_problems.is_empty()) {
        (false, _) => ExitStatus::Incomplete,
        (true, true) => ExitStatus::Missing,
        (true, false) => ExitStatus::Success,
    })
}

fn of_file(why: &Why, path: &Path) -> Result<WhyReport, CommandError> {
    let subject = Subject::open(path)?;
    if matches!(subject.home, Home::Static | Home::NoLoader { .. }) {
        let text = format!("{} is loaded by no loader of this machine", shown_path(path));
        return Err(CommandError::new(ExitStatus::Usage, text)
            .hint(format!("`pitstop tree {}` says more", shown_path(path))));
    }
    let process = subject.process(check::caller_environment())?;
    let root = Root { path: subject.file.clone(), loading: subject.load(&process), process: &process };
    let scene = Scene { survey: subject.survey(), opener: subject.opener() };
    let mut report = report(why, &scene, &[root], &shown_path(path))?;
    report.file = Some(subject.file.to_string_lossy().into_owned());
    Ok(report)
}

fn of_environment(why: &Why, path: Option<&Path>) -> Result<WhyReport, CommandError> {
    let survey = target::survey(target::environment(path)?, Asking::Allowed)?;
    let caller = check::caller_environment();
    let process = survey.process_with(caller.clone()).map_err(target::survey_error)?;
    let provided = target::provided_by_fix(&survey, &mut Vec::new());
    let diagnosis = survey.diagnose(&process, &provided);
    let paths: Vec<&Path> = diagnosis.roots.iter().map(|&root| survey.natives[root].path.as_path()).collect();
    let loadings = survey.load(&process, &provided, &paths);
    let programs = programs(&survey, &caller);
    let modules = paths.iter().zip(loadings).map(|(path, loading)| Root {
        path: path.to_path_buf(),
        process: &process,
        loading,
    });
    let started = programs.iter().map(|(path, process)| Root {
        path: path.clone(),
        process,
        loading: process.at_start().clone(),
    });
    let roots: Vec<Root<'_, '_>> = modules.chain(started).collect();
    let scene = Scene { survey: Some(&survey), opener: "python" };
    let root = shown_path(&survey.environment.root);
    let mut report = report(why, &scene, &roots, &root)?;
    report.unread = survey
        .unread
        .iter()
        .map(|unread| format!("{}: {}", shown_path(survey.short(&unread.path)), shown(&unread.cause)))
        .collect();
    Ok(report)
}

/// The programs of an environment, each started by its own loader. Those whose loader is not there ask for nothing.
fn programs<'f>(survey: &'f Survey, caller: &ldso::Environment) -> Vec<(PathBuf, Process<'f>)> {
    let mut loaders: HashMap<PathBuf, Option<Arc<Loader>>> = HashMap::new();
    let mut programs = Vec::new();
    for native in survey.natives.iter().filter(|native| native.role == Role::Executable) {
        let Some(named) = native.elf.loader.as_ref().filter(|_| native.elf.target == survey.loader.target)
        else {
            continue;
        };
        let named = named.to_path_lossy().into_owned();
        let loader =
            loaders.entry(named.clone()).or_insert_with(|| loader::ask(&named).ok().map(Arc::new)).clone();
        let started =
            loader.map(|loader| Process::start(loader, &survey.files, &native.path, caller.clone()));
        if let Some(Ok(process)) = started {
            programs.push((native.path.clone(), process));
        }
    }
    programs
}

fn report(
    why: &Why,
    scene: &Scene<'_>,
    roots: &[Root<'_, '_>],
    place: &str,
) -> Result<WhyReport, CommandError> {
    let sonames = |root: &Root<'_, '_>| -> Vec<String> {
        root.loading.needs.iter().map(|need| root.loading.soname(need).to_string()).collect()
    };
    let known: BTreeSet<String> = roots.iter().flat_map(sonames).collect();
    let soname = match names::find(&why.soname, &known) {
        Match::One(name) => name.to_owned(),
        Match::Several(names) => {
            let text = format!("{} is the beginning of {} names", shown(&why.soname), names.len());
            return Err(
                CommandError::new(ExitStatus::Usage, text).hint(format!("name one of {}", listed(&names)))
            );
        }
        Match::None(similar) => {
            let text = format!("nothing in {place} asks for {}", shown(&why.soname));
            let error = CommandError::new(ExitStatus::Usage, text);
            return Err(if similar.is_empty() {
                error.hint("libraries that code opens by itself, with dlopen, are not known here")
            } else {
                error.hint(format!("did you mean {}?", listed(&similar)))
            });
        }
    };
    let mut chains: Vec<Chain> = Vec::new();
    let mut version_problems = Vec::new();
    let mut looked = Vec::new();
    for root in roots {
        let package = scene.survey.and_then(|survey| package_of(survey, &root.path));
        let (found, missing_at) = chains_of(scene, &root.loading, &soname, package.as_deref());
        if looked.is_empty()
            && let Some(by) = missing_at
        {
            looked = tried(root.process, &root.loading, by, soname.as_bytes().as_bstr());
        }
        chains.extend(found);
        version_problems.extend(version_chains_of(scene, &root.loading, &soname, package.as_deref()));
    }
    chains.sort_by_key(|chain| chain.found.is_some());
    let located = locate(&soname);
    Ok(WhyReport {
        schema: SCHEMA,
        asked: why.soname.clone(),
        environment: scene.survey.map(|survey| survey.environment.root.to_string_lossy().into_owned()),
        file: None,
        missing: chains.iter().any(Chain::is_missing),
        chains,
        version_problems,
        looked,
        class: match located.class {
            Class::Libc => "libc",
            Class::Toolchain => "toolchain",
            Class::Driver => "driver",
            Class::Lib => "library",
        },
        candidates: located.candidates.iter().map(candidate).collect(),
        soname,
        unread: Vec::new(),
    })
}

fn candidate(candidate: &pitstop_core::locate::Candidate) -> CandidateReport {
    let (source, name) = match &candidate.source {
        Source::Nix { attribute, .. } => ("nix", attribute),
        Source::Debian { suite: Suite::Debian12, package } => ("debian12", package),
        Source::Debian { suite: Suite::Debian13, package } => ("debian13", package),
    };
    CandidateReport {
        source: source.to_owned(),
        name: name.clone(),
        soname: candidate.soname.clone(),
        exact: candidate.exact,
        told_by: candidate.told_by.to_string(),
    }
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(shown).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}
