//! Applying a plan to an environment, and taking it back to the byte.
//!
//! [`Venv::lock`] claims an environment; [`Venv::apply`] and [`Venv::undo`] change it; [`status`] only looks. The order
//! of events is what makes a kill at any moment harmless:
//!
//! 1. the manifest, in state `applying`, lists all that is going to be made, and the times of the folders it touches;
//! 2. each operation is done in the order of the plan, each file through a temporary name, a sync and a rename, and what
//!    makes Python notice comes last;
//! 3. what an earlier fix made and this one does not need is removed;
//! 4. the manifest is replaced by one in state `applied`.
//!
//! Until the activation is in place the environment imports as before, afterwards as it will. Whoever comes next finds a
//! manifest that knows every path, so `fix` can finish and `undo` can take back. One thing has no record that survives
//! everything: when pitstop is killed between making (or removing) its own folder `.pitstop` and setting the root's
//! modification time back, two calls later, that one time stays as the kernel set it.

mod compile;
mod error;
mod lock;
mod manifest;
mod patching;
mod tree;
mod undo;

use std::path::{Path, PathBuf};

use pitstop_core::patch::Edit;
use pitstop_core::plan::{Content, Inside, Operation, PatchRecord, Plan};

pub use compile::compile_hook;
pub use error::{ApplyError, Difference};
pub use manifest::{Entry, FOLDER, Manifest, SCHEMA, State, Touched};
pub use patching::Known;
pub(crate) use patching::{content_after, content_of};
pub use tree::Moment;
pub use undo::Undone;

use manifest::Found;
use tree::{Seen, Tree};

/// An environment that nobody else may fix or undo while this value lives.
pub struct Venv {
    tree: Tree,
    _lock: lock::Lock,
}

/// What [`Venv::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The manifest, as it now stands.
    pub manifest: Manifest,
    /// False when everything was in place already and nothing was touched.
    pub changed: bool,
}

/// What pitstop has done to an environment, and whether it is still as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    None,
    /// A fix, and all of it is there.
    Whole(Manifest),
    /// A fix, and somebody has changed or deleted parts of it.
    Stale {
        /// What was made.
        manifest: Manifest,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A fix or an undo that was interrupted; without manifest if that was in its first or last moment.
    Half(Option<Manifest>),
    /// A fix by a newer pitstop; this one cannot tell more.
    Newer {
        /// The schema of its manifest.
        schema: u64,
    },
}

/// Looks at an environment without claiming it, and changes nothing.
pub fn status(root: &Path) -> Result<Status, ApplyError> {
    let tree = Tree::open(root)?;
    let manifest = match Manifest::find(&tree) {
        Ok(Found::Nothing) => return Ok(Status::None),
        Ok(Found::Stub) => return Ok(Status::Half(None)),
        Ok(Found::Manifest(manifest)) => manifest,
        Err(ApplyError::Newer { found, .. }) => return Ok(Status::Newer { schema: found }),
        Err(error) => return Err(error),
    };
    if manifest.state != State::Applied {
        return Ok(Status::Half(Some(manifest)));
    }
    let mut differences = Vec::new();
    for entry in &manifest.entries {
        differences.extend(entry.difference(&tree)?);
    }
    Ok(if differences.is_empty() { Status::Whole(manifest) } else { Status::Stale { manifest, differences } })
}

/// The files that an earlier fix has patched and that are as it left them, with what undoes it. Changes nothing.
pub fn patched(root: &Path) -> Result<Vec<(PathBuf, PatchRecord)>, ApplyError> {
    let tree = Tree::open(root)?;
    let Found::Manifest(manifest) = Manifest::find(&tree)? else { return Ok(Vec::new()) };
    let mut patched = Vec::new();
    for entry in &manifest.entries {
        let Entry::Patched { path, records } = entry else { continue };
        let Some(content) = manifest::reached(tree.content(path))?.flatten() else { continue };
        let record = records.iter().find(|record| record.patched == content);
        patched.extend(record.map(|record| (tree.full(Some(path)), record.clone())));
    }
    Ok(patched)
}

