//! Looking at an environment: its Python, its loader, its native files and their packages, all read once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bstr::{BString, ByteSlice};
use pitstop_core::diagnose::{Diagnosis, Question, diagnose, libraries_of_python, loadings};
use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};
use pitstop_core::hints::Ask;
use pitstop_core::ldso::{self, Flavour, Loader, Loading, Process, StartError};
use pitstop_core::targets::{Interpreter, Libc, Native, Owner, Owners, Python, Role, classify};

use crate::environment::Environment;
use crate::files::{SystemFiles, defines_symbol};
use crate::loader::{self, AskError};
use crate::metadata;
use crate::naming::{self, Installed};
use crate::programs::{self, Programs, Stands};
use crate::provide::host::Drivers;
use crate::python::{self, PythonError};
use crate::reading::read_regular;
use crate::scripts;
use crate::walk::{self, NativeFile, ScriptFile, Tree, walk};
use crate::wheels::LaidOut;

/// Whether programs may be run to learn about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// The environment's Python and its loader are asked.
    Allowed,
    /// Nothing is run; files are read instead.
    Never,
}

/// Something that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub cause: String,
}

/// A program that cannot start here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// Which, as an index into the natives.
    pub native: usize,
    /// The loader that it names.
    pub loader: PathBuf,
    /// Whether that loader is there, and of use.
    pub loader_exists: bool,
    /// Sonames that it does not find.
    pub missing: Vec<BString>,
}

