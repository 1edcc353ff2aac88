//! What a project asks for: lock files and pyproject.toml, read without a resolver.
//!
//! A lock says which files to take; this chooses among them for one Python. What is not locked (requirements files, the
//! dependencies of a pyproject.toml) is for an installer to resolve.

mod marker;
mod poetry;
mod pylock;
mod uv;

use serde::Deserialize;

use crate::targets::{Interpreter, Misfit, WheelName};

pub use marker::Markers;

/// A package of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version; empty where the lock gives none, as for a folder.
    pub version: String,
    /// Files that it can be installed from.
    pub files: Vec<LockedFile>,
    /// Where it comes from, if not from an index: `git https://…`, `folder ../mine`.
    pub elsewhere: Option<String>,
}

/// A file of a locked package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// Its name: `numpy-1.26.2-cp311-….whl`, `numpy-1.26.2.tar.gz`.
    pub name: String,
    /// Its path, where the lock says that it is on this machine.
    pub path: Option<String>,
    /// Its URL, where the lock gives one.
    pub url: Option<String>,
    /// Its digests, as `sha256:…`.
    pub hashes: Vec<String>,
}

/// What an installer would take of a locked package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// This wheel.
    Wheel(&'a LockedFile),
    /// No wheel fits; this source must be built.
    Build(&'a LockedFile),
    /// It comes from no index: it must be built, or is the project itself.
    Elsewhere(&'a str),
    /// Nothing fits. The wheel that comes nearest, and what is against it.
    Nothing(Option<(&'a LockedFile, Vec<Misfit>)>),
}

impl Locked {
    /// What an installer would take for that Python.
    #[must_use]
    pub fn choose(&self, interpreter: &Interpreter) -> Choice<'_> {
        if let Some(elsewhere) = &self.elsewhere {
            return Choice::Elsewhere(elsewhere);
        }
        let wheels: Vec<(&LockedFile, WheelName)> =
            self.files.iter().filter_map(|file| Some((file, WheelName::parse(&file.name).ok()?))).collect();
        let fitting = wheels.iter().filter(|(_, name)| name.misfits(interpreter).is_empty());
        if let Some((file, _)) = fitting.max_by_key(|(_, name)| name.rank()) {
            return Choice::Wheel(file);
        }
        let is_wheel = |file: &LockedFile| wheels.iter().any(|(wheel, _)| wheel.name == file.name);
        if let Some(source) = self.files.iter().find(|file| !is_wheel(file)) {
            return Choice::Build(source);
        }
        let misfits = wheels.iter().map(|(file, name)| (*file, name.misfits(interpreter)));
        Choice::Nothing(misfits.min_by_key(|(_, misfits)| misfits.len()))
    }
}

/// What a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Exactly these.
    Locked(Vec<Locked>),
    /// These requirements (PEP 508), for an installer to resolve.
    Requirements(Vec<String>),
}

/// Why a file is no list of packages that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementsError {
    /// It is no TOML, or not of the form that its name promises. With the line, where it is known.
    #[error("{0}")]
    Malformed(String),
    /// It was written by a later version of its tool.
    #[error("it is of version {found}, and this pitstop reads up to {known}")]
    Newer {
        /// Its version.
        found: String,
        /// The last version that is known here.
        known: &'static str,
    },
    /// A `pyproject.toml` that only Poetry can resolve.
    #[error("its dependencies are written for Poetry alone: run `poetry lock`, and name poetry.lock")]
    Poetry,
    /// A `pyproject.toml` without dependencies.
    #[error("it names no dependencies ([project] dependencies)")]
    None,
    /// A package of the lock refers to another that it does not have.
    #[error("{asker} depends on {name}, which the lock does not have")]
    Dangling {
        /// Who depends.
        asker: String,
        /// On what.
        name: String,
    },
    /// A condition cannot be read.
    #[error("{name}: the marker {marker:?} cannot be read: {cause}")]
    Marker {
        /// The package that it stands with.
        name: String,
        /// The condition.
        marker: String,
        /// What is wrong.
        cause: String,
    },
}

/// Whether a file of that name is one that [`read`] knows.
#[must_use]
pub fn is_known(file_name: &str) -> bool {
    matches!(file_name, "uv.lock" | "poetry.lock" | "pyproject.toml") || is_pylock(file_name)
}

/// `pylock.toml` or `pylock.NAME.toml` (PEP 751).
fn is_pylock(file_name: &str) -> bool {
    let middle = file_name.strip_prefix("pylock").and_then(|rest| rest.strip_suffix(".toml"));
    middle.is_some_and(|middle| middle.is_empty() || middle.starts_with('.'))
}

/// Reads a lock file or a `pyproject.toml`, by its name, for one Python.
pub fn read(file_name: &str, text: &str, interpreter: &Interpreter) -> Result<Asked, RequirementsError> {
    let markers = Markers::of(interpreter);
    match file_name {
        "uv.lock" => uv::read(text, &markers).map(Asked::Locked),
        "poetry.lock" => poetry::read(text, &markers).map(Asked::Locked),
        name if is_pylock(name) => pylock::read(text, &markers).map(Asked::Locked),
        _ => project(text).map(Asked::Requirements),
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, RequirementsError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let cause = error.message().trim_end().replace('\n', ", ");
        RequirementsError::Malformed(line.map_or(cause.clone(), |line| format!("line {line}: {cause}")))
    })
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Project>,
    tool: Option<Tools>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Tools {
    poetry: Option<Poetry>,
}

#[derive(Deserialize)]
struct Poetry {
    dependencies: Option<toml::Table>,
}

/// The dependencies of a `pyproject.toml` (PEP 621).
fn project(text: &str) -> Result<Vec<String>, RequirementsError> {
    let file: PyProject = parse(text)?;
    let dependencies = file.project.map(|project| project.dependencies).unwrap_or_default();
    if !dependencies.is_empty() {
        return Ok(dependencies);
    }
    let poetry = file.tool.and_then(|tools| tools.poetry).and_then(|poetry| poetry.dependencies);
    Err(if poetry.is_some() { RequirementsError::Poetry } else { RequirementsError::None })
}

/// The file name at the end of a URL.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit('/').next().unwrap_or(path);
    // A `+` of a local version comes as `%2B`.
    name.replace("%2B", "+").replace("%2b", "+")
}

#[cfg(test)]
mod tests;