/// Operations that leave as they are the folders, links and patches that were made in a folder. Changes nothing.
pub(crate) fn made(root: &Path) -> Result<Vec<Operation>, ApplyError> {
    let tree = Tree::open(root)?;
    let Found::Manifest(manifest) = Manifest::find(&tree)? else { return Ok(Vec::new()) };
    let operation = |entry: &Entry| match entry {
        Entry::Folder { path } => Some(Operation::MakeFolder { path: path.clone() }),
        Entry::Link { path, targets } => {
            Some(Operation::Link { path: path.clone(), target: targets.first()?.clone() })
        }
        Entry::Patched { path, records } => {
            let record = records.first()?.clone();
            let same = matches!(tree.content(path), Ok(Some(content)) if content == record.patched);
            // There is nothing to edit in what is patched.
            same.then(|| Operation::Patch { path: path.clone(), edits: Vec::new(), record })
        }
        Entry::File { .. } | Entry::Claim { .. } => None,
    };
    Ok(manifest.entries.iter().filter_map(operation).collect())
}

impl Venv {
    /// Claims the environment in the folder `root`: a venv, or a bare site-packages folder. Changes nothing.
    pub fn lock(root: &Path) -> Result<Self, ApplyError> {
        let tree = Tree::open(root)?;
        let lock = lock::Lock::take(&tree)?;
        Ok(Self { tree, _lock: lock })
    }

