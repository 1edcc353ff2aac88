//! What a fix provided, kept with the environment as `.pitstop/provided.json`: so that `check` knows it, and the next `fix`
//! need not ask anyone again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::lockfile::Origin;
use serde::{Deserialize, Serialize};

use super::Found;
use crate::apply::FOLDER;
use crate::environment::Environment;
use crate::installed;
use crate::python;
use crate::reading::read_regular;
use crate::survey::Survey;

/// Below [`FOLDER`].
const NAME: &str = "provided.json";
/// The version of the format.
const SCHEMA: u32 = 1;

/// What a fix provided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// `3.11` and `sys.base_prefix`: the hook is quiet in any other Python.
    python: String,
    base_prefix: String,
    /// Where the environment lay: the links that keep store paths alive are known to Nix by their place.
    environment: String,
    /// The packages that were installed, with their versions. Earlier versions of pitstop did not take them down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packages: Option<BTreeMap<String, String>>,
    /// The libraries, by soname.
    pub libraries: Vec<Kept>,
}

/// How the packages of an environment differ from those that a fix was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Installed since: name and version.
    Came(String, String),
    /// Removed since: name and version.
    Went(String, String),
    /// Of another version since: name, version then, version now.
    Became(String, String, String),
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Came(name, version) => write!(formatter, "{name} {version} came since the fix"),
            Self::Went(name, version) => write!(formatter, "{name} {version} went since the fix"),
            Self::Became(name, was, is) => write!(formatter, "{name} was {was} at the fix, and is {is} now"),
        }
    }
}