/// Why an environment cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// No Python was found for it.
    #[error("{} has no Python: {cause}", .root.display())]
    NoPython {
        /// The environment.
        root: PathBuf,
        /// What is wrong with the one it names.
        cause: String,
    },
    /// Python's executable is no program of this machine.
    #[error("the Python of this environment cannot be started")]
    Start(#[from] StartError),
    /// Its loader tells nothing.
    #[error("the loader of this environment's Python cannot be asked")]
    Loader(#[from] AskError),
    /// Python needs no loader: a static build, which can load no extension modules.
    #[error("{} is a static program: it cannot load native modules", .0.display())]
    StaticPython(PathBuf),
}

/// An environment, looked at.
pub struct Survey {
    /// The environment.
    pub environment: Environment,
    /// Its Python.
    pub python: Python,
    /// Why Python was not asked although it might have been: it does not start.
    pub python_trouble: Option<PythonError>,
    /// The loader of its Python.
    pub loader: Arc<Loader>,
    /// Its native files.
    pub natives: Vec<Native>,
    /// Its packages that have native files; behind them, those that only ask for libraries by name.
    pub packages: Vec<Owner>,
    /// How many packages have native files.
    pub native_packages: usize,
    /// What was installed before anything else was looked at: what comes during a fix has not been seen by it.
    pub installed: BTreeMap<String, String>,
    /// What its packages ask for by name.
    pub asks: Vec<Ask>,
    /// Its scripts whose first line names a program that is not there.
    pub scripts: Vec<ScriptFile>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// The file system as it was seen.
    pub files: SystemFiles,
    tree: Tree,
}

impl Survey {
    /// Looks at an environment. Python is asked while its files are read.
    pub fn of(environment: Environment, asking: Asking) -> Result<Self, SurveyError> {
        Self::with(environment, asking, Vec::new(), &HashSet::new())
    }

    /// Looks at wheels that were laid out, as if they were installed for that Python.
    pub fn of_wheels(wheels: &mut LaidOut, python: &Python, asking: Asking) -> Result<Self, SurveyError> {
        let environment = wheels.environment(&python.executable, &python.version);
        let natives = std::mem::take(&mut wheels.natives);
        let mut survey = Self::with(environment, asking, natives, &wheels.modules)?;
        survey.unread.append(&mut wheels.unread);
        Ok(survey)
    }

    /// `besides` are native files that are not on disk: paths below the environment, and which of them are modules.
    fn with(
        environment: Environment,
        asking: Asking,
        besides: Vec<NativeFile>,
        modules: &HashSet<PathBuf>,
    ) -> Result<Self, SurveyError> {
        let files = SystemFiles::new();
        let already = crate::installed::packages(&environment);
        let (asked, mut tree) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask_python(&environment, asking, &files));
            let tree = walk(&environment.root, walk::DEFAULT_THREADS);
            (asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), tree)
        });
        let (python, python_trouble, loader) = asked?;
        tree.files.extend(besides);
        files.remember(&tree);

        let mut unread: Vec<Unread> = tree
            .unreadable
            .iter()
            .map(|unreadable| Unread {
                path: tree.root.join(&unreadable.path),
                cause: unreadable.cause.to_string(),
            })
            .collect();
        let mut natives = Vec::new();
        // What pitstop keeps with the environment is not the environment's.
        for file in tree.files.iter().filter(|file| !file.path.starts_with(crate::apply::FOLDER)) {
            let path = tree.root.join(&file.path);
            match &file.facts {
                // What only a link leads to is the base Python's, or another environment's.
                _ if file.outside => {}
                Ok(elf) => {
                    let is_module = modules.contains(&file.path);
                    let role = role_of(&path, elf, &python.extension_suffixes, is_module);
                    natives.push(Native { path, id: file.id, elf: elf.clone(), role, package: None });
                }
                Err(error) => unread.push(Unread { path, cause: error.to_string() }),
            }
        }
        let mut packages = own(&mut natives, &environment, &tree, &mut unread);
        let native_packages = packages.len();
        let mut asks = naming::asks_of_notes(&natives);
        for site in &environment.site_packages {
            asks.extend(naming::asks(site, &installed(&tree, site), &natives, &mut packages));
        }
        Ok(Self {
            environment,
            python,
            python_trouble,
            loader,
            natives,
            packages,
            native_packages,
            installed: already,
            asks,
            scripts: scripts::stranded(&tree),
            unread,
            files,
            tree,
        })
    }

    /// Looks at programs that belong to no environment, below `root`. `loader` is to start them.
    pub fn of_programs(root: PathBuf, programs: &[PathBuf], loader: &Path) -> Result<Self, SurveyError> {
        let files = SystemFiles::new();
        let loader = Arc::new(loader::ask(loader)?);
        let mut natives = Vec::new();
        let mut unread = Vec::new();
        for path in programs {
            let cause = match files.open(path) {
                Opened::Elf(id, elf) => {
                    let role = role_of(path, &elf, &[], false);
                    natives.push(Native { path: path.clone(), id, elf, role, package: None });
                    continue;
                }
                Opened::Absent => "no such file".to_owned(),
                Opened::Unusable(why) => why.to_string(),
            };
            unread.push(Unread { path: path.clone(), cause });
        }
        // What stands for Python here imports nothing: libraries are looked for as for any program.
        let executable = programs.first().cloned().unwrap_or_else(|| root.clone());
        let python = Python::unasked(executable, "", &triplet());
        let environment = Environment {
            root: root.clone(),
            site_packages: Vec::new(),
            scripts: None,
            python: None,
            version: None,
            system_site_packages: false,
        };
        let tree = Tree::nothing(root);
        Ok(Self {
            environment,
            python,
            python_trouble: None,
            loader,
            natives,
            packages: Vec::new(),
            native_packages: 0,
            installed: BTreeMap::new(),
            asks: Vec::new(),
            scripts: Vec::new(),
            unread,
            files,
            tree,
        })
    }

    /// Plays the start of this environment's Python, as it is without any variable set.
    pub fn process(&self) -> Result<Process<'_>, SurveyError> {
        self.process_with(ldso::Environment::default())
    }

    /// The same with the variables that a caller has set.
    pub fn process_with(&self, environment: ldso::Environment) -> Result<Process<'_>, SurveyError> {
        let program = &self.python.executable;
        let mut process = Process::start(self.loader.clone(), &self.files, program, environment)?;
        if let Some(answer) = &self.python.answer {
            process.add_loaded(&answer.mapped);
        }
        Ok(process)
    }

    /// Says what the environment lacks, given what is provided besides.
    pub fn diagnose(&self, process: &Process<'_>, provided: &BTreeMap<BString, PathBuf>) -> Diagnosis {
        self.diagnose_without(process, provided, &BTreeSet::new())
    }

    /// The same where nobody could provide some sonames: of alternatives, the next is asked for.
    pub fn diagnose_without(
        &self,
        process: &Process<'_>,
        provided: &BTreeMap<BString, PathBuf>,
        given_up: &BTreeSet<BString>,
    ) -> Diagnosis {
        let mut diagnosis = self.asking(process, provided, given_up, diagnose);
        Drivers::new(&self.files, self.loader.target).settle(&mut diagnosis);
        diagnosis
    }

    /// Says what opening each of these files comes to.
    pub fn load(
        &self,
        process: &Process<'_>,
        provided: &BTreeMap<BString, PathBuf>,
        roots: &[&Path],
    ) -> Vec<Loading> {
        self.asking(process, provided, &BTreeSet::new(), |question| loadings(question, roots))
    }

    fn asking<T>(
        &self,
        process: &Process<'_>,
        provided: &BTreeMap<BString, PathBuf>,
        given_up: &BTreeSet<BString>,
        ask: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        let requirements = Requirements::new(self);
        let named = NamedLibraries::default();
        ask(&Question {
            natives: &self.natives,
            process,
            provided,
            requires: &|one, other| requires(&requirements, one, other),
            named: &|native| self.is_named(&named, native),
            asks: &self.asks,
            given_up,
        })
    }

    /// The libraries that the Python itself brings, by soname.
    pub fn libraries_of_python(&self, process: &Process<'_>) -> BTreeMap<BString, PathBuf> {
        let folders = self.python.library_folders();
        let modules: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| {
                let tree = walk(folder, 1);
                let root = tree.root.clone();
                tree.files.into_iter().map(move |file| root.join(file.path))
            })
            .collect();
        libraries_of_python(process, &modules)
    }

    /// The programs of this environment that cannot start here, as far as can be told without starting them.
    pub fn stranded(&self, asking: Asking) -> Vec<Stranded> {
        Programs::of(self, asking, &HashMap::new()).stranded()
    }

    /// Whether a loader that some program names is this machine's: what came with the environment is not run.
    pub(crate) fn is_of_the_machine(&self, loader: &Path) -> bool {
        let root = std::fs::canonicalize(&self.environment.root);
        let inside =
            std::fs::canonicalize(loader).map(|loader| root.is_ok_and(|root| loader.starts_with(root)));
        loader.is_absolute() && matches!(inside, Ok(false))
    }

    /// A native's package, in words; `None` where no `RECORD` lists it.
    #[must_use]
    pub fn package_of(&self, native: usize) -> Option<&Owner> {
        self.natives[native].package.map(|package| &self.packages[package])
    }

    /// The package that brought each path, where a `RECORD` lists it.
    #[must_use]
    pub fn owners_of(&self, paths: &[&Path]) -> Vec<Option<Owner>> {
        let mut found = vec![None; paths.len()];
        for site in &self.environment.site_packages {
            // What could not be read was told when the natives' owners were looked for.
            for (found, owner) in found.iter_mut().zip(owners(paths, site, &self.tree, &mut Vec::new())) {
                *found = found.take().or(owner);
            }
        }
        found
    }

    /// A native's path as a person would write it: below the environment.
    #[must_use]
    pub fn short<'a>(&self, path: &'a Path) -> &'a Path {
        let site = self.environment.site_packages.iter().find_map(|site| path.strip_prefix(site).ok());
        site.or_else(|| path.strip_prefix(&self.environment.root).ok()).unwrap_or(path)
    }

    /// Whether the Python code of its package loads a library that nothing links.
    ///
    /// Asked of packages without extension modules, such as lightgbm: what they bring is loaded by name or not at all. In a
    /// package with modules of its own, a library that none of them reaches is a plugin.
    fn is_named<'a>(&'a self, known: &NamedLibraries<'a>, native: &Native) -> bool {
        let Some(package) = native.package else { return false };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(package).or_insert_with(|| self.named_libraries(package)).contains(native.path.as_path())
    }

    fn named_libraries(&self, package: usize) -> HashSet<&Path> {
        let its = || self.natives.iter().filter(|native| native.package == Some(package));
        if its().any(|native| native.role == Role::Extension) {
            return HashSet::new();
        }
        let owner = &self.packages[package];
        let is_its = |record: &&PathBuf| dist_info(record).is_some_and(|found| found == *owner);
        let record = self.tree.records.iter().find(is_its).map(|record| self.tree.root.join(record));
        let Some(record) = record else { return HashSet::new() };
        let Ok(bytes) = read_regular(&record) else { return HashSet::new() };
        let site = record.ancestors().nth(2).unwrap_or(&record);
        metadata::named_libraries(&metadata::sources(site, &bytes), its().map(|native| native.path.as_path()))
    }
}

