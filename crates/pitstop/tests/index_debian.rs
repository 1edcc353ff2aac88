//! `pitstop index build --debian URL`: Debian's lists of files from a mirror, served over HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod caches;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use caches::said;
use caches::server::{Asked, Reply, Server};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The files of a mirror, by path.
type Tree = BTreeMap<String, Vec<u8>>;
type Files = Arc<Mutex<Tree>>;

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu/libz.so.1\tlibs/zlib1g\n\
    usr/lib/x86_64-linux-gnu/libz.so.1.2.13 libs/zlib1g\n\
    usr/lib/x86_64-linux-gnu/libnowhere.so.7 contrib/libs/libnowhere7,libs/libnowhere7-compat\n\
    usr/share/doc/zlib1g/copyright\tlibs/zlib1g\n";
const FOR_ALL: &str = "usr/lib/fake/libonce.so.2\tmisc/once-data\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut child =
        Command::new("gzip").args(["-9n"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A mirror as Debian's are: it names the plain lists, too, and has only the packed ones, by path and by digest.
fn mirror(lists: &[(&str, &str)], by_hash: bool) -> Tree {
    let mut files = BTreeMap::new();
    let mut release = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: stable\nCodename: bookworm\n{}\
         Components: main contrib\nSHA256:\n",
        if by_hash { "Acquire-By-Hash: yes\n" } else { "" }
    );
    for (path, text) in lists {
        let packed = gzip(text);
        release += &format!(" {} {:>8} {path}\n", hex(text.as_bytes()), text.len());
        release += &format!(" {} {:>8} {path}.gz\n", hex(&packed), packed.len());
        let (folder, _) = path.rsplit_once('/').unwrap();
        if by_hash {
            let digest = hex(&packed);
            files.insert(format!("/debian/dists/bookworm/{folder}/by-hash/SHA256/{digest}"), packed.clone());
        }
        files.insert(format!("/debian/dists/bookworm/{path}.gz"), packed);
    }
    release += "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
    files.insert("/debian/dists/bookworm/InRelease".to_owned(), release.into_bytes());
    files
}

fn whole() -> Tree {
    mirror(
        &[
            ("main/Contents-amd64", LIBRARIES),
            ("main/Contents-all", FOR_ALL),
            ("contrib/Contents-amd64", "usr/lib/libextra.so.1 contrib/libs/libextra1\n"),
        ],
        true,
    )
}

fn serve(files: &Files) -> Server {
    let files = Arc::clone(files);
    Server::start(move |asked: &Asked| match files.lock().unwrap().get(&asked.path) {
        Some(body) => Reply::Body(body.clone(), vec![]),
        None => Reply::Status(404, vec![]),
    })
}

fn pitstop(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NIX_INDEX_DATABASE"] {
        command.env_remove(name);
    }
    command.args(words).env("XDG_CACHE_HOME", home).output().unwrap()
}

fn build(home: &Path, server: &Server, more: &[&str]) -> Output {
    let url = format!("{}/debian/", server.url);
    let words =
        ["index", "build", "--json", "--debian", &url, "--suite", "bookworm", "--architecture", "amd64"];
    pitstop(home, &[&words, more].concat())
}

