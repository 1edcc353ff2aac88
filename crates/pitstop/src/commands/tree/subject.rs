//! From a file that a person names to the process in which it is opened.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;
use pitstop_core::elf::Elf;
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::{self, Loader, Loading, Process, no_fallback};
use pitstop_core::targets::{Python, Role, classify};
use pitstop_host::environment::Environment;
use pitstop_host::files::SystemFiles;
use pitstop_host::survey::{Asking, Survey};
use pitstop_host::{loader, python};

use crate::commands::target;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::shown;

/// A shell is there on every system, NixOS included, and its loader is the machine's own.
const SHELL: &str = "/bin/sh";

/// Where a file is opened.
pub(in crate::commands) enum Home {
    /// By the Python of the environment that it is in.
    Environment(Box<Survey>),
    /// By a program of this machine: `python3` on the PATH, else the shell.
    Machine { program: PathBuf, loader: Arc<Loader>, python: Option<Box<Python>> },
    /// By nobody: it is a program, and has its own loader.
    Itself { loader: Arc<Loader> },
    /// It is a program whose loader is not there, or is none.
    NoLoader { path: PathBuf, why: String },
    /// It is a program that needs no loader.
    Static,
}

/// A file, and where it is opened.
pub(in crate::commands) struct Subject {
    /// The file: absolute; of a program, links resolved.
    pub(in crate::commands) file: PathBuf,
    /// What it says.
    pub(in crate::commands) elf: Arc<Elf>,
    /// Where it is opened.
    pub(in crate::commands) home: Home,
    files: SystemFiles,
}

impl Subject {
    /// Finds out what a file is, and starts what opens it.
    pub(in crate::commands) fn open(named: &Path) -> Result<Self, CommandError> {
        let mut file = std::path::absolute(named).map_err(|error| io_error(named, &error))?;
        readable_elf(named)?;
        let files = SystemFiles::new();
        let elf = match files.open(&file) {
            Opened::Elf(_, elf) => elf,
            Opened::Absent => return Err(unreadable(named, "it cannot be opened any more")),
            Opened::Unusable(why) => return Err(unreadable(named, &why)),
        };
        let home = match classify(&file, &elf, &[], |_| false) {
            Role::Other => {
                let text =
                    format!("{} is an object file or a core dump: nothing loads it", shown_path(named));
                return Err(usage(text).hint("name a library, an extension module or a program"));
            }
            Role::StaticExecutable => Home::Static,
            Role::Executable => {
                file = fs::canonicalize(&file).map_err(|error| io_error(named, &error))?;
                let path = elf.loader.as_ref().map(|path| path.to_path_lossy().into_owned());
                let path = path.unwrap_or_default();
                match loader::ask(&path) {
                    Ok(loader) => Home::Itself { loader: Arc::new(loader) },
                    Err(error) if path.exists() => Home::NoLoader { why: error.to_string(), path },
                    Err(_) => Home::NoLoader { why: "there is no such file".to_owned(), path },
                }
            }
            _ => match environment_of(&file) {
                Some(folder) => {
                    let environment = target::environment(Some(&folder))?;
                    Home::Environment(Box::new(target::survey(environment, Asking::Allowed)?))
                }
                None => machine(&files)?,
            },
        };
        let subject = Self { file, elf, home, files };
        subject.fits(named)?;
        Ok(subject)
    }

    /// What kind of file it is.
    pub(in crate::commands) const fn kind(&self) -> &'static str {
        match self.home {
            Home::Static => "static program",
            Home::Itself { .. } | Home::NoLoader { .. } => "program",
            Home::Environment(_) | Home::Machine { .. } => "library",
        }
    }

    /// The environment that it is in.
    pub(in crate::commands) fn survey(&self) -> Option<&Survey> {
        match &self.home {
            Home::Environment(survey) => Some(survey),
            _ => None,
        }
    }

    /// The program in whose process it is opened.
    pub(in crate::commands) fn program(&self) -> Option<&Path> {
        match &self.home {
            Home::Environment(survey) => Some(&survey.python.executable),
            Home::Machine { program, .. } => Some(program),
            Home::Itself { .. } => Some(&self.file),
            Home::NoLoader { .. } | Home::Static => None,
        }
    }

    /// The program in a word.
    pub(in crate::commands) fn opener(&self) -> &'static str {
        match &self.home {
            Home::Environment(_) | Home::Machine { python: Some(_), .. } => "python",
            Home::Machine { .. } => "the shell",
            _ => "the program",
        }
    }

    /// The loader of that process.
    pub(in crate::commands) fn loader_path(&self) -> Option<&Path> {
        match &self.home {
            Home::NoLoader { path, .. } => Some(path),
            _ => self.loader().map(|loader| loader.path.as_path()),
        }
    }

    fn loader(&self) -> Option<&Arc<Loader>> {
        match &self.home {
            Home::Environment(survey) => Some(&survey.loader),
            Home::Machine { loader, .. } | Home::Itself { loader } => Some(loader),
            Home::NoLoader { .. } | Home::Static => None,
        }
    }

    /// Starts the process.
    pub(in crate::commands) fn process(
        &self,
        environment: ldso::Environment,
    ) -> Result<Process<'_>, CommandError> {
        if let Home::Environment(survey) = &self.home {
            return survey.process_with(environment).map_err(target::survey_error);
        }
        let (Some(loader), Some(program)) = (self.loader(), self.program()) else {
            return Err(usage(format!("{} has no loader", shown_path(&self.file))));
        };
        let mut process = Process::start(loader.clone(), &self.files, program, environment)
            .map_err(|error| CommandError::new(ExitStatus::Usage, error))?;
        if let Home::Machine { python: Some(python), .. } = &self.home
            && let Some(answer) = &python.answer
        {
            process.add_loaded(&answer.mapped);
        }
        Ok(process)
    }

    /// Opens the file in the process; a program is what the process started with.
    pub(in crate::commands) fn load(&self, process: &Process<'_>) -> Loading {
        match &self.home {
            Home::Environment(survey) => {
                let mut loadings =
                    survey.load(process, &target::provided_by_fix(survey, &mut Vec::new()), &[&self.file]);
                loadings.pop().unwrap_or_else(|| process.load(&self.file, None, &no_fallback))
            }
            Home::Machine { .. } => process.load(&self.file, None, &no_fallback),
            Home::Itself { .. } | Home::NoLoader { .. } | Home::Static => process.at_start().clone(),
        }
    }

    /// A path as a person would write it: below the environment, if it is in one.
    pub(in crate::commands) fn short(&self, path: &Path) -> String {
        shown_path(self.survey().map_or(path, |survey| survey.short(path)))
    }

    /// The package that brought a file of the environment.
    pub(in crate::commands) fn package_of(&self, path: &Path) -> Option<String> {
        package_of(self.survey()?, path)
    }

    fn fits(&self, named: &Path) -> Result<(), CommandError> {
        let (Some(loader), Some(program)) = (self.loader(), self.program()) else { return Ok(()) };
        if loader.target == self.elf.target {
            return Ok(());
        }
        let text = format!(
            "{} is built for another machine than {} (ELF machine {}, here {})",
            shown_path(named),
            shown_path(program),
            self.elf.target.machine,
            loader.target.machine
        );
        Err(usage(text).hint("look at it on a machine of its kind"))
    }
}

