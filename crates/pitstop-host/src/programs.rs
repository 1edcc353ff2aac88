//! Programs that came with an environment: whether they start here, and what makes them start.
//!
//! A program brings a loader of its own choice, so it is judged in a process of its own, not in Python's. Where a shim
//! stands at the loader's path, a farm of exact sonames is enough (`pitstop-libs`, a link beside the program or in its
//! folder's parent, leads pitstop-ld to it); else the program is patched: it gets this machine's loader, and the farm in
//! its search path.

mod pretend;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use pitstop_core::diagnose::{Asker, Missing};
use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::{Environment, Loader, Loading, Outcome, Process, is_musl, no_fallback};
use pitstop_core::patch::{Change, PathKind};
use pitstop_core::targets::{Native, Role};

use crate::apply::FOLDER;
use crate::files::SystemFiles;
use crate::loader;
use crate::provide::host::Drivers;
use crate::reading::read_regular;
use crate::remedy::Found;
use crate::survey::{Asking, Stranded, Survey};
use pretend::{Pretend, plain};

/// The farm, below [`FOLDER`].
const FARM: &str = "farm";
/// The link by which pitstop-ld finds a farm.
const LINK: &str = "pitstop-libs";
/// What every build of pitstop-ld has in it, and no other loader: the name of that link.
const PITSTOP_LD_MARK: &[u8] = b"pitstop-libs";
/// What every build of nix-ld has in it: the variable that it is named for.
const NIX_LD_MARK: &[u8] = b"NIX_LD_LIBRARY_PATH";
/// Where both look for a loader and for libraries when no variable names others (nix-ld's README).
const SHIM_DEFAULTS: &str = "/run/current-system/sw/share/nix-ld/lib";
/// The largest shim or loader that is read.
const LOADER_BYTES_MAX: u64 = 64 << 20;

/// What stands at the path that a program names as its loader.
#[derive(Clone, Debug)]
pub enum Stands {
    /// Nothing, or nothing that starts a program: NixOS puts a stub there that prints advice.
    Nothing,
    /// A loader.
    Loader(Arc<Loader>),
    /// pitstop-ld, and the loader that it hands programs to.
    PitstopLd(Arc<Loader>),
    /// nix-ld, and the loader that it hands programs to.
    NixLd(Arc<Loader>),
}

impl Stands {
    fn loader(&self) -> Option<&Arc<Loader>> {
        match self {
            Self::Nothing => None,
            Self::Loader(loader) | Self::PitstopLd(loader) | Self::NixLd(loader) => Some(loader),
        }
    }
}

/// Looks at what stands at a path. A shim is told by what it has in it; only a real loader of this machine is asked.
pub fn stands(path: &Path, ask: bool) -> Stands {
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    if length.is_ok_and(|length| length > LOADER_BYTES_MAX) {
        return Stands::Nothing;
    }
    let Ok(bytes) = read_regular(path) else { return Stands::Nothing };
    let marks = [PITSTOP_LD_MARK, NIX_LD_MARK].map(|mark| bytes.contains_str(mark));
    if marks == [false, false] {
        let asked = if ask { loader::ask(path) } else { loader::read(path) };
        return asked.map_or(Stands::Nothing, |loader| Stands::Loader(Arc::new(loader)));
    }
    let own = variable(&format!("NIX_LD_{}_linux", std::env::consts::ARCH)).or_else(|| variable("NIX_LD"));
    let named = own.map_or_else(|| Path::new(SHIM_DEFAULTS).join("ld.so"), PathBuf::from);
    let named = std::fs::canonicalize(&named).unwrap_or(named);
    let asked = if ask { loader::ask(&named) } else { loader::read(&named) };
    match (asked, marks) {
        (Ok(loader), [true, _]) => Stands::PitstopLd(Arc::new(loader)),
        (Ok(loader), _) => Stands::NixLd(Arc::new(loader)),
        (Err(_), _) => Stands::Nothing,
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// What both shims search before all defaults.
fn shim_variable() -> Option<OsString> {
    let own = format!("NIX_LD_LIBRARY_PATH_{}_linux", std::env::consts::ARCH);
    variable(&own).or_else(|| variable("NIX_LD_LIBRARY_PATH"))
}

/// Whether pitstop-ld looks for a farm beside a program: where no variable names other folders, and a search path can hold
/// the program's.
fn heeds_farms(program: &Path) -> bool {
    shim_variable().is_none_or(|folders| folders == SHIM_DEFAULTS)
        && !path_bytes(program).iter().any(|byte| matches!(byte, b':' | b';' | b'$'))
}

/// A program of an environment.
#[derive(Clone, Debug)]
struct Program {
    native: usize,
    /// What it says of itself, before pitstop patched it.
    original: Arc<Elf>,
    /// `PT_INTERP`.
    named: PathBuf,
    stands: Stands,
    /// What it opens when running: a Python's own extension modules.
    modules: Vec<PathBuf>,
}

/// The programs of one environment.
pub struct Programs<'a> {
    survey: &'a Survey,
    all: Vec<Program>,
    /// Folders that every program is to search besides.
    folders: Vec<BString>,
}

/// What makes programs start.
#[derive(Clone, Debug, Default)]
pub struct ProgramRemedy {
    /// What the farm must hold: soname and file.
    pub farm: BTreeMap<BString, PathBuf>,
    /// What is to be changed in which native.
    pub changes: Vec<(usize, Change)>,
    /// Programs that a shim leads to the farm.
    pub by_shim: Vec<usize>,
    /// The loader that will start each of those two.
    pub loaders: BTreeMap<usize, PathBuf>,
    /// Programs that nothing here mends, and why.
    pub refused: Vec<(usize, String)>,
}

impl ProgramRemedy {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.changes.is_empty() && self.by_shim.is_empty()
    }
}

