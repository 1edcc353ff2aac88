//! The part of a plan that makes programs start: the farm, the links that lead a shim to it, and the patches.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;
use pitstop_core::elf::{Elf, Source};
use pitstop_core::patch::{self, Change, Edit, Edited, PathKind};
use pitstop_core::plan::{Inside, Operation, PatchRecord, Piece};
use rustix::fs::{CWD, Mode, openat};

use super::PlanError;
use crate::apply::{self, ApplyError, content_after, content_of};
use crate::programs::{farm_place, links};
use crate::reading::READ_FLAGS;
use crate::remedy::Remedy;
use crate::survey::Survey;

/// Files that an earlier fix has patched, as they were before.
#[derive(Debug, Default)]
pub struct Originals {
    records: HashMap<PathBuf, PatchRecord>,
}

impl Originals {
    /// Those of an environment, so far as they are as the fix left them.
    pub fn of(root: &Path) -> Result<Self, ApplyError> {
        Ok(Self { records: apply::patched(root)?.into_iter().collect() })
    }

    /// The scripts among them: paths, and the text that each had.
    pub(super) fn scripts(&self) -> impl Iterator<Item = (&Path, Vec<u8>)> {
        self.records.iter().filter_map(|(path, record)| {
            let (file, undo) = (Bytes::open(path).ok()?, record.undo().ok()?);
            // A program's record keeps the few bytes that were replaced; only a script's has its first.
            let begins = undo.first().is_some_and(|edit| edit.offset == 0 && edit.bytes.starts_with(b"#!"));
            let mut text = vec![0; usize::try_from(record.original.length).ok().filter(|_| begins)?];
            Edited::new(&file, &undo, record.original.length).read_exact_at(0, &mut text).ok()?;
            Some((path.as_path(), text))
        })
    }

    /// Their facts.
    #[must_use]
    pub fn facts(&self) -> HashMap<PathBuf, Arc<Elf>> {
        let facts = |(path, record): (&PathBuf, &PatchRecord)| {
            let (file, undo) = (Bytes::open(path).ok()?, record.undo().ok()?);
            let elf = Elf::read(&Edited::new(&file, &undo, record.original.length)).ok()?;
            Some((path.clone(), Arc::new(elf)))
        };
        self.records.iter().filter_map(facts).collect()
    }
}

/// A file whose bytes are read when asked for.
struct Bytes {
    file: File,
    length: u64,
}

impl Bytes {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::from(openat(CWD, path, READ_FLAGS, Mode::empty())?);
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl Source for Bytes {
    fn size_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Adds what the programs of a remedy need. Patches come last: until then every program is as it was.
pub(super) fn add(
    survey: &Survey,
    remedy: &Remedy,
    originals: &Originals,
    operations: &mut Vec<Operation>,
) -> Result<(), PlanError> {
    let (root, programs) = (&survey.environment.root, &remedy.programs);
    if !programs.farm.is_empty() {
        let farm = Inside::new(farm_place())?;
        operations.push(Operation::MakeFolder { path: farm.clone() });
        for (soname, file) in &programs.farm {
            let path = farm.join(soname.to_path_lossy())?;
            operations.push(Operation::Link { path, target: target(root, file)? });
        }
    }
    let by_shim: Vec<&Path> =
        programs.by_shim.iter().map(|&native| survey.natives[native].path.as_path()).collect();
    let links: BTreeMap<PathBuf, PathBuf> = links(root, &by_shim);
    for (link, target) in links {
        let target = target.to_string_lossy().into_owned();
        operations.push(Operation::Link { path: Inside::new(link)?, target });
    }
    for (native, change) in &programs.changes {
        let path = &survey.natives[*native].path;
        let Ok(inside) = path.strip_prefix(root) else { continue };
        operations.push(patch(Inside::new(inside)?, path, change, originals)?);
    }
    Ok(())
}

/// What a link in the farm says: a library of the environment moves with it.
fn target(root: &Path, file: &Path) -> Result<String, PlanError> {
    let target = match file.strip_prefix(root) {
        Ok(inside) => Path::new("../..").join(inside),
        Err(_) => file.to_owned(),
    };
    let text = target.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        PlanError::Path(pitstop_core::plan::InsideError::NotText(target.display().to_string()))
    })
}

/// The operation that changes one file; of one that is patched already, from what it was.
pub(crate) fn patch(
    inside: Inside,
    path: &Path,
    change: &Change,
    originals: &Originals,
) -> Result<Operation, PlanError> {
    let failed = |cause: String| PlanError::Patch { path: path.to_owned(), cause };
    let unreadable = |error: std::io::Error| failed(error.to_string());
    let file = Bytes::open(path).map_err(unreadable)?;
    let earlier = originals.records.get(path);
    let undo = match earlier {
        Some(record) => record.undo().map_err(|error| failed(error.to_string()))?,
        None => Vec::new(),
    };
    let length = earlier.map_or(file.length, |record| record.original.length);
    let original = Edited::new(&file, &undo, length);
    let made = patch::plan(&original, change).map_err(|error| failed(error.to_string()))?;
    let mut pieces = Vec::new();
    for edit in made.edits.iter().filter(|edit| edit.offset < length) {
        let kept = (edit.bytes.len() as u64).min(length - edit.offset);
        let mut bytes = vec![0; usize::try_from(kept).unwrap_or(edit.bytes.len())];
        original.read_exact_at(edit.offset, &mut bytes).map_err(unreadable)?;
        pieces.push(Piece::of(&Edit { offset: edit.offset, bytes }));
    }
    let purpose = purpose(change);
    let record = match earlier {
        // What is there is what this patch makes: it need not be read to know.
        Some(record) if record.purpose == purpose && record.pieces == pieces => record.clone(),
        _ => PatchRecord {
            purpose,
            original: content_of(&original).map_err(unreadable)?,
            patched: content_after(&original, &made.edits, made.new_length).map_err(unreadable)?,
            pieces,
        },
    };
    Ok(Operation::Patch { path: inside, edits: made.edits, record })
}

fn purpose(change: &Change) -> String {
    let loader = change.loader.as_ref().map(|loader| format!("loader {loader}"));
    let path = change.path.as_ref().map(|(kind, path)| match kind {
        PathKind::Rpath => format!("RPATH {path}"),
        PathKind::Runpath => format!("RUNPATH {path}"),
    });
    let needed = change.needed.iter().map(|soname| format!("NEEDED {soname}"));
    loader.into_iter().chain(path).chain(needed).collect::<Vec<_>>().join(", ")
}