/// The package that brought a file of an environment.
pub(in crate::commands) fn package_of(survey: &Survey, path: &Path) -> Option<String> {
    let native = survey.natives.iter().position(|native| native.path == path)?;
    survey.package_of(native).map(ToString::to_string)
}

/// The environment that a file is in, by its folders.
fn environment_of(file: &Path) -> Option<PathBuf> {
    let folders = || file.ancestors().skip(1);
    let venv = folders().find(|folder| folder.join("pyvenv.cfg").is_file());
    let named = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == "site-packages" || name == "dist-packages")
    };
    let site = || folders().find(named).filter(|site| Environment::open(site).is_ok());
    venv.or_else(site).map(Path::to_owned)
}

/// A process of this machine's own to open a library in.
fn machine(files: &SystemFiles) -> Result<Home, CommandError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let pythons = std::env::split_paths(&path).map(|folder| folder.join("python3"));
    let named = pythons.into_iter().find(|file| file.is_file());
    let python = named.and_then(|python| python::ask(&python).ok());
    if let Some(python) = python
        && let Some(loader) = loader_of(files, &python.executable)
    {
        let program = python.executable.clone();
        return Ok(Home::Machine { program, loader, python: Some(Box::new(python)) });
    }
    let program = fs::canonicalize(SHELL).unwrap_or_else(|_| PathBuf::from(SHELL));
    match loader_of(files, &program) {
        Some(loader) => Ok(Home::Machine { program, loader, python: None }),
        None => Err(usage("neither python3 nor /bin/sh has a loader that can be asked".to_owned())
            .hint("name a file inside an environment, or a program")),
    }
}

fn loader_of(files: &SystemFiles, program: &Path) -> Option<Arc<Loader>> {
    let Opened::Elf(_, elf) = files.open(program) else { return None };
    loader::ask(&elf.loader.as_ref()?.to_path_lossy()).ok().map(Arc::new)
}

/// Says why a file cannot be an answer, before any loader is asked.
fn readable_elf(named: &Path) -> Result<(), CommandError> {
    let metadata = fs::metadata(named).map_err(|error| io_error(named, &error))?;
    if metadata.is_dir() {
        let hint = "name a file in it; `pitstop check` looks at whole environments";
        return Err(usage(format!("{} is a folder", shown_path(named))).hint(hint));
    }
    // Opening a pipe could wait for ever.
    if !metadata.is_file() {
        let hint = "name a library, an extension module or a program";
        return Err(usage(format!("{} is not a regular file", shown_path(named))).hint(hint));
    }
    let mut magic = Vec::new();
    let read = File::open(named).and_then(|file| file.take(4).read_to_end(&mut magic));
    read.map_err(|error| io_error(named, &error))?;
    if magic == b"\x7fELF" {
        return Ok(());
    }
    let hint = if magic.starts_with(b"#!") {
        "it is a script: name the program that its first line names"
    } else {
        "name a library, an extension module or a program"
    };
    Err(usage(format!("{} is not an ELF file", shown_path(named))).hint(hint))
}

fn io_error(named: &Path, error: &io::Error) -> CommandError {
    let status = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ExitStatus::Usage,
        _ => ExitStatus::Incomplete,
    };
    CommandError::new(status, format!("{}: {error}", shown_path(named)))
        .hint("check the path and its permissions")
}

fn unreadable(named: &Path, why: &str) -> CommandError {
    CommandError::new(ExitStatus::Incomplete, format!("{} cannot be read: {why}", shown_path(named)))
        .hint("the file is damaged: install its package again")
}

fn usage(text: String) -> CommandError {
    CommandError::new(ExitStatus::Usage, text)
}

pub(in crate::commands) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes())
}
