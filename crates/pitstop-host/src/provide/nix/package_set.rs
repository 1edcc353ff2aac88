//! Which package set libraries are taken from.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pitstop_core::lockfile::{self, LockedSet};
use serde::Serialize;
use serde_json::Value;

use crate::provide::Error;

/// Where a package set could be, in words that `ideas.nix` understands.
///
/// Locked GitHub and GitLab inputs are written as tarballs with their hash: that needs no experimental feature, and
/// where the sources are in the store already, no network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reference {
    /// A file or folder.
    Path {
        /// Absolute.
        path: PathBuf,
    },
    /// An archive.
    Tarball {
        /// Where it is.
        url: String,
        /// The hash of its content. Without it, Nix asks the network again from time to time.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// The folder within.
        #[serde(skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
    /// A Git repository.
    Git {
        /// Where it is.
        url: String,
        /// The commit.
        #[serde(skip_serializing_if = "Option::is_none")]
        rev: Option<String>,
        /// The branch.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The folder within.
        #[serde(skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
    /// A name on Nix's search path: `<nixpkgs>`.
    SearchPath {
        /// Without its brackets.
        name: String,
    },
    /// A flake reference, such as `nixpkgs` of the registry.
    Flake {
        /// As `builtins.getFlake` takes it.
        flake: String,
    },
}

/// A package set, and who chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSet {
    /// What to try, in order. Only names on the search path may turn out to be absent.
    pub references: Vec<Reference>,
    /// Who named it, for messages: `--nixpkgs`, a file, …; one for each reference.
    pub chosen_by: Vec<String>,
}

impl PackageSet {
    /// The first that applies: what `--nixpkgs` says, the `nixpkgs` input of `flake.lock`, `<nixpkgs>`, the flake registry.
    ///
    /// `project` holds `flake.lock`, if any; a relative path in `option` is one of `folder`.
    pub fn choose(option: Option<&str>, folder: &Path, project: Option<&Path>) -> Result<Self, Error> {
        if let Some(option) = option {
            return Ok(Self::named(option, folder, "--nixpkgs"));
        }
        if let Some(project) = project {
            let path = project.join("flake.lock");
            let text = match fs_err::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
                Err(error) => return Err(error.into()),
            };
            let reference = text.map(|text| from_flake_lock(&text)).transpose();
            let reference = reference.map_err(|reason| Error::Lock { path, reason })?;
            if let Some(reference) = reference.flatten() {
                return Ok(Self::one(reference.within(project), "flake.lock"));
            }
        }
        Ok(Self {
            references: vec![
                Reference::SearchPath { name: "nixpkgs".into() },
                Reference::Flake { flake: "nixpkgs".into() },
            ],
            chosen_by: vec!["<nixpkgs>".into(), "the flake registry".into()],
        })
    }

    /// What `option` means, in words that `--nixpkgs` takes. A relative path is one of `folder`.
    #[must_use]
    pub fn named(option: &str, folder: &Path, chosen_by: &str) -> Self {
        Self::one(from_option(option, folder), chosen_by)
    }

    /// The package set of a `pitstop.lock` in the folder `project`.
    pub fn locked(set: &LockedSet, project: &Path) -> Result<Self, Error> {
        let reference =
            from_locked(set).map_err(|reason| Error::Lock { path: project.join(lockfile::NAME), reason })?;
        Ok(Self::one(reference.within(project), lockfile::NAME))
    }

    /// Whether it is a folder that is not here, so that asking it is of no use.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        let absent = |reference: &Reference| matches!(reference, Reference::Path { path } if !path.exists());
        self.references.iter().all(absent)
    }

    fn one(reference: Reference, chosen_by: &str) -> Self {
        Self { references: vec![reference], chosen_by: vec![chosen_by.to_owned()] }
    }
}

impl Reference {
    /// A relative path made absolute.
    fn within(self, folder: &Path) -> Self {
        match self {
            Self::Path { path } => Self::Path { path: folder.join(path) },
            other => other,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path } => write!(formatter, "{}", path.display()),
            Self::Tarball { url, .. } | Self::Git { url, .. } => formatter.write_str(url),
            Self::SearchPath { name } => write!(formatter, "<{name}>"),
            Self::Flake { flake } => formatter.write_str(flake),
        }
    }
}

