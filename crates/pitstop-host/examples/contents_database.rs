//! A nix-index database of nixpkgs' size, made from what Debian packages hold: `contents_database OUT LEVEL CONTENTS…`,
//! each of the last as apt's mirrors have them, gzip taken off (`Contents-amd64`).
//!
//! Store paths, sizes and who is executable are made up, always alike. Entries stand in the order in which nix-index writes
//! them: a folder before what is in it, names backwards.
#![allow(clippy::print_stdout, reason = "an example's words are its output")]

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs;
use std::path::Path;

use pitstop_core::index::{Entry, Node, Origin, Package, StorePath};
use pitstop_host::index::database::Writer;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [out, level, contents @ ..] = words.as_slice() else {
        return Err("contents_database OUT LEVEL CONTENTS…".into());
    };
    let texts = contents.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some((path, packages)) = line.rsplit_once(char::is_whitespace) else { continue };
        let path = path.trim_end();
        for package in packages.split(',') {
            let name = package.rsplit('/').next().unwrap_or(package);
            files.entry(name).or_default().push(path.strip_prefix("usr/").unwrap_or(path));
        }
    }
    let threads =
        std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    let mut writer = Writer::create(Path::new(out), level.parse()?, threads)?;
    let (packages, mut entries) = (files.len(), 0);
    for (name, files) in files {
        let list = list(&files);
        entries += list.len();
        writer.add(&package(name), &list)?;
    }
    println!("{packages} packages, {entries} entries, {} bytes", writer.finish()?);
    Ok(())
}

/// FNV-1a: numbers that look like any, and are always the same.
fn number(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn package(name: &str) -> Package {
    // The letters of Nix's base 32.
    let letters = b"0123456789abcdfghijklmnpqrsvwxyz";
    let mut state = number(name);
    let hash = (0..32).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(letters[(state >> 59) as usize])
    });
    let (attribute, output) = match name.strip_suffix("-dev") {
        Some(base) => (base, "dev"),
        None => name.strip_suffix("-doc").map_or((name, "out"), |base| (base, "doc")),
    };
    let version = number(name) % 17;
    Package {
        path: StorePath {
            store_dir: "/nix/store".into(),
            hash: hash.collect(),
            name: format!(
                "{attribute}-1.{version}{}",
                if output == "out" { String::new() } else { format!("-{output}") }
            ),
        },
        origin: Origin {
            attribute: attribute.to_owned(),
            output: output.into(),
            toplevel: !number(name).is_multiple_of(11),
            system: Some("x86_64-linux".into()),
        },
    }
}

/// The files of a package with their folders, in nix-index's order.
fn list(files: &[&str]) -> Vec<Entry> {
    let mut folders: HashMap<&str, u64> = HashMap::from([("", 0)]);
    for file in files {
        let mut below = *file;
        loop {
            let folder = below.rsplit_once('/').map_or("", |(folder, _)| folder);
            let known = folders.contains_key(folder);
            *folders.entry(folder).or_default() += 1;
            if known || folder.is_empty() {
                break;
            }
            below = folder;
        }
    }
    let path = |path: &str| if path.is_empty() { String::new() } else { format!("/{path}") };
    let mut entries: Vec<Entry> = folders
        .iter()
        .map(|(folder, size)| Entry { path: path(folder).into(), node: Node::Directory { size: *size } })
        .chain(
            files
                .iter()
                .filter(|file| !folders.contains_key(*file))
                .map(|file| Entry { path: path(file).into(), node: node(file) }),
        )
        .collect();
    entries.sort_by(|one, other| backwards(&one.path, &other.path));
    entries.dedup_by(|one, other| one.path == other.path);
    entries
}

fn node(path: &str) -> Node {
    let name = path.rsplit('/').next().unwrap_or(path);
    match number(path) % 64 {
        _ if name.as_bytes().ends_with(b".so") => Node::Symlink { target: format!("{name}.1").into() },
        0 => Node::Symlink { target: format!("../{name}").into() },
        size => Node::Regular {
            size: number(name) % (1 << (size % 24)),
            executable: path.contains("bin/") || name.contains(".so."),
        },
    }
}

/// A folder before what is in it, and of two names the later first.
fn backwards(one: &[u8], other: &[u8]) -> Ordering {
    let (mut one, mut other) = (one.split(|byte| *byte == b'/'), other.split(|byte| *byte == b'/'));
    loop {
        return match (one.next(), other.next()) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(other)) => other.cmp(one),
            (one, other) => one.is_some().cmp(&other.is_some()),
        };
    }
}
