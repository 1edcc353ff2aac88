//! `pitstop.lock`: what was provided, so that it can be provided again, elsewhere and later.
//!
//! TOML, sorted, without times or paths of one machine's own, so that the same libraries give the same bytes. An entry is one
//! library from one giver for one kind of machine; a team on NixOS and Debian has both side by side. Beside them stand the packages
//! that a root of `pitstop fhs` is made of.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::settings::Giver;

mod package;
#[cfg(test)]
mod tests;

pub use package::LockedPackage;

/// The name of the file.
pub const NAME: &str = "pitstop.lock";
/// The version of the format.
const VERSION: i64 = 1;
/// What the file begins with.
const HEADER: &str = "\
# What `pitstop fix` provided. Keep it in git; `pitstop fix --locked` provides exactly this, `pitstop fix --upgrade` renews it.
";

/// Where a package set of Nix is, as exactly as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSet {
    /// An archive, `path:FOLDER` or `git+URL`; left out for a commit of NixOS/nixpkgs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// The hash of its files, as Nix writes it.
    #[serde(rename = "narHash", default, skip_serializing_if = "Option::is_none")]
    pub nar_hash: Option<String>,
    /// The folder within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
}

impl LockedSet {
    /// Whether it says the same on another machine.
    #[must_use]
    pub fn is_portable(&self) -> bool {
        match &self.url {
            Some(url) => !url.starts_with("path:/") && !url.starts_with("file:"),
            None => self.rev.is_some(),
        }
    }
}

/// Where a library came from, as exactly as it can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "kebab-case")]
pub enum Origin {
    /// Another wheel of the environment.
    Wheel,
    /// The environment's Python.
    Python,
    /// The machine.
    Host,
    /// A package set of Nix.
    Nix {
        /// nixpkgs' name for the kind of machine, such as `x86_64-linux`.
        system: String,
        /// The attribute.
        attribute: String,
        /// The store path of the output. It stands for all that the library was made of.
        path: String,
        /// The package set.
        set: LockedSet,
    },
    /// A Debian package.
    Apt {
        /// Release and architecture, such as `debian-12-amd64`.
        system: String,
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The SHA-256 of the archive, in hexadecimal, as apt has it.
        sha256: Option<String>,
    },
}

impl Origin {
    /// Who gave it.
    #[must_use]
    pub const fn giver(&self) -> Giver {
        match self {
            Self::Wheel => Giver::Wheel,
            Self::Python => Giver::Python,
            Self::Host => Giver::Host,
            Self::Nix { .. } => Giver::Nix,
            Self::Apt { .. } => Giver::Apt,
        }
    }

    /// The kind of machine that it is for; `None` where it holds for all.
    #[must_use]
    pub fn system(&self) -> Option<&str> {
        match self {
            Self::Wheel | Self::Python | Self::Host => None,
            Self::Nix { system, .. } | Self::Apt { system, .. } => Some(system),
        }
    }

    /// Whether both give the very same library. One hash that is not known does no harm: the version is.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nix { path, .. }, Self::Nix { path: other, .. }) => path == other,
            (
                Self::Apt { package, version, sha256, .. },
                Self::Apt { package: its, version: its_version, sha256: its_sha256, .. },
            ) => {
                let hashes = sha256.as_ref().zip(its_sha256.as_ref());
                package == its && version == its_version && hashes.is_none_or(|(one, other)| one == other)
            }
            _ => self.giver() == other.giver(),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wheel | Self::Python | Self::Host => formatter.write_str(self.giver().name()),
            Self::Nix { attribute, path, set, .. } => {
                write!(formatter, "nix: {attribute} ({path}")?;
                match &set.rev {
                    Some(rev) => write!(formatter, " of {})", rev.get(..12).unwrap_or(rev)),
                    None => formatter.write_str(")"),
                }
            }
            Self::Apt { package, version, sha256, .. } => {
                write!(formatter, "apt: {package} {version}")?;
                match sha256 {
                    Some(sha256) => write!(formatter, " ({})", sha256.get(..12).unwrap_or(sha256)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// One library of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// The soname.
    pub soname: String,
    /// Where it came from.
    pub origin: Origin,
    /// Who told that this package has it.
    pub told_by: Option<String>,
    /// The packages that need it.
    pub needed_by: BTreeSet<String>,
}

impl Locked {
    fn key(&self) -> (&str, Giver, Option<&str>) {
        (&self.soname, self.origin.giver(), self.origin.system())
    }
}

/// The kinds of machine that this one is, in the words of each package set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Systems {
    /// nixpkgs' name, such as `x86_64-linux`.
    pub nix: String,
    /// Release and architecture, such as `debian-12-amd64`.
    pub apt: String,
}

impl Systems {
    /// Whether an entry is for this machine.
    fn has(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Wheel | Origin::Python | Origin::Host => true,
            Origin::Nix { system, .. } => *system == self.nix,
            Origin::Apt { system, .. } => *system == self.apt,
        }
    }
}

/// A lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The package set for what is not locked yet, and for `run`, `fhs` and `shell`.
    pub nixpkgs: Option<LockedSet>,
    /// The libraries, sorted; no two have soname, giver and system in common.
    libraries: Vec<Locked>,
    /// The packages, sorted; no two have attribute and system in common.
    packages: Vec<LockedPackage>,
}

