//! The facts of every ELF file of this machine's library folder, held against `readelf` (GNU binutils).
//!
//! `PITSTOP_ELF_TREES`, folders separated by colons, adds more, such as site-packages with large wheels.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bstr::ByteSlice as _;
use pitstop_core::elf::{Elf, ElfError, Source, defines_symbol};

/// Files for each call of `readelf`, which takes long for its start.
const BATCH: usize = 64;

struct OnDisk(File);

impl Source for OnDisk {
    fn size_bytes(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// What both sides can tell, one line a fact, in the order of the file.
fn ours(elf: &Elf) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(elf.loader.iter().map(|name| format!("loader {name}")));
    lines.extend(elf.needed.iter().map(|name| format!("needed {name}")));
    lines.extend(elf.soname.iter().map(|name| format!("soname {name}")));
    lines.extend(elf.rpath.iter().map(|name| format!("rpath {name}")));
    lines.extend(elf.runpath.iter().map(|name| format!("runpath {name}")));
    for need in &elf.version_needs {
        for version in &need.versions {
            lines.push(format!("wants {} {} {}", need.file, version.name, version.weak));
        }
    }
    lines.extend(elf.version_definitions.iter().flatten().map(|name| format!("defines {name}")));
    lines.sort();
    lines
}

/// The same facts, out of what `readelf -W -l -d -V` prints for one file.
fn theirs(printed: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut file, mut defining) = ("", false);
    for line in printed.lines() {
        let bracketed = line.rfind(']').and_then(|end| Some(&line[line.find('[')? + 1..end]));
        let field =
            |name: &str| line.split_once(name).map(|(_, rest)| rest.split("  ").next().unwrap_or(rest));
        if let Some((_, path)) = line.split_once("[Requesting program interpreter: ") {
            // An empty path is no loader.
            let path = path.trim_end_matches(']');
            lines.extend((!path.is_empty()).then(|| format!("loader {path}")));
        } else if line.contains("(NEEDED)") {
            lines.push(format!("needed {}", bracketed.unwrap()));
        } else if line.contains("(SONAME)") {
            lines.push(format!("soname {}", bracketed.unwrap()));
        } else if line.contains("(RPATH)") {
            lines.push(format!("rpath {}", bracketed.unwrap()));
        } else if line.contains("(RUNPATH)") {
            lines.push(format!("runpath {}", bracketed.unwrap()));
        } else if line.starts_with("Version") {
            defining = line.starts_with("Version definition section");
        } else if let (Some(name), true) = (field("  Name: "), defining && line.contains("Rev: ")) {
            if !field("  Flags: ").unwrap().contains("BASE") {
                lines.push(format!("defines {name}"));
            }
        } else if let Some(name) = field("  File: ") {
            file = name;
        } else if let (Some(name), Some(flags)) = (field("  Name: "), field("  Flags: ")) {
            lines.push(format!("wants {file} {name} {}", flags.contains("WEAK")));
        }
    }
    lines.sort();
    lines
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Elf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            collect(&path, found);
        } else if kind.is_file() {
            match File::open(&path).map(|file| Elf::read(&OnDisk(file))) {
                Ok(Ok(elf)) => drop(found.insert(path, elf)),
                Ok(Err(ElfError::NotElf)) | Err(_) => {}
                Ok(Err(error)) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

#[test]
fn agrees_with_readelf() {
    let trees = std::env::var("PITSTOP_ELF_TREES").unwrap_or_default();
    let mut found = BTreeMap::new();
    for tree in std::iter::once("/usr/lib/x86_64-linux-gnu").chain(trees.split(':')) {
        collect(Path::new(tree), &mut found);
    }
    if found.is_empty() || Command::new("readelf").arg("--version").output().is_err() {
        // Elsewhere there is nothing to hold it against.
        return;
    }
    // Object files in it (`crt1.o`) have nothing to tell, but `readelf` and we must agree on that too.
    let files: Vec<_> = found.iter().collect();
    let mut facts = 0;
    for batch in files.chunks(BATCH) {
        let paths = batch.iter().map(|(path, _)| path);
        // An extra file, so that `readelf` names each file even where the batch has one only.
        let output =
            Command::new("readelf").args(["-W", "-l", "-d", "-V"]).args(paths).arg("/dev/null").output();
        let printed = output.unwrap().stdout.to_str_lossy().into_owned();
        let sections: BTreeMap<_, _> = printed
            .split("\nFile: ")
            .filter_map(|section| section.trim_start_matches("File: ").split_once('\n'))
            .collect();
        for (path, elf) in batch {
            let section = sections[path.to_str().unwrap()];
            assert_eq!(ours(elf), theirs(section), "{}", path.display());
            facts += ours(elf).len();
        }
    }
    println!("{facts} facts of {} files compared", files.len());
}

#[test]
fn symbols_agree_with_readelf() {
    for name in ["libz.so.1", "libc.so.6", "libstdc++.so.6", "libm.so.6", "libpthread.so.0"] {
        let path = Path::new("/usr/lib/x86_64-linux-gnu").join(name);
        let Ok(file) = File::open(&path).map(OnDisk) else { continue };
        let Ok(output) = Command::new("readelf").args(["-W", "--dyn-syms"]).arg(&path).output() else {
            return;
        };
        let printed = output.stdout.to_str_lossy().into_owned();
        let mut defined = BTreeMap::new();
        // Num: Value Size Type Bind Vis Ndx Name, where the name may carry a version.
        for line in printed.lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            if let [number, _, _, _, bind, _, section, symbol, ..] = fields[..]
                && number.ends_with(':')
                && bind != "LOCAL"
                && number != "Num:"
            {
                let symbol = symbol.split('@').next().unwrap();
                *defined.entry(symbol.to_owned()).or_insert(false) |= section != "UND";
            }
        }
        assert!(defined.len() > 10, "{name}");
        for (symbol, expected) in defined {
            assert_eq!(defines_symbol(&file, symbol.as_bytes()), Ok(expected), "{name}: {symbol}");
            assert_eq!(
                defines_symbol(&file, format!("{symbol}?").as_bytes()),
                Ok(false),
                "{name}: {symbol}?"
            );
        }
    }
}
