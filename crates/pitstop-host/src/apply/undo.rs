//! Taking a fix back.

use pitstop_core::patch::Edit;
use pitstop_core::plan::{Inside, PatchRecord};

use super::manifest::{self, Entry, Found, Manifest, State, reached};
use super::tree::{Seen, Tree};
use super::{ApplyError, Difference, Venv};

/// What [`Venv::undo`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Whether there was anything to take back.
    pub was_fixed: bool,
    /// What was not as pitstop had left it. What is changed or in use was left alone.
    pub differences: Vec<Difference>,
}

impl Venv {
    /// Takes back all that pitstop did: contents, modes and times. Finishes what an interrupted fix or undo left.
    ///
    /// What others changed since is left as it is, and told.
    pub fn undo(&self) -> Result<Undone, ApplyError> {
        let tree = &self.tree;
        let mut manifest = match Manifest::find(tree)? {
            Found::Nothing => return Ok(Undone::default()),
            Found::Stub => {
                self.remove_own_folder(None)?;
                return Ok(Undone { was_fixed: true, differences: Vec::new() });
            }
            Found::Manifest(manifest) => manifest,
        };
        tree.check_writable(None)?;
        for entry in &manifest.entries {
            reached(tree.check_writable(entry.path().folder().as_ref()))?;
        }
        let whole = manifest.state == State::Applied;
        self.settle_times(&mut manifest)?;
        // Taking back must work on a full disk, too. Without this note, an undo that is killed now and run again takes
        // what it removed itself for removed by others, and says so; no more.
        let _ = manifest.store(tree);
        let mut differences = Vec::new();
        for entry in manifest.entries.iter().rev() {
            match take_back(tree, entry)? {
                Some(Difference::Gone(_)) if !whole => {}
                other => differences.extend(other),
            }
        }
        for touched in manifest.touched.iter().filter(|touched| touched.path.is_some()) {
            reached(tree.set_time(touched.path.as_ref(), touched.before))?;
            reached(tree.sync(touched.path.as_ref()))?;
        }
        tree.empty_folder(&manifest::folder(), manifest::NAME)?;
        self.remove_own_folder(Some(&manifest))?;
        Ok(Undone { was_fixed: true, differences })
    }

    /// Takes back what was done to one file, and with the last of them all the rest. Nothing where it was not patched.
    pub fn undo_file(&self, path: &Inside) -> Result<Undone, ApplyError> {
        let tree = &self.tree;
        let Found::Manifest(mut manifest) = Manifest::find(tree)? else { return Ok(Undone::default()) };
        let is_it = |entry: &Entry| matches!(entry, Entry::Patched { path: other, .. } if other == path);
        let Some(entry) = manifest.entries.iter().find(|entry| is_it(entry)).cloned() else {
            return Ok(Undone::default());
        };
        let others =
            manifest.entries.iter().any(|entry| !is_it(entry) && matches!(entry, Entry::Patched { .. }));
        if !others {
            return self.undo();
        }
        let time = tree.time(path.folder().as_ref())?;
        let differences: Vec<Difference> = take_back(tree, &entry)?.into_iter().collect();
        if let Some(time) = time {
            tree.set_time(path.folder().as_ref(), time)?;
        }
        manifest.entries.retain(|entry| !is_it(entry));
        manifest.know(tree);
        manifest.store(tree)?;
        Ok(Undone { was_fixed: true, differences })
    }

    /// Takes back what an interrupted fix or undo left, and nothing else: a finished fix stays.
    ///
    /// [`Venv::apply`] and [`Venv::undo`] need no healing first; this is for whoever wants neither.
    pub fn heal(&self) -> Result<Undone, ApplyError> {
        match Manifest::find(&self.tree)? {
            Found::Manifest(manifest) if manifest.state == State::Applied => Ok(Undone::default()),
            _ => self.undo(),
        }
    }

    /// Decides for each touched folder which time it will have in the end, and puts that in `before`.
    fn settle_times(&self, manifest: &mut Manifest) -> Result<(), ApplyError> {
        for touched in &mut manifest.touched {
            let now = reached(self.tree.time(touched.path.as_ref()))?.flatten();
            if let (Some(after), Some(now)) = (touched.after.take(), now)
                && after != now
            {
                touched.before = now;
            }
        }
        manifest.state = State::Undoing;
        Ok(())
    }

    /// Removes `.pitstop` with what a killed run may have left in it, and sets the time of the root.
    pub(super) fn remove_own_folder(&self, manifest: Option<&Manifest>) -> Result<(), ApplyError> {
        let tree = &self.tree;
        let recorded =
            manifest.and_then(|manifest| manifest.touched.iter().find(|touched| touched.path.is_none()));
        let time = match recorded {
            Some(root) => Some(root.before),
            None => tree.time(None)?,
        };
        if let Some(time) = time {
            // Set while the manifest still is there, and again after the last removal, which changes it once more.
            tree.set_time(None, time)?;
            tree.remove_temporary(&manifest::place())?;
            tree.remove(&manifest::place())?;
            tree.remove_folder(&manifest::folder())?;
            tree.set_time(None, time)?;
        }
        tree.sync(None)
    }
}

/// Removes what `entry` made, if it is as it was made. Says so if it is not.
pub(super) fn take_back(tree: &Tree, entry: &Entry) -> Result<Option<Difference>, ApplyError> {
    let path = entry.path();
    if let Entry::Claim { folder, starts_with, ends_with } = entry {
        return take_back_claimed(tree, folder, starts_with, ends_with).map(|()| None);
    }
    reached(tree.remove_temporary(path))?;
    if let Entry::Patched { path, records } = entry {
        return take_back_patch(tree, path, records);
    }
    if let Some(difference) = entry.difference(tree)? {
        return Ok(Some(difference));
    }
    match entry {
        Entry::Folder { .. } => Ok((!tree.remove_folder(path)?).then(|| Difference::InUse(path.clone()))),
        _ => tree.remove(path).map(|()| None),
    }
}

/// Puts a patched file's own bytes back, unless somebody has put another file there.
fn take_back_patch(
    tree: &Tree,
    path: &Inside,
    records: &[PatchRecord],
) -> Result<Option<Difference>, ApplyError> {
    let Some(content) = reached(tree.content(path))?.flatten() else {
        return Ok(Some(Difference::Gone(path.clone())));
    };
    if records.iter().any(|record| record.original == content) {
        return Ok(None);
    }
    let Some(record) = records.iter().find(|record| record.patched == content) else {
        return Ok(Some(Difference::Changed(path.clone())));
    };
    let edits = edits(tree, record)?;
    tree.rewrite(path, &[(&edits, record.original.length)], &record.original).map(|()| None)
}

/// The edits that undo a patch.
pub(super) fn edits(tree: &Tree, record: &PatchRecord) -> Result<Vec<Edit>, ApplyError> {
    let path = tree.full(Some(&manifest::place()));
    record.undo().map_err(|error| ApplyError::Damaged { path, reason: error.to_string() })
}

fn take_back_claimed(tree: &Tree, folder: &Inside, start: &str, end: &str) -> Result<(), ApplyError> {
    if reached(tree.look(folder))? != Some(Seen::Folder) {
        return Ok(());
    }
    let ours = |name: &&String| {
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    for name in tree.names(folder)?.iter().filter(ours) {
        let Ok(path) = folder.join(name) else { continue };
        if matches!(tree.look(&path)?, Seen::File(_)) {
            tree.remove(&path)?;
        }
    }
    Ok(())
}