/// One way to start a program, played.
struct Trial {
    change: Change,
    missing: BTreeMap<BString, BTreeSet<BString>>,
    /// What only modules lack.
    wanting: BTreeMap<BString, BTreeSet<BString>>,
    farm: BTreeSet<BString>,
    clash: Option<String>,
    loader: PathBuf,
    through_shim: bool,
}

impl Trial {
    fn is_content(&self) -> bool {
        self.missing.is_empty() && self.wanting.is_empty()
    }

    fn lacks_some_of(&self, found: &BTreeMap<BString, Found>) -> bool {
        self.missing.keys().chain(self.wanting.keys()).any(|soname| found.contains_key(soname))
    }
}

impl<'a> Programs<'a> {
    /// No programs: those of this environment are somebody else's matter.
    #[must_use]
    pub const fn none(survey: &'a Survey) -> Self {
        Self { survey, all: Vec::new(), folders: Vec::new() }
    }

    /// Looks at the programs of an environment. `originals` says of each that is patched what it was.
    #[must_use]
    pub fn of(survey: &'a Survey, asking: Asking, originals: &HashMap<PathBuf, Arc<Elf>>) -> Self {
        let mut loaders: HashMap<PathBuf, Stands> = HashMap::new();
        let mut programs = Vec::new();
        for (native, Native { path, elf, role, .. }) in survey.natives.iter().enumerate() {
            let original = originals.get(path).unwrap_or(elf);
            // A program for another machine is started by nobody here.
            if *role != Role::Executable || original.target != survey.loader.target {
                continue;
            }
            let Some(named) = original.loader.as_ref().map(|named| named.to_path_lossy().into_owned()) else {
                continue;
            };
            let look = || {
                if named == survey.loader.path {
                    return Stands::Loader(survey.loader.clone());
                }
                stands(&named, asking == Asking::Allowed && survey.is_of_the_machine(&named))
            };
            let stands = loaders.entry(named.clone()).or_insert_with(look).clone();
            programs.push(Program { native, original: original.clone(), named, stands, modules: Vec::new() });
        }
        Self { survey, all: programs, folders: Vec::new() }
    }

    /// Whether there are none that could be mended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Says that the programs open these modules when running. What only those lack is provided where it is to be had.
    #[must_use]
    pub fn with_modules(mut self, modules: &[PathBuf]) -> Self {
        for program in &mut self.all {
            modules.clone_into(&mut program.modules);
        }
        self
    }

    /// Says that the programs are to get the loader of the survey whatever stands at the place of theirs, and that they
    /// are to search these folders.
    #[must_use]
    pub fn forced(mut self, loader: bool, folders: Vec<BString>) -> Self {
        for program in self.all.iter_mut().filter(|_| loader) {
            program.stands = Stands::Nothing;
        }
        self.folders = folders;
        self
    }

    /// The programs that cannot start here as they are, as far as can be told without starting them.
    #[must_use]
    pub fn stranded(&self) -> Vec<Stranded> {
        let mut stranded = Vec::new();
        let drivers = Drivers::new(&self.survey.files, self.survey.loader.target);
        for program in &self.all {
            let native = program.native;
            let loader = program.named.clone();
            let Some(starting) = program.stands.loader() else {
                stranded.push(Stranded { native, loader, loader_exists: false, missing: Vec::new() });
                continue;
            };
            let path = &self.survey.natives[native].path;
            let folders = Self::shim_folders(program, path);
            let environment = searched(&folders);
            let started = Process::start(starting.clone(), &self.survey.files, path, environment);
            let Ok(process) = started else { continue };
            let mut missing: Vec<BString> = missing(process.at_start()).into_keys().collect();
            missing.retain(|soname| !drivers.lacks(soname.as_ref()));
            if !missing.is_empty() {
                stranded.push(Stranded { native, loader, loader_exists: true, missing });
            }
        }
        stranded
    }

