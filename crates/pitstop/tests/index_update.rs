//! `pitstop index update`, `import` and `info`: a new index is whole and right before it takes the old one's place.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod caches;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caches::server::{Reply, Server};
use caches::{content, said};
use pitstop_core::index::{Entry, Node, Origin, Package, StorePath};
use pitstop_host::index::database::Writer;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A cache folder of one test.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn index(&self) -> PathBuf {
        self.0.path().join("pitstop/index/files")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NIX_INDEX_DATABASE"] {
            command.env_remove(name);
        }
        command.env("XDG_CACHE_HOME", self.0.path()).arg("index").args(arguments).output().unwrap()
    }
}

/// An index of so many packages, as a file's bytes.
fn database(packages: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let mut writer = Writer::create(&path, 3, 0).unwrap();
    for number in 0..packages {
        let name = format!("p-{number}");
        let origin = Origin { attribute: name.clone(), output: "out".into(), toplevel: true, system: None };
        let path = StorePath { store_dir: "/nix/store".into(), hash: format!("{number:032}"), name };
        // Of its digest, so that nothing shrinks much.
        let file = format!("/{:x?}", Sha256::digest(number.to_le_bytes()));
        let entry = Entry { path: file.into(), node: Node::Regular { size: 1, executable: false } };
        writer.add(&Package { path, origin }, [&entry]).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that gives a fifth of what is left each time, and knows ranges.
fn cutting(body: Vec<u8>, sent: Arc<AtomicUsize>) -> Server {
    Server::start(move |asked| {
        let range = asked
            .head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let from = range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok()).unwrap_or(0);
        let rest = &body[from..];
        let tag = ("ETag", "\"one\"".to_owned());
        let part = if rest.len() < 2000 { rest.len() } else { rest.len() / 5 };
        sent.fetch_add(part, Ordering::Relaxed);
        if from == 0 {
            return Reply::Cut(200, rest[..part].to_vec(), rest.len(), vec![tag]);
        }
        let range = ("Content-Range", format!("bytes {from}-{}/{}", body.len() - 1, body.len()));
        Reply::Cut(206, rest[..part].to_vec(), rest.len(), vec![tag, range])
    })
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let body = database(2000);
    let sent = Arc::new(AtomicUsize::new(0));
    let server = cutting(body.clone(), Arc::clone(&sent));
    let home = Home::new();
    let (digest, size) = (hex(&body), body.len().to_string());
    let output = home.run(&["update", "--url", &server.url, "--sha256", &digest, "--size", &size, "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(home.index()).unwrap(), body);
    assert_eq!(sent.load(Ordering::Relaxed), body.len(), "some of it was sent twice");
    assert!(server.asked().values().sum::<usize>() > 3, "it was not cut");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["about"]["packages"], 2000);
    let left: Vec<_> = std::fs::read_dir(home.index().parent().unwrap())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let output = home.run(&["info", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["indexes"][0]["about"]["source"][0], server.url);
    assert_eq!(document["indexes"][0]["about"]["entries"], 2000);
}

#[test]
fn what_is_not_the_index_that_was_meant_leaves_the_old_one() {
    let (old, new) = (database(3), database(50));
    let home = Home::new();
    let given = home.0.path().join("given");
    std::fs::write(&given, &old).unwrap();
    let output = home.run(&["import", given.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let refused = |body: Vec<u8>, more: &[&str], status: i32, words: &str| {
        let server = Server::start(move |_| Reply::Body(body.clone(), vec![]));
        let output = home.run(&[&["update", "--url", &server.url], more].concat());
        assert_eq!(output.status.code(), Some(status), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(std::fs::read(home.index()).unwrap(), old);
        assert_eq!(content(&home.index()).len(), 3);
    };
    let wrong = "0".repeat(64);
    refused(new.clone(), &["--sha256", &wrong], 5, &format!("has the digest {}", hex(&new)));
    refused(new.clone(), &["--size", &(new.len() + 1).to_string()], 5, "bytes, and");
    refused(new.clone(), &["--size", "12"], 4, "it is larger than");
    refused(new[..new.len() - 9].to_vec(), &[], 3, "no index that can be read");
    refused(b"<html>".to_vec(), &[], 3, "no index that can be read");
    refused(new, &["--sha256", "abc"], 2, "is no SHA-256");

    std::fs::write(&given, "no index").unwrap();
    assert_eq!(home.run(&["import", given.to_str().unwrap()]).status.code(), Some(3));
    assert_eq!(content(&home.index()).len(), 3);
    assert!(Path::new(&home.index()).exists());
}
