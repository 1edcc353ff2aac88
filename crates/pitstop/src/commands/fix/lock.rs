//! What a project's settings and its `pitstop.lock` mean to a fix, and what a fix writes into the lock.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::index::sonames::Kind;
use pitstop_core::lockfile::{self, Lock, Locked, LockedSet, Origin};
use pitstop_core::settings::{Giver, Settings};
use pitstop_host::project::{Project, ProjectError};
use pitstop_host::remedy::{Found, Pinned, Remedy, Sources};
use pitstop_host::survey::Survey;
use serde::Serialize;

use super::shown_path;
use crate::args::Locking;
use crate::commands::target;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// What `fix --json` says of the lock.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct LockReport {
    /// The file.
    path: String,
    /// Whether it was written.
    changed: bool,
    /// How the environment differs from it.
    differs: Vec<String>,
}

/// A project, and what is wanted of its lock.
pub(in crate::commands) struct Governed {
    project: Option<Project>,
    locking: Locking,
    pinned: Pinned,
}

/// Says what to do about a project's files.
pub(in crate::commands) fn project_error(error: ProjectError) -> CommandError {
    let hint = error.hint();
    CommandError::new(ExitStatus::Usage, error).hint(hint)
}

/// The project of an environment, if any.
pub(in crate::commands) fn project(root: &Path) -> Result<Option<Project>, CommandError> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    Project::of_environment(&root, &here).map_err(project_error)
}

