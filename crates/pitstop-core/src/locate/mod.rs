//! Which package has a soname: a lookup in a table made beforehand, and never a scan of package lists.
//!
//! What the table says is a belief with a reason, not a promise: package sets move. Who realises a candidate looks for
//! the file before using it, and goes on to the next candidate where it is absent.

mod distribution;
pub mod rank;
mod table;

pub use distribution::{Distribution, Hint, Suite, hint};

/// What kind of library a soname is, which decides where it may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Part of glibc. A process has one libc, which came with its program; another may not be added.
    Libc,
    /// The run-time libraries of a compiler, such as `libstdc++.so.6`.
    Toolchain,
    /// Belongs to the running kernel's driver, so only the machine itself may provide it.
    Driver,
    /// Any other.
    Lib,
}

/// Where a library could come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An attribute of nixpkgs.
    Nix {
        /// Its path, such as `zlib` or `stdenv.cc.cc.lib`.
        attribute: String,
        /// Other names of it on other releases of nixpkgs, to be tried after `attribute`.
        other_names: Vec<String>,
    },
    /// A binary package of Debian.
    Debian {
        /// The release whose package lists it is in.
        suite: Suite,
        /// Its name.
        package: String,
    },
}

/// One idea of where a soname could come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it would come from.
    pub source: Source,
    /// The soname that this source holds.
    pub soname: String,
    /// Whether that is the soname asked for. A candidate that is not exact is the same library under another name or
    /// version, which may lack symbols: it is never used unless the user says so.
    pub exact: bool,
    /// Why this is a candidate, in a few words.
    pub reason: String,
    /// Who says so.
    pub told_by: Witness,
}

/// Who says that a package has a soname.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Witness {
    /// The embedded table.
    Table,
    /// The settings of the project.
    Settings,
    /// A soname index: what it was made from, and when, in words.
    Index(String),
}

impl std::fmt::Display for Witness {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table => formatter.write_str("the embedded table"),
            Self::Settings => formatter.write_str("the project's settings"),
            Self::Index(words) => formatter.write_str(words),
        }
    }
}

/// What is known of one soname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The soname asked for.
    pub soname: String,
    /// What kind of library it is.
    pub class: Class,
    /// Best first: all exact candidates stand before all others. Always empty for [`Class::Driver`].
    pub candidates: Vec<Candidate>,
}

impl Located {
    /// The attributes of nixpkgs to try, best first, each with the candidate that it comes from. An attribute's other
    /// names follow it.
    pub fn nix(&self) -> impl Iterator<Item = (&str, &Candidate)> {
        self.candidates.iter().flat_map(|candidate| {
            let names: Vec<&str> = match &candidate.source {
                Source::Nix { attribute, other_names } => {
                    std::iter::once(attribute).chain(other_names).map(String::as_str).collect()
                }
                Source::Debian { .. } => Vec::new(),
            };
            names.into_iter().map(move |name| (name, candidate))
        })
    }

    /// The Debian packages to try, best first: those of `suite`, then those of other releases, because a derivative
    /// may have kept an older name.
    pub fn debian(&self, suite: Suite) -> impl Iterator<Item = (&str, &Candidate)> {
        let mut found: Vec<(&str, &Candidate, bool)> = Vec::new();
        for candidate in &self.candidates {
            if let Source::Debian { suite: its, package } = &candidate.source {
                match found.iter_mut().find(|(name, ..)| name == package) {
                    Some(known) => known.2 |= *its == suite,
                    None => found.push((package, candidate, *its == suite)),
                }
            }
        }
        found.sort_by_key(|(_, candidate, fits)| (!candidate.exact, !fits));
        found.into_iter().map(|(package, candidate, _)| (package, candidate))
    }
}

/// What is known of `soname`: its class, and who has it.
#[must_use]
pub fn locate(soname: &str) -> Located {
    let row = table::find(soname);
    let class = match row {
        _ if is_driver(soname) => Class::Driver,
        Some(row) => row.class,
        None => Class::Lib,
    };
    let mut candidates = Vec::new();
    if class != Class::Driver {
        if let Some(row) = row {
            exact(&row, &mut candidates);
            aliases(&row, &mut candidates);
        }
        if class == Class::Lib {
            candidates.extend(other_versions(soname));
        }
    }
    Located { soname: soname.to_owned(), class, candidates }
}

/// The sonames of one library that some package has, newest first: `stem` ends in `.so`.
///
/// The order is that of ld.so.cache, where `find_library` takes the first (`_dl_cache_libcmp` in glibc's `elf/dl-cache.c`);
/// what nixpkgs has comes before what only a distribution has.
#[must_use]
pub fn known_versions(stem: &str) -> Vec<&'static str> {
    let mut rows: Vec<table::Row> = table::versions(stem)
        // Links for compilers (`libz.so`) name no library of their own; drivers have no package.
        .filter(|row| row.class != Class::Driver)
        .filter(|row| !(row.nix.is_empty() && row.debian12.is_empty() && row.debian13.is_empty()))
        .collect();
    rows.sort_by_key(|row| (row.nix.is_empty(), std::cmp::Reverse(version(row.soname, stem))));
    rows.into_iter().map(|row| row.soname).collect()
}

