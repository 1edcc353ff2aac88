//! The part of a plan that makes scripts start: each gets another first line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use pitstop_core::patch::Edit;
use pitstop_core::plan::{Content, Inside, Operation, PatchRecord, Piece};
use pitstop_core::targets::Shebang;

use super::{Originals, PlanError};
use crate::apply::content_of;
use crate::reading::read_regular;
use crate::scripts::{is_program, program_for};
use crate::survey::Survey;

/// Larger scripts carry something in them, and their record would hold all of it.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What makes scripts start.
#[derive(Clone, Debug, Default)]
pub struct ScriptRemedy {
    /// Those that get another first line.
    pub mended: Vec<Mended>,
    /// Those that nothing here mends, and why.
    pub refused: Vec<(PathBuf, String)>,
    /// Those that nobody asked to mend.
    pub left: Vec<PathBuf>,
}

/// A script, as it was and as it will be.
#[derive(Clone, Debug)]
pub struct Mended {
    /// Where.
    pub path: PathBuf,
    /// What its first line will name.
    pub program: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl ScriptRemedy {
    /// Decides what becomes of each script. What an earlier fix has mended stays mended; the others are where that is
    /// `wanted`.
    #[must_use]
    pub fn of(survey: &Survey, originals: &Originals, wanted: bool) -> Self {
        let mut scripts: BTreeMap<PathBuf, Result<Vec<u8>, String>> = originals
            .scripts()
            .filter(|(_, text)| !names_a_program(text))
            .map(|(path, text)| (path.to_owned(), Ok(text)))
            .collect();
        let mut remedy = Self::default();
        for script in &survey.scripts {
            if wanted {
                let text = read_regular(&script.path).map_err(|error| error.to_string());
                scripts.insert(script.path.clone(), text);
            } else {
                remedy.left.push(script.path.clone());
            }
        }
        let python = survey.environment.python.as_deref().unwrap_or(&survey.python.executable);
        for (path, text) in scripts {
            match text.and_then(|text| mended(&path, text, python)) {
                Ok(mended) => remedy.mended.push(mended),
                Err(reason) => remedy.refused.push((path, reason)),
            }
        }
        remedy
    }

    /// Adds the operations.
    pub(super) fn add(&self, root: &Path, operations: &mut Vec<Operation>) -> Result<(), PlanError> {
        for mended in &self.mended {
            let Ok(inside) = mended.path.strip_prefix(root) else { continue };
            operations.push(mended.operation(Inside::new(inside)?)?);
        }
        Ok(())
    }
}

fn names_a_program(text: &[u8]) -> bool {
    Shebang::parse(text).is_some_and(|line| is_program(&line.program.to_path_lossy()))
}

fn mended(path: &Path, before: Vec<u8>, python: &Path) -> Result<Mended, String> {
    use std::os::unix::ffi::OsStrExt;
    if before.len() > TEXT_BYTES_MAX {
        return Err("it is larger than 1 MiB, and so more than a script".to_owned());
    }
    let line = Shebang::parse(&before).ok_or("it was changed meanwhile")?;
    let program = program_for(&line, python, std::env::var_os("PATH").as_deref())?;
    let after = line.with_program(&before, program.as_os_str().as_bytes().as_bstr());
    let after = after.map_err(|error| error.to_string())?;
    Ok(Mended { path: path.to_owned(), program, before, after })
}

impl Mended {
    fn operation(&self, path: Inside) -> Result<Operation, PlanError> {
        let failed =
            |error: std::io::Error| PlanError::Patch { path: self.path.clone(), cause: error.to_string() };
        let whole = |bytes: &[u8]| Edit { offset: 0, bytes: bytes.to_vec() };
        let content = |bytes: &[u8]| -> Result<Content, PlanError> { content_of(bytes).map_err(failed) };
        let record = PatchRecord {
            purpose: format!("first line {}", self.program.display()),
            original: content(&self.before)?,
            patched: content(&self.after)?,
            pieces: vec![Piece::of(&whole(&self.before))],
        };
        Ok(Operation::Patch { path, edits: vec![whole(&self.after)], record })
    }
}