/// What a Python takes of wheels: its version and build, its machine, its C library.
pub fn interpreter(python: &Path, asking: Asking) -> Result<(Python, Interpreter), SurveyError> {
    // Where it is not asked, its name tells: `/usr/bin/python3` leads to `python3.11`.
    let real = std::fs::canonicalize(python).unwrap_or_else(|_| python.to_owned());
    let version = real.file_name().and_then(|name| name.to_str()?.strip_prefix("python"));
    let environment = Environment {
        root: python.to_owned(),
        site_packages: Vec::new(),
        scripts: None,
        python: Some(python.to_owned()),
        version: version.map(str::to_owned),
        system_site_packages: false,
    };
    let (python, trouble, loader) = ask_python(&environment, asking, &SystemFiles::new())?;
    let mut numbers = python.version.split('.').map(str::parse::<u16>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        let cause =
            trouble.map_or_else(|| "its version is not known".to_owned(), |trouble| trouble.to_string());
        return Err(SurveyError::NoPython { root: environment.root, cause });
    };
    let threads = format!(".cpython-{major}{minor}t-");
    let interpreter = Interpreter {
        version: (major, minor),
        free_threaded: python.extension_suffixes.iter().any(|suffix| suffix.starts_with(&threads)),
        machine: machine(loader.target.machine).to_owned(),
        libc: match loader.flavour {
            Flavour::Glibc => Libc::Glibc(loader.version),
            Flavour::Musl => Libc::Musl,
        },
    };
    Ok((python, interpreter))
}