/// One library of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The soname.
    pub soname: String,
    /// The file; relative to the environment where it lies in it, so that the environment can be moved.
    pub file: String,
    /// Who gave it.
    pub from: String,
    /// What was done.
    pub note: String,
    /// Who told that this package has it: the embedded table, or which index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
    /// Where it came from, as a lock has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Kept {
    /// The library as it was found for the environment in `root`.
    #[must_use]
    pub fn found(&self, root: &Path) -> Found {
        Found {
            soname: self.soname.as_str().into(),
            file: root.join(&self.file),
            from: self.from.clone(),
            note: self.note.clone(),
            told_by: self.told_by.clone(),
            origin: self.origin.clone(),
        }
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error("{}: {cause}", .path.display())]
    Unreadable {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is damaged, or of a newer version.
    #[error("{} is no record that this version of pitstop can read: {cause}", .path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl Record {
    /// Where the record lies, below the environment.
    #[must_use]
    pub fn place() -> String {
        format!("{FOLDER}/{NAME}")
    }

    /// What is to be kept of a remedy.
    #[must_use]
    pub fn of(survey: &Survey, found: &BTreeMap<BString, Found>) -> Self {
        let root = &survey.environment.root;
        let kept = |found: &Found| Kept {
            soname: found.soname.to_str_lossy().into_owned(),
            file: found.file.strip_prefix(root).unwrap_or(&found.file).to_string_lossy().into_owned(),
            from: found.from.clone(),
            note: found.note.clone(),
            told_by: found.told_by.clone(),
            origin: found.origin.clone(),
        };
        Self {
            schema: SCHEMA,
            python: survey.python.minor_version().to_owned(),
            base_prefix: base_prefix(survey),
            environment: root.to_string_lossy().into_owned(),
            packages: Some(survey.installed.clone()),
            libraries: found.values().map(kept).collect(),
        }
    }

    /// Reads the record of an environment; `None` where there is none.
    pub fn read(root: &Path) -> Result<Option<Self>, RecordError> {
        let path = root.join(FOLDER).join(NAME);
        let bytes = match read_regular(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(cause) => return Err(RecordError::Unreadable { path, cause }),
        };
        let damaged = |cause: String| RecordError::Damaged { path: path.clone(), cause };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if record.schema > SCHEMA {
            return Err(damaged(format!("its schema is {}", record.schema)));
        }
        Ok(Some(record))
    }

    /// Keeps what an earlier record has and this one has not.
    pub(crate) fn keep(&mut self, earlier: Self) {
        let known: Vec<String> = self.libraries.iter().map(|kept| kept.soname.clone()).collect();
        self.libraries.extend(earlier.libraries.into_iter().filter(|kept| !known.contains(&kept.soname)));
        self.libraries.sort_by(|one, other| one.soname.cmp(&other.soname));
    }

    /// The record as bytes of its file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Whether it was made for the Python that the environment has now.
    #[must_use]
    pub fn fits(&self, survey: &Survey) -> bool {
        self.python == survey.python.minor_version()
            && (survey.python.answer.is_none() || self.base_prefix == base_prefix(survey))
    }

    /// What was installed, upgraded and removed since. Nothing where the record is of a version that did not take it down.
    #[must_use]
    pub fn changes(&self, environment: &Environment) -> Vec<Change> {
        let Some(packages) = &self.packages else { return Vec::new() };
        let now = installed::packages(environment);
        let mut changes = Vec::new();
        for (name, version) in &now {
            match packages.get(name) {
                None => changes.push(Change::Came(name.clone(), version.clone())),
                Some(was) if was != version => {
                    changes.push(Change::Became(name.clone(), was.clone(), version.clone()));
                }
                Some(_) => {}
            }
        }
        let is_gone = |name: &str| name != installed::INSTALLER && !now.contains_key(name);
        let gone = packages.iter().filter(|(name, _)| is_gone(name));
        changes.extend(gone.map(|(name, version)| Change::Went(name.clone(), version.clone())));
        changes
    }

    /// How the Python of an environment differs from the one that the fix was made for, in words.
    #[must_use]
    pub fn other_python(&self, environment: &Environment) -> Option<String> {
        let python = match python::ask(environment.python.as_deref()?) {
            Ok(python) => python,
            Err(error) => return Some(format!("its Python does not start: {error}")),
        };
        let version = python.minor_version();
        if self.python != version {
            return Some(format!("the fix was made for Python {}, and this is {version}", self.python));
        }
        let prefix = python.answer?.base_prefix;
        let same = prefix.to_string_lossy() == self.base_prefix;
        (!same).then(|| {
            format!(
                "the fix was made for the Python of {}, and this is that of {}",
                self.base_prefix,
                prefix.display()
            )
        })
    }

    /// The libraries that are still there. Of an environment that was moved, those from Nix are provided anew: what kept
    /// them alive points to where it was.
    #[must_use]
    pub fn found(&self, survey: &Survey) -> BTreeMap<BString, Found> {
        let root = &survey.environment.root;
        let moved = self.environment != root.to_string_lossy();
        let holds = self.libraries.iter().filter(|kept| !(moved && kept.from.starts_with("nix:")));
        let found = holds.map(|kept| kept.found(root));
        found.filter(|found| found.file.is_file()).map(|found| (found.soname.clone(), found)).collect()
    }
}

fn base_prefix(survey: &Survey) -> String {
    let answer = survey.python.answer.as_ref();
    answer.map(|answer| answer.base_prefix.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Asking;

    #[test]
    fn what_comes_while_a_fix_is_made_came_since() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("lib/python3.11/site-packages");
        for name in ["here-1.0.dist-info", "pip-1.0.dist-info"] {
            std::fs::create_dir_all(site.join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink("/usr/bin/python3", folder.path().join("bin/python")).unwrap();
        std::fs::write(folder.path().join("pyvenv.cfg"), "home = /usr/bin\nversion = 3.11\n").unwrap();
        let environment = Environment::open(folder.path()).unwrap();
        let survey = Survey::of(environment, Asking::Never).unwrap();
        std::fs::create_dir(site.join("late-2.0.dist-info")).unwrap();
        std::fs::rename(site.join("pip-1.0.dist-info"), site.join("pip-2.0.dist-info")).unwrap();
        let record = Record::of(&survey, &BTreeMap::new());
        assert_eq!(record.changes(&survey.environment), [Change::Came("late".to_owned(), "2.0".to_owned())]);
    }
}
