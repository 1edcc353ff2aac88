//! A project: the folder whose settings and lock count for an environment, and what they say.
//!
//! It is the nearest folder above that has a `pitstop.lock`, a `pitstop.toml`, or a `pyproject.toml` with `[tool.pitstop]`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pitstop_core::hints::{Ask, How};
use pitstop_core::locate::{Candidate, Located, Source, Suite, Witness};
use pitstop_core::lockfile::{self, Lock, LockError, LockedSet, Systems};
use pitstop_core::settings::{Pin, Settings, SettingsError};
use pitstop_core::targets::Role;

use crate::index::contents::architecture;
use crate::metadata::normalized;
use crate::reading::read_regular;
use crate::survey::Survey;

/// The files that may hold settings.
const OWN: &str = "pitstop.toml";
const SHARED: &str = "pyproject.toml";

/// A project.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// Its folder: relative paths are from here.
    pub folder: PathBuf,
    /// The file that has its settings.
    pub settings_file: Option<PathBuf>,
    /// Its settings.
    pub settings: Settings,
    /// Where its lock is, or would be.
    pub lock_file: PathBuf,
    /// Its lock; `None` where there is none yet.
    pub lock: Option<Lock>,
}

/// Why a project's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file cannot be read, or not be written.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Settings that mean nothing.
    #[error("{}: {cause}", .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: SettingsError,
    },
    /// Settings in two files.
    #[error("{} has settings in `pitstop.toml` and in `[tool.pitstop]` of `pyproject.toml`", .folder.display())]
    Twice {
        /// The project.
        folder: PathBuf,
    },
    /// A lock that cannot be used.
    #[error("{}: {cause}", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: LockError,
    },
}

impl ProjectError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "make it a file that you may read and write, or move it away".to_owned(),
            Self::Settings { path, .. } => format!("mend {}", path.display()),
            Self::Twice { .. } => "keep one of them".to_owned(),
            Self::Lock { cause, .. } => cause.hint().to_owned(),
        }
    }
}

impl Project {
    /// The nearest project: `folder` itself, or one above it.
    pub fn find(folder: &Path) -> Result<Option<Self>, ProjectError> {
        for folder in folder.ancestors() {
            if let Some(project) = Self::in_folder(folder)? {
                return Ok(Some(project));
            }
        }
        Ok(None)
    }

    /// The project of an environment: the nearest above it; else, for one that is kept apart from its project, the nearest to
    /// the working folder.
    pub fn of_environment(root: &Path, here: &Path) -> Result<Option<Self>, ProjectError> {
        let above = root.parent().map(Self::find).transpose()?.flatten();
        match above {
            Some(project) => Ok(Some(project)),
            None => Self::find(here),
        }
    }

    fn in_folder(folder: &Path) -> Result<Option<Self>, ProjectError> {
        let own = settings_in(&folder.join(OWN), &|text| Settings::in_own_file(text).map(Some))?;
        let shared = match read(&folder.join(SHARED)) {
            // Most are not about us: those cost no more than being read, and may be as broken as they like.
            Ok(Some(bytes)) if bstr::ByteSlice::contains_str(bytes.as_slice(), "pitstop") => {
                settings_of(&folder.join(SHARED), bytes, &Settings::in_pyproject)?
            }
            _ => None,
        };
        if own.is_some() && shared.is_some() {
            return Err(ProjectError::Twice { folder: folder.to_owned() });
        }
        let lock_file = folder.join(lockfile::NAME);
        let lock = read_lock(&lock_file)?;
        if own.is_none() && shared.is_none() && lock.is_none() {
            return Ok(None);
        }
        let name = if own.is_some() { OWN } else { SHARED };
        let settings_file = (own.is_some() || shared.is_some()).then(|| folder.join(name));
        let settings = own.or(shared).unwrap_or_default();
        Ok(Some(Self { folder: folder.to_owned(), settings_file, settings, lock_file, lock }))
    }

    /// The same with another file as its lock.
    pub fn with_lock(self, file: PathBuf) -> Result<Self, ProjectError> {
        let lock = read_lock(&file)?;
        Ok(Self { lock_file: file, lock, ..self })
    }

    /// A package set as the lock names it: a folder of the project is named from there.
    #[must_use]
    pub fn named_from_here(&self, set: LockedSet) -> LockedSet {
        let near = set.url.as_deref().and_then(|url| {
            let path = Path::new(url.strip_prefix("path:")?);
            Some(format!("path:{}", path.strip_prefix(&self.folder).ok()?.display()))
        });
        LockedSet { url: near.or(set.url), ..set }
    }

