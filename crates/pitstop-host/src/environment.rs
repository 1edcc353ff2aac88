//! Finding what a person means by a path: a virtual environment, a bare site-packages folder, or one native file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use pitstop_core::targets::{PyvenvConfig, PyvenvError};

use crate::reading::read_regular;

/// A Python environment, however it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its folder: what a person calls it by.
    pub root: PathBuf,
    /// Its site-packages folders, each once, whatever links lead there.
    pub site_packages: Vec<PathBuf>,
    /// Folder of its executables, where it has one of its own.
    pub scripts: Option<PathBuf>,
    /// The Python that runs it, as the environment names it.
    pub python: Option<PathBuf>,
    /// The version that the environment itself claims to be of.
    pub version: Option<String>,
    /// The base Python's packages are importable too.
    pub system_site_packages: bool,
}

/// Why a path is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Nothing was named and nothing is active.
    #[error("no environment is active, and there is no .venv here or in a parent folder")]
    None,
    /// The path cannot be looked at.
    #[error("{}: {cause}", .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A folder, but nothing that Python packages live in.
    #[error("{} is neither a virtual environment (it has no pyvenv.cfg) nor a site-packages folder", .0.display())]
    NotAnEnvironment(PathBuf),
    /// `pyvenv.cfg` is there and broken.
    #[error("{} cannot be used: {cause}", .path.display())]
    BrokenConfig {
        /// The `pyvenv.cfg`.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: PyvenvError,
    },
    /// An environment without site-packages.
    #[error("{} has no lib/python*/site-packages folder", .0.display())]
    NoSitePackages(PathBuf),
}

impl EnvironmentError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::None => {
                "name one (`pitstop check path/to/venv`), activate one, or make one: `python3 -m venv .venv`"
            }
            Self::Unreadable { cause, .. } if matches!(cause.kind(), io::ErrorKind::NotADirectory) => {
                "name the environment's folder; for one file there is `pitstop tree FILE`"
            }
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::NotAnEnvironment(_) => "name the folder that holds pyvenv.cfg, or a site-packages folder",
            Self::BrokenConfig { .. } | Self::NoSitePackages(_) => {
                "make the environment anew: `python3 -m venv --clear VENV`, then install its packages"
            }
        }
    }
}

impl Environment {
    /// Finds the environment that is meant where none is named: the active one, else `.venv` here or above.
    ///
    /// `active` is the value of `$VIRTUAL_ENV`, `from` the working folder.
    pub fn implied(active: Option<&OsStr>, from: &Path) -> Result<Self, EnvironmentError> {
        if let Some(active) = active.filter(|active| !active.is_empty()) {
            return Self::open(Path::new(active));
        }
        let found =
            from.ancestors().map(|folder| folder.join(".venv")).find(|venv| venv.join("pyvenv.cfg").exists());
        found.map_or(Err(EnvironmentError::None), |venv| Self::open(&venv))
    }

