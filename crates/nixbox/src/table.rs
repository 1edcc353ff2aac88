//! The data tables: which soname is in which nixpkgs attribute, and in which Debian package.

use std::collections::{BTreeMap, BTreeSet};

const SONAMES: &str = include_str!("../../pitstop-core/data/sonames.tsv");
const DEBIAN: &str = include_str!("../../pitstop-core/data/debian.tsv");
pub(crate) const RENAMES: &str = include_str!("../../pitstop-core/data/nix-renames.tsv");

/// A Debian release whose packages the tables name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Bookworm,
    Trixie,
}

impl Release {
    /// The release that a glibc of this Debian version belongs to.
    pub(crate) fn of_glibc(version: &str) -> Release {
        if version.starts_with("2.36") { Release::Bookworm } else { Release::Trixie }
    }
}

/// One nixpkgs attribute as the tables know it.
#[derive(Debug, Default)]
pub(crate) struct Attribute {
    /// Debian packages that hold its sonames; empty where this release has none.
    pub(crate) packages: BTreeSet<&'static str>,
    /// The sonames of it that this Debian release has.
    pub(crate) sonames: Vec<&'static str>,
}

/// What the tables say for one Debian release.
pub(crate) struct Table {
    pub(crate) attributes: BTreeMap<&'static str, Attribute>,
    /// Packages with libraries of the graphics driver: nobody links to them, so nobody depends on them.
    pub(crate) drivers: BTreeSet<&'static str>,
    /// Every package that owns a shared library.
    pub(crate) libraries: BTreeSet<&'static str>,
}

impl Table {
    pub(crate) fn of(release: Release) -> Table {
        let mut table =
            Table { attributes: BTreeMap::new(), drivers: BTreeSet::new(), libraries: BTreeSet::new() };
        for row in rows(SONAMES) {
            let [soname, nix, debian12, debian13, _evidence, class] = row[..] else { continue };
            let package = if release == Release::Bookworm { debian12 } else { debian13 };
            if class == "driver" {
                table.drivers.insert(package);
                continue;
            }
            // An attribute that names an output is the package with that output.
            let attribute = table
                .attributes
                .entry(nix.strip_suffix(".cc.lib").map_or(nix, |stem| &nix[..stem.len() + ".cc".len()]));
            let attribute = attribute.or_default();
            if !package.is_empty() {
                attribute.packages.insert(package);
                attribute.sonames.push(soname);
                table.libraries.insert(package);
            }
        }
        for row in rows(DEBIAN) {
            let (Some(debian12), Some(debian13)) = (row.get(1), row.get(2)) else { continue };
            let package = if release == Release::Bookworm { debian12 } else { debian13 };
            if !package.is_empty() {
                table.libraries.insert(package);
            }
        }
        table
    }
}

/// Differs when any table differs.
pub(crate) fn fingerprint() -> impl std::hash::Hash {
    (SONAMES, DEBIAN, RENAMES)
}

/// The cells of each row below the header.
fn rows(tsv: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    tsv.lines().skip(1).map(|line| line.split('\t').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_knows_its_debian_packages() {
        let table = Table::of(Release::Bookworm);
        assert!(table.attributes["zlib"].packages.contains("zlib1g"));
        assert!(table.attributes["zlib"].sonames.contains(&"libz.so.1"));
    }

    #[test]
    fn the_compilers_runtime_is_an_output_of_the_compiler() {
        let table = Table::of(Release::Bookworm);
        assert!(table.attributes["stdenv.cc.cc"].packages.contains("libstdc++6"));
        assert!(!table.attributes.contains_key("stdenv.cc.cc.lib"));
    }

    #[test]
    fn a_driver_is_no_attribute() {
        let table = Table::of(Release::Bookworm);
        assert!(table.drivers.contains("libglx-mesa0"));
        assert!(!table.attributes.keys().any(|name| name.starts_with('/')));
    }
}