impl Governed {
    /// The project of an environment. Without `locking`, none: a throw-away environment is nobody's.
    pub(in crate::commands) fn of(root: &Path, locking: Option<&Locking>) -> Result<Self, CommandError> {
        let os_release = target::os_release();
        let Some(locking) = locking.cloned() else {
            let pinned = Pinned::of(None, &os_release);
            return Ok(Self { project: None, locking: Locking::default(), pinned });
        };
        let project = match (project(root)?, &locking.lock) {
            (found, Some(Some(file))) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
                let found = found.unwrap_or_else(|| Project { folder, ..Project::default() });
                Some(found.with_lock(file).map_err(project_error)?)
            }
            (None, Some(None)) => {
                let folder = root.parent().unwrap_or(root).to_owned();
                let lock_file = folder.join(lockfile::NAME);
                Some(Project { folder, lock_file, ..Project::default() })
            }
            (found, None | Some(None)) => found,
        };
        if locking.locked && project.as_ref().is_none_or(|project| project.lock.is_none()) {
            let cause = match &project {
                Some(project) => format!("there is no {}", project.lock_file.display()),
                None => format!("{} belongs to no project with a pitstop.lock", root.display()),
            };
            return Err(CommandError::new(ExitStatus::Usage, cause)
                .hint("make one with `pitstop fix --lock`, or name it with `--lock=FILE`"));
        }
        let mut pinned = Pinned::of(project.as_ref(), &os_release);
        pinned.strict = locking.locked;
        if !locking.locked {
            Pinned::settle(&mut pinned.lock, &pinned.settings, &pinned.systems);
        }
        if let Some(named) = &locking.upgrade {
            let is_meant = |locked: &Locked| named.is_empty() || named.contains(&locked.soname);
            pinned.lock.forget(&pinned.systems, &is_meant);
            // Anew means from the package set of today.
            pinned.lock.nixpkgs = None;
        }
        Ok(Self { project, locking, pinned })
    }

    pub(in crate::commands) const fn settings(&self) -> &Settings {
        &self.pinned.settings
    }

    pub(in crate::commands) fn pinned(&self) -> Pinned {
        self.pinned.clone()
    }

    /// What an earlier fix provided, without what lock and settings have otherwise, and without what is to be renewed.
    pub(super) fn hold(&self, mut known: BTreeMap<BString, Found>) -> BTreeMap<BString, Found> {
        known.retain(|soname, found| {
            let named = self.locking.upgrade.as_ref();
            let is_renewed = named
                .is_some_and(|named| named.is_empty() || named.iter().any(|named| soname == named.as_str()));
            !is_renewed && self.pinned.holds(found)
        });
        known
    }

    /// With `--locked`: everything is as locked, or nothing is done. `kind` says whose packages are asked for here.
    pub(super) fn check(&self, remedy: &Remedy, kind: Kind) -> Result<(), CommandError> {
        let Some(project) = self.project.as_ref().filter(|_| self.locking.locked) else { return Ok(()) };
        let mut differences = self.pinned.differences(remedy.found.values());
        let systems = &self.pinned.systems;
        let asked = match kind {
            Kind::Nix => Giver::Nix,
            Kind::Debian => Giver::Apt,
        };
        differences.extend(remedy.refused.iter().map(|refused| {
            let lock = &self.pinned.lock;
            // A team on several systems has entries of several givers.
            let locked = lock.from(&refused.soname, asked, systems);
            match locked.or_else(|| lock.of(&refused.soname, systems).next()) {
                Some(locked) => {
                    format!("{}: the lock has {}: {}", refused.soname, locked.origin, refused.reason)
                }
                None => format!("{}: the lock has none for this kind of machine", refused.soname),
            }
        }));
        if differences.is_empty() {
            return Ok(());
        }
        differences.sort();
        let lines: String = differences.iter().map(|line| format!("\n  {}", shown(line))).collect();
        let cause = format!("{} cannot be kept to:{lines}", shown_path(&project.lock_file));
        Err(CommandError::new(ExitStatus::Refused, cause).hint(
            "nothing was changed; `pitstop fix` provides what is to be had, `pitstop fix --upgrade` locks it",
        ))
    }

    /// Writes down what was provided, and says how that differs from what is locked.
    pub(super) fn write(
        &self,
        survey: &Survey,
        remedy: &Remedy,
        sources: &Sources,
        dry_run: bool,
        output: &Output,
    ) -> Result<Option<LockReport>, CommandError> {
        let Some(project) = &self.project else { return Ok(None) };
        let path = shown_path(&project.lock_file);
        let differs = if self.locking.upgrade.is_some() {
            Vec::new()
        } else {
            let locked = |found: &&Found| {
                let soname = found.soname.to_str_lossy();
                self.pinned.lock.of(&soname, &self.pinned.systems).next().is_some()
            };
            self.pinned.differences(remedy.found.values().filter(locked))
        };
        for line in &differs {
            output.warning(&shown(line));
        }
        if !differs.is_empty() {
            output.hint("`pitstop fix --upgrade` writes into the lock what is here");
        }
        if dry_run || self.locking.locked {
            return Ok(Some(LockReport { path, changed: false, differs }));
        }
        let needed_by = remedy.needed_by(survey);
        let set = Cell::new(None);
        let changed = project
            .write(&|lock| {
                Pinned::settle(lock, &self.pinned.settings, &self.pinned.systems);
                self.forget_renewed(lock, remedy);
                set.set(Self::add(lock, project, remedy, &needed_by));
                if lock.nixpkgs.is_none() {
                    lock.nixpkgs = set.take().filter(|_| sources.project.is_none());
                }
            })
            .map_err(|error| {
                let hint = error.hint();
                CommandError::new(ExitStatus::Refused, error)
                    .hint("the environment is fixed; only the lock could not be written")
                    .hint(hint)
            })?;
        if changed {
            output.note(&format!("wrote {path}"));
        }
        Ok(Some(LockReport { path, changed, differs }))
    }

    /// Takes out of the lock what was provided anew, and with `--upgrade` of everything what is needed no more. What could not
    /// be had this time stays.
    fn forget_renewed(&self, lock: &mut Lock, remedy: &Remedy) {
        let Some(named) = &self.locking.upgrade else { return };
        let is_refused = |soname: &str| remedy.refused.iter().any(|refused| refused.soname == soname);
        lock.forget(&self.pinned.systems, &|locked| {
            (named.is_empty() || named.contains(&locked.soname)) && !is_refused(&locked.soname)
        });
        if named.is_empty() {
            lock.nixpkgs = None;
            // The next `fhs` locks those of the package set as it is then.
            lock.forget_packages(&self.pinned.systems);
        }
    }

    /// Adds what was provided; gives the package set that all of it came from, where there is one and it says something
    /// elsewhere too.
    fn add(
        lock: &mut Lock,
        project: &Project,
        remedy: &Remedy,
        needed_by: &BTreeMap<BString, std::collections::BTreeSet<String>>,
    ) -> Option<LockedSet> {
        let mut sets: Vec<LockedSet> = Vec::new();
        for found in remedy.found.values() {
            let Some(mut origin) = found.origin.clone() else { continue };
            if let Origin::Nix { set, .. } = &mut origin {
                *set = project.named_from_here(std::mem::take(set));
                sets.push(set.clone());
            }
            let told_by = found.told_by.as_deref().map(|told_by| in_brief(told_by, &origin));
            let needed_by = needed_by.get(&found.soname).cloned().unwrap_or_default();
            lock.add(Locked { soname: found.soname.to_str_lossy().into_owned(), origin, told_by, needed_by });
        }
        sets.dedup();
        (sets.len() == 1).then(|| sets.remove(0)).filter(LockedSet::is_portable)
    }
}

/// Who told of a package, without the places of this machine.
fn in_brief(told_by: &str, origin: &Origin) -> String {
    match (told_by, origin) {
        ("the embedded table" | "the project's settings", _) => told_by.to_owned(),
        (_, Origin::Apt { .. }) => "Debian's lists of files".to_owned(),
        _ => "a nix-index database".to_owned(),
    }
}
