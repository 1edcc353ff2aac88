//! The store of this machine: which paths are valid, what they refer to, and what is in them. No network.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pitstop_core::index::{Entry, Node, Package, StorePath};
use serde_json::Value;

use super::crawl::{Gap, Unlisted};
use super::graph::{Closures, Graph};
use crate::child;
use crate::provide::Interrupt;

/// How long Nix may take to list its store.
const LIST_TIME_MAX: Duration = Duration::from_mins(10);

/// Why a store cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Nix does not say what is in it.
    #[error("Nix does not list its store: {0}")]
    Nix(String),
    /// The index cannot be written, or the store's folder not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The valid paths of a store, with their origins.
#[derive(Debug)]
pub struct Store {
    graph: Graph,
    valid: Vec<bool>,
}

impl Store {
    /// Asks Nix for all valid paths of this machine's store. Derivations are left out: nobody looks for files there.
    /// Of `packages`, those that are there name their paths.
    pub fn open(packages: &[Package], store_dir: &str) -> Result<Self, LocalError> {
        let mut command = Command::new("nix");
        command.args(["--extra-experimental-features", "nix-command", "path-info", "--all", "--json"]);
        let ran = child::run_large(&mut command, LIST_TIME_MAX)
            .map_err(|error| LocalError::Nix(error.to_string()))?;
        if !ran.status.success() {
            return Err(LocalError::Nix(ran.last_words()));
        }
        let listed = path_infos(&ran.stdout, store_dir).map_err(LocalError::Nix)?;
        let mut graph = Graph::new(store_dir);
        for path in listed.keys() {
            graph.add_path(path);
        }
        for package in packages.iter().filter(|package| listed.contains_key(&package.path)) {
            graph.add_package(package);
        }
        let valid = graph.len();
        for (path, (size, references)) in &listed {
            let id = graph.id(path);
            graph.refer(id, *size, references);
        }
        let valid = (0..graph.len()).map(|id| id < valid).collect();
        Ok(Self { graph, valid })
    }

    /// How large closures are.
    #[must_use]
    pub fn closures(&self) -> Closures<'_> {
        Closures::of(&self.graph)
    }

    /// How many paths are valid.
    #[must_use]
    pub fn len(&self) -> usize {
        self.valid.iter().filter(|valid| **valid).count()
    }

    /// Whether the store is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads every path; gives those that could not be read whole.
    pub fn each<E: From<LocalError>>(
        &self,
        interrupt: &Interrupt,
        mut write: impl FnMut(&Package, &[Entry]) -> Result<(), E>,
    ) -> Result<Vec<Gap>, E> {
        let mut gaps = Vec::new();
        for (id, root) in self.graph.reached_named_first() {
            if !self.valid[id as usize] {
                continue;
            }
            if interrupt.is_requested() {
                return Err(LocalError::Interrupted.into());
            }
            let package = self.graph.package(id, root);
            let (entries, unread) = list(Path::new(&package.path.to_string()));
            if !entries.is_empty() {
                write(&package, &entries)?;
            }
            if let Some((path, error)) = unread.into_iter().next() {
                let words = format!("{}: {error}", path.display());
                gaps.push(Gap { package, reason: Unlisted::Failed(words) });
            }
        }
        Ok(gaps)
    }
}

/// The length of a path's archive, in bytes, and what it refers to.
type Info = (u64, Vec<StorePath>);

/// What `nix path-info --json` says: a list until Nix 2.18, later an object by path.
fn path_infos(json: &[u8], store_dir: &str) -> Result<BTreeMap<StorePath, Info>, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let pairs: Vec<(&str, &Value)> = match &value {
        Value::Array(list) => list.iter().filter_map(|info| Some((info["path"].as_str()?, info))).collect(),
        Value::Object(object) => object.iter().map(|(path, info)| (path.as_str(), info)).collect(),
        _ => return Err("its answer is neither a list nor an object".to_owned()),
    };
    // From Nix 2.32, paths are said without the store's folder.
    let parse = |path: &str| {
        let whole = if path.starts_with('/') { path.to_owned() } else { format!("{store_dir}/{path}") };
        StorePath::parse(&whole, store_dir)
    };
    let wanted = pairs.into_iter().filter(|(path, info)| {
        let extension = Path::new(path).extension();
        extension.is_none_or(|end| end != "drv") && info["valid"] != Value::Bool(false)
    });
    let mut listed = BTreeMap::new();
    for (path, info) in wanted {
        let path = parse(path).ok_or_else(|| format!("`{path}` is no path of {store_dir}"))?;
        let references = info["references"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let size = info["narSize"].as_u64().unwrap_or(0);
        listed.insert(path, (size, references.filter_map(parse).collect()));
    }
    Ok(listed)
}

/// The files of a store path, in the order of their paths, and what could not be read.
fn list(root: &Path) -> (Vec<Entry>, Vec<(PathBuf, io::Error)>) {
    let mut entries = Vec::new();
    let mut unread = Vec::new();
    let mut open: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut absolute = OsString::from(root);
        absolute.push(OsStr::from_bytes(&path));
        let absolute = PathBuf::from(absolute);
        match node(&absolute, &path, &mut open) {
            Ok(Some(node)) => entries.push(Entry { path: path.into(), node }),
            Ok(None) => {}
            Err(error) => unread.push((absolute, error)),
        }
    }
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    (entries, unread)
}

/// What stands at a path; what a folder has is put on `open`.
fn node(absolute: &Path, path: &[u8], open: &mut Vec<Vec<u8>>) -> io::Result<Option<Node>> {
    let facts = absolute.symlink_metadata()?;
    let kind: FileType = facts.file_type();
    if kind.is_symlink() {
        let target = absolute.read_link()?.into_os_string();
        return Ok(Some(Node::Symlink { target: target.as_bytes().into() }));
    }
    if kind.is_file() {
        let executable = facts.permissions().mode() & 0o111 != 0;
        return Ok(Some(Node::Regular { size: facts.len(), executable }));
    }
    if !kind.is_dir() {
        return Ok(None);
    }
    let mut size = 0;
    for entry in absolute.read_dir()? {
        let name = entry?.file_name();
        open.push([path, b"/", name.as_bytes()].concat());
        size += 1;
    }
    Ok(Some(Node::Directory { size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a";
    const B: &str = "/nix/store/1123456789abcdfghijklmnpqrsvwxyz-b";

    #[test]
    fn nix_answers_in_three_ways() {
        let list = format!(
            r#"[{{"path":"{A}","valid":true,"narSize":9,"references":["{B}"]}},{{"path":"{B}.drv"}},{{"path":"{B}","valid":false}}]"#
        );
        let object = format!(r#"{{"{A}":{{"narSize":9,"references":["{B}"]}},"{B}.drv":{{}}}}"#);
        let short = object.replace("/nix/store/", "");
        for json in [list, object, short] {
            let found = path_infos(json.as_bytes(), "/nix/store").unwrap();
            let said: Vec<String> =
                found.iter().map(|(path, (size, refs))| format!("{path} {size} {}", refs[0])).collect();
            assert_eq!(said, [format!("{A} 9 {B}")], "{json}");
        }
        assert!(path_infos(b"3", "/nix/store").is_err());
    }
}