    /// What the programs lack with what was found so far.
    #[must_use]
    pub fn missing(&self, found: &BTreeMap<BString, Found>) -> Vec<Missing> {
        let mut missing: BTreeMap<BString, Missing> = BTreeMap::new();
        for program in &self.all {
            let Ok(trial) = self.best(program, found) else { continue };
            let path = &self.survey.natives[program.native].path;
            for (soname, versions) in trial.missing.into_iter().chain(trial.wanting) {
                let entry = missing.entry(soname.clone()).or_insert_with(|| Missing {
                    soname,
                    versions: BTreeSet::new(),
                    askers: Vec::new(),
                    named_by: Vec::new(),
                    optional: false,
                    in_wheels: Vec::new(),
                });
                entry.versions.extend(versions);
                entry.askers.push(Asker { root: program.native, by: path.as_path().into() });
            }
        }
        missing.into_values().collect()
    }

    /// What makes them start, with what was found.
    #[must_use]
    pub fn remedy(&self, found: &BTreeMap<BString, Found>) -> ProgramRemedy {
        let mut remedy = ProgramRemedy::default();
        let drivers = Drivers::new(&self.survey.files, self.survey.loader.target);
        for program in &self.all {
            let native = program.native;
            match self.best(program, found) {
                Err(reason) => remedy.refused.push((native, reason)),
                Ok(Trial { clash: Some(clash), .. }) => remedy.refused.push((native, clash)),
                // Without its driver it is of no use on this machine, whatever else is done.
                Ok(trial) if trial.missing.keys().any(|soname| drivers.lacks(soname.as_ref())) => {}
                // Half of what it needs is of no use to it.
                Ok(trial) if !trial.missing.is_empty() => {
                    let names: Vec<String> = trial.missing.keys().map(ToString::to_string).collect();
                    remedy.refused.push((native, format!("nobody gave {}", names.join(", "))));
                }
                Ok(trial) => {
                    let files = trial.farm.iter().filter_map(|soname| found.get_key_value(soname));
                    remedy.farm.extend(files.map(|(soname, found)| (soname.clone(), found.file.clone())));
                    if trial.through_shim && !trial.farm.is_empty() {
                        remedy.by_shim.push(native);
                    } else if !trial.change.is_nothing() {
                        remedy.changes.push((native, trial.change));
                    } else {
                        continue;
                    }
                    remedy.loaders.insert(native, trial.loader);
                }
            }
        }
        remedy
    }

    /// The gentlest way in which a program starts; of those in which it does not, the last.
    fn best(&self, program: &Program, found: &BTreeMap<BString, Found>) -> Result<Trial, String> {
        let path = &self.survey.natives[program.native].path;
        let farm = self.survey.environment.root.join(FOLDER).join(FARM);
        let is_shim =
            self.folders.is_empty() && matches!(program.stands, Stands::PitstopLd(_) | Stands::NixLd(_));
        if let Some(starting) = program.stands.loader().filter(|_| is_shim) {
            let mut folders = Self::shim_folders(program, path);
            folders.retain(|folder| *folder != farm);
            let as_it_is = self.play(program, &Change::default(), starting, &folders, found, true);
            if as_it_is.is_content() {
                return Ok(as_it_is);
            }
            if matches!(program.stands, Stands::PitstopLd(_)) && heeds_farms(path) {
                folders.insert(0, farm);
                return Ok(self.play(program, &Change::default(), starting, &folders, found, true));
            }
        }
        let (starting, loader) = match &program.stands {
            Stands::Loader(loader) => (loader, None),
            _ if is_musl(&program.named, &[]) => {
                return Err("it was built for musl, another C library than this machine's".to_owned());
            }
            _ => (&self.survey.loader, Some(path_bytes(&self.survey.loader.path))),
        };
        let mut bare = Change { loader, ..Change::default() };
        for folder in &self.folders {
            let sofar = bare.applied_to(&program.original);
            bare = bare.with_folder(&sofar, folder.as_bstr(), PathKind::Runpath);
        }
        let alone = self.play(program, &bare, starting, &[], found, false);
        if alone.is_content() {
            return Ok(alone);
        }
        let folder = self.seen_from(path, &farm);
        let sofar = bare.applied_to(&program.original);
        let searching = |kind| bare.clone().with_folder(&sofar, folder.as_bstr(), kind);
        let by = |change: &Change| self.play(program, change, starting, &[], found, false);
        let mut last = by(&searching(PathKind::Runpath));
        if last.lacks_some_of(found) {
            // What is there and still not found is needed by a library: only an RPATH counts for those.
            last = by(&searching(PathKind::Rpath));
        }
        // And not for one with a RUNPATH of its own. What the program needs itself has been loaded by then.
        let mut change = last.change.clone();
        loop {
            let is_new = |soname: &&BString| found.contains_key(*soname) && !change.needed.contains(soname);
            let more: Vec<BString> = last.missing.keys().filter(is_new).cloned().collect();
            if more.is_empty() {
                break;
            }
            change.needed.extend(more);
            last = by(&change);
        }
        // Of a farm with nothing in it the program need not be told.
        Ok(if last.farm.is_empty() && alone.missing.is_empty() { alone } else { last })
    }

