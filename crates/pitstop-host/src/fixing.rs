//! From a remedy to a plan: what would be written into an environment, before anything is.

mod patching;
mod scripts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use pitstop_core::alias::{self, AliasError};
use pitstop_core::files::{Files, Opened};
use pitstop_core::plan::hook::{self, Bytecode, HookData, PythonId, SOURCE, SOURCE_NAME, seen_from};
use pitstop_core::plan::{Inside, InsideError, Operation, Plan};

use crate::apply::{self, ApplyError, compile_hook};
use crate::reading::read_regular;
use crate::remedy::{Record, Remedy};
use crate::survey::Survey;

pub use patching::Originals;
pub use scripts::{Mended, ScriptRemedy};

const MODE: u32 = 0o644;
/// Where stand-ins for libraries of another name lie.
const ALIASES: &str = ".pitstop/alias";

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The hook is made for one Python, which must say which it is.
    #[error("the Python of this environment does not start, so no start-up hook can serve it")]
    SilentPython,
    /// A path that no manifest could hold.
    #[error(transparent)]
    Path(#[from] InsideError),
    /// No stand-in can be made for a library of another name.
    #[error("a library of another name cannot be used")]
    Alias(#[from] AliasError),
    /// A program cannot be patched.
    #[error("{}: {cause}", .path.display())]
    Patch {
        /// The program.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Python could not compile the hook.
    #[error(transparent)]
    Compile(#[from] ApplyError),
}

/// The plan that puts a remedy in place; empty where nothing has to be loaded.
pub fn plan(
    survey: &Survey,
    remedy: &Remedy,
    scripts: &ScriptRemedy,
    originals: &Originals,
) -> Result<Plan, PlanError> {
    let mut operations = Vec::new();
    let idle = remedy.after.preloads.is_empty() && !serves_names(remedy) && remedy.programs.is_idle();
    if idle && scripts.mended.is_empty() {
        return Ok(Plan { operations });
    }
    let record = Record::of(survey, &remedy.found);
    operations.push(Operation::WriteFile {
        path: Inside::new(Record::place())?,
        bytes: record.to_bytes(),
        mode: MODE,
    });
    if !remedy.after.preloads.is_empty() || serves_names(remedy) {
        add_hook(survey, remedy, &mut operations)?;
    }
    patching::add(survey, remedy, originals, &mut operations)?;
    scripts.add(&survey.environment.root, &mut operations)?;
    Ok(Plan { operations })
}

/// The plan that makes programs start which belong to no environment. Others that were patched in the same folder before,
/// and what they need, stay as they are.
pub fn plan_programs(survey: &Survey, remedy: &Remedy, originals: &Originals) -> Result<Plan, PlanError> {
    let mut operations = Vec::new();
    if remedy.programs.is_idle() {
        return Ok(Plan { operations });
    }
    let mut record = Record::of(survey, &remedy.found);
    if let Ok(Some(earlier)) = Record::read(&survey.environment.root) {
        record.keep(earlier);
    }
    operations.push(Operation::WriteFile {
        path: Inside::new(Record::place())?,
        bytes: record.to_bytes(),
        mode: MODE,
    });
    patching::add(survey, remedy, originals, &mut operations)?;
    let kept = apply::made(&survey.environment.root)?;
    let is_new = |kept: &Operation| !operations.iter().any(|operation| operation.path() == kept.path());
    let kept: Vec<Operation> = kept.into_iter().filter(is_new).collect();
    // Folders come before what is in them.
    let (folders, others) = kept.into_iter().partition(|kept| matches!(kept, Operation::MakeFolder { .. }));
    Ok(Plan { operations: [folders, operations, others].concat() })
}

/// Whether libraries are provided that code asks for by name.
fn serves_names(remedy: &Remedy) -> bool {
    remedy.after.asked.values().any(|(_, libraries)| !libraries.is_empty())
}

/// What has Python load libraries before the modules that need them, and where code asks for them by name.
fn add_hook(survey: &Survey, remedy: &Remedy, operations: &mut Vec<Operation>) -> Result<(), PlanError> {
    let answer = survey.python.answer.as_ref().ok_or(PlanError::SilentPython)?;
    let python = PythonId { version: minor(&survey.python.version), base_prefix: answer.base_prefix.clone() };
    let aliases = aliases(survey, remedy)?;
    if !aliases.is_empty() {
        operations.push(Operation::MakeFolder { path: Inside::new(ALIASES)? });
        let write = |alias: &Alias| Operation::WriteFile {
            path: alias.place.clone(),
            bytes: alias.bytes.clone(),
            mode: MODE,
        };
        operations.extend(aliases.values().flatten().map(write));
    }
    for site in &survey.environment.site_packages {
        let data = hook_data(survey, remedy, &aliases, site, python.clone());
        if data.files.is_empty() && !serves_names(remedy) {
            continue;
        }
        let inside = match site.strip_prefix(&survey.environment.root) {
            Ok(below) if !below.as_os_str().is_empty() => Some(Inside::new(below)?),
            _ => None,
        };
        operations.extend(hook::operations(inside.as_ref(), &data, Some(bytecode(survey, site)?))?);
    }
    Ok(())
}

/// A stand-in for a library that goes by another name than the one asked for.
struct Alias {
    place: Inside,
    bytes: Vec<u8>,
}

/// The stand-ins that are needed, by the library that they stand for: only a library's own soname is matched by the loader.
fn aliases(survey: &Survey, remedy: &Remedy) -> Result<BTreeMap<PathBuf, Vec<Alias>>, PlanError> {
    let mut aliases: BTreeMap<PathBuf, Vec<Alias>> = BTreeMap::new();
    for found in remedy.found.values() {
        let Opened::Elf(_, elf) = survey.files.open(&found.file) else { continue };
        if elf.soname.as_ref() == Some(&found.soname) {
            continue;
        }
        let bytes = alias::library(found.soname.as_ref(), &found.file, elf.target)?;
        let place = Inside::new(ALIASES)?.join(found.soname.to_path_lossy())?;
        aliases.entry(found.file.clone()).or_default().push(Alias { place, bytes });
    }
    Ok(aliases)
}

fn hook_data(
    survey: &Survey,
    remedy: &Remedy,
    aliases: &BTreeMap<PathBuf, Vec<Alias>>,
    site: &Path,
    python: PythonId,
) -> HookData {
    let root = &survey.environment.root;
    let mut libraries: Vec<PathBuf> = Vec::new();
    let mut numbers: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut files = BTreeMap::new();
    let mut numbered = |preloads: &[PathBuf]| -> Vec<usize> {
        let loaded = preloads.iter().flat_map(|library| match aliases.get(library) {
            Some(aliases) => aliases.iter().map(|alias| root.join(alias.place.as_path())).collect::<Vec<_>>(),
            None => vec![library.clone()],
        });
        loaded
            .map(|library| {
                let seen = seen_from(site, root, &library);
                *numbers.entry(library).or_insert_with(|| {
                    libraries.push(seen);
                    libraries.len() - 1
                })
            })
            .collect()
    };
    for (native, preloads) in &remedy.after.preloads {
        // The hook is asked by path below site-packages; what lies elsewhere in the environment is not Python's to load.
        let Ok(file) = survey.natives[*native].path.strip_prefix(site) else { continue };
        files.insert(file.to_owned(), numbered(preloads));
    }
    let names =
        remedy.after.asked.values().map(|(soname, preloads)| (soname.clone(), numbered(preloads))).collect();
    HookData { python, libraries, files, names }
}

/// The hook's bytecode. What an earlier fix wrote is taken again, so that a fix with nothing to do starts no Python twice.
fn bytecode(survey: &Survey, site: &Path) -> Result<Bytecode, PlanError> {
    let tag = survey.python.minor_version().replace('.', "");
    let there = || {
        if read_regular(&site.join(SOURCE_NAME)).ok()? != SOURCE.as_bytes() {
            return None;
        }
        let name = format!("_pitstop.cpython-{tag}.pyc");
        let bytes = read_regular(&site.join("__pycache__").join(&name)).ok()?;
        Some(Bytecode { name, bytes })
    };
    match there() {
        Some(bytecode) => Ok(bytecode),
        None => Ok(compile_hook(survey.environment.python.as_deref().unwrap_or(&survey.python.executable))?),
    }
}

fn minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
