//! The manifest: what pitstop made in an environment, and how to take it back.
//!
//! It lies in `.pitstop/manifest.json`, is written before anything else is, and is removed after everything else was.
//! It is pitstop's own: other programs read `pitstop status --json`.

use pitstop_core::plan::{Inside, Operation, PatchRecord, Plan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::patching::Known;
use super::tree::{Moment, Seen, Tree};
use super::{ApplyError, Difference};

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u64 = 1;
/// The folder, in the root of the environment, that holds all of pitstop's own.
pub const FOLDER: &str = ".pitstop";
pub(super) const NAME: &str = "manifest.json";

/// How far a fix has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Under way, or stopped half way.
    Applying,
    /// All done.
    Applied,
    /// Being taken back, or stopped while it was.
    Undoing,
}

/// One thing that pitstop made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Entry {
    /// A folder that was not there before.
    Folder {
        /// Where.
        path: Inside,
    },
    /// A file that was not there before.
    File {
        /// Where.
        path: Inside,
        /// Its permission bits.
        mode: u32,
        /// The SHA-256 of its content; during an update, of the old and of the new content.
        sha256: Vec<String>,
    },
    /// A symbolic link that was not there before.
    Link {
        /// Where.
        path: Inside,
        /// What it says; during an update, what it said and what it will.
        targets: Vec<String>,
    },
    /// A file that was there before, changed.
    Patched {
        /// Where.
        path: Inside,
        /// How; during an update, both ways of the same original.
        records: Vec<PatchRecord>,
    },
    /// Files that Python makes from ours.
    Claim {
        /// Where they appear.
        folder: Inside,
        /// How their names start.
        starts_with: String,
        /// How their names end.
        ends_with: String,
    },
}

impl Entry {
    pub(super) fn of(operation: &Operation) -> Self {
        match operation {
            Operation::MakeFolder { path } => Self::Folder { path: path.clone() },
            Operation::WriteFile { path, bytes, mode } => {
                Self::File { path: path.clone(), mode: *mode, sha256: vec![digest(bytes)] }
            }
            Operation::Link { path, target } => {
                Self::Link { path: path.clone(), targets: vec![target.clone()] }
            }
            Operation::Patch { path, record, .. } => {
                Self::Patched { path: path.clone(), records: vec![record.clone()] }
            }
            Operation::Claim { folder, starts_with, ends_with } => Self::Claim {
                folder: folder.clone(),
                starts_with: starts_with.clone(),
                ends_with: ends_with.clone(),
            },
        }
    }

    /// Where it is; for a claim, the folder.
    #[must_use]
    pub fn path(&self) -> &Inside {
        match self {
            Self::Folder { path }
            | Self::File { path, .. }
            | Self::Link { path, .. }
            | Self::Patched { path, .. } => path,
            Self::Claim { folder, .. } => folder,
        }
    }

    /// Whether both speak of the same thing, whatever is in it.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Claim { .. }, Self::Claim { .. }) => self == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other) && self.path() == other.path(),
        }
    }

    /// Adds the content that `old` had to what counts as ours.
    pub(super) fn also(&mut self, old: &Self) {
        match (self, old) {
            (Self::File { sha256, .. }, Self::File { sha256: old, .. }) => add_new(sha256, old),
            (Self::Link { targets, .. }, Self::Link { targets: old, .. }) => add_new(targets, old),
            (Self::Patched { records, .. }, Self::Patched { records: old, .. }) => {
                // A record of another original is of a file that somebody has replaced.
                let original = records.first().map(|record| record.original.clone());
                let fits = |record: &&PatchRecord| Some(&record.original) == original.as_ref();
                let old: Vec<PatchRecord> = old.iter().filter(fits).cloned().collect();
                add_new(records, &old);
            }
            _ => {}
        }
    }

    /// How what is there differs from what pitstop made; nothing if it does not.
    pub(super) fn difference(&self, tree: &Tree) -> Result<Option<Difference>, ApplyError> {
        let path = self.path();
        let Some(seen) = reached(tree.look(path))? else {
            return Ok(Some(Difference::Changed(path.clone())));
        };
        let same = match (self, seen) {
            (Self::Claim { .. }, _) | (Self::Folder { .. }, Seen::Folder) => true,
            (_, Seen::Nothing) => return Ok(Some(Difference::Gone(path.clone()))),
            (Self::File { sha256, .. }, Seen::File(_)) => {
                tree.read(path)?.is_some_and(|bytes| sha256.contains(&digest(&bytes)))
            }
            (Self::Link { targets, .. }, Seen::Link) => {
                tree.read_link(path)?.is_some_and(|target| targets.contains(&target))
            }
            (Self::Patched { records, .. }, Seen::File(_)) => {
                let content = tree.content(path)?;
                records.iter().any(|record| content.as_ref() == Some(&record.patched))
            }
            _ => false,
        };
        Ok((!same).then(|| Difference::Changed(path.clone())))
    }
}

