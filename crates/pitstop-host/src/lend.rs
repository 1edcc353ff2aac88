//! Libraries for a command that is run once: found as for a fix, and lent for as long as it runs. Nothing is written into an
//! environment.
//!
//! What was found goes into an `ld.so.cache` of our own, which the command and all its children see where each loader looks
//! for its cache. There it is a fallback: the last place before the loader's own folders, asked only for what would
//! otherwise fail. Where no namespace can be made, a folder of exactly these sonames goes into `LD_LIBRARY_PATH`.

pub mod command;
mod kept;
mod lender;

use std::path::PathBuf;

use crate::namespace::{Change, Node};
use crate::provide;
use crate::survey::SurveyError;

pub use kept::{decode, encode, recall};
pub use lender::{Lender, digest, keeping_place, own_loader};

/// Whether a name is that of a library rather than of a package: sonames have `.so` at the end or before their version.
pub(crate) fn is_soname(name: &str) -> bool {
    name.strip_suffix(".so").is_some() || name.contains(".so.")
}

/// What a command gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lent {
    /// What differs in the file system that it sees.
    pub changes: Vec<Change>,
    /// A folder with a link of each soname that was found; `None` where nothing was.
    pub farm: Option<PathBuf>,
    /// The loader of this machine, for programs whose own is not here.
    pub loader: Option<PathBuf>,
    /// The command's own loader is not here, so that without a namespace it must be started by the machine's.
    pub is_stranded: bool,
}

impl Lent {
    /// Whether the machine's own folders are seen with more in them, rather than others in their place.
    #[must_use]
    pub fn is_over_the_machine(&self) -> bool {
        self.changes.is_empty() || self.changes.iter().any(|change| matches!(change.node, Node::Over(_)))
    }

    /// Everything that this rests on besides what it was made from: when some of it is gone, it must be made anew.
    pub fn sources(&self) -> impl Iterator<Item = &PathBuf> {
        let shown = self.changes.iter().filter_map(|change| match &change.node {
            Node::Show(source) | Node::Same(source) | Node::Over(source) => Some(source),
            Node::Link(to) if to.is_absolute() => Some(to),
            Node::Link(_) | Node::Linked(_) => None,
        });
        shown.chain(&self.farm).chain(&self.loader)
    }
}

/// Why nothing could be lent.
#[derive(Debug, thiserror::Error)]
pub enum LendError {
    /// An environment cannot be looked at.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// What was named is no environment.
    #[error(transparent)]
    Environment(#[from] crate::environment::EnvironmentError),
    /// A provider cannot work.
    #[error(transparent)]
    Provider(#[from] provide::Error),
    /// A file to be looked at is none that a loader starts.
    #[error("{} is neither a native file nor a Python environment{}", .path.display(), .why)]
    NoSubject {
        /// The file.
        path: PathBuf,
        /// Why, with a colon before it; or nothing.
        why: String,
    },
    /// No home, so nowhere to keep anything.
    #[error("there is no folder to keep state in: neither XDG_STATE_HOME nor HOME is set")]
    Homeless,
    /// No loader is here that could start anything.
    #[error("this machine has no loader of glibc: /bin/sh names none")]
    NoLoader,
    /// Names for a cache beyond all measure.
    #[error(transparent)]
    Cache(#[from] pitstop_core::ldso::cache::TooLarge),
}
