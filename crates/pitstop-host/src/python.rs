//! Asking a Python about itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pitstop_core::targets::{Python, QUESTION};

use crate::answers;
use crate::child::{self, ChildError};

/// How long a Python may take to say what it is. Starting takes some 10 ms; a cold network disk takes seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a Python did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// There is nothing to run: a dangling link where an upgrade removed the Python, say.
    #[error("{} does not exist", .path.display())]
    Absent {
        /// What the environment names as its Python.
        path: PathBuf,
    },
    /// It could not be started, or did not end.
    #[error("{}: {cause}", .path.display())]
    NotRun {
        /// The Python.
        path: PathBuf,
        /// Why.
        #[source]
        cause: ChildError,
    },
    /// It ran, and said something else.
    #[error("{} did not say what it is: {words}", .path.display())]
    NoAnswer {
        /// The Python.
        path: PathBuf,
        /// Its last words.
        words: String,
    },
}

/// Runs a Python isolated (`-I`), without `site` (`-S`), writing no bytecode (`-B`), and asks what it is.
///
/// Nothing of the environment is executed but its Python: without `site`, no `.pth` file and no `sitecustomize` runs.
/// `LD_LIBRARY_PATH` and its like are taken away, so that the answer is the one that any shell would get.
///
/// What it said the last time counts while its executable, all that it had loaded, and the folders of all of these are
/// unchanged.
pub fn ask(executable: &Path) -> Result<Python, PythonError> {
    if !executable.exists() {
        return Err(PythonError::Absent { path: executable.to_owned() });
    }
    let real = std::fs::canonicalize(executable).unwrap_or_else(|_| executable.to_owned());
    let variables = answers::variables();
    let parts = [
        OsStr::new("python"),
        executable.as_os_str(),
        real.as_os_str(),
        OsStr::new(QUESTION),
        OsStr::from_bytes(&variables),
    ];
    let question = answers::Question::new(parts);
    let recalled = question.recall().and_then(|answers| Python::from_answer(answers.first()?));
    if let Some(python) = recalled {
        return Ok(python);
    }
    let mut command = Command::new(executable);
    command.args(["-I", "-S", "-B", "-c", QUESTION]);
    without_loader_variables(&mut command);
    let finished = child::run(&mut command, LIMIT)
        .map_err(|cause| PythonError::NotRun { path: executable.to_owned(), cause })?;
    let python = Python::from_answer(&finished.stdout)
        .ok_or_else(|| PythonError::NoAnswer { path: executable.to_owned(), words: finished.last_words() })?;
    // What a script in Python's place starts rests on more than can be told.
    if python.executable == real && finished.status.success() {
        question.keep(&witnesses(executable, &python), &[&finished.stdout]);
    }
    Ok(python)
}

/// All that an answer rests on. The folders tell when something is put in the place of what was loaded.
fn witnesses(named: &Path, python: &Python) -> Vec<PathBuf> {
    let answer = python.answer.iter();
    let mapped = answer.clone().flat_map(|answer| &answer.mapped);
    let files = mapped.chain([&python.executable]).map(PathBuf::as_path).chain([named]);
    let mut witnesses: Vec<PathBuf> = files
        .flat_map(|file| [Some(file), file.parent()])
        .flatten()
        .chain(answer.flat_map(|answer| answer.path.iter().map(PathBuf::as_path)))
        .map(Path::to_owned)
        .collect();
    if let Some(scripts) = named.parent() {
        let above = scripts.parent().unwrap_or(scripts);
        witnesses.extend([scripts.join("pyvenv.cfg"), above.join("pyvenv.cfg")]);
    }
    witnesses.extend(["/etc/ld.so.cache", "/etc/ld.so.preload"].map(PathBuf::from));
    witnesses.sort();
    witnesses.dedup();
    witnesses
}

/// Takes away the variables by which a caller's environment changes what a loader finds.
pub fn without_loader_variables(command: &mut Command) -> &mut Command {
    ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_DEBUG", "PYTHONHOME", "PYTHONPATH"]
        .iter()
        .fold(command, |command, name| command.env_remove(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_of_this_machine_answers() {
        let python = ask(Path::new("/usr/bin/python3")).unwrap();
        assert!(python.version.starts_with("3."), "{python:?}");
        assert!(python.executable.is_absolute());
        assert!(python.extension_suffixes.iter().any(|suffix| suffix == ".so"));
        let answer = python.answer.as_ref().unwrap();
        assert!(answer.mapped.iter().any(|path| path.to_string_lossy().contains("libc.so")));
        assert!(python.library_folders()[0].is_dir());
    }

    #[test]
    fn what_is_no_python_is_an_error_that_names_it() {
        let words = ask(Path::new("/bin/false")).unwrap_err().to_string();
        assert!(words.starts_with("/bin/false did not say what it is"), "{words}");
        assert!(ask(Path::new("/nonexistent")).unwrap_err().to_string().contains("does not exist"));
        assert!(ask(Path::new("/etc/passwd")).unwrap_err().to_string().contains("could not be started"));
    }
}
