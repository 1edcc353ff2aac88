//! `pitstop try`: in a throw-away environment, install packages, check, fix, and import them.

use std::path::{Path, PathBuf};
use std::process::Command;

use pitstop_host::child::{self, Finished};
use pitstop_host::installed::{self, Importable};
use pitstop_host::python::without_loader_variables;
use serde::Serialize;
use std::time::Duration;

use super::fix::{self, FixReport, shown_path};
use super::{Done, answer_json, check, target};
use crate::args::Try;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Tone, shown};

/// How long pip may take; a slow network and a large wheel take minutes.
const INSTALL_LIMIT: Duration = Duration::from_hours(1);
/// How long one import may take.
const IMPORT_LIMIT: Duration = Duration::from_mins(5);

/// What `try --json` prints.
#[derive(Debug, Serialize)]
struct TryReport {
    schema: u32,
    environment: String,
    fix: FixReport,
    imports: Vec<ImportReport>,
}

#[derive(Debug, Serialize)]
struct ImportReport {
    package: String,
    module: String,
    works: bool,
    words: Option<String>,
}

/// Tries the packages.
pub(super) fn run(arguments: &Try, json: bool, output: &Output) -> Done {
    let folder = tempfile::Builder::new().prefix("pitstop-try-").tempdir().map_err(|error| {
        CommandError::new(ExitStatus::Refused, error).hint("set TMPDIR to a folder that can be written to")
    })?;
    let venv = folder.path().join("venv");
    make(arguments, &venv, output)?;
    let python = venv.join("bin/python");

    let environment = target::environment(Some(&venv))?;
    let imports = installed::importable(&environment, &arguments.packages);
    if !json {
        check::look(&venv, output)?;
    }
    let (fix, fixed) = fix::mend(&venv, &arguments.sources, None, false, json, output)?;
    let mut reports = Vec::new();
    let mut status = fixed;
    for Importable { package, modules } in imports {
        let report = import(&python, package, &modules);
        if !report.works {
            status = status.max(ExitStatus::Missing);
        }
        if !json {
            tell(&report, output);
        }
        reports.push(report);
    }
    if arguments.keep {
        let kept = folder.keep();
        output.note(&format!("kept: {}", shown_path(&kept.join("venv"))));
    }
    if json {
        let environment = shown_path(&venv);
        answer_json(output, &TryReport { schema: 1, environment, fix, imports: reports })?;
    }
    Ok(status)
}

/// Makes the environment and installs the packages.
fn make(arguments: &Try, venv: &Path, output: &Output) -> Result<(), CommandError> {
    let python = &arguments.python;
    output.note(&format!("making an environment with {}", shown_path(python)));
    let mut command = Command::new(python);
    command.args(["-m", "venv"]).arg(venv);
    succeed(&mut command, &format!("{} -m venv", shown_path(python)), venv_hint)?;

    let packages = arguments.packages.join(" ");
    output.note(&format!("installing {}", shown(&packages)));
    let mut command = Command::new(venv.join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--"]);
    command.args(&arguments.packages);
    succeed(&mut command, "pip install", |_| {
        "check the names of the packages, and whether their index can be reached".to_owned()
    })
}

fn venv_hint(words: &str) -> String {
    if words.contains("ensurepip") {
        "on Debian, venv comes by itself: `sudo apt install python3-venv`".to_owned()
    } else {
        "name a Python that can make environments: `--python /path/to/python3`".to_owned()
    }
}

/// Runs a command that must succeed; otherwise its last words are the error.
fn succeed(command: &mut Command, name: &str, hint: impl Fn(&str) -> String) -> Result<(), CommandError> {
    without_loader_variables(command);
    let failed = |words: String, hint: String| {
        let status = if name.starts_with("pip") { ExitStatus::Provider } else { ExitStatus::Usage };
        CommandError::new(status, format!("{name} failed: {words}")).hint(hint)
    };
    match child::run(command, INSTALL_LIMIT) {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => {
            let said = format!("{}{}", text(&finished.stdout), text(&finished.stderr));
            Err(failed(shown(words(&finished)), hint(&said)))
        }
        Err(error) => Err(failed(error.to_string(), hint(""))),
    }
}

/// pip's own error line where there is one, else the last words.
fn words(finished: &Finished) -> String {
    let errors = text(&finished.stderr);
    let line = errors.lines().rev().find_map(|line| line.strip_prefix("ERROR: "));
    line.map_or_else(|| finished.last_words(), str::to_owned)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Imports a package's modules in one Python, with no variable set by us.
fn import(python: &PathBuf, package: String, modules: &[String]) -> ImportReport {
    let module = modules.join(", ");
    let code = modules.iter().map(|module| format!("import {module}\n")).collect::<String>();
    let mut command = Command::new(python);
    without_loader_variables(command.args(["-I", "-c", &code]));
    let words = match child::run(&mut command, IMPORT_LIMIT) {
        Ok(finished) if finished.status.success() => None,
        Ok(finished) => Some(shown(finished.last_words())),
        Err(error) => Some(error.to_string()),
    };
    ImportReport { package, module, works: words.is_none(), words }
}

fn tell(report: &ImportReport, output: &Output) {
    let module = Tone::Strong.paint(&shown(&report.module));
    output.answer(&match &report.words {
        None if report.module.is_empty() => format!("{}: has nothing to import\n", shown(&report.package)),
        None => format!("import {module}: {}\n", Tone::Good.paint("works")),
        Some(words) => format!("import {module}: {}: {words}\n", Tone::Bad.paint("fails")),
    });
}