fn tarball(url: impl Into<String>, sha256: Option<String>) -> Reference {
    Reference::Tarball { url: url.into(), sha256, folder: None }
}

fn github(host: &str, owner: &str, repository: &str, rev: &str) -> String {
    format!("https://{host}/{owner}/{repository}/archive/{rev}.tar.gz")
}

fn is_rev(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What people write after `--nixpkgs`: a path, `<name>`, a URL, `channel:NAME`, a commit, or a flake reference.
fn from_option(option: &str, folder: &Path) -> Reference {
    if let Some(name) = option.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return Reference::SearchPath { name: name.into() };
    }
    if let Some(channel) = option.strip_prefix("channel:") {
        return tarball(format!("https://nixos.org/channels/{channel}/nixexprs.tar.xz"), None);
    }
    if option.starts_with("https://") || option.starts_with("http://") || option.starts_with("file://") {
        return tarball(option, None);
    }
    if is_rev(option) {
        return tarball(github("github.com", "NixOS", "nixpkgs", option), None);
    }
    let path = option.strip_prefix("path:").unwrap_or(option);
    if path != option || path.starts_with(['/', '.']) || folder.join(path).exists() {
        return Reference::Path { path: folder.join(path) };
    }
    Reference::Flake { flake: option.into() }
}

/// Where the package set of a `pitstop.lock` is.
fn from_locked(set: &LockedSet) -> Result<Reference, String> {
    let LockedSet { url, rev, nar_hash, dir } = set.clone();
    if let Some(rev) = &rev
        && !is_rev(rev)
    {
        return Err(format!("the `rev` of a package set is not a commit: {rev}"));
    }
    let archive = |url: String| Reference::Tarball { url, sha256: nar_hash, folder: dir.clone() };
    let Some(url) = url else {
        let rev = rev.ok_or("a package set has neither `url` nor `rev`")?;
        return Ok(archive(github("github.com", "NixOS", "nixpkgs", &rev)));
    };
    if let Some(path) = url.strip_prefix("path:") {
        let path = PathBuf::from(path);
        return Ok(Reference::Path { path: dir.map_or(path.clone(), |dir| path.join(dir)) });
    }
    if let Some(url) = url.strip_prefix("git+") {
        return Ok(Reference::Git { url: url.into(), rev, reference: None, folder: dir });
    }
    if ["https://", "http://", "file://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(archive(url));
    }
    // A flake reference takes a commit as a parameter, whatever its kind (`nix flake --help`, "Flake references").
    let flake = match rev.filter(|_| !url.contains("rev=")) {
        Some(rev) => format!("{url}{}rev={rev}", if url.contains('?') { '&' } else { '?' }),
        None => url,
    };
    Ok(Reference::Flake { flake })
}

