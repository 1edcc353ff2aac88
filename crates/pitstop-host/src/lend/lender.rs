//! Finding what a command and its like lack, and laying it out for their loaders.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BString, ByteSlice};
use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::cache::{self, Cache, NewEntry, flags};
use pitstop_core::ldso::{Environment as Variables, Loader, Process};
use pitstop_core::locate::locate;
use sha2::{Digest, Sha256};

use super::{LendError, Lent};
use crate::environment::Environment;
use crate::files::SystemFiles;
use crate::locating::Locator;
use crate::machine::{StandardLoader, standard_loader, standard_loader_path};
use crate::namespace::{Change, Node};
use crate::programs::Programs;
use crate::provide::{Context, Event, Interrupt, Outcome, Want};
use crate::remedy::{self, Search, Sources, suite};
use crate::survey::{Asking, Survey};
use crate::{loader, provide};

/// Rounds of looking for what libraries that were found lack themselves.
const ROUNDS_MAX: usize = 32;
/// Who wrote the caches, for `ldconfig -p`.
const GENERATOR: &str = concat!("pitstop ", env!("CARGO_PKG_VERSION"));

/// Finds what is lacking.
pub struct Lender<'a> {
    /// Where libraries may come from.
    pub sources: &'a Sources,
    /// The folder in which everything is kept that a namespace shows: see [`keeping_place`].
    pub keep_in: PathBuf,
    /// Told what happens.
    pub progress: &'a mut dyn FnMut(Event),
    /// Asked whether to stop.
    pub interrupt: &'a Interrupt,
    /// What nobody gave, in words.
    pub troubles: Vec<String>,
    /// Files and folders on which all this rests.
    pub witnesses: BTreeSet<PathBuf>,
    found: BTreeMap<BString, PathBuf>,
    loaders: BTreeMap<PathBuf, Arc<Loader>>,
    files: SystemFiles,
}

/// The loader of the shell, which is there on every system: what this machine's own programs start with.
pub fn own_loader() -> Result<Loader, LendError> {
    crate::machine::own_loader().ok_or(LendError::NoLoader)
}

/// Where what one question asks for is kept: `$XDG_STATE_HOME/pitstop/KIND/DIGEST`.
pub fn keeping_place<'p>(
    kind: &str,
    question: impl IntoIterator<Item = &'p OsStr>,
) -> Result<PathBuf, LendError> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or_else(home).filter(|path| path.is_absolute()).ok_or(LendError::Homeless)?;
    Ok(state.join("pitstop").join(kind).join(digest(question)))
}