/// Why a text is no lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// git could not merge it.
    #[error("it has a conflict that git could not settle (line {line})")]
    Conflict {
        /// The line of the first marker.
        line: usize,
    },
    /// A newer pitstop wrote it.
    #[error("it is of version {version} of the format, and this pitstop knows version {VERSION}")]
    Newer {
        /// Its version.
        version: i64,
    },
    /// It says something that no pitstop wrote.
    #[error("{0}")]
    Nonsense(String),
}

impl LockError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => {
                "Settle the conflict: keep the `[[library]]` tables of both sides, each once, and no marker"
            }
            Self::Newer { .. } => "Use a newer pitstop",
            Self::Nonsense(_) => {
                "Mend it, take the last good one from git, or remove it and run `pitstop fix --lock`"
            }
        }
    }
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nixpkgs: Option<LockedSet>,
    #[serde(default, rename = "library", skip_serializing_if = "Vec::is_empty")]
    libraries: Vec<Row>,
    #[serde(default, rename = "package", skip_serializing_if = "Vec::is_empty")]
    packages: Vec<package::Row>,
}

/// One `[[library]]`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    soname: String,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<String>,
    #[serde(rename = "narHash", default, skip_serializing_if = "Option::is_none")]
    nar_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_by: Option<String>,
    #[serde(default, rename = "for", skip_serializing_if = "BTreeSet::is_empty")]
    needed_by: BTreeSet<String>,
}

impl Row {
    fn of(locked: &Locked) -> Self {
        let mut row = Self {
            soname: locked.soname.clone(),
            provider: locked.origin.giver().name().to_owned(),
            system: locked.origin.system().map(str::to_owned),
            told_by: locked.told_by.clone(),
            needed_by: locked.needed_by.clone(),
            ..Self::default()
        };
        match &locked.origin {
            Origin::Wheel | Origin::Python | Origin::Host => {}
            Origin::Nix { attribute, path, set, .. } => {
                row.attribute = Some(attribute.clone());
                row.path = Some(path.clone());
                let LockedSet { url, rev, nar_hash, dir } = set.clone();
                (row.url, row.rev, row.nar_hash, row.dir) = (url, rev, nar_hash, dir);
            }
            Origin::Apt { package, version, sha256, .. } => {
                row.package = Some(package.clone());
                row.version = Some(version.clone());
                row.sha256.clone_from(sha256);
            }
        }
        row
    }

    fn read(mut self) -> Result<Locked, LockError> {
        let soname = self.soname.clone();
        let nonsense = |what: String| LockError::Nonsense(format!("library {soname:?}: {what}"));
        if !crate::settings::is_soname(&self.soname) {
            return Err(nonsense("this is no soname".to_owned()));
        }
        let giver = Giver::from_name(&self.provider)
            .ok_or_else(|| nonsense(format!("there is no provider {:?}", self.provider)))?;
        let need = |name: &str, value: &mut Option<String>| {
            let value = value.take().filter(|value| !value.trim().is_empty());
            value.ok_or_else(|| nonsense(format!("it has no `{name}`")))
        };
        let origin = match giver {
            Giver::Wheel => Origin::Wheel,
            Giver::Python => Origin::Python,
            Giver::Host => Origin::Host,
            Giver::Nix => Origin::Nix {
                system: need("system", &mut self.system)?,
                attribute: need("attribute", &mut self.attribute)?,
                path: need("path", &mut self.path)?,
                set: LockedSet {
                    url: self.url.take(),
                    rev: self.rev.take(),
                    nar_hash: self.nar_hash.take(),
                    dir: self.dir.take(),
                },
            },
            Giver::Apt => Origin::Apt {
                system: need("system", &mut self.system)?,
                package: need("package", &mut self.package)?,
                version: need("version", &mut self.version)?,
                sha256: self.sha256.take(),
            },
        };
        let left = [
            ("system", &self.system),
            ("attribute", &self.attribute),
            ("path", &self.path),
            ("url", &self.url),
            ("rev", &self.rev),
            ("narHash", &self.nar_hash),
            ("dir", &self.dir),
            ("package", &self.package),
            ("version", &self.version),
            ("sha256", &self.sha256),
        ];
        if let Some((name, _)) = left.iter().find(|(_, value)| value.is_some()) {
            return Err(nonsense(format!("`{name}` says nothing of a library from {}", giver.name())));
        }
        let Self { soname, told_by, needed_by, .. } = self;
        Ok(Locked { soname, origin, told_by, needed_by })
    }
}