/// How the package set that was used is named again, from anywhere. `at` is where its sources were found, `rev` and `narHash`
/// what Nix knows of them.
pub(super) fn identity(
    reference: &Reference,
    at: &Path,
    rev: Option<String>,
    nar_hash: Option<String>,
) -> LockedSet {
    let set =
        |url: Option<String>| LockedSet { url, rev: rev.clone(), nar_hash: nar_hash.clone(), dir: None };
    let folder = |path: &Path| set(Some(format!("path:{}", path.display())));
    match reference {
        Reference::Path { path } => folder(path),
        Reference::Tarball { url, sha256, folder } => {
            let commit = commit_of_nixpkgs(url).map(str::to_owned);
            let set = LockedSet {
                rev: commit.clone().or(rev.clone()),
                nar_hash: sha256.clone().or(nar_hash.clone()),
                dir: folder.clone(),
                url: commit.is_none().then(|| url.clone()),
            };
            // A channel is another archive tomorrow; its commit, as another archive, is not. The hash is that of the first.
            if url.contains("/channels/") && sha256.is_none() && rev.is_some() {
                return LockedSet { rev, ..LockedSet::default() };
            }
            set
        }
        Reference::Git { url, folder, .. } => {
            LockedSet { url: Some(format!("git+{url}")), rev, nar_hash, dir: folder.clone() }
        }
        // A channel on the search path is not the archive of its commit, so its hash is not that one's.
        Reference::SearchPath { .. } if rev.is_some() => LockedSet { rev, ..LockedSet::default() },
        Reference::SearchPath { .. } => folder(at),
        Reference::Flake { flake } => {
            let name = flake.strip_prefix("flake:").unwrap_or(flake).to_ascii_lowercase();
            let is_nixpkgs = ["nixpkgs", "github:nixos/nixpkgs"].iter().any(|known| {
                name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            match &rev {
                Some(_) if is_nixpkgs => set(None),
                _ => set(Some(flake.clone())),
            }
        }
    }
}

/// The commit that an archive of NixOS/nixpkgs is made of.
fn commit_of_nixpkgs(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://github.com/NixOS/nixpkgs/archive/")?;
    rest.strip_suffix(".tar.gz").filter(|rev| is_rev(rev))
}

/// How many inputs a `follows` may pass.
const FOLLOWS_LIMIT: usize = 64;

/// The `nixpkgs` input of a flake's root, as `nix flake lock` wrote it (versions 5 to 7 of the format).
fn from_flake_lock(text: &str) -> Result<Option<Reference>, String> {
    let lock: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let version = lock["version"].as_u64().ok_or("it has no version")?;
    if !(5..=7).contains(&version) {
        return Err(format!("its format, version {version}, is not known"));
    }
    let root = lock["root"].as_str().ok_or("it names no root")?;
    let inputs = &lock["nodes"][root]["inputs"];
    if inputs["nixpkgs"].is_null() {
        return Ok(None);
    }
    let node = input(&lock, root, "nixpkgs", 0)?;
    locked(&lock["nodes"][node]["locked"]).map(Some)
}

/// The node that an input of a node leads to: a name, or the way to it from the root.
fn input<'a>(lock: &'a Value, node: &str, name: &str, depth: usize) -> Result<&'a str, String> {
    if depth > FOLLOWS_LIMIT {
        return Err("its inputs follow each other in a circle".into());
    }
    match &lock["nodes"][node]["inputs"][name] {
        Value::String(node) => Ok(node),
        Value::Array(way) => {
            let mut at = lock["root"].as_str().ok_or("it names no root")?;
            for step in way {
                let step = step.as_str().ok_or("an input follows something that is not a name")?;
                at = input(lock, at, step, depth + 1)?;
            }
            Ok(at)
        }
        _ => Err(format!("`{node}` has no input `{name}`")),
    }
}

fn locked(locked: &Value) -> Result<Reference, String> {
    let text = |name: &str| locked[name].as_str().map(str::to_owned);
    let need = |name: &str| text(name).ok_or(format!("its `nixpkgs` has no `{name}`"));
    let (sha256, folder) = (text("narHash"), text("dir"));
    let archive = |url| Reference::Tarball { url, sha256: sha256.clone(), folder: folder.clone() };
    match need("type")?.as_str() {
        "github" => {
            let host = text("host").unwrap_or_else(|| "github.com".into());
            Ok(archive(github(&host, &need("owner")?, &need("repo")?, &need("rev")?)))
        }
        "gitlab" => {
            let host = text("host").unwrap_or_else(|| "gitlab.com".into());
            let (owner, repository, rev) = (need("owner")?, need("repo")?, need("rev")?);
            Ok(archive(format!(
                "https://{host}/{owner}/{repository}/-/archive/{rev}/{repository}-{rev}.tar.gz"
            )))
        }
        "sourcehut" => {
            let host = text("host").unwrap_or_else(|| "git.sr.ht".into());
            Ok(archive(format!(
                "https://{host}/{}/{}/archive/{}.tar.gz",
                need("owner")?,
                need("repo")?,
                need("rev")?
            )))
        }
        "tarball" => Ok(archive(need("url")?)),
        "git" => {
            let reference = text("ref");
            Ok(Reference::Git { url: need("url")?, rev: text("rev"), reference, folder })
        }
        "path" => {
            let path = PathBuf::from(need("path")?);
            Ok(Reference::Path { path: folder.map_or(path.clone(), |folder| path.join(folder)) })
        }
        other => Err(format!("its `nixpkgs` is of a type that pitstop cannot use: {other}")),
    }
}

#[cfg(test)]
mod tests;