    /// Where a shim has the loader look for libraries of a program.
    fn shim_folders(program: &Program, path: &Path) -> Vec<PathBuf> {
        if !matches!(program.stands, Stands::PitstopLd(_) | Stands::NixLd(_)) {
            return Vec::new();
        }
        let given = shim_variable().unwrap_or_else(|| SHIM_DEFAULTS.into());
        let mut folders: Vec<PathBuf> = std::env::split_paths(&given).collect();
        if matches!(program.stands, Stands::PitstopLd(_)) && heeds_farms(path) {
            let mut links = path.ancestors().skip(1).take(2).map(|folder| folder.join(LINK));
            folders.splice(0..0, links.find_map(|link| std::fs::canonicalize(link).ok()));
        }
        folders
    }

    /// Plays a start of a program that is changed, with a farm of all that was found.
    fn play(
        &self,
        program: &Program,
        change: &Change,
        starting: &Arc<Loader>,
        folders: &[PathBuf],
        found: &BTreeMap<BString, Found>,
        through_shim: bool,
    ) -> Trial {
        let path = &self.survey.natives[program.native].path;
        let farm = self.survey.environment.root.join(FOLDER).join(FARM);
        let elf = Arc::new(change.applied_to(&program.original));
        let files = Pretend { files: &self.survey.files, farm: &farm, found, program: (path, elf) };
        let mut trial = Trial {
            change: change.clone(),
            missing: BTreeMap::new(),
            wanting: BTreeMap::new(),
            farm: BTreeSet::new(),
            clash: None,
            loader: starting.path.clone(),
            through_shim,
        };
        let process = match Process::start(starting.clone(), &files, path, searched(folders)) {
            Ok(process) => process,
            Err(error) => {
                trial.clash = Some(error.to_string());
                return trial;
            }
        };
        let start = process.at_start();
        trial.missing = missing(start);
        trial.clash = clash(start, &trial.missing);
        let loadings: Vec<Loading> =
            program.modules.iter().map(|module| process.load(module, None, &no_fallback)).collect();
        for loading in &loadings {
            trial.wanting.extend(missing(loading));
        }
        let objects = loadings.iter().chain([start]).flat_map(|loading| &loading.objects);
        let in_farm = objects.filter_map(|object| {
            let path = plain(&object.path);
            path.file_name().filter(|_| path.parent() == Some(&farm)).map(|name| path_bytes(name.as_ref()))
        });
        trial.farm = in_farm.collect();
        trial
    }

    /// How a program is told of a folder of its environment: the environment may be moved with both.
    fn seen_from(&self, program: &Path, folder: &Path) -> BString {
        let root = &self.survey.environment.root;
        match (program.strip_prefix(root), folder.strip_prefix(root)) {
            (Ok(program), Ok(folder)) => {
                let up = "/..".repeat(program.components().count() - 1);
                let mut seen = BString::from(format!("$ORIGIN{up}/"));
                seen.extend_from_slice(&path_bytes(folder));
                seen
            }
            _ => path_bytes(folder),
        }
    }
}

/// The links by which pitstop-ld comes from programs to the farm of their environment: path and target, both relative to
/// the environment or to the link.
#[must_use]
pub fn links(root: &Path, programs: &[&Path]) -> BTreeMap<PathBuf, PathBuf> {
    let mut links = BTreeMap::new();
    for program in programs {
        let Some(folder) = program.parent().and_then(|folder| folder.strip_prefix(root).ok()) else {
            continue;
        };
        // Of a program in `bin` the environment itself, so that one link serves all of them.
        let folder = if folder.components().count() == 1 { Path::new("") } else { folder };
        let up = "../".repeat(folder.components().count());
        links.insert(folder.join(LINK), PathBuf::from(format!("{up}{FOLDER}/{FARM}")));
    }
    links
}

