//! Merges the tables in `data/` into one sorted text, which `locate::table` bisects in place.
//!
//! One line a soname, in byte order, fields separated by tabs, empty fields at the end left off:
//!
//! `soname  class  nix  debian12  debian13  alternatives  nix_soname  debian_soname`
//!
//! `class` is one of `c` (libc), `t` (toolchain), `d` (driver), `l` (any other). `=` in `debian13` stands for the
//! package in `debian12`. `nix_soname` and `debian_soname` are set where the two call the same library differently.

#![allow(clippy::print_stdout, reason = "a build script speaks to cargo on standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[derive(Default)]
struct Row {
    class: &'static str,
    nix: String,
    debian12: String,
    debian13: String,
    alternatives: String,
    nix_soname: String,
    debian_soname: String,
}

type Rows = BTreeMap<String, Row>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=data");
    let data = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest folder")?).join("data");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no output folder")?);

    let mut rows = Rows::new();
    for [soname, debian12, debian13, alternatives] in read(&data.join("debian.tsv"))? {
        rows.insert(soname, Row { class: "l", debian12, debian13, alternatives, ..Row::default() });
    }
    for [soname, nix, debian12, debian13, _evidence, class] in read(&data.join("sonames.tsv"))? {
        let class = match class.as_str() {
            "libc" => "c",
            "toolchain" => "t",
            "driver" => "d",
            "lib" => "l",
            other => return Err(format!("{soname}: unknown class {other}").into()),
        };
        let row = rows.entry(soname).or_default();
        row.class = class;
        if class == "d" {
            // A driver's library never comes from a package, so its row holds none.
            *row = Row { class, ..Row::default() };
        } else {
            (row.nix, row.debian12, row.debian13) = (nix, debian12, debian13);
        }
    }
    for [debian_soname, nix_soname, nix, debian12, debian13] in read(&data.join("debian-only.tsv"))? {
        let row = rows.entry(debian_soname.clone()).or_default();
        (row.class, row.debian12, row.debian13) = ("l", debian12, debian13);
        row.nix_soname.clone_from(&nix_soname);
        let row = rows.entry(nix_soname).or_insert_with(|| Row { class: "l", nix, ..Row::default() });
        if row.debian12.is_empty() && row.debian13.is_empty() && row.debian_soname.is_empty() {
            row.debian_soname = debian_soname;
        }
    }
    fs::write(out.join("sonames"), lines(&rows)?)?;

    let mut renames: Vec<[String; 3]> = read(&data.join("nix-renames.tsv"))?;
    renames.sort();
    let mut text = String::new();
    for [nix, other, note] in renames {
        // Which of the two a package set would rather be asked for.
        let warns = if note.ends_with("old name warns") || note.contains("old name warns in") {
            "\twarns"
        } else {
            ""
        };
        writeln!(text, "{nix}\t{other}{warns}")?;
    }
    fs::write(out.join("renames"), text)?;

    fs::write(out.join("hints"), hints(&data)?)?;
    Ok(())
}

/// `package  libraries  need  when`, one line a row: the evidence is for people.
fn hints(data: &Path) -> Result<String, Box<dyn Error>> {
    let mut rows: Vec<[String; 5]> = read(&data.join("hints.tsv"))?;
    rows.sort();
    let mut text = String::new();
    for [package, libraries, need, when, evidence] in rows {
        let is_known = matches!(need.as_str(), "required" | "optional" | "none");
        if !is_known || evidence.is_empty() || libraries.is_empty() != (need == "none") {
            return Err(
                format!("hints.tsv: {package}: {libraries}: need {need:?}, evidence {evidence:?}").into()
            );
        }
        writeln!(text, "{}", [package, libraries, need, when].join("\t").trim_end_matches('\t'))?;
    }
    Ok(text)
}

/// The rows of a table with `N` columns, its header left out.
fn read<const N: usize>(path: &Path) -> Result<Vec<[String; N]>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
            fields.try_into().map_err(|_| format!("{}: not {N} columns: {line}", path.display()).into())
        })
        .collect()
}

fn lines(rows: &Rows) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for (soname, row) in rows {
        let debian13 =
            if row.debian13 == row.debian12 && !row.debian12.is_empty() { "=" } else { &row.debian13 };
        let fields = [
            soname,
            row.class,
            &row.nix,
            &row.debian12,
            debian13,
            &row.alternatives,
            &row.nix_soname,
            &row.debian_soname,
        ];
        writeln!(text, "{}", fields.join("\t").trim_end_matches('\t'))?;
    }
    Ok(text)
}
