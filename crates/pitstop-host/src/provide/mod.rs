//! A file on this machine for each missing soname, and who gave it.
//!
//! The order is the plan's affair. Each provider here takes [`Want`]s and gives an [`Outcome`]: what it can provide,
//! what it refuses with its reason, and what that cost. A provider that cannot work at all is an [`Error`].
//!
//! - [`host`]: what the machine already has, in places where the Python's own loader does not look;
//! - [`nix`]: a package set, realised and kept alive by roots beside the venv;
//! - [`apt`]: Debian packages, unpacked beside the venv, or installed.

pub mod apt;
mod child;
mod closure;
mod error;
pub mod host;
pub mod nix;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bstr::BString;
use pitstop_core::elf::{Elf, Target};
use pitstop_core::files::{Files, Opened};
use pitstop_core::locate::Located;
use pitstop_core::lockfile::LockedSet;
use serde::Serialize;

pub use child::Interrupt;
pub use error::Error;

/// A soname to be provided, and what the library must be like.
#[derive(Clone, Debug)]
pub struct Want {
    /// The name as the loader asks for it.
    pub soname: String,
    /// What the library must be made for.
    pub target: Target,
    /// The versions that it must define, such as `GLIBCXX_3.4.32`.
    pub versions: Vec<BString>,
    /// Ideas where it could come from.
    pub candidates: Located,
}

/// One library found for one want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provision {
    /// The soname that was wanted.
    pub soname: String,
    /// The library itself: an absolute path.
    pub file: PathBuf,
    /// `DT_SONAME` of that file. Where it differs from `soname`, having loaded the file does not satisfy the want by
    /// itself: a link of the wanted name is needed.
    pub found: Option<String>,
    /// False where this is the same library under another name or version, which only a user may accept.
    pub exact: bool,
    /// Who gave it.
    pub by: Provider,
    /// Where the libraries lie that this one needs in turn and would not find by its own search path: soname to file.
    /// Never holds a part of the libc.
    pub dependencies: BTreeMap<String, PathBuf>,
    /// What was done, in one line.
    pub note: String,
}

/// Who gave a library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "provider", rename_all = "kebab-case")]
pub enum Provider {
    /// The machine had it.
    Host {
        /// By which of the machine's rules it is found.
        rule: host::Rule,
    },
    /// A package set of Nix has it.
    Nix {
        /// The attribute that was realised.
        attribute: String,
        /// Its output's store path.
        store_path: PathBuf,
        /// The link that keeps it from being collected.
        root: PathBuf,
        /// The package set, as a lock names it.
        set: LockedSet,
    },
    /// A Debian package, unpacked in a folder of ours.
    Apt {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
        /// The folder that stands for `/`. Packages that it needs lie beside it, each named by package and version.
        folder: PathBuf,
    },
    /// A Debian package, installed.
    Installed {
        /// Its name.
        package: String,
    },
}

/// A want that one provider cannot meet. The next provider may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The soname that was wanted.
    pub soname: String,
    /// Why not. May be several lines where they are another tool's own words.
    pub reason: String,
    /// What the user can do about it, as one imperative sentence.
    pub hint: Option<String>,
}

/// What providing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Packages built here.
    pub built: u64,
    /// Packages downloaded.
    pub downloaded: u64,
    /// Bytes downloaded.
    pub bytes: u64,
    /// Wall-clock time.
    pub time: Duration,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.built == 0 && self.downloaded == 0 {
            formatter.write_str("nothing built or downloaded")?;
        }
        if self.built > 0 {
            write!(formatter, "{} built", self.built)?;
        }
        if self.downloaded > 0 {
            let comma = if self.built > 0 { ", " } else { "" };
            write!(formatter, "{comma}{} downloaded ({})", self.downloaded, size(self.bytes))?;
        }
        write!(formatter, ", {:.1} s", self.time.as_secs_f64())
    }
}

/// A number of bytes for people: three digits or fewer, decimal units.
fn size(bytes: u64) -> String {
    let (mut whole, mut tenth) = (bytes, 0);
    for unit in ["B", "kB", "MB", "GB"] {
        if whole < 1000 || unit == "GB" {
            return if whole < 10 && unit != "B" {
                format!("{whole}.{tenth} {unit}")
            } else {
                format!("{whole} {unit}")
            };
        }
        (tenth, whole) = (whole % 1000 / 100, whole / 1000);
    }
    unreachable!("the last unit returns")
}

/// What a provider comes back with. Every want is either provided or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was found.
    pub provisions: Vec<Provision>,
    /// What was not, and why.
    pub refused: Vec<Refused>,
    /// What it took.
    pub cost: Cost,
    /// The SHA-256 of Debian archives, by `package_version`, as apt's lists have it.
    pub hashes: BTreeMap<String, String>,
}

/// Something that happens while a provider works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step began: what is being done, as a phrase.
    Step(String),
    /// A package is being built here.
    Building(String),
    /// A package is being downloaded.
    Downloading(String),
    /// Bytes so far, and those expected as far as known.
    Bytes {
        /// Downloaded.
        done: u64,
        /// In all.
        expected: u64,
    },
    /// A package is there.
    Finished(String),
    /// Something that the user should know: the tool's own words.
    Warning(String),
}

/// What a provider works with.
pub struct Context<'a> {
    /// The file system, for reading facts of libraries. What a provider has just made is asked of it for the first
    /// time then, so cached answers do no harm.
    pub files: &'a dyn Files,
    /// Whether a candidate that is not exact may be used (`--yes`).
    pub accept_inexact: bool,
    /// Told what happens.
    pub progress: &'a mut dyn FnMut(Event),
    /// Asked now and then whether to stop.
    pub interrupt: &'a Interrupt,
}

/// Whether the library at `path` fits a want: made for its target, and defining the versions asked for.
///
/// `Ok(None)` where there is no such file.
fn fitting(files: &dyn Files, path: &Path, want: &Want) -> Result<Option<Arc<Elf>>, String> {
    let elf = match files.open(path) {
        Opened::Absent => return Ok(None),
        Opened::Unusable(reason) => return Err(format!("{}: {reason}", path.display())),
        Opened::Elf(_, elf) => elf,
    };
    if elf.target != want.target {
        return Err(format!("{} is made for another kind of machine", path.display()));
    }
    // A library without definitions satisfies any version, as the loader sees it.
    if let Some(defined) = &elf.version_definitions {
        let absent: Vec<String> = want
            .versions
            .iter()
            .filter(|version| !defined.contains(version))
            .map(ToString::to_string)
            .collect();
        if !absent.is_empty() {
            return Err(format!("{} does not define {}", path.display(), absent.join(", ")));
        }
    }
    Ok(Some(elf))
}

/// `DT_SONAME` as text.
fn soname_of(elf: &Elf) -> Option<String> {
    elf.soname.as_ref().map(ToString::to_string)
}

#[cfg(test)]
mod tests;