/// Where the farm lies, below the environment.
#[must_use]
pub fn farm_place() -> String {
    format!("{FOLDER}/{FARM}")
}

fn path_bytes(path: &Path) -> BString {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().into()
}

fn searched(folders: &[PathBuf]) -> Environment {
    let joined: Vec<Vec<u8>> = folders.iter().map(|folder| path_bytes(folder).into()).collect();
    let library_path = (!joined.is_empty()).then(|| bstr::join(":", joined).into());
    Environment { library_path, ..Environment::default() }
}

fn missing(start: &Loading) -> BTreeMap<BString, BTreeSet<BString>> {
    let mut missing: BTreeMap<BString, BTreeSet<BString>> = BTreeMap::new();
    for need in start.unmet().filter(|need| !matches!(need.outcome, Outcome::Unusable { .. })) {
        let soname: &BStr = start.soname(need);
        let asker = &start.object(need.by).elf;
        let needs = asker.version_needs.iter().filter(|versions| versions.file == soname);
        let versions = needs.flat_map(|versions| &versions.versions).filter(|version| !version.weak);
        missing.entry(soname.to_owned()).or_default().extend(versions.map(|version| version.name.clone()));
    }
    missing
}

/// The first version that something asks for in vain, or the first file that ends the search: both sides, in words.
fn clash(start: &Loading, missing: &BTreeMap<BString, BTreeSet<BString>>) -> Option<String> {
    let unusable = start.unmet().find_map(|need| match &need.outcome {
        Outcome::Unusable { path, why } => Some(format!("{}: {why}", path.display())),
        _ => None,
    });
    let fatal = start
        .version_problems
        .iter()
        .find(|problem| problem.shortfall.is_fatal() && !missing.contains_key(&problem.file));
    let version = fatal.map(|problem| {
        let asker = start.object(problem.by).path.display();
        let found = problem.found_in.map(|index| start.object(index).path.display().to_string());
        let found = found.unwrap_or_else(|| problem.file.to_string());
        format!("{asker} needs version {} of {found}, which does not define it", problem.version)
    });
    unusable.or(version)
}

/// The loader of this very machine: that of a program which certainly starts here, pitstop itself if it has one.
#[must_use]
pub fn loader_of_this_machine() -> Option<PathBuf> {
    let programs = ["/proc/self/exe", "/bin/sh", "/usr/bin/env"];
    programs.iter().find_map(|program| {
        let file = std::fs::canonicalize(program).ok()?;
        let Opened::Elf(_, elf) = SystemFiles::new().open(&file) else { return None };
        let loader = elf.loader.as_ref()?.to_path_lossy().into_owned();
        loader::ask(&loader).ok().filter(|loader| loader.version.is_some()).map(|_| loader)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_serves_all_programs_of_bin_and_others_have_their_own() {
        let root = Path::new("/venv");
        let programs = ["bin/ruff", "bin/uv", "lib/python3.11/site-packages/cmake/data/bin/cmake"];
        let programs: Vec<PathBuf> = programs.iter().map(|program| root.join(program)).collect();
        let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
        let expected = [
            ("lib/python3.11/site-packages/cmake/data/bin/pitstop-libs", "../../../../../../.pitstop/farm"),
            ("pitstop-libs", ".pitstop/farm"),
        ];
        let expected: BTreeMap<PathBuf, PathBuf> =
            expected.iter().map(|(link, target)| (PathBuf::from(link), PathBuf::from(target))).collect();
        assert_eq!(links(root, &programs), expected);
    }

    #[test]
    fn a_path_is_plain_without_its_detours() {
        assert_eq!(
            plain(Path::new("/venv/bin/../.pitstop/./farm/libz.so.1")),
            Path::new("/venv/.pitstop/farm/libz.so.1")
        );
    }

    #[test]
    fn what_starts_no_program_counts_as_nothing() {
        for path in ["/nowhere/ld.so", "/etc/passwd", "/bin/true", "/dev/zero", "/"] {
            assert!(matches!(stands(Path::new(path), false), Stands::Nothing), "{path}");
        }
        let loader = stands(Path::new("/lib64/ld-linux-x86-64.so.2"), false);
        assert!(matches!(loader, Stands::Loader(_)), "{loader:?}");
    }
}
