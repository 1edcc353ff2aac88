//! From what a person names to an environment that was looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::BString;

use pitstop_core::locate::Distribution;
use pitstop_host::apply::{self, Status};
use pitstop_host::environment::{Environment, EnvironmentError};
use pitstop_host::python::PythonError;
use pitstop_host::remedy::Record;
use pitstop_host::survey::{Asking, Survey, SurveyError};

use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// The environment that is meant: the one named, else the active one, else `.venv` here or above.
pub(super) fn environment(named: Option<&Path>) -> Result<Environment, CommandError> {
    let implied = || {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Environment::implied(std::env::var_os("VIRTUAL_ENV").as_deref(), &here)
    };
    let found = named.map_or_else(implied, Environment::open);
    found.map_err(|error: EnvironmentError| {
        let hint = error.hint();
        CommandError::new(ExitStatus::Usage, error).hint(hint)
    })
}

/// Looks at an environment.
pub(super) fn survey(environment: Environment, asking: Asking) -> Result<Survey, CommandError> {
    Survey::of(environment, asking).map_err(survey_error)
}

/// Says what to do about an environment that cannot be looked at.
pub(super) fn survey_error(error: SurveyError) -> CommandError {
    let hint = match &error {
        SurveyError::NoPython { .. } => {
            "install that Python again, or make the environment anew with one that is there: `python3 -m venv --clear VENV`"
        }
        SurveyError::Start(_) | SurveyError::Loader(_) => {
            "this Python was built for another system: `pitstop fix` makes it start, or make the environment with a Python of this machine"
        }
        SurveyError::StaticPython(_) => "make the environment with a Python that is linked dynamically",
    };
    CommandError::new(ExitStatus::Usage, error).hint(hint)
}

/// Names what could not be read (paths and causes), and says what that means.
pub(super) fn tell_unread<'a>(unread: impl IntoIterator<Item = (&'a str, &'a str)>, output: &Output) {
    let mut some = false;
    for (path, cause) in unread {
        output.warning(&format!("{path} could not be read: {cause}"));
        some = true;
    }
    if some {
        output.hint(
            "what that needs is not known: mend its permissions, or install the package that it belongs to again",
        );
    }
}

/// Says what it means that Python was not asked.
pub(super) fn python_note(trouble: &PythonError) -> String {
    format!(
        "this Python does not start here (`pitstop fix` mends that where libraries are lacking), so its files were read instead: {}",
        shown(trouble.to_string())
    )
}

/// What this machine runs.
pub(super) fn distribution() -> Distribution {
    Distribution::from_os_release(&os_release())
}

/// What it says of itself.
pub(super) fn os_release() -> String {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    files.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

/// What a fix of this environment provides, while the fix is whole. Nothing is read where there is none.
pub(super) fn provided_by_fix(survey: &Survey, notes: &mut Vec<String>) -> BTreeMap<BString, PathBuf> {
    let root = &survey.environment.root;
    let Ok(Some(record)) = Record::read(root) else { return BTreeMap::new() };
    if !record.fits(survey) || !matches!(apply::status(root), Ok(Status::Whole(_))) {
        notes.push(
            "an earlier fix is no longer whole, so it is not counted (see `pitstop status`)".to_owned(),
        );
        return BTreeMap::new();
    }
    let found = record.found(survey);
    let plural = if found.len() == 1 { "library comes" } else { "libraries come" };
    notes.push(format!("{} {plural} from outside, by `pitstop fix`", found.len()));
    found.into_iter().map(|(soname, found)| (soname, found.file)).collect()
}
