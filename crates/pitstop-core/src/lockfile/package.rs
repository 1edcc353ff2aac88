//! Whole packages in a lock: those that a root of `pitstop fhs` is made of.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::{LockError, LockedSet};

/// One package of a lock, for one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// The attribute.
    pub attribute: String,
    /// nixpkgs' name for the kind of machine, such as `x86_64-linux`.
    pub system: String,
    /// The store paths of its outputs, the one with its libraries first. They stand for all that they were made of.
    pub outputs: Vec<String>,
    /// The package set.
    pub set: LockedSet,
}

impl LockedPackage {
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.attribute, &self.system)
    }
}

/// One `[[package]]`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    attribute: String,
    system: String,
    outputs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<String>,
    #[serde(rename = "narHash", default, skip_serializing_if = "Option::is_none")]
    nar_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dir: Option<String>,
}

impl Row {
    pub(super) fn of(package: &LockedPackage) -> Self {
        let LockedPackage { attribute, system, outputs, set } = package.clone();
        let LockedSet { url, rev, nar_hash, dir } = set;
        Self { attribute, system, outputs, url, rev, nar_hash, dir }
    }

    pub(super) fn read(self) -> Result<LockedPackage, LockError> {
        let Self { attribute, system, outputs, url, rev, nar_hash, dir } = self;
        let nonsense = |what: String| LockError::Nonsense(format!("package {attribute:?}: {what}"));
        if attribute.trim().is_empty() || system.trim().is_empty() {
            return Err(nonsense("it has no `attribute` or no `system`".to_owned()));
        }
        if outputs.is_empty() {
            return Err(nonsense("it has no `outputs`".to_owned()));
        }
        if let Some(other) = outputs.iter().find(|output| !is_plain(output)) {
            return Err(nonsense(format!("{other:?} is no store path")));
        }
        let set = LockedSet { url, rev, nar_hash, dir };
        Ok(LockedPackage { attribute, system, outputs, set })
    }
}

/// Whether a text is an absolute path that goes only down: what reaches Nix as an argument is never an option, nor
/// another place than it seems.
fn is_plain(path: &str) -> bool {
    let mut components = Path::new(path).components();
    components.next() == Some(Component::RootDir)
        && components.clone().next().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
}