    /// Looks at a folder.
    pub fn open(path: &Path) -> Result<Self, EnvironmentError> {
        let unreadable = |cause| EnvironmentError::Unreadable { path: path.to_owned(), cause };
        let root = std::path::absolute(path).map_err(unreadable)?;
        let metadata = std::fs::metadata(&root).map_err(unreadable)?;
        if !metadata.is_dir() {
            return Err(unreadable(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        let config = root.join("pyvenv.cfg");
        match read_regular(&config) {
            Ok(bytes) => match PyvenvConfig::parse(&bytes) {
                Ok(parsed) => Self::virtual_environment(root, parsed),
                Err(cause) => Err(EnvironmentError::BrokenConfig { path: config, cause }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::bare(root),
            Err(cause) => Err(EnvironmentError::Unreadable { path: config, cause }),
        }
    }

    fn virtual_environment(root: PathBuf, config: PyvenvConfig) -> Result<Self, EnvironmentError> {
        let python = ["python", "python3"]
            .iter()
            .map(|name| root.join("bin").join(name))
            .find(|path| path.symlink_metadata().is_ok());
        let version = config.version;
        let site_packages = site_packages(&root, version.as_deref());
        if site_packages.is_empty() {
            return Err(EnvironmentError::NoSitePackages(root));
        }
        Ok(Self {
            site_packages,
            scripts: Some(root.join("bin")).filter(|folder| folder.is_dir()),
            python,
            version,
            system_site_packages: config.system_site_packages,
            root,
        })
    }

    /// A folder without `pyvenv.cfg`: a site-packages (or `pip install --target`) folder, known by what pip leaves there.
    fn bare(root: PathBuf) -> Result<Self, EnvironmentError> {
        let named = root.file_name().is_some_and(|name| name == "site-packages" || name == "dist-packages");
        let entries = std::fs::read_dir(&root)
            .map_err(|cause| EnvironmentError::Unreadable { path: root.clone(), cause })?;
        let installed = || {
            entries.filter_map(Result::ok).any(|entry| {
                Path::new(&entry.file_name())
                    .extension()
                    .is_some_and(|end| end == "dist-info" || end == "egg-info")
            })
        };
        if !named && !installed() {
            return Err(EnvironmentError::NotAnEnvironment(root));
        }
        // `lib/python3.11/site-packages` says which Python it is for, and `bin` three folders up may hold it.
        let version = root.ancestors().nth(1).and_then(Path::file_name).and_then(OsStr::to_str);
        let version = version.and_then(|name| name.strip_prefix("python")).map(str::to_owned);
        let beside = version.as_ref().and_then(|version| {
            let bin = root.ancestors().nth(3)?.join("bin");
            Some(bin.join(format!("python{version}"))).filter(|python| python.exists())
        });
        Ok(Self {
            site_packages: vec![root.clone()],
            scripts: None,
            python: beside,
            version,
            system_site_packages: false,
            root,
        })
    }
}

/// The site-packages folders of a virtual environment. `lib64` is a link to `lib` in most; where it is a folder of its own
/// (Fedora's layout) both count. With several Pythons' folders in one environment, the one that `pyvenv.cfg` names counts.
fn site_packages(root: &Path, version: Option<&str>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let lib = root.join(lib);
        if lib.is_symlink() {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&lib) else { continue };
        let mut pythons: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("python") || name.starts_with("pypy")
            })
            .map(|entry| entry.path().join("site-packages"))
            .filter(|folder| folder.is_dir())
            .collect();
        pythons.sort();
        folders.extend(pythons);
    }
    let minor = version.map(|version| version.split('.').take(2).collect::<Vec<_>>().join("."));
    if let Some(minor) = minor {
        let named = |folder: &PathBuf| {
            folder
                .parent()
                .and_then(Path::file_name)
                .is_some_and(|name| name.to_string_lossy().ends_with(&minor))
        };
        if folders.iter().any(named) {
            folders.retain(named);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venv(config: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join("lib/python3.11/site-packages")).unwrap();
        fs_err::create_dir_all(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink("lib", folder.path().join("lib64")).unwrap();
        fs_err::write(folder.path().join("pyvenv.cfg"), config).unwrap();
        folder
    }

    #[test]
    fn a_venv_is_found_with_lib64_counted_once() {
        let folder = venv("home = /usr/bin\nversion = 3.11.2\n");
        let environment = Environment::open(folder.path()).unwrap();
        assert_eq!(environment.site_packages, [folder.path().join("lib/python3.11/site-packages")]);
        assert_eq!(environment.python, None);
    }

    #[test]
    fn the_version_of_the_config_chooses_among_site_packages() {
        let folder = venv("home = /usr/bin\nversion_info = 3.12.1.final.0\n");
        fs_err::create_dir_all(folder.path().join("lib/python3.12/site-packages")).unwrap();
        let environment = Environment::open(folder.path()).unwrap();
        assert_eq!(environment.site_packages, [folder.path().join("lib/python3.12/site-packages")]);
    }

    #[test]
    fn a_bare_site_packages_folder_is_an_environment() {
        let folder = venv("home = /usr/bin\n");
        let environment = Environment::open(&folder.path().join("lib/python3.11/site-packages")).unwrap();
        assert_eq!(environment.version.as_deref(), Some("3.11"));
        let target = tempfile::tempdir().unwrap();
        fs_err::create_dir(target.path().join("numpy-1.26.2.dist-info")).unwrap();
        assert!(Environment::open(target.path()).is_ok());
    }

    #[test]
    fn what_is_no_environment_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Environment::open(folder.path()), Err(EnvironmentError::NotAnEnvironment(_))));
        let gone = Environment::open(&folder.path().join("gone")).unwrap_err();
        assert!(gone.to_string().contains("gone: "), "{gone}");
        let broken = venv("");
        let broken = Environment::open(broken.path()).unwrap_err();
        assert!(broken.to_string().contains("pyvenv.cfg cannot be used: it has no `home` line"), "{broken}");
    }

    #[test]
    fn the_active_environment_comes_before_one_nearby() {
        let (active, here) = (venv("home = /a\n"), tempfile::tempdir().unwrap());
        fs_err::create_dir_all(here.path().join(".venv/lib/python3.11/site-packages")).unwrap();
        fs_err::write(here.path().join(".venv/pyvenv.cfg"), "home = /b\n").unwrap();
        let below = here.path().join("a/b");
        let implied = |active: Option<&OsStr>| Environment::implied(active, &below).unwrap().root;
        assert_eq!(implied(Some(active.path().as_os_str())), active.path());
        assert_eq!(implied(None), here.path().join(".venv"));
        assert_eq!(implied(Some(OsStr::new(""))), here.path().join(".venv"));
        assert!(matches!(Environment::implied(None, Path::new("/proc")), Err(EnvironmentError::None)));
    }
}