/// A machine as wheels' names spell it, from its number in ELF files (gABI chapter 4, `e_machine`).
fn machine(number: u16) -> &'static str {
    match number {
        3 => "i686",
        21 => "ppc64le",
        22 => "s390x",
        40 => "armv7l",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        _ => std::env::consts::ARCH,
    }
}

/// The libraries that the code of each package names, looked for when first asked of a package.
type NamedLibraries<'a> = Mutex<HashMap<usize, HashSet<&'a Path>>>;

type Asked = Result<(Python, Option<PythonError>, Arc<Loader>), SurveyError>;

fn ask_python(environment: &Environment, asking: Asking, files: &SystemFiles) -> Asked {
    let named = environment.python.clone().or_else(|| python_on_path(environment.version.as_deref()));
    let no_python = |cause: String| SurveyError::NoPython { root: environment.root.clone(), cause };
    let named =
        named.ok_or_else(|| no_python("none is in its bin folder, and none is on the PATH".to_owned()))?;
    let (python, trouble) = match asking {
        Asking::Never => (None, None),
        Asking::Allowed => match python::ask(&named) {
            Ok(python) => (Some(python), None),
            Err(trouble) => (None, Some(trouble)),
        },
    };
    let python = if let Some(python) = python {
        python
    } else {
        let executable = std::fs::canonicalize(&named)
            .map_err(|error| no_python(format!("{}: {error}", named.display())))?;
        Python::unasked(executable, environment.version.as_deref().unwrap_or(""), &triplet())
    };
    let elf = match files.open(&python.executable) {
        Opened::Elf(_, elf) => elf,
        Opened::Absent => return Err(StartError::Absent(python.executable).into()),
        Opened::Unusable(why) => {
            return Err(SurveyError::Start(StartError::Unusable { program: python.executable, why }));
        }
    };
    let Some(path) = &elf.loader else { return Err(SurveyError::StaticPython(python.executable)) };
    let path = path.to_path_lossy();
    // A shim hands the program to a real loader, which is the one that counts.
    let loader = match programs::stands(&path, asking == Asking::Allowed) {
        Stands::Loader(loader) | Stands::PitstopLd(loader) | Stands::NixLd(loader) => loader,
        Stands::Nothing => Arc::new(loader::read(&path)?),
    };
    Ok((python, trouble, loader))
}

/// The Python that a folder without one of its own would be imported by.
fn python_on_path(version: Option<&str>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = version.map(|version| format!("python{version}")).into_iter().chain(["python3".to_owned()]);
    names
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(&name)))
        .find(|file| file.is_file())
}