/// A name for a question: 32 hexadecimal digits.
pub fn digest<'p>(parts: impl IntoIterator<Item = &'p OsStr>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl<'a> Lender<'a> {
    /// Has nothing yet.
    pub fn new(
        sources: &'a Sources,
        keep_in: PathBuf,
        progress: &'a mut dyn FnMut(Event),
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            sources,
            keep_in,
            progress,
            interrupt,
            troubles: Vec::new(),
            witnesses: BTreeSet::new(),
            found: BTreeMap::new(),
            loaders: BTreeMap::new(),
            files: SystemFiles::new(),
        }
    }

    /// Finds what an environment lacks: its modules, its libraries, its programs.
    pub fn environment(&mut self, root: &Path) -> Result<(), LendError> {
        let survey = Survey::of(Environment::open(root)?, Asking::Allowed)?;
        self.loaders.insert(survey.loader.path.clone(), survey.loader.clone());
        let process = survey.process()?;
        let keep_in = self.keep_in.clone();
        let kind = self.sources.kind(&survey.loader.path);
        let suite = suite(&self.sources.distribution);
        let locator = RefCell::new(Locator::new(kind, suite, &survey.files, Box::new(|_| ())));
        // Programs are looked at one by one below: nothing is patched for them, and no farm is made.
        let programs = Programs::none(&survey);
        let search = Search {
            survey: &survey,
            programs: &programs,
            process: &process,
            sources: self.sources,
            keep_in: &mut || {
                fs_err::create_dir_all(&keep_in)?;
                Ok(keep_in.clone())
            },
            progress: &mut *self.progress,
            interrupt: self.interrupt,
            locator: &locator,
        };
        let remedy = search.run(BTreeMap::new())?;
        self.troubles.extend(remedy.refused.iter().map(|it| format!("{}: {}", it.soname, it.reason)));
        self.found.extend(remedy.found.into_iter().map(|(soname, found)| (soname, found.file)));
        self.witness_environment(&survey);
        let programs: Vec<PathBuf> = survey
            .stranded(Asking::Allowed)
            .iter()
            .map(|program| survey.natives[program.native].path.clone())
            .collect();
        for program in programs {
            self.program(&program)?;
        }
        Ok(())
    }

    fn witness_environment(&mut self, survey: &Survey) {
        let environment = &survey.environment;
        self.witnesses.insert(environment.root.join("pyvenv.cfg"));
        self.witnesses.insert(survey.python.executable.clone());
        self.witnesses.extend(environment.site_packages.iter().chain(&environment.scripts).cloned());
        // Installing or rebuilding replaces a file, and so changes its folder.
        let folders = survey.natives.iter().filter_map(|native| native.path.parent());
        self.witnesses.extend(folders.map(Path::to_owned));
    }

    /// Finds what a program or a library lacks. Scripts and static programs lack nothing. Says whether the loader that it
    /// names is not here.
    pub fn program(&mut self, file: &Path) -> Result<bool, LendError> {
        self.witnesses.insert(file.to_owned());
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let Opened::Elf(_, elf) = self.files.open(&real) else { return Ok(false) };
        if !elf.dynamic {
            return Ok(false);
        }
        let named = elf.loader.as_ref().map(|path| path.to_path_lossy().into_owned());
        let its = named.as_deref().and_then(|path| loader::ask(path).ok());
        let is_stranded = named.is_some() && its.is_none();
        let loader = match its {
            Some(loader) => Arc::new(loader),
            None => Arc::new(own_loader()?),
        };
        if elf.target == loader.target {
            self.loaders.insert(loader.path.clone(), loader.clone());
            self.complete(&real, &loader)?;
        }
        Ok(is_stranded)
    }

    /// Asks for what a program lacks, and for what that lacks, until its loader would start it.
    fn complete(&mut self, program: &Path, loader: &Arc<Loader>) -> Result<(), LendError> {
        let mut given_up: BTreeSet<BString> = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let lacking = self.lacking(program, loader)?;
            let wants: Vec<Want> = lacking
                .into_iter()
                .filter(|(soname, _)| !given_up.contains(soname))
                .map(|(soname, versions)| want(&soname.to_str_lossy(), versions, loader))
                .collect();
            if wants.is_empty() {
                return Ok(());
            }
            given_up.extend(wants.iter().map(|want| BString::from(want.soname.as_str())));
            self.ask(&wants, loader)?;
        }
        Ok(())
    }

    /// What the loader, with our cache, would not find, and the versions that are asked of it.
    fn lacking(
        &self,
        program: &Path,
        loader: &Arc<Loader>,
    ) -> Result<BTreeMap<BString, BTreeSet<BString>>, LendError> {
        let mut with_ours = Loader::clone(loader);
        with_ours.cache = Cache::parse(&self.cache(loader)?, loader.target.encoding).ok();
        let start = Process::start(Arc::new(with_ours), &self.files, program, Variables::default());
        let Ok(process) = start else { return Ok(BTreeMap::new()) };
        let start = process.at_start();
        let mut lacking: BTreeMap<BString, BTreeSet<BString>> = BTreeMap::new();
        for need in start.unmet() {
            let soname = start.soname(need).to_owned();
            let of_it = |elf: &Elf| {
                let needs = elf.version_needs.iter().filter(|need| need.file == soname);
                let versions = needs.flat_map(|need| &need.versions).filter(|version| !version.weak);
                versions.map(|version| version.name.clone()).collect::<Vec<_>>()
            };
            let versions = of_it(&start.object(need.by).elf);
            lacking.entry(soname).or_default().extend(versions);
        }
        Ok(lacking)
    }

    fn ask(&mut self, wants: &[Want], loader: &Loader) -> Result<(), LendError> {
        let mut context = Context {
            files: &self.files,
            accept_inexact: self.sources.accept_inexact,
            progress: &mut *self.progress,
            interrupt: self.interrupt,
        };
        fs_err::create_dir_all(&self.keep_in).map_err(provide::Error::Io)?;
        let outcome = remedy::ask_all(wants, &loader.path, self.sources, &self.keep_in, &mut context)?;
        self.take(outcome);
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) {
        for provision in outcome.provisions {
            let also = provision.dependencies.into_iter();
            self.found.extend(also.map(|(soname, file)| (BString::from(soname), file)));
            self.found.insert(provision.soname.into(), provision.file);
        }
        let refused = outcome.refused.into_iter();
        self.troubles.extend(refused.map(|refused| format!("{}: {}", refused.soname, refused.reason)));
    }

    /// Adds what a person names: a soname, a file or folder to be looked at, else a package of the package set.
    pub fn named(&mut self, name: &str) -> Result<(), LendError> {
        if name.contains('/') {
            return self.path(Path::new(name));
        }
        let own = Arc::new(own_loader()?);
        self.loaders.insert(own.path.clone(), own.clone());
        if super::is_soname(name) {
            let before = self.found.len();
            self.ask(&[want(name, BTreeSet::new(), &own)], &own)?;
            if self.found.len() == before && !self.found.contains_key(name.as_bytes().as_bstr()) {
                return Err(no_subject(name, self.troubles.pop()));
            }
            let file = self.found.get(name.as_bytes().as_bstr()).cloned();
            return file.map_or(Ok(()), |file| self.complete(&file, &own));
        }
        self.package(name, &own)
    }

    /// Looks at a file or an environment that is named by its path.
    pub fn path(&mut self, path: &Path) -> Result<(), LendError> {
        if std::fs::metadata(path).is_ok_and(|it| it.is_dir()) {
            return self.environment(path);
        }
        let file = std::path::absolute(path).map_err(provide::Error::Io)?;
        match self.files.open(&file) {
            Opened::Elf(..) => self.program(&file).map(drop),
            Opened::Absent => Err(LendError::Provider(provide::Error::Io(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                format!("{}: no such file", path.display()),
            )))),
            Opened::Unusable(_) => {
                let found = super::command::find(path.as_os_str(), None).ok();
                match found.and_then(|command| command.environment) {
                    Some(environment) => self.environment(&environment),
                    None => Err(no_subject(&path.to_string_lossy(), None)),
                }
            }
        }
    }

    /// Every library of a package.
    fn package(&mut self, attribute: &str, own: &Arc<Loader>) -> Result<(), LendError> {
        let nix = remedy::nix(self.sources, &self.keep_in.join(attribute))?;
        let mut context = Context {
            files: &self.files,
            accept_inexact: false,
            progress: &mut *self.progress,
            interrupt: self.interrupt,
        };
        let packages = nix.packages(&[attribute], &mut context)?;
        for lib in packages.found.iter().flat_map(|package| &package.outputs).map(|path| path.join("lib")) {
            for (soname, file) in libraries(&self.files, &lib, own) {
                self.found.entry(soname).or_insert(file);
            }
        }
        Ok(())
    }

    /// The cache for one loader: what it has, then what was found.
    fn cache(&self, loader: &Loader) -> Result<Vec<u8>, LendError> {
        let mut entries: Vec<NewEntry> = loader.cache.iter().flat_map(Cache::to_new).collect();
        let kind = flags::default(loader.target);
        entries.extend(self.found.iter().map(|(soname, file)| {
            NewEntry::plain(soname.as_bstr(), file.as_os_str().as_bytes().as_bstr(), kind)
        }));
        Ok(cache::write(&entries, loader.target.encoding, GENERATOR)?)
    }

    /// What was found, what nobody gave, and on what it rests; for those who lay it out themselves.
    pub fn into_found(self) -> (BTreeMap<BString, PathBuf>, Vec<String>, BTreeSet<PathBuf>) {
        (self.found, self.troubles, self.witnesses)
    }

    /// Writes everything down, and says how it is to be seen.
    pub fn lend(mut self, is_stranded: bool) -> Result<(Lent, Vec<String>, BTreeSet<PathBuf>), LendError> {
        let own = Arc::new(own_loader()?);
        self.loaders.insert(own.path.clone(), own.clone());
        let mut lent = Lent { loader: Some(own.path.clone()), is_stranded, ..Lent::default() };
        let io = provide::Error::Io;
        let caches: BTreeMap<&Path, &Arc<Loader>> = self
            .loaders
            .values()
            .filter_map(|loader| Some((loader.cache_path.as_deref()?, loader)))
            .collect();
        if !self.found.is_empty() {
            let farm = self.keep_in.join("lib");
            fs_err::create_dir_all(&farm).map_err(io)?;
            for (soname, file) in &self.found {
                link(file, &farm.join(soname.to_path_lossy())).map_err(io)?;
            }
            lent.farm = Some(farm);
            for (number, (path, loader)) in caches.into_iter().enumerate() {
                let source = self.keep_in.join(format!("ld.so.cache-{number}"));
                replace(&source, &self.cache(loader)?).map_err(io)?;
                lent.changes.push(Change { path: path.to_owned(), node: Node::Show(source) });
            }
        }
        // Programs made elsewhere ask for this one; NixOS has none there, or one that finds nothing.
        if let Some(path) = standard_loader_path()
            && standard_loader(&path) != StandardLoader::Glibc
            && path.file_name() == own.path.file_name()
        {
            lent.changes.push(Change { path, node: Node::Link(own.path.clone()) });
        }
        Ok((lent, self.troubles, self.witnesses))
    }
}