/// Nothing, when somebody has put a link or a file where a folder of the environment was.
pub(super) fn reached<T>(found: Result<T, ApplyError>) -> Result<Option<T>, ApplyError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ApplyError::Symlink { .. } | ApplyError::Occupied { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn add_new<T: Clone + PartialEq>(to: &mut Vec<T>, from: &[T]) {
    for one in from {
        if !to.contains(one) {
            to.push(one.clone());
        }
    }
}

/// The modification times of a folder that was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The folder; nothing for the root itself.
    pub path: Option<Inside>,
    /// Its time before pitstop came.
    pub before: Moment,
    /// Its time when pitstop had finished. Another time later means that somebody else changed the folder since.
    pub after: Option<Moment>,
}

/// All that pitstop did to an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u64,
    /// The version of pitstop that wrote it.
    pub pitstop: String,
    /// How far it came.
    pub state: State,
    /// What was made, in this order.
    pub entries: Vec<Entry>,
    /// Folders that were there before and that were touched.
    pub touched: Vec<Touched>,
    /// Patched files that need not be read to know that they are as they were left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Known>,
}

/// What is in the place of the manifest.
pub(super) enum Found {
    Nothing,
    /// The folder without a manifest: killed in the first or the last moment.
    Stub,
    Manifest(Manifest),
}

impl Manifest {
    pub(super) fn new(state: State, entries: Vec<Entry>, touched: Vec<Touched>) -> Self {
        Self {
            schema: SCHEMA,
            pitstop: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            entries,
            touched,
            known: Vec::new(),
        }
    }

    pub(super) fn find(tree: &Tree) -> Result<Found, ApplyError> {
        let folder = folder();
        if tree.folder(Some(&folder))?.is_none() {
            return Ok(Found::Nothing);
        }
        let path = tree.full(Some(&place()));
        let damaged = |reason: String| ApplyError::Damaged { path: path.clone(), reason };
        let Some(bytes) = tree.read(&place())? else {
            let names = tree.names(&folder)?;
            let stub = names.iter().all(|name| *name == format!(".{NAME}.pitstop-new"));
            return if stub { Ok(Found::Stub) } else { Err(damaged("it is not there".to_owned())) };
        };
        // The schema first: of a newer one nothing else is known.
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(found) if found > SCHEMA => {
                return Err(ApplyError::Newer { path, found, known: SCHEMA });
            }
            Some(_) => {}
            None => return Err(damaged("it has no schema".to_owned())),
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        tree.contents.learn(&manifest.known);
        Ok(Found::Manifest(manifest))
    }

    /// Takes down what is known of the patched files by now.
    pub(super) fn know(&mut self, tree: &Tree) {
        let patched = self.entries.iter().filter(|entry| matches!(entry, Entry::Patched { .. }));
        self.known = patched.filter_map(|entry| tree.contents.of(entry.path())).collect();
    }

    pub(super) fn store(&self, tree: &Tree) -> Result<(), ApplyError> {
        let path = place();
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| ApplyError::Damaged {
            path: tree.full(Some(&path)),
            reason: error.to_string(),
        })?;
        bytes.push(b'\n');
        tree.write(&path, &bytes, 0o644, true)?;
        tree.sync(Some(&folder()))
    }

    pub(super) fn entry(&self, like: &Entry) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.same_place(like))
    }

    /// Whether it says that exactly `plan` was applied, and the environment agrees.
    pub(super) fn is_of(&self, plan: &Plan, tree: &Tree) -> Result<bool, ApplyError> {
        if self.state != State::Applied {
            return Ok(false);
        }
        let wanted: Vec<Entry> = plan.operations.iter().map(Entry::of).collect();
        if self.entries.iter().any(|entry| !wanted.contains(entry)) {
            return Ok(false);
        }
        for (entry, operation) in wanted.iter().zip(&plan.operations) {
            // A folder that was there before is no entry.
            let listed = self.entry(entry).is_some() || matches!(entry, Entry::Folder { .. });
            if !listed || entry.difference(tree)?.is_some() {
                return Ok(false);
            }
            if let Operation::WriteFile { path, mode, .. } = operation
                && tree.look(path)? != Seen::File(*mode)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) fn folder() -> Inside {
    inside(FOLDER)
}

pub(super) fn place() -> Inside {
    inside(&format!("{FOLDER}/{NAME}"))
}

fn inside(path: &str) -> Inside {
    Inside::new(path).expect("the names are plain")
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