    /// The folder that was claimed.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.tree.root()
    }

    /// Makes `.pitstop` with a manifest that lists nothing yet, and says where it is: for what a provider keeps with the
    /// environment (roots for a garbage collector, unpacked packages) before there is a plan. Undo removes all of it.
    pub fn begin(&self) -> Result<PathBuf, ApplyError> {
        if self.existing()?.is_none() {
            self.tree.check_writable(None)?;
            self.start(&[], None)?;
        }
        Ok(self.tree.full(Some(&manifest::folder())))
    }

    /// Whether exactly this plan was applied and everything still is in place.
    pub fn is_applied(&self, plan: &Plan) -> Result<bool, ApplyError> {
        match Manifest::find(&self.tree)? {
            Found::Manifest(manifest) => manifest.is_of(plan, &self.tree),
            Found::Nothing | Found::Stub => Ok(false),
        }
    }

    /// Applies a plan: over nothing, over an earlier fix, or over what an interrupted one left.
    ///
    /// A first fix that fails is taken back; a later one leaves what the earlier one made working.
    pub fn apply(&self, plan: &Plan) -> Result<Applied, ApplyError> {
        let old = self.existing()?;
        if let Some(old) = &old
            && old.is_of(plan, &self.tree)?
        {
            return Ok(Applied { manifest: old.clone(), changed: false });
        }
        self.preflight(plan, old.as_ref())?;
        let first = old.as_ref().is_none_or(|old| old.entries.is_empty());
        let done = self
            .start(&plan.operations, old.as_ref())
            .and_then(|union| self.carry_out(plan, &union, old.as_ref()));
        match done {
            Ok(manifest) => Ok(Applied { manifest, changed: true }),
            Err(cause) => Err(self.failed(first, cause)),
        }
    }

    fn failed(&self, first: bool, cause: ApplyError) -> ApplyError {
        let cause = Box::new(cause);
        if first && self.undo().is_ok() {
            ApplyError::RolledBack { cause }
        } else {
            ApplyError::HalfDone { root: self.tree.root().to_owned(), cause }
        }
    }

    /// The manifest of an earlier fix, after finishing an undo that was interrupted.
    fn existing(&self) -> Result<Option<Manifest>, ApplyError> {
        match Manifest::find(&self.tree)? {
            Found::Nothing => Ok(None),
            Found::Manifest(manifest) if manifest.state != State::Undoing => Ok(Some(manifest)),
            Found::Stub | Found::Manifest(_) => self.undo().map(|_| None),
        }
    }

    /// Refuses before anything is written what is bound to fail.
    fn preflight(&self, plan: &Plan, old: Option<&Manifest>) -> Result<(), ApplyError> {
        let tree = &self.tree;
        tree.check_writable(None)?;
        let mut made: Vec<&Inside> = Vec::new();
        for operation in &plan.operations {
            let path = operation.path();
            let folder = path.folder();
            let coming = folder.as_ref().is_some_and(|folder| made.contains(&folder));
            if matches!(operation, Operation::MakeFolder { .. }) {
                made.push(path);
            }
            if matches!(operation, Operation::Claim { .. }) || folder == Some(manifest::folder()) {
                continue;
            }
            if !coming && tree.folder(folder.as_ref())?.is_none() {
                return Err(ApplyError::NoFolder { path: tree.full(folder.as_ref()) });
            }
            tree.check_writable(folder.as_ref())?;
            self.check_free(operation, old)?;
        }
        Ok(())
    }

    /// That nothing foreign is where an operation is going to write.
    fn check_free(&self, operation: &Operation, old: Option<&Manifest>) -> Result<(), ApplyError> {
        let wanted = Entry::of(operation);
        let path = self.tree.full(Some(operation.path()));
        match (operation, self.tree.look(operation.path())?) {
            (Operation::Patch { .. }, Seen::Nothing) => Err(ApplyError::Changed { path }),
            (_, Seen::Nothing) | (Operation::MakeFolder { .. }, Seen::Folder) => Ok(()),
            (Operation::Patch { record, .. }, Seen::File(_)) => {
                self.check_patch(record, operation.path(), old)
            }
            (Operation::MakeFolder { .. }, Seen::Link) => Err(ApplyError::Symlink { path }),
            _ => match old.and_then(|old| old.entry(&wanted)) {
                None => Err(ApplyError::Occupied { path }),
                Some(entry) if entry.difference(&self.tree)?.is_some() => Err(ApplyError::Changed { path }),
                Some(_) => Ok(()),
            },
        }
    }

    /// That a file is what a patch was made for, or one that it was made from.
    fn check_patch(
        &self,
        record: &PatchRecord,
        path: &Inside,
        old: Option<&Manifest>,
    ) -> Result<(), ApplyError> {
        self.tree.check_patchable(path)?;
        let content = self.tree.content(path)?;
        let is = |one: &Content| content.as_ref() == Some(one);
        let earlier = old.into_iter().flat_map(|old| &old.entries).any(|entry| match entry {
            Entry::Patched { path: other, records } if other == path => {
                records.iter().any(|one| one.original == record.original && is(&one.patched))
            }
            _ => false,
        });
        if is(&record.original) || is(&record.patched) || earlier {
            return Ok(());
        }
        Err(ApplyError::Changed { path: self.tree.full(Some(path)) })
    }

    /// Patches a file that is as it was, or as an earlier patch left it.
    fn patch(
        &self,
        path: &Inside,
        edits: &[Edit],
        record: &PatchRecord,
        union: &Manifest,
    ) -> Result<(), ApplyError> {
        let tree = &self.tree;
        let content = tree.content(path)?;
        let is = |one: &Content| content.as_ref() == Some(one);
        let new = (edits, record.patched.length);
        if is(&record.patched) {
            return Ok(());
        }
        if is(&record.original) {
            return tree.rewrite(path, &[new], &record.patched);
        }
        let records = union.entries.iter().find_map(|entry| match entry {
            Entry::Patched { path: other, records } if other == path => Some(records),
            _ => None,
        });
        let earlier = records.into_iter().flatten().find(|one| is(&one.patched));
        let Some(earlier) = earlier else {
            return Err(ApplyError::Changed { path: tree.full(Some(path)) });
        };
        let undo = undo::edits(tree, earlier)?;
        tree.rewrite(path, &[(&undo, earlier.original.length), new], &record.patched)
    }

    /// Writes the manifest that lists what is there and what will be.
    fn start(&self, operations: &[Operation], old: Option<&Manifest>) -> Result<Manifest, ApplyError> {
        let tree = &self.tree;
        let mut coming = Vec::new();
        let mut touched = vec![None];
        for operation in operations {
            let mut entry = Entry::of(operation);
            let before = old.and_then(|old| old.entry(&entry));
            if let Some(before) = before {
                entry.also(before);
            }
            let folder = match operation {
                Operation::Claim { folder, .. } => Some(folder.clone()),
                other => other.path().folder(),
            };
            if !touched.contains(&folder) {
                touched.push(folder);
            }
            let stood = matches!(entry, Entry::Folder { .. }) && tree.look(entry.path())? == Seen::Folder;
            if before.is_some() || !stood {
                coming.push(entry);
            }
        }
        // What goes away stands first: an undo takes back the newest first.
        let mut entries: Vec<Entry> = old.map_or_else(Vec::new, |old| old.entries.clone());
        entries.retain(|entry| !coming.iter().any(|other| other.same_place(entry)));
        entries.extend(coming);
        let touched = self.times(touched, old, &entries)?;
        let manifest = Manifest::new(State::Applying, entries, touched);
        if old.is_some() {
            return manifest.store(tree).map(|()| manifest);
        }
        if let Err(error) = self.make_own_folder(&manifest) {
            // The time of the root is known only here while no manifest says it. What cannot be removed is healed later.
            let _ = self.remove_own_folder(Some(&manifest));
            return Err(error);
        }
        Ok(manifest)
    }

    fn make_own_folder(&self, manifest: &Manifest) -> Result<(), ApplyError> {
        self.tree.make_folder(&manifest::folder())?;
        // So that the time is right even if we are killed before the manifest, which knows it, is there.
        if let Some(root) = manifest.touched.first() {
            self.tree.set_time(None, root.before)?;
        }
        manifest.store(&self.tree)
    }

    /// The times that folders had before pitstop came, so far as they were there.
    fn times(
        &self,
        folders: Vec<Option<Inside>>,
        old: Option<&Manifest>,
        entries: &[Entry],
    ) -> Result<Vec<Touched>, ApplyError> {
        let mut touched: Vec<Touched> = old.map_or_else(Vec::new, |old| old.touched.clone());
        for one in &mut touched {
            let now = self.tree.time(one.path.as_ref())?;
            // Somebody changed the folder since: the time to go back to is that of their change.
            if let (Some(after), Some(now)) = (one.after, now)
                && after != now
            {
                one.before = now;
            }
            one.after = None;
        }
        for folder in folders {
            let ours = folder.as_ref().is_some_and(|folder| {
                *folder == manifest::folder()
                    || entries.iter().any(|entry| matches!(entry, Entry::Folder { path } if path == folder))
            });
            if ours || touched.iter().any(|one| one.path == folder) {
                continue;
            }
            if let Some(before) = self.tree.time(folder.as_ref())? {
                touched.push(Touched { path: folder, before, after: None });
            }
        }
        Ok(touched)
    }

    fn carry_out(
        &self,
        plan: &Plan,
        union: &Manifest,
        old: Option<&Manifest>,
    ) -> Result<Manifest, ApplyError> {
        let wanted: Vec<Entry> = plan.operations.iter().map(Entry::of).collect();
        for (operation, entry) in plan.operations.iter().zip(&wanted) {
            self.perform(operation, entry, union)?;
        }
        let obsolete = old.into_iter().flat_map(|old| old.entries.iter().rev());
        let mut entries: Vec<Entry> =
            wanted.into_iter().filter(|entry| union.entry(entry).is_some()).collect();
        for entry in obsolete {
            let needed = entries.iter().any(|other| other.same_place(entry));
            if !needed
                && undo::take_back(&self.tree, entry)?
                    .is_some_and(|left| matches!(left, Difference::InUse(_)))
            {
                // A folder that others use by now; it stays ours until it is empty.
                entries.insert(0, entry.clone());
            }
        }
        for folder in union.touched.iter().map(|touched| touched.path.as_ref()) {
            self.tree.sync(folder)?;
        }
        for entry in &entries {
            if let Entry::Folder { path } = entry {
                self.tree.sync(Some(path))?;
            }
        }
        let mut touched = union.touched.clone();
        for one in &mut touched {
            one.after = self.tree.time(one.path.as_ref())?;
        }
        let mut manifest = Manifest::new(State::Applied, entries, touched);
        manifest.know(&self.tree);
        manifest.store(&self.tree)?;
        Ok(manifest)
    }

    /// Does one operation, unless it is done.
    fn perform(&self, operation: &Operation, wanted: &Entry, union: &Manifest) -> Result<(), ApplyError> {
        let tree = &self.tree;
        let path = operation.path();
        let seen = tree.look(path)?;
        let there = seen != Seen::Nothing;
        match operation {
            Operation::Claim { .. } => Ok(()),
            Operation::Patch { edits, record, .. } => self.patch(path, edits, record, union),
            Operation::MakeFolder { .. } if seen == Seen::Folder => Ok(()),
            Operation::MakeFolder { .. } => tree.make_folder(path),
            Operation::WriteFile { mode, .. }
                if seen == Seen::File(*mode) && wanted.difference(tree)?.is_none() =>
            {
                Ok(())
            }
            Operation::WriteFile { bytes, mode, .. } => tree.write(path, bytes, *mode, there),
            Operation::Link { .. } if wanted.difference(tree)?.is_none() => Ok(()),
            Operation::Link { target, .. } => tree.make_link(path, target, there),
        }
    }
}

#[cfg(test)]
mod tests;
