//! Verifying: what loads now in the environment's real Python, in the loader's own words.
//!
//! Each file is loaded in a process of its own (forked from a Python that has started), so that no library loaded for
//! one can hide that another lacks it. A module that cannot be loaded by itself is imported by its name, because its
//! package may load first what it needs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::{self, ChildError};
use crate::python::without_loader_variables;

const DRIVER: &str = include_str!("verify.py");

/// Seconds that one file may take to load. The slowest seen (tensorflow, cold disk) took 9.
const LIMIT_SECONDS: u32 = 60;

/// Files given to one driver: bounds the length of a command line.
const BATCH: usize = 200;

/// A file to load.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The native file.
    pub path: PathBuf,
    /// Its dotted name where it is an extension module.
    pub module: Option<String>,
}

/// What came of loading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads.
    Loads,
    /// It does not, and these are the words.
    Fails(String),
    /// The process ended, or did not end in time.
    Dies(String),
}

/// The dotted name of a module file below site-packages; `None` where some folder on the way is no identifier.
#[must_use]
pub fn module_name(relative: &Path, stem: &str) -> Option<String> {
    let identifier = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|character| character.is_alphanumeric() || character == '_')
    };
    let mut parts = Vec::new();
    for part in relative.parent()?.components() {
        parts.push(part.as_os_str().to_str()?);
    }
    // `pkg/__init__.cpython-311-….so` is the package itself.
    if stem != "__init__" {
        parts.push(stem);
    }
    (!parts.is_empty() && parts.iter().all(|part| identifier(part))).then(|| parts.join("."))
}

/// Loads every subject in `python`, two at a time. Verdicts come in the order of the subjects.
///
/// Runs code of the packages: this is for after a fix, never for a check.
pub fn verify(python: &Path, subjects: &[Subject]) -> Result<Vec<Verdict>, ChildError> {
    let half = subjects.len().div_ceil(2);
    let (first, second) = subjects.split_at(half);
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| verify_in_turn(python, second));
        (verify_in_turn(python, first), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Ok(first?.into_iter().chain(second?).collect())
}

fn verify_in_turn(python: &Path, subjects: &[Subject]) -> Result<Vec<Verdict>, ChildError> {
    let mut verdicts = Vec::with_capacity(subjects.len());
    for batch in subjects.chunks(BATCH) {
        verdicts.extend(verify_batch(python, batch)?);
    }
    Ok(verdicts)
}

fn verify_batch(python: &Path, batch: &[Subject]) -> Result<Vec<Verdict>, ChildError> {
    let mut command = Command::new(python);
    // `-B`: verifying must leave no bytecode behind. `C.UTF-8`: the words are matched in English.
    command.args(["-I", "-B", "-c", DRIVER, &LIMIT_SECONDS.to_string()]).env("LC_ALL", "C.UTF-8");
    for subject in batch {
        command.arg(&subject.path).arg(subject.module.as_deref().unwrap_or(""));
    }
    without_loader_variables(&mut command);
    let files = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let limit = Duration::from_secs(u64::from(LIMIT_SECONDS)) * (files + 1);
    let finished = child::run(&mut command, limit)?;
    let mut said = read_answers(&finished.stdout);
    let silent = || Verdict::Dies(finished.last_words());
    Ok((0..batch.len()).map(|index| said.remove(&index).unwrap_or_else(silent)).collect())
}

/// What the loader makes of a program: it is asked to list what it would load, and runs nothing of the program.
///
/// `library_path` is searched first, as a shim has it.
#[must_use]
pub fn verify_program(loader: &Path, library_path: Option<&Path>, program: &Path) -> Verdict {
    let mut command = Command::new(loader);
    if let Some(folder) = library_path {
        command.arg("--library-path").arg(folder);
    }
    command.arg("--list").arg(program).env("LC_ALL", "C.UTF-8");
    without_loader_variables(&mut command);
    let finished = match child::run(&mut command, Duration::from_secs(u64::from(LIMIT_SECONDS))) {
        Ok(finished) => finished,
        Err(error) => return Verdict::Dies(error.to_string()),
    };
    let said = [finished.stdout.as_slice(), finished.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    // `libz.so.1 => not found`; "version `GLIBC_2.99' not found (required by …)". The status may be 0 all the same.
    match said.lines().find(|line| line.contains("not found")) {
        Some(line) => Verdict::Fails(line.trim().to_owned()),
        None if finished.status.success() => Verdict::Loads,
        None => Verdict::Dies(finished.last_words()),
    }
}

fn read_answers(stdout: &[u8]) -> HashMap<usize, Verdict> {
    let mut verdicts = HashMap::new();
    for line in String::from_utf8_lossy(stdout).lines() {
        let mut fields = line.splitn(3, ' ');
        let (Some(Ok(index)), Some(word)) = (fields.next().map(str::parse), fields.next()) else { continue };
        let words = fields.next().unwrap_or_default().replace("\\n", "\n").replace("\\\\", "\\");
        verdicts.insert(
            index,
            match word {
                "ok" => Verdict::Loads,
                "no" => Verdict::Fails(words),
                _ => Verdict::Dies(words),
            },
        );
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(path: impl AsRef<Path>, module: Option<&str>) -> Subject {
        Subject { path: path.as_ref().to_owned(), module: module.map(str::to_owned) }
    }

    #[test]
    fn each_file_is_judged_by_the_loaders_own_words() {
        let text = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(text.path(), "no library").unwrap();
        let subjects = [
            subject("/lib/x86_64-linux-gnu/libm.so.6", None),
            subject(text.path(), None),
            subject("/nonexistent/libx.so", None),
            subject("/nonexistent/libx.so", Some("json")),
        ];
        let verdicts = verify(Path::new("/usr/bin/python3"), &subjects).unwrap();
        assert_eq!(verdicts[0], Verdict::Loads);
        let Verdict::Fails(words) = &verdicts[1] else { panic!("{verdicts:?}") };
        assert!(words.contains("file too short") || words.contains("invalid ELF header"), "{words}");
        assert!(
            matches!(&verdicts[2], Verdict::Fails(words) if words.contains("cannot open shared object file"))
        );
        assert_eq!(verdicts[3], Verdict::Loads, "a module that its package can import is well");
    }

    #[test]
    fn a_module_that_kills_its_process_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("bad.c");
        fs_err::write(&source, "__attribute__((constructor)) static void f(void) { __builtin_trap(); }")
            .unwrap();
        let library = folder.path().join("libbad.so");
        let made =
            Command::new("gcc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
        assert!(made.success());
        let subjects = [subject(&library, None), subject("/lib/x86_64-linux-gnu/libm.so.6", None)];
        let verdicts = verify_batch(Path::new("/usr/bin/python3"), &subjects).unwrap();
        assert!(matches!(&verdicts[0], Verdict::Dies(words) if words.contains("signal 4")), "{verdicts:?}");
        assert_eq!(verdicts[1], Verdict::Loads);
    }

    #[test]
    fn a_module_is_named_as_it_is_imported() {
        let name = |path: &str, stem: &str| module_name(Path::new(path), stem);
        assert_eq!(name("numpy/core/_x.abi3.so", "_x").as_deref(), Some("numpy.core._x"));
        assert_eq!(name("pyodbc.abi3.so", "pyodbc").as_deref(), Some("pyodbc"));
        assert_eq!(name("pkg/__init__.abi3.so", "__init__").as_deref(), Some("pkg"));
        assert_eq!(name("numpy.libs/x.so", "x"), None);
        assert_eq!(name("__init__.so", "__init__"), None);
    }
}
