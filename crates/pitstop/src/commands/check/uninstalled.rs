//! `pitstop check` of what is not installed yet: wheels, source distributions, lock and requirements files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pitstop_core::report::{BuildReport, MisfitReport, Report, UnreadReport};
use pitstop_core::requirements::{self, Asked, Choice};
use pitstop_core::settings::Settings;
use pitstop_core::targets::{Interpreter, Python, WheelName};
use pitstop_host::survey::{self, Asking, Survey};
use pitstop_host::wheels::{LaidOut, ObtainError, Wishes, obtain, sdist};

use super::super::target;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// What a path names that is no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Wheel,
    SourceDistribution,
    /// A lock or a pyproject.toml.
    Project,
    Requirements,
}

/// Tells by a path's name what it is. `None` for a folder, and for what only an environment can be.
pub(super) fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    if path.is_dir() {
        return None;
    }
    if requirements::is_known(name) {
        return Some(Kind::Project);
    }
    if name.ends_with(".tar.gz") {
        return Some(Kind::SourceDistribution);
    }
    match path.extension().and_then(OsStr::to_str)? {
        "whl" => Some(Kind::Wheel),
        "txt" | "in" => Some(Kind::Requirements),
        _ => None,
    }
}

/// What was found out before anything native was looked at.
#[derive(Default)]
struct Found {
    wheels: Vec<PathBuf>,
    misfits: Vec<MisfitReport>,
    to_build: Vec<BuildReport>,
    unread: Vec<UnreadReport>,
    wishes: Wishes,
}

/// Checks them all together, as if they were installed together.
pub(super) fn report(
    paths: &[(Kind, &Path)],
    python: Option<&Path>,
    asking: Asking,
    output: &Output,
) -> Result<Report, CommandError> {
    let python = match python {
        Some(python) => python.to_owned(),
        None => python_meant()?,
    };
    let (python, interpreter) = survey::interpreter(&python, asking).map_err(target::survey_error)?;
    let mut found = Found::default();
    for (kind, path) in paths {
        match kind {
            Kind::Wheel => found.wheel(path, &interpreter),
            Kind::SourceDistribution => found.source(path),
            Kind::Requirements => {
                found.wishes.files.push((*path).to_owned());
                found.wishes.with_dependencies = true;
            }
            Kind::Project => found.project(path, &interpreter)?,
        }
    }
    let mut laid = LaidOut::new(python.minor_version()).map_err(failed)?;
    let fetched = fetch(&found.wishes, &python, asking, &laid, output)?;
    let downloaded = fetched.as_ref().map_or(&[][..], |obtained| obtained.wheels.as_slice());
    for wheel in found.wheels.iter().chain(downloaded) {
        laid.add(wheel, &python.extension_suffixes).map_err(failed)?;
    }
    let survey = Survey::of_wheels(&mut laid, &python, asking).map_err(target::survey_error)?;
    let mut report =
        super::report(&survey, &Settings::default(), asking, &super::caller_environment(), output)?;
    report.environment = match paths {
        [(_, path)] => shown(path.as_os_str().as_encoded_bytes()),
        paths => format!("{} files", paths.len()),
    };
    report.misfits = found.misfits;
    report.to_build = found.to_build;
    report.unread.extend(found.unread);
    Ok(report)
}

fn failed(error: impl std::error::Error + 'static) -> CommandError {
    CommandError::new(ExitStatus::Usage, error)
        .hint("free some space there, or set TMPDIR to a folder that has it")
}

/// The Python of the environment that is meant, else the one on the PATH.
fn python_meant() -> Result<PathBuf, CommandError> {
    let meant = target::environment(None).ok().and_then(|environment| environment.python);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file())
    };
    meant.or_else(on_path).ok_or_else(|| {
        CommandError::new(ExitStatus::Usage, "no Python is active, and none is on the PATH")
            .hint("name the one that these are for: `--python /path/to/python3`")
    })
}