/// Names of Debian's packages that an index has for a soname.
fn packages(home: &Path, soname: &str) -> Vec<String> {
    let output = pitstop(home, &["locate", "--json", soname]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let candidates = document["sonames"][0]["candidates"].as_array().unwrap();
    let of_index = candidates.iter().filter(|candidate| candidate["source"] == "debian");
    of_index.map(|candidate| candidate["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_lists_of_a_mirror_become_an_index_and_are_fetched_once() {
    let files: Files = Arc::new(Mutex::new(whole()));
    let server = serve(&files);
    let home = tempfile::tempdir().unwrap();
    let output = build(home.path(), &server, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["libraries"], &document["packages"]), (&5.into(), &4.into()));
    assert_eq!(packages(home.path(), "libnowhere.so.7"), ["libnowhere7", "libnowhere7-compat"]);
    assert_eq!(packages(home.path(), "libonce.so.2"), ["once-data"]);
    assert!(packages(home.path(), "libextra.so.1").is_empty(), "contrib was not asked for");
    let asked = server.asked();
    assert!(asked.keys().all(|path| path.ends_with("InRelease") || path.contains("/by-hash/")), "{asked:?}");
    assert_eq!(asked.values().sum::<usize>(), 3, "{asked:?}");

    // What is there and still what the mirror names is not fetched again.
    server.forget();
    let output = build(home.path(), &server, &["--component", "main", "--component", "contrib"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(packages(home.path(), "libextra.so.1"), ["libextra1"]);
    let asked = server.asked();
    assert_eq!(asked.values().sum::<usize>(), 2, "{asked:?}");
}

#[test]
fn a_mirror_that_changes_is_read_anew_and_one_without_digests_in_paths_by_name() {
    let files: Files = Arc::new(Mutex::new(mirror(&[("main/Contents-amd64", LIBRARIES)], false)));
    let server = serve(&files);
    let home = tempfile::tempdir().unwrap();
    assert!(build(home.path(), &server, &[]).status.success());
    assert!(server.asked().contains_key("/debian/dists/bookworm/main/Contents-amd64.gz"));
    let changed = "usr/lib/x86_64-linux-gnu/libnew.so.1 libs/libnew1\n";
    *files.lock().unwrap() = mirror(&[("main/Contents-amd64", changed)], false);
    let output = build(home.path(), &server, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(packages(home.path(), "libnew.so.1"), ["libnew1"]);
    assert!(packages(home.path(), "libnowhere.so.7").is_empty());
}

#[test]
fn what_a_mirror_gives_wrongly_leaves_the_old_index_and_is_told() {
    let files: Files = Arc::new(Mutex::new(whole()));
    let server = serve(&files);
    let home = tempfile::tempdir().unwrap();
    assert!(build(home.path(), &server, &[]).status.success());
    let refused = |change: &dyn Fn(&mut Tree), more: &[&str], status, words: &str| {
        let fresh = tempfile::tempdir().unwrap();
        let mut broken = whole();
        change(&mut broken);
        *files.lock().unwrap() = broken;
        for folder in [home.path(), fresh.path()] {
            // Lists that are at hand already would hide what is wrong now.
            let _ = std::fs::remove_dir_all(folder.join("pitstop/index/debian"));
            let output = build(folder, &server, more);
            assert_eq!(output.status.code(), Some(status), "{words}: {}", said(&output));
            assert!(said(&output).contains(words), "{}", said(&output));
        }
        assert_eq!(packages(home.path(), "libonce.so.2"), ["once-data"]);
        assert!(packages(fresh.path(), "libonce.so.2").is_empty());
    };
    let release = "/debian/dists/bookworm/InRelease";
    refused(&|files| drop(files.remove(release)), &[], 4, "has neither InRelease nor Release");
    refused(&|files| drop(files.insert(release.into(), b"<html>".to_vec())), &[], 3, "line 1 is no");
    refused(&|_| (), &["--component", "non-free"], 4, "names no Contents-amd64 of non-free");
    refused(&|_| (), &["--suite", "sid"], 2, "cannot be used multiple times");
    let lists = |files: &mut Tree, change: &dyn Fn(&mut Vec<u8>)| {
        files.iter_mut().filter(|(path, _)| path.contains("Contents") || path.contains("by-hash")).for_each(
            |(_, body)| {
                change(body);
            },
        );
    };
    refused(&|files| lists(files, &|body| *body.last_mut().unwrap() ^= 1), &[], 5, "has the digest");
    refused(&|files| lists(files, &|body| body.truncate(body.len() - 1)), &[], 5, "bytes, and");
    refused(&|files| files.retain(|path, _| path.ends_with("InRelease")), &[], 4, "and does not have it");
    let output = pitstop(home.path(), &["index", "build", "--debian", "ftp://mirror/debian"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
