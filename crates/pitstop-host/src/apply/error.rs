//! Why a fix could not be applied or undone, and what to do next.

use std::io;
use std::path::PathBuf;

use pitstop_core::plan::Inside;

/// What stopped [`super::Venv`]. The message names the path and the cause; [`ApplyError::hint`] the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no such folder.
    #[error("there is no folder `{path}`")]
    NoFolder {
        /// The folder that is needed.
        path: PathBuf,
    },
    /// Another pitstop works on the same environment.
    #[error("another pitstop{} is working on `{root}`", of_process(*process))]
    Busy {
        /// The environment.
        root: PathBuf,
        /// The process that holds the lock, where the kernel tells.
        process: Option<u32>,
    },
    /// A folder that would have to change cannot be changed. Nothing was written.
    #[error("`{path}` cannot be changed")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A symbolic link stands where a folder of the environment should be.
    #[error(
        "`{path}` is a symbolic link: writing through it would change something outside of the environment"
    )]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// Something that pitstop did not make is in the way.
    #[error("`{path}` is already there, and pitstop did not make it")]
    Occupied {
        /// What is in the way.
        path: PathBuf,
    },
    /// A file that pitstop wrote has been changed by somebody else since.
    #[error("`{path}` was changed after pitstop wrote it")]
    Changed {
        /// The changed file.
        path: PathBuf,
    },
    /// A program that runs with the rights of another user: whoever can change it has them.
    #[error("`{path}` is setuid or setgid")]
    Privileged {
        /// The program.
        path: PathBuf,
    },
    /// The manifest was written by a newer pitstop.
    #[error("`{path}` has schema {found}, and this pitstop knows {known}")]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest schema that this version reads.
        known: u64,
    },
    /// The manifest cannot be understood, or is not there where it should be.
    #[error("`{path}` cannot be used: {reason}")]
    Damaged {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A call to the system failed.
    #[error("could not {action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The first fix of this environment failed half way, and all that it had done was taken back.
    #[error("nothing was changed, because the fix failed half way")]
    RolledBack {
        /// What failed.
        #[source]
        cause: Box<ApplyError>,
    },
    /// A fix failed half way, and what it did is still there.
    #[error("`{root}` is half fixed")]
    HalfDone {
        /// The environment.
        root: PathBuf,
        /// What failed.
        #[source]
        cause: Box<ApplyError>,
    },
    /// The Python of the environment could not compile the hook.
    #[error("`{python}` could not compile the start-up hook: {reason}")]
    Compile {
        /// The interpreter that was run.
        python: PathBuf,
        /// What it said.
        reason: String,
    },
}

fn of_process(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

impl ApplyError {
    /// One sentence on what to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder { path } => {
                format!("give the folder of a Python environment; `{}` is none", path.display())
            }
            Self::Busy { .. } => "wait until it is done, then run the same command again".to_owned(),
            Self::NotWritable { source, .. } => match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => {
                    "make the environment anew in a folder that is not mounted read-only, and fix that one"
                        .to_owned()
                }
                _ => "run pitstop as the user who owns the environment".to_owned(),
            },
            Self::Symlink { path } => {
                format!(
                    "replace `{}` by a real folder, or fix the environment that it leads to",
                    path.display()
                )
            }
            Self::Occupied { path } => {
                format!("move `{}` away, then run `pitstop fix` again", path.display())
            }
            Self::Privileged { path } => {
                format!(
                    "clear the bit (`chmod ug-s {}`), or leave it to the system's administrator",
                    path.display()
                )
            }
            Self::Changed { path } => format!("delete `{}`, then run `pitstop fix` again", path.display()),
            Self::Newer { .. } => "use the newer pitstop that wrote it".to_owned(),
            Self::Damaged { path, .. } => {
                format!("restore `{}` from a backup, or make the environment anew", path.display())
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space, then run the same command again".to_owned()
                }
                _ => return None,
            },
            Self::RolledBack { cause } => return cause.hint(),
            Self::HalfDone { root, .. } => {
                let root = root.display();
                format!("run `pitstop fix {root}` again to finish, or `pitstop undo {root}` to take it back")
            }
            Self::Compile { .. } => return None,
        })
    }

    pub(super) fn io(action: &'static str, path: PathBuf, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path, source: source.into() }
    }
}

/// Something in the environment that is not as pitstop left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Deleted by somebody else.
    Gone(Inside),
    /// Replaced or changed by somebody else.
    Changed(Inside),
    /// A folder that pitstop made and that now has other things in it.
    InUse(Inside),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(path) => write!(formatter, "{path} was deleted by somebody else"),
            Self::Changed(path) => write!(formatter, "{path} was changed by somebody else"),
            Self::InUse(path) => write!(formatter, "{path} holds other things now"),
        }
    }
}