/// How many other versions of a library are offered.
const OTHER_VERSIONS_LIMIT: usize = 4;

/// Packages that have the same library under another version, nearest version first. None of them is exact.
#[must_use]
pub fn other_versions(soname: &str) -> Vec<Candidate> {
    let Some(stem) = stem(soname) else { return Vec::new() };
    let wanted = version(soname, stem);
    let mut rows: Vec<table::Row> = table::versions(stem)
        .filter(|row| row.soname != soname && row.class == Class::Lib)
        // Links such as `libQt5Core.so.5.15` beside `libQt5Core.so.5` name the same file of the same package.
        .filter(|row| !(row.nix.is_empty() && row.debian12.is_empty() && row.debian13.is_empty()))
        .collect();
    rows.sort_by_key(|row| {
        let have = version(row.soname, stem);
        let first = |version: &[u64]| version.first().copied().unwrap_or(0);
        // Of two equally near, the newer: libraries grow more often than they shrink.
        (first(&have).abs_diff(first(&wanted)), have < wanted, have)
    });
    let mut candidates = Vec::new();
    for row in rows.into_iter().take(OTHER_VERSIONS_LIMIT) {
        let reason = format!("has {}, another version of {soname}", row.soname);
        if !row.nix.is_empty() {
            candidates.push(nix(row.nix, row.soname, false, reason.clone()));
        }
        for (suite, package) in [(Suite::Debian12, row.debian12), (Suite::Debian13, row.debian13)] {
            if !package.is_empty() {
                candidates.push(debian(suite, package, row.soname, false, reason.clone()));
            }
        }
    }
    candidates
}

fn nix(attribute: &str, soname: &str, exact: bool, reason: String) -> Candidate {
    let other_names = table::renames(attribute).map(str::to_owned).collect();
    let source = Source::Nix { attribute: attribute.to_owned(), other_names };
    Candidate { source, soname: soname.to_owned(), exact, reason, told_by: Witness::Table }
}

fn debian(suite: Suite, package: &str, soname: &str, exact: bool, reason: String) -> Candidate {
    let source = Source::Debian { suite, package: package.to_owned() };
    Candidate { source, soname: soname.to_owned(), exact, reason, told_by: Witness::Table }
}

/// The candidates that have the soname of `row` itself.
fn exact(row: &table::Row, candidates: &mut Vec<Candidate>) {
    if !row.nix.is_empty() {
        candidates.push(nix(row.nix, row.soname, true, format!("has lib/{}", row.soname)));
    }
    let suites = [(Suite::Debian12, row.debian12), (Suite::Debian13, row.debian13)];
    for (suite, package) in suites.into_iter().filter(|(_, package)| !package.is_empty()) {
        candidates.push(debian(suite, package, row.soname, true, format!("has {}", row.soname)));
    }
    for package in row.alternatives() {
        for (suite, _) in suites.into_iter().filter(|(_, main)| !main.is_empty()) {
            candidates.push(debian(suite, package, row.soname, true, format!("has {} too", row.soname)));
        }
    }
}

/// The candidates that have the library of `row` under the name that the other package set gives it.
fn aliases(row: &table::Row, candidates: &mut Vec<Candidate>) {
    if let Some(other) = table::find(row.nix_soname)
        && !other.nix.is_empty()
    {
        let reason = format!("has {}, which Debian calls {}", other.soname, row.soname);
        candidates.push(nix(other.nix, other.soname, false, reason));
    }
    if let Some(other) = table::find(row.debian_soname) {
        for (suite, package) in [(Suite::Debian12, other.debian12), (Suite::Debian13, other.debian13)] {
            if !package.is_empty() {
                let reason = format!("has {}, which nixpkgs calls {}", other.soname, row.soname);
                candidates.push(debian(suite, package, other.soname, false, reason));
            }
        }
    }
}

/// Whether a soname is a GPU driver's. The driver's internal libraries carry its version in their names
/// (`libnvidia-glcore.so.550.54.15`), so no list can hold them.
fn is_driver(soname: &str) -> bool {
    let Some(stem) = stem(soname) else { return false };
    let name = stem.trim_end_matches(".so");
    name.starts_with("libnvidia-")
        || name.ends_with("_nvidia")
        || matches!(name, "libcuda" | "libcudadebugger" | "libnvcuvid" | "libnvoptix")
}

/// The part of a soname that does not change with its version, `.so` included.
fn stem(soname: &str) -> Option<&str> {
    let at = soname.match_indices(".so").map(|(at, _)| at + 3).find(|&end| {
        matches!(soname.as_bytes().get(end), None | Some(b'.')) // `libfoo.source.so` has its `.so` at the end
    })?;
    Some(&soname[..at])
}

/// The numbers behind the stem.
fn version(soname: &str, stem: &str) -> Vec<u64> {
    soname[stem.len()..]
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
