//! The generated part of the package set, and the folder that Nix imports.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::apt::{Index, Lists};
use crate::error::{Error, Result};
use crate::graph::{self, Units};
use crate::table::{RENAMES, Release, Table};

/// What is written by hand: Nix expressions and the scripts that build.
const FILES: &[(&str, &str)] = &[
    ("aliases.nix", include_str!("../nix/aliases.nix")),
    ("builder.sh", include_str!("../nix/builder.sh")),
    ("check.nix", include_str!("../nix/check.nix")),
    ("default.nix", include_str!("../nix/default.nix")),
    ("derive.nix", include_str!("../nix/derive.nix")),
    ("facts.nix", include_str!("../nix/facts.nix")),
    ("flake.nix", include_str!("../nix/flake.nix")),
    ("gcc.sh", include_str!("../nix/gcc.sh")),
    ("glibc.sh", include_str!("../nix/glibc.sh")),
    ("imagemagick.sh", include_str!("../nix/imagemagick.sh")),
    ("lib.nix", include_str!("../nix/lib.nix")),
    ("loader.pl", include_str!("../nix/loader.pl")),
    ("outputs.nix", include_str!("../nix/outputs.nix")),
    ("python.sh", include_str!("../nix/python.sh")),
    ("settings.nix", include_str!("../nix/settings.nix")),
    ("setup.sh", include_str!("../nix/setup.sh")),
    ("tools.nix", include_str!("../nix/tools.nix")),
    ("unit.sh", include_str!("../nix/unit.sh")),
    ("nix-renames.tsv", RENAMES),
];

/// Changes when the way a set is generated does, so that no old one is taken for a new one.
const GENERATOR: u32 = 3;

/// Names a set: the same key, the same packages. Anything that could change them is in it.
pub(crate) fn key(lists: &Lists) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    (GENERATOR, FILES, crate::table::fingerprint()).hash(&mut hasher);
    lists.names()?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// Writes the set into `folder`.
pub(crate) fn write(folder: &Path, index: &Index) -> Result<()> {
    let glibc = index.get("libc6").ok_or_else(|| Error::Broken("apt knows no libc6".to_owned()))?;
    let table = Table::of(Release::of_glibc(&glibc.version));
    let units = graph::units(&table, index)?;
    fs_err::create_dir_all(folder)?;
    for (name, text) in FILES {
        fs_err::write(folder.join(name), text)?;
    }
    fs_err::write(folder.join("units.json"), json(&units))?;
    Ok(())
}

/// The units as JSON, which Nix reads fast. All of it is package names and versions: plain ASCII.
fn json(units: &Units) -> String {
    let mut text = String::from("{");
    for (place, (id, unit)) in units.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\n\"{id}\":{{\"pname\":\"{}\",\"version\":\"{}\",\"debs\":{},\"sums\":{},\"sonames\":{},\
             \"needs\":{},\"internal\":{},\"program\":{}}}",
            unit.pname,
            unit.version,
            list(&unit.debs),
            list(&unit.sums),
            list(&unit.sonames),
            list(&unit.needs),
            unit.internal,
            unit.program
        );
    }
    text.push_str("\n}\n");
    text
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", quoted.join(","))
}
