//! A binary cache that `nix copy` made of nixbox's package set, and the truth about it from the store itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use bstr::{BString, ByteSlice};
use nixbox::{Machine, Nixbox};
use pitstop_core::index::{Entry, Node};
use tempfile::TempDir;

use super::server::{Asked, Reply};

/// What is in it, with all that these need.
const ATTRIBUTES: &[&str] =
    &["zlib", "openssl", "glib", "sqlite", "libarchive", "curl", "xorg.libX11", "stdenv.cc.cc"];

/// A real binary cache.
pub(crate) struct Real {
    _folder: TempDir,
    /// Its folder.
    pub(crate) cache: PathBuf,
    /// What `nix-env` printed, as far as the cache has the outputs.
    pub(crate) packages: PathBuf,
    /// What `nix-env` printed, all of it.
    pub(crate) all_packages: PathBuf,
    /// The store paths of the cache.
    pub(crate) paths: BTreeSet<String>,
    /// The files of each.
    pub(crate) files: BTreeMap<String, Vec<Entry>>,
}

/// The NixOS-like root.
pub(crate) fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The cache, made once for all tests.
pub(crate) fn real() -> &'static Real {
    static MADE: OnceLock<Real> = OnceLock::new();
    MADE.get_or_init(make)
}

fn bytes(machine: &Machine<'_>, script: &str) -> Vec<u8> {
    let output = machine.command("bash").args(["-e", "-c", script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(machine: &Machine<'_>, script: &str) -> String {
    String::from_utf8(bytes(machine, script)).unwrap()
}

fn make() -> Real {
    let built = nixbox().build(ATTRIBUTES).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let machine = nixbox().machine().home(folder.path()).start().unwrap();
    let names: Vec<String> = built.iter().map(|path| path.display().to_string()).collect();
    let names = names.join(" ");
    let to = "file:///home/user/cache?write-nar-listing=1&compression=none";
    text(&machine, &format!("nix copy --no-check-sigs --to '{to}' {names} 2>&1"));
    let closure = text(&machine, &format!("nix-store -qR {names}"));
    let paths: BTreeSet<String> = closure.lines().map(str::to_owned).collect();
    let files = paths.iter().map(|path| (path.clone(), files(&machine, path))).collect();
    let xml = text(
        &machine,
        "nix-env -f '<nixpkgs>' -qaP --out-path --xml --arg config '{ allowAliases = false; }'",
    );
    // An output on each line, so that those that were not built can be left out.
    let has = |line: &&str| {
        line.split_once("path=\"")
            .is_none_or(|(_, rest)| paths.contains(rest.split('"').next().unwrap_or_default()))
    };
    let some: Vec<&str> = xml.lines().filter(has).collect();
    let (packages, all_packages) = (folder.path().join("some.xml"), folder.path().join("all.xml"));
    std::fs::write(&packages, some.join("\n")).unwrap();
    std::fs::write(&all_packages, &xml).unwrap();
    assert!(paths.len() > 20, "{closure}");
    Real { cache: folder.path().join("cache"), _folder: folder, packages, all_packages, paths, files }
}

/// What `find` says of a store path.
pub(crate) fn files(machine: &Machine<'_>, path: &str) -> Vec<Entry> {
    let found = bytes(machine, &format!(r"find {path} -printf '%P\0%y\0%s\0%m\0%l\0'"));
    let fields: Vec<&[u8]> = found.split(|byte| *byte == 0).collect();
    let mut entries: Vec<Entry> = fields
        .chunks_exact(5)
        .map(|field| {
            let mut path = BString::from(field[0]);
            if !path.is_empty() {
                path.insert(0, b'/');
            }
            let number = |text: &[u8], radix| u64::from_str_radix(text.to_str().unwrap(), radix).unwrap();
            let node = match field[1] {
                b"f" => {
                    Node::Regular { size: number(field[2], 10), executable: number(field[3], 8) & 0o111 != 0 }
                }
                b"l" => Node::Symlink { target: field[4].into() },
                b"d" => Node::Directory { size: 0 },
                other => panic!("{}", other.as_bstr()),
            };
            Entry { path, node }
        })
        .collect();
    let parents: Vec<BString> =
        entries.iter().filter_map(|entry| Some(entry.path[..entry.path.rfind_byte(b'/')?].into())).collect();
    for entry in &mut entries {
        if let Node::Directory { size } = &mut entry.node {
            *size = parents.iter().filter(|parent| **parent == entry.path).count() as u64;
        }
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    entries
}

impl Real {
    /// A file of the cache, as a server that does nothing wrong serves it.
    pub(crate) fn reply(&self, asked: &Asked) -> Reply {
        match self.file(&asked.path) {
            Some(body) => Reply::Body(body, Vec::new()),
            None => Reply::Status(404, Vec::new()),
        }
    }

    /// A file of the cache.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.cache.join(path.trim_start_matches('/'))).ok()
    }
}