    /// Changes the lock, as it is by now: another fix may have changed it since it was read. Whether anything changed. A lock
    /// of nothing is not begun.
    pub fn write(&self, change: &dyn Fn(&mut Lock)) -> Result<bool, ProjectError> {
        // A link to a lock elsewhere stays one.
        let path = std::fs::canonicalize(&self.lock_file).unwrap_or_else(|_| self.lock_file.clone());
        let failed = |cause| ProjectError::Io { path: path.clone(), cause };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let guard = File::open(folder).map_err(failed)?;
        // Where nothing can be locked, working without is better than not at all.
        let _ = guard.lock();
        let old = read_lock(&path)?;
        let mut new = old.clone().unwrap_or_default();
        change(&mut new);
        if old.as_ref() == Some(&new) || (old.is_none() && new.is_empty()) {
            return Ok(false);
        }
        let mode = std::fs::metadata(&path).map_or(0o644, |metadata| metadata.permissions().mode() & 0o777);
        let mut file =
            tempfile::Builder::new().prefix(".pitstop.lock-").tempfile_in(folder).map_err(failed)?;
        file.write_all(new.to_text().as_bytes()).map_err(failed)?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(true)
    }
}

/// A file's bytes; `None` where there is none, or where even that cannot be told.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ProjectError> {
    match read_regular(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(_) if std::fs::symlink_metadata(path).is_err() => Ok(None),
        Err(cause) => Err(ProjectError::Io { path: path.to_owned(), cause }),
    }
}

fn settings_in(
    path: &Path,
    parse: &dyn Fn(&str) -> Result<Option<Settings>, SettingsError>,
) -> Result<Option<Settings>, ProjectError> {
    read(path)?.map_or(Ok(None), |bytes| settings_of(path, bytes, parse))
}

fn settings_of(
    path: &Path,
    bytes: Vec<u8>,
    parse: &dyn Fn(&str) -> Result<Option<Settings>, SettingsError>,
) -> Result<Option<Settings>, ProjectError> {
    let text = String::from_utf8(bytes).map_err(|error| SettingsError::Toml(error.to_string()));
    text.and_then(|text| parse(&text))
        .map_err(|cause| ProjectError::Settings { path: path.to_owned(), cause })
}

fn read_lock(path: &Path) -> Result<Option<Lock>, ProjectError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| LockError::Nonsense(error.to_string()));
    let lock = text.and_then(|text| Lock::parse(&text));
    lock.map(Some).map_err(|cause| ProjectError::Lock { path: path.to_owned(), cause })
}

/// The kinds of machine that this one is, as locks name them. `os_release` is the text of that file.
#[must_use]
pub fn systems(os_release: &str) -> Systems {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'', ' ']).to_ascii_lowercase())
            .filter(|it| !it.is_empty())
    };
    let release = field("VERSION_ID").or_else(|| field("VERSION_CODENAME"));
    let parts = [field("ID"), release, Some(architecture().to_owned())];
    Systems {
        nix: format!("{}-linux", std::env::consts::ARCH),
        apt: parts.into_iter().flatten().collect::<Vec<_>>().join("-"),
    }
}

/// Puts the package that the settings name before all others of its package set.
pub fn pin(located: &mut Located, pin: &Pin, suite: Suite) {
    let soname = located.soname.clone();
    let mut first = |source: Source| {
        let is_nix = matches!(source, Source::Nix { .. });
        located.candidates.retain(|other| matches!(other.source, Source::Nix { .. }) != is_nix);
        let reason = "named by the project's settings".to_owned();
        let told_by = Witness::Settings;
        located
            .candidates
            .insert(0, Candidate { source, soname: soname.clone(), exact: true, reason, told_by });
    };
    if let Some(package) = &pin.apt {
        first(Source::Debian { suite, package: package.clone() });
    }
    if let Some(attribute) = &pin.nix {
        first(Source::Nix { attribute: attribute.clone(), other_names: Vec::new() });
    }
}

impl Survey {
    /// Looks at the environment as the project's settings have it: what is excluded lacks nothing, and what is wished for is
    /// asked for.
    pub fn heed(&mut self, settings: &Settings) {
        let named: Vec<String> = self.packages.iter().map(|package| normalized(&package.name)).collect();
        let is_of = |package: Option<usize>, names: &BTreeSet<String>| {
            package.is_some_and(|package| names.contains(&named[package]))
        };
        for native in &mut self.natives {
            if is_of(native.package, &settings.exclude) {
                native.role = match native.role {
                    Role::Extension | Role::Library => Role::Passenger,
                    _ => Role::Other,
                };
            }
        }
        self.asks.retain(|ask| !is_of(ask.package, &settings.exclude));
        for extra in &settings.libraries {
            let whose: BTreeSet<String> = extra.before.iter().cloned().collect();
            let is_asker = |&index: &usize| {
                let native = &self.natives[index];
                native.role == Role::Extension && is_of(native.package, &whose)
            };
            let before: Vec<usize> = (0..self.natives.len()).filter(is_asker).collect();
            // It is for packages that are not here.
            if before.is_empty() && !whose.is_empty() {
                continue;
            }
            self.asks.push(Ask {
                package: None,
                sonames: vec![extra.soname.clone()],
                optional: false,
                how: How::Settings,
                file: None,
                line: 0,
                before,
            });
        }
    }
}

#[cfg(test)]
mod tests;