/// What CPython calls this machine in the names of extension modules.
fn triplet() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// `is_module` where that is known already.
fn role_of(path: &Path, elf: &Elf, suffixes: &[String], is_module: bool) -> Role {
    classify(path, elf, suffixes, |stem| {
        let name = format!("PyInit_{stem}");
        // A file that cannot be read any more is no module.
        is_module || matches!(defines_symbol(path, name.as_bytes()), Ok(Ok(true)))
    })
}

/// The packages that are installed in a site-packages folder.
fn installed(tree: &Tree, site: &Path) -> Vec<Installed> {
    let records = tree.records.iter().map(|record| (record, tree.root.join(record)));
    let here = records.filter(|(_, path)| path.ancestors().nth(2) == Some(site));
    here.filter_map(|(record, path)| Some(Installed { owner: dist_info(record)?, record: path })).collect()
}

fn dist_info(record: &Path) -> Option<Owner> {
    Owner::from_dist_info(record.parent()?.file_name()?.to_str()?)
}

/// Finds out which package brought each native, and gives the packages.
fn own(
    natives: &mut [Native],
    environment: &Environment,
    tree: &Tree,
    unread: &mut Vec<Unread>,
) -> Vec<Owner> {
    let mut packages: Vec<Owner> = Vec::new();
    for site in &environment.site_packages {
        let paths: Vec<&Path> = natives.iter().map(|native| native.path.as_path()).collect();
        let owners = owners(&paths, site, tree, unread);
        for (native, owner) in natives.iter_mut().zip(owners) {
            let Some(owner) = owner else { continue };
            let known = packages.iter().position(|package| *package == owner);
            native.package.get_or_insert_with(|| {
                known.unwrap_or_else(|| {
                    packages.push(owner);
                    packages.len() - 1
                })
            });
        }
    }
    packages
}

/// The package of one site-packages folder that brought each path, where a `RECORD` there lists it.
fn owners(paths: &[&Path], site: &Path, tree: &Tree, unread: &mut Vec<Unread>) -> Vec<Option<Owner>> {
    let inside: Vec<Option<PathBuf>> = paths.iter().map(|path| from_site(site, path)).collect();
    let mut owners = Owners::of(inside.iter().flatten().map(PathBuf::as_path));
    for record in &tree.records {
        let path = tree.root.join(record);
        if owners.complete() || path.ancestors().nth(2) != Some(site) {
            continue;
        }
        let Some(owner) = dist_info(record) else { continue };
        let read = read_regular(&path).map_err(|error| error.to_string());
        let read = read.and_then(|bytes| {
            owners.read(owner, &bytes).map_err(|problem| format!("line {}: {}", problem.line, problem.cause))
        });
        if let Err(cause) = read {
            unread.push(Unread { path, cause });
        }
    }
    inside.iter().map(|inside| owners.owner_of(inside.as_deref()?).cloned()).collect()
}

/// A path as a `RECORD` in this site-packages folder writes it: `../../../bin/ruff` for what lies outside.
fn from_site(site: &Path, path: &Path) -> Option<PathBuf> {
    if let Ok(inside) = path.strip_prefix(site) {
        return Some(inside.to_owned());
    }
    let mut up = PathBuf::new();
    for folder in site.ancestors().skip(1).take(4) {
        up.push("..");
        if let Ok(inside) = path.strip_prefix(folder) {
            return Some(up.join(inside));
        }
    }
    None
}

/// Which package requires which, read when first asked: most environments never ask.
struct Requirements<'a> {
    survey: &'a Survey,
    known: Mutex<HashMap<usize, HashSet<String>>>,
}

impl<'a> Requirements<'a> {
    fn new(survey: &'a Survey) -> Self {
        Self { survey, known: Mutex::default() }
    }
}

fn requires(requirements: &Requirements<'_>, one: usize, other: usize) -> bool {
    let survey = requirements.survey;
    let mut known = requirements.known.lock().unwrap_or_else(PoisonError::into_inner);
    let names = known.entry(one).or_insert_with(|| {
        let is_its = |path: &&PathBuf| dist_info(path).is_some_and(|owner| owner == survey.packages[one]);
        let path = survey.tree.metadata.iter().find(is_its);
        let bytes = path.and_then(|path| read_regular(&survey.tree.root.join(path)).ok());
        bytes.map(|bytes| metadata::required(&bytes)).unwrap_or_default()
    });
    names.contains(&metadata::normalized(&survey.packages[other].name))
}
