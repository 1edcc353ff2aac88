//! The default list of libraries, held against what the policies say and against what we know of nixpkgs.

use std::collections::{HashMap, HashSet};

use crate::evaluate;

const SONAMES: &str = include_str!("../../../crates/pitstop-core/data/sonames.tsv");
const RENAMES: &str = include_str!("../../../crates/pitstop-core/data/nix-renames.tsv");

/// Every library that a wheel for x86_64 may leave to the machine: PEP 513, 571 and 599, and what auditwheel's policies for
/// PEP 600 have beyond them.
const POLICIES: &[&str] = &[
    "libGL.so.1",
    "libICE.so.6",
    "libSM.so.6",
    "libX11.so.6",
    "libXext.so.6",
    "libXrender.so.1",
    "libanl.so.1",
    "libatomic.so.1",
    "libc.so.6",
    "libcrypt.so.1",
    "libdl.so.2",
    "libexpat.so.1",
    "libgcc_s.so.1",
    "libglib-2.0.so.0",
    "libgobject-2.0.so.0",
    "libgthread-2.0.so.0",
    "libm.so.6",
    "libmvec.so.1",
    "libncursesw.so.5",
    "libnsl.so.1",
    "libpanelw.so.5",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
    "libz.so.1",
];

/// Those of them that do not come with the loader.
pub(crate) const OUTSIDE_GLIBC: &[&str] = &[
    "libGL.so.1",
    "libICE.so.6",
    "libSM.so.6",
    "libX11.so.6",
    "libXext.so.6",
    "libXrender.so.1",
    "libatomic.so.1",
    "libcrypt.so.1",
    "libexpat.so.1",
    "libgcc_s.so.1",
    "libglib-2.0.so.0",
    "libgobject-2.0.so.0",
    "libgthread-2.0.so.0",
    "libncursesw.so.5",
    "libpanelw.so.5",
    "libstdc++.so.6",
    "libz.so.1",
];

/// What nix-ld's module in nixpkgs adds by itself.
const NIX_LD: &[&str] = &[
    "acl",
    "attr",
    "bzip2",
    "curl",
    "libsodium",
    "libssh",
    "libxml2",
    "openssl",
    "stdenv.cc.cc",
    "systemd",
    "util-linux",
    "xz",
    "zlib",
    "zstd",
];

/// In the list for nix-ld's sake; the table has no soname of theirs.
const NOT_IN_THE_TABLE: &[&str] = &["libsodium"];

/// The attributes of the list with a release's names.
fn list(nixpkgs: &str) -> Vec<String> {
    let names = evaluate(&format!(
        "map (package: package.name) (import (root + \"/nix/libraries.nix\") {{ pkgs = packages \"{nixpkgs}\"; }})"
    ));
    serde_json::from_value(names).unwrap()
}

/// The fields of each row of a table, without its head.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect())
}

/// All names of one library's attribute, whichever release they are of.
fn names_of(attribute: &str) -> HashSet<String> {
    let output = attribute.strip_suffix(".lib").unwrap_or(attribute);
    let mut names = HashSet::from([attribute.to_owned(), output.to_owned()]);
    names.extend(rows(RENAMES).filter(|row| row[0] == attribute).map(|row| row[1].to_owned()));
    names
}

#[test]
fn it_has_whatever_the_manylinux_policies_leave_to_the_machine() {
    let table: HashMap<&str, Vec<&str>> = rows(SONAMES).map(|row| (row[0], row)).collect();
    for release in ["24.05", "26.05"] {
        let list = list(release);
        for soname in POLICIES {
            let row = table.get(soname).unwrap_or_else(|| panic!("{soname} is not in the table"));
            let (attribute, class) = (row[1], row[5]);
            // The loader in the farm finds its own glibc.
            let found = class == "libc" || names_of(attribute).iter().any(|name| list.contains(name));
            assert!(found, "{soname}: {attribute} is not in the list of {release}: {list:?}");
        }
    }
}

#[test]
fn the_policies_of_the_table_are_all_held() {
    let marked = rows(SONAMES).filter(|row| row[4] == "manylinux").map(|row| row[0]);
    for soname in marked {
        assert!(POLICIES.contains(&soname), "{soname}");
    }
}

#[test]
fn it_has_all_that_nix_ld_has() {
    for release in ["24.05", "26.05"] {
        let list = list(release);
        for attribute in NIX_LD {
            assert!(list.iter().any(|name| name == attribute), "{attribute} is not in {list:?}");
        }
    }
}

#[test]
fn it_names_no_package_that_is_not_known_to_be_in_nixpkgs() {
    let known: HashSet<String> = rows(SONAMES)
        .flat_map(|row| names_of(row[1]))
        .chain(NOT_IN_THE_TABLE.iter().map(|&name| name.to_owned()))
        .collect();
    for release in ["24.05", "26.05"] {
        for name in list(release) {
            assert!(known.contains(&name), "{name} ({release})");
        }
    }
}