fn fetch(
    wishes: &Wishes,
    python: &Python,
    asking: Asking,
    laid: &LaidOut,
    output: &Output,
) -> Result<Option<pitstop_host::wheels::Obtained>, CommandError> {
    if wishes.lines.is_empty() && wishes.files.is_empty() {
        return Ok(None);
    }
    if asking == Asking::Never {
        let error =
            CommandError::new(ExitStatus::Usage, "wheels can only be fetched by running an installer");
        return Err(error.hint("leave `--static` out, or download the wheels and name them"));
    }
    output.note("fetching wheels");
    match obtain(&python.executable, wishes, laid) {
        Ok(obtained) => Ok(Some(obtained)),
        Err(error @ ObtainError::Folder { .. }) => Err(failed(error)),
        Err(error @ (ObtainError::NoInstaller(_) | ObtainError::NotRun { .. })) => {
            Err(CommandError::new(ExitStatus::Provider, error)
                .hint("name a Python that has pip (`--python`), or install uv"))
        }
        Err(error @ ObtainError::Failed { .. }) => Err(CommandError::new(ExitStatus::Provider, error).hint(
            "only wheels are fetched, because fetching a source distribution runs its code; see also that the package index can be reached",
        )),
    }
}

impl Found {
    fn wheel(&mut self, path: &Path, interpreter: &Interpreter) {
        let file = shown(path.as_os_str().as_encoded_bytes());
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        match WheelName::parse(name) {
            Ok(name) => {
                let why: Vec<String> = name.misfits(interpreter).iter().map(ToString::to_string).collect();
                if why.is_empty() {
                    self.wheels.push(path.to_owned());
                } else {
                    self.misfits.push(MisfitReport { file, why });
                }
            }
            Err(error) => self.unread.push(UnreadReport { path: file, cause: error.to_string() }),
        }
    }

    fn source(&mut self, path: &Path) {
        let file = shown(path.as_os_str().as_encoded_bytes());
        match sdist::read(path) {
            Ok(built) => self.to_build.push(BuildReport {
                file,
                packages: built.packages.iter().map(|package| shown(package.as_str())).collect(),
                programs: built.programs.into_iter().map(str::to_owned).collect(),
            }),
            Err(error) => self.unread.push(UnreadReport { path: file, cause: error.to_string() }),
        }
    }

    fn project(&mut self, path: &Path, interpreter: &Interpreter) -> Result<(), CommandError> {
        let display = shown(path.as_os_str().as_encoded_bytes());
        let usage = |cause: String| CommandError::new(ExitStatus::Usage, format!("{display}: {cause}"));
        let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let asked = requirements::read(name, &text, interpreter).map_err(|error| {
            usage(shown(error.to_string())).hint("let the tool that wrote it write it again")
        })?;
        let locked = match asked {
            Asked::Requirements(lines) => {
                self.wishes.lines.extend(lines);
                self.wishes.with_dependencies = true;
                return Ok(());
            }
            Asked::Locked(locked) => locked,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        for package in &locked {
            let label = shown(format!("{} {}", package.name, package.version).trim());
            match package.choose(interpreter) {
                Choice::Wheel(file) => match &file.path {
                    Some(at) => self.wheel(&folder.join(at), interpreter),
                    None => self.wishes.lines.push(requirement(package, file)),
                },
                Choice::Build(_) | Choice::Elsewhere(_) => {
                    self.to_build.push(BuildReport { file: label, packages: vec![], programs: vec![] });
                }
                Choice::Nothing(nearest) => {
                    let why = nearest.map_or_else(
                        || vec!["the lock names no file for it".to_owned()],
                        |(_, misfits)| misfits.iter().map(ToString::to_string).collect(),
                    );
                    self.misfits.push(MisfitReport { file: label, why });
                }
            }
        }
        Ok(())
    }
}

/// One wheel of a lock, as a line of a requirements file that nothing else satisfies.
fn requirement(package: &requirements::Locked, file: &requirements::LockedFile) -> String {
    let mut line = match &file.url {
        Some(url) => format!("{} @ {url}", package.name),
        None => format!("{}=={}", package.name, package.version),
    };
    for hash in &file.hashes {
        line.push_str(&format!(" --hash={hash}"));
    }
    line
}