impl Lock {
    /// Reads a lock.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let is_marker = |line: &str| {
            ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter().any(|marker| line.starts_with(marker))
        };
        if let Some(at) = text.lines().position(is_marker) {
            return Err(LockError::Conflict { line: at + 1 });
        }
        let nonsense = |error: toml::de::Error| LockError::Nonsense(error.to_string().trim_end().to_owned());
        // The version first: what a newer one has besides is not to be called nonsense.
        let table: toml::Table = toml::from_str(text).map_err(nonsense)?;
        if let Some(version) = table.get("version").and_then(toml::Value::as_integer)
            && version > VERSION
        {
            return Err(LockError::Newer { version });
        }
        let file: File = toml::from_str(text).map_err(nonsense)?;
        if file.version.is_some_and(|version| version < 1) {
            return Err(LockError::Nonsense("there never was such a `version`".to_owned()));
        }
        let mut libraries = file.libraries.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        libraries.sort_by(|one, other| one.key().cmp(&other.key()));
        if let Some(twice) = libraries.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
            let (soname, giver, system) = twice[0].key();
            let whose = system.map(|system| format!(" for {system}")).unwrap_or_default();
            return Err(LockError::Nonsense(format!(
                "library {soname:?} from {}{whose} stands in it twice",
                giver.name()
            )));
        }
        let mut packages =
            file.packages.into_iter().map(package::Row::read).collect::<Result<Vec<_>, _>>()?;
        packages.sort_by(|one, other| one.key().cmp(&other.key()));
        if let Some(twice) = packages.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
            let (attribute, system) = twice[0].key();
            return Err(LockError::Nonsense(format!(
                "package {attribute:?} for {system} stands in it twice"
            )));
        }
        Ok(Self { nixpkgs: file.nixpkgs, libraries, packages })
    }

    /// The lock as its file has it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let file = File {
            version: Some(VERSION),
            nixpkgs: self.nixpkgs.clone(),
            libraries: self.libraries.iter().map(Row::of).collect(),
            packages: self.packages.iter().map(package::Row::of).collect(),
        };
        // Texts and numbers only: this cannot fail.
        format!("{HEADER}{}", toml::to_string(&file).unwrap_or_default())
    }

    /// Whether nothing is locked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.libraries.is_empty() && self.packages.is_empty()
    }

    /// What is locked of a package for this machine.
    #[must_use]
    pub fn package(&self, attribute: &str, systems: &Systems) -> Option<&LockedPackage> {
        self.packages.iter().find(|it| it.attribute == attribute && it.system == systems.nix)
    }

    /// Adds a package. What is locked already stays as it is.
    pub fn add_package(&mut self, new: LockedPackage) {
        if let Err(at) = self.packages.binary_search_by(|locked| locked.key().cmp(&new.key())) {
            self.packages.insert(at, new);
        }
    }

    /// Forgets the packages for this machine.
    pub fn forget_packages(&mut self, systems: &Systems) {
        self.packages.retain(|package| package.system != systems.nix);
    }

    /// The libraries, sorted.
    #[must_use]
    pub fn libraries(&self) -> &[Locked] {
        &self.libraries
    }

    /// What is locked of a soname for this machine.
    pub fn of<'a>(&'a self, soname: &'a str, systems: &'a Systems) -> impl Iterator<Item = &'a Locked> {
        self.libraries.iter().filter(move |locked| locked.soname == soname && systems.has(&locked.origin))
    }

    /// What is locked of a soname for this machine from a giver.
    #[must_use]
    pub fn from(&self, soname: &str, giver: Giver, systems: &Systems) -> Option<&Locked> {
        self.libraries
            .iter()
            .find(|it| it.soname == soname && it.origin.giver() == giver && systems.has(&it.origin))
    }

    /// Adds what was provided. What is locked already stays as it is; that more packages need it is written down.
    pub fn add(&mut self, new: Locked) {
        match self.libraries.binary_search_by(|locked| locked.key().cmp(&new.key())) {
            Ok(at) => self.libraries[at].needed_by.extend(new.needed_by),
            Err(at) => self.libraries.insert(at, new),
        }
    }

    /// Forgets the entries for this machine of which `forgotten` says so. Those for other kinds of machine stay.
    pub fn forget(&mut self, systems: &Systems, forgotten: &dyn Fn(&Locked) -> bool) {
        self.libraries.retain(|locked| !(systems.has(&locked.origin) && forgotten(locked)));
    }
}