/// The libraries in a folder of a package, by soname.
fn libraries(files: &SystemFiles, folder: &Path, loader: &Loader) -> Vec<(BString, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(BString, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| match files.open(&entry.path()) {
            Opened::Elf(_, elf) if elf.target == loader.target => Some((elf.soname.clone()?, entry.path())),
            _ => None,
        })
        .collect();
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    found
}

fn want(soname: &str, versions: BTreeSet<BString>, loader: &Loader) -> Want {
    Want {
        soname: soname.to_owned(),
        target: loader.target,
        versions: versions.into_iter().collect(),
        candidates: locate(soname),
    }
}

fn no_subject(name: &str, trouble: Option<String>) -> LendError {
    let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
    LendError::NoSubject { path: name.into(), why }
}

/// Makes a link, or one in the place of what is there; nobody sees it absent meanwhile.
fn link(to: &Path, at: &Path) -> std::io::Result<()> {
    if std::fs::read_link(at).is_ok_and(|there| there == to) {
        return Ok(());
    }
    let fresh = at.with_extension(format!("new-{}", std::process::id()));
    let _ = fs_err::remove_file(&fresh);
    fs_err::os::unix::fs::symlink(to, &fresh)?;
    fs_err::rename(&fresh, at)
}

/// Writes a file beside, and moves it to its place.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    // Every user whom the command may become reads it.
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
