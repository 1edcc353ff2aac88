//! Why a provider cannot work at all.

use std::io;
use std::path::PathBuf;

/// A provider that cannot work. What concerns one soname only is a [`super::Refused`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not on the search path.
    #[error("`{program}` was not found")]
    ToolMissing {
        /// Its name.
        program: String,
        /// How to get it.
        hint: String,
    },
    /// A program failed.
    #[error("`{program}` failed: {words}")]
    ToolFailed {
        /// Its name, with the sub-command.
        program: String,
        /// Its own words.
        words: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// A program answered in a way that cannot be understood.
    #[error("`{program}` answered with something unexpected: {reason}")]
    ToolAnswer {
        /// Its name.
        program: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file that names a package set cannot be used.
    #[error("{}: {reason}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no package set to take libraries from.
    #[error("no package set: {reason}")]
    NoPackageSet {
        /// What was looked for.
        reason: String,
    },
    /// Installing needs rights that this process lacks.
    #[error("installing packages needs root")]
    NotRoot {
        /// What would be installed.
        packages: Vec<String>,
    },
    /// A file operation failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What the user can do next, as one imperative sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ToolMissing { hint, .. } => Some(hint.clone()),
            Self::ToolFailed { hint, .. } => hint.clone(),
            Self::ToolAnswer { program, .. } => {
                Some(format!("Report this, with the output of `{program} --version`"))
            }
            Self::Lock { path, .. } => {
                Some(format!("Mend or remove {}, or name a package set with --nixpkgs", path.display()))
            }
            Self::NoPackageSet { .. } => {
                Some("Name one with --nixpkgs, such as `--nixpkgs channel:nixos-unstable`".into())
            }
            Self::NotRoot { packages } => Some(format!("Run `sudo apt install {}`", packages.join(" "))),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("Free some space on that file system, and try again".into())
                }
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    Some("Use a venv in a folder that you may write to".into())
                }
                _ => None,
            },
            Self::Interrupted => None,
        }
    }
}
