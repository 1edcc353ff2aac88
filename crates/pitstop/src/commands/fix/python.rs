//! Foreign Pythons: one that was built for another system and cannot start here is made to start, once for every
//! environment that uses it. What is done lies with that Python, not with an environment.

use std::path::{Path, PathBuf};

use pitstop_host::apply::Venv;
use pitstop_host::environment::Environment;
use pitstop_host::programs::{Programs, loader_of_this_machine};
use pitstop_host::provide::Interrupt;
use pitstop_host::survey::{Asking, Survey, SurveyError};

use super::super::patch::{self, Wish};
use super::{refused, shown_path};
use crate::args;
use crate::commands::target;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::Output;

/// The folder of an environment's Python: that above the `bin` which its executable really lies in.
pub(in crate::commands) fn home(environment: &Environment) -> Result<PathBuf, CommandError> {
    let named = environment.python.as_deref();
    let real = named.and_then(|named| std::fs::canonicalize(named).ok());
    let home = real.as_deref().and_then(Path::parent).and_then(Path::parent);
    let failed = || {
        let cause = SurveyError::NoPython {
            root: environment.root.clone(),
            cause: "its bin folder leads to none".to_owned(),
        };
        target::survey_error(cause)
    };
    home.map(Path::to_owned).ok_or_else(failed)
}

/// Looks at an environment; where its Python cannot start, that is mended first.
pub(super) fn survey(
    environment: Environment,
    sources: &args::Sources,
    dry_run: bool,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Survey, CommandError> {
    let looked = Survey::of(environment.clone(), Asking::Allowed);
    let starts = match &looked {
        Ok(survey) => survey.python_trouble.is_none(),
        Err(SurveyError::Loader(_)) => false,
        Err(_) => true,
    };
    if starts || dry_run || !mend(&environment, sources, interrupt, output)? {
        return looked.map_err(target::survey_error);
    }
    target::survey(environment, Asking::Allowed)
}

/// Makes an environment's Python start; false where that is not what is wrong with it.
fn mend(
    environment: &Environment,
    sources: &args::Sources,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<bool, CommandError> {
    let (Some(loader), Ok(home)) = (loader_of_this_machine(), home(environment)) else { return Ok(false) };
    let Some(named) = &environment.python else { return Ok(false) };
    let Ok(executable) = std::fs::canonicalize(named) else { return Ok(false) };
    let programs = [executable.clone()];
    let survey = Survey::of_programs(home.clone(), &programs, &loader).map_err(target::survey_error)?;
    let modules = modules(&home);
    if Programs::of(&survey, Asking::Allowed, &std::collections::HashMap::new()).stranded().is_empty() {
        return Ok(false);
    }
    if home.starts_with("/nix/store") || home == Path::new("/usr") || home == Path::new("/") {
        let cause = format!("{} cannot start here, and is not pitstop's to change", executable.display());
        return Err(CommandError::new(ExitStatus::Refused, std::io::Error::other(cause))
            .hint("make the environment with a Python of this machine, or with one in your own folder"));
    }
    let whole = shown_path(&home);
    output.note(&format!("{whole}: this Python was built for another system and cannot start here"));
    let venv = Venv::lock(&home).map_err(refused)?;
    let wish = Wish { loader: None, folders: &[], modules: &modules };
    let (report, status) = patch::mend(&venv, &survey, &wish, sources, false, interrupt, output)?;
    if status != ExitStatus::Success {
        let words = report.failing.first().map_or_else(String::new, |failing| format!(": {}", failing.words));
        let cause = format!("{} could not be made to start{words}", executable.display());
        return Err(CommandError::new(status, std::io::Error::other(cause))
            .hint("make the environment with a Python of this machine"));
    }
    output.note(&format!(
        "it starts now, for every environment that uses it; `pitstop undo --python {}` takes that back",
        shown_path(&environment.root)
    ));
    Ok(true)
}

/// The extension modules of a Python's own library.
fn modules(home: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let of_python = |folder: &PathBuf| {
        folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python3"))
    };
    let libraries = entries(home.join("lib")).into_iter().filter(of_python);
    let mut modules: Vec<PathBuf> =
        libraries.flat_map(|library| entries(library.join("lib-dynload"))).collect();
    modules.retain(|module| module.extension().is_some_and(|extension| extension == "so"));
    modules.sort();
    modules
}
