//! From what a person names to an environment that was looked at.

use std::path::{Path, PathBuf};

use pitstop_core::locate::Distribution;
use pitstop_host::environment::{Environment, EnvironmentError};
use pitstop_host::python::PythonError;
use pitstop_host::survey::{Asking, Survey, SurveyError};

use crate::error::CommandError;
use crate::exit::ExitStatus;

/// The environment that is meant: the one named, else the active one, else `.venv` here or above.
pub(super) fn environment(named: Option<&Path>) -> Result<Environment, CommandError> {
    let found = match named {
        Some(path) => Environment::open(path),
        None => {
            let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            Environment::implied(std::env::var_os("VIRTUAL_ENV").as_deref(), &here)
        }
    };
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
            "this Python was built for another system: make the environment with a Python of this machine"
        }
        SurveyError::StaticPython(_) => "make the environment with a Python that is linked dynamically",
    };
    CommandError::new(ExitStatus::Usage, error).hint(hint)
}

/// Says what it means that Python was not asked.
pub(super) fn python_note(trouble: &PythonError) -> String {
    format!("this Python does not start here, so its files were read instead: {trouble}")
}

/// What this machine runs.
pub(super) fn distribution() -> Distribution {
    let text =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    Distribution::from_os_release(&text.unwrap_or_default())
}
