//! `pitstop locate`, through the built command.
//!
//! `locate/nix-locate.txt` holds what the real nix-locate (0.1.12) printed for each question on the database that is
//! written here. Where `NIX_LOCATE` names that program, it is asked anew and the file written again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use pitstop_core::index::{Entry, Node, Origin, Package, StorePath};
use pitstop_host::index::database::Writer;

/// Questions, as words of a command line.
const QUESTIONS: &[&[&str]] = &[
    &["libz.so.1"],
    &["libz.so"],
    &["--all", "libz.so.1"],
    &["--all", "--minimal", "libz.so.1"],
    &["--minimal", "lib"],
    &["-w", "libz.so.1"],
    &["-w", "--at-root", "/lib/libz.so.1"],
    &["--at-root", "/bin/zsh"],
    &["-t", "s", "lib"],
    &["-t", "x", "-t", "s", "bin/"],
    &["-t", "d", "lib"],
    &["-t", "r", "größe"],
    &["--no-group", "share/zoneinfo"],
    &["share/zoneinfo"],
    &["-r", "lib[a-z]+\\.so(\\.[0-9]+)+$"],
    &["-r", "^/bin/[a-z]{3}$"],
    &["-r", "--no-group", "(^|/)share"],
    &["-r", "--all", "ZSH|(?i)ZoneInfo"],
    &["-r", "-w", "a|zsh"],
    &["-r", "--at-root", "/lib|include"],
    &["-r", "[^a-z]$"],
    &["-r", "\\bzip\\b"],
    &["-r", "x*", "-p", "zlib"],
    &["-p", "zlib", ".h"],
    &["-r", "-p", "^zsh-[0-9]", "zsh"],
    &["--hash", "00000000000000000000000000000003", "/"],
    &["--hash", "00000000000000000000000000000007", "file-77"],
    &["file-100"],
    &["--no-group", "file-9999"],
    &["-r", "file-[0-9]*00"],
    &["-r", "^$"],
    &["--minimal", "hq"],
    &["nothing has this"],
    &["attr"],
    &["--all", "--no-group", "caf"],
];

fn regular(path: impl Into<Vec<u8>>, size: u64) -> Entry {
    Entry { path: path.into().into(), node: Node::Regular { size, executable: false } }
}

fn program(path: &str, size: u64) -> Entry {
    Entry { path: path.into(), node: Node::Regular { size, executable: true } }
}

fn folder(path: &str, size: u64) -> Entry {
    Entry { path: path.into(), node: Node::Directory { size } }
}

fn link(path: &str, target: &str) -> Entry {
    Entry { path: path.into(), node: Node::Symlink { target: target.into() } }
}

/// Packages of all kinds, among them one of many files, so that nix-locate's buffers end within it.
fn packages() -> Vec<(Package, Vec<Entry>)> {
    let zlib = vec![
        folder("", 1),
        folder("/lib", 3),
        link("/lib/libz.so.1", "libz.so.1.3.1"),
        program("/lib/libz.so.1.3.1", 104_984),
        link("/lib/libz.so", "libz.so.1.3.1"),
    ];
    let dev = vec![
        folder("", 1),
        folder("/include", 2),
        regular("/include/zlib.h", 96_829),
        regular("/include/zconf.h", 0),
    ];
    let zsh = vec![
        folder("", 3),
        folder("/share", 1),
        folder("/share/zsh", 2),
        regular("/share/zsh/größe", 1_234_567),
        regular(b"/share/zsh/caf\xe9".to_vec(), 7),
        folder("/bin", 2),
        program("/bin/zsh-5.9", 999),
        program("/bin/zsh", 1000),
        folder("/lib", 1),
        folder("/lib/zsh", 0),
    ];
    let zone = vec![
        folder("", 1),
        folder("/share", 1),
        folder("/share/zoneinfo", 2),
        folder("/share/zoneinfo/Europe", 1),
        regular("/share/zoneinfo/Europe/Berlin", 2298),
        regular("/share/zoneinfo/zip.tab", 1),
    ];
    let mut many = vec![folder("", 1), folder("/share", 1), folder("/share/many", 70_000)];
    let name = |at: usize| format!("/share/many/{}/file-{at}", "deep/".repeat(at % 9));
    many.extend((0..70_000).map(|at| regular(name(at), at as u64)));
    // Longer than nix-locate's buffer, which grows for it.
    many[40_000] = regular(format!("/share/{}/file-77", "long/".repeat(240_000)), 77);
    let steam =
        vec![folder("", 1), folder("/usr", 1), link("/usr/lib", "lib64"), program("/usr/lib64/libz.so.1", 5)];
    [
        ("zlib-1.3.1", "zlib", "out", true, zlib),
        ("zlib-1.3.1-dev", "zlib", "dev", true, dev),
        ("zsh-5.9", "zsh", "out", true, zsh),
        ("tzdata-2025b", "tzdata", "out", true, zone.clone()),
        ("steam-fhs", "steam-run", "out", false, steam),
        ("many-1", "many", "out", true, many.clone()),
        ("more-1", "more", "out", true, many),
        ("tzdata-2024a", "a-very-long-attribute.of-python3Packages.tzdata", "out", false, zone),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (name, attribute, output, toplevel, entries))| {
        let path =
            StorePath { store_dir: "/nix/store".into(), hash: format!("{number:032}"), name: name.into() };
        let (attribute, output) = (attribute.to_owned(), output.to_owned());
        (Package { path, origin: Origin { attribute, output, toplevel, system: None } }, entries)
    })
    .collect()
}

/// Packages of one file with a name, or of one link with a target, of thousands of bytes: nix-locate's buffers end between
/// them, and the pieces in which it reads end within them.
fn long_ones() -> impl Iterator<Item = (Package, Vec<Entry>)> {
    let (template, _) = packages().swap_remove(0);
    (0..4000_usize).map(move |number| {
        let mut package = template.clone();
        package.origin.attribute = format!("long{number}");
        let long = "abcdefgh".repeat(500 + number * 7919 % 600);
        let entry = match number % 4 {
            0 => regular(format!("/{long}q{number}"), 1),
            _ => link(&format!("/hq{number}"), &long),
        };
        (package, vec![entry])
    })
}

/// A folder with the database in it.
fn database() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&folder.path().join("files"), 3, 0).unwrap();
    for (package, entries) in packages().into_iter().chain(long_ones()) {
        writer.add(&package, &entries).unwrap();
    }
    writer.finish().unwrap();
    folder
}

fn pitstop(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    command.arg("locate").args(words).env("NIX_INDEX_DATABASE", folder).stdin(Stdio::null());
    command.output().unwrap()
}

/// Lines that are shown of a long answer at its beginning, and as many at its end.
const SHOWN: usize = 6;

/// An answer, so that the golden text can be read: long names are told by their length, and the middle of long answers by
/// their number and a sum (FNV-1a) of all bytes.
fn shortened(output: &[u8]) -> String {
    let sum = output
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let text = String::from_utf8_lossy(output);
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| match line.len() {
            0..=400 => format!("{line}\n"),
            length => format!("{}… {length} bytes\n", &line[..120]),
        })
        .collect();
    if lines.len() > 4 * SHOWN {
        let middle = format!("… {} lines, {sum:016x}\n", lines.len());
        lines.splice(SHOWN..lines.len() - SHOWN, [middle]);
    }
    lines.concat()
}

fn golden(mut ask: impl FnMut(&[&str]) -> Vec<u8>) -> String {
    let mut text = String::new();
    for question in QUESTIONS {
        let _ = write!(text, "$ {}\n{}", question.join(" "), shortened(&ask(question)));
    }
    text
}

#[test]
fn answers_are_those_of_nix_locate_line_for_line() {
    let folder = database();
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/locate/nix-locate.txt");
    if let Some(peer) = env::var_os("NIX_LOCATE") {
        let text = golden(|words| {
            let mut peer = Command::new(&peer);
            peer.args(words).arg("--db").arg(folder.path()).output().unwrap().stdout
        });
        fs::write(&page, text).unwrap();
    }
    let expected = fs::read_to_string(page).unwrap();
    // A name of a library alone is a question of another kind.
    let named = ["--db", folder.path().to_str().unwrap()];
    let found = golden(|words| pitstop(folder.path(), &[words, &named].concat()).stdout);
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn several_patterns_give_what_each_gives() {
    let folder = database();
    let output = pitstop(folder.path(), &["--at-root", "/bin/zsh", "/include/z"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let paths: Vec<&str> = text
        .lines()
        .filter_map(|line| line.rsplit_once("9-dev/").or(line.rsplit_once("5.9/")))
        .map(|(_, path)| path)
        .collect();
    assert!(paths.contains(&"bin/zsh"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn nothing_found_and_no_database_end_with_their_own_status() {
    let folder = database();
    let output = pitstop(folder.path(), &["nothing has this"]);
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(1), 0, 0));
    let output = pitstop(&folder.path().join("absent"), &["bin/zsh"]);
    assert_eq!(output.status.code(), Some(2));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    command.args(["locate", "bin/zsh"]).env_remove("NIX_INDEX_DATABASE").env("PATH", "");
    let empty = tempfile::tempdir().unwrap();
    let output = command.env("HOME", empty.path()).env("XDG_CACHE_HOME", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("pitstop index update") && words.contains("--db"), "{words}");
}

#[test]
fn a_database_is_found_in_the_cache_folder_and_through_a_wrapper_of_nix_locate() {
    let folder = database();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".cache/nix-index")).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        command.args(["locate", "bin/zsh"]).env_remove("NIX_INDEX_DATABASE").env_remove("XDG_CACHE_HOME");
        command.env("HOME", home.path()).env("PATH", home.path().join("bin"));
        command.output().unwrap().status.code()
    };
    assert_eq!(ask(), Some(4));
    let wrapper = format!("#!/bin/sh\nexport NIX_INDEX_DATABASE='{}'\n", folder.path().display());
    fs::write(home.path().join("bin/nix-locate"), wrapper).unwrap();
    assert_eq!(ask(), Some(0));
    fs::remove_file(home.path().join("bin/nix-locate")).unwrap();
    fs::rename(folder.path().join("files"), home.path().join(".cache/nix-index/files")).unwrap();
    assert_eq!(ask(), Some(0));
}

#[test]
fn a_damaged_database_gives_what_stands_before_the_damage_and_says_so() {
    let folder = database();
    let path = folder.path().join("files");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - whole.len() / 8]).unwrap();
    let output = pitstop(folder.path(), &["lib/libz.so.1.3"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("/lib/libz.so.1.3.1"));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("partial") && words.contains("at byte"), "{words}");
    let document: serde_json::Value =
        serde_json::from_slice(&pitstop(folder.path(), &["--json", "lib/libz.so.1.3"]).stdout).unwrap();
    assert_eq!(document["complete"], false);
    fs::write(&path, b"NIXI\x02\0\0\0\0\0\0\0").unwrap();
    let output = pitstop(folder.path(), &["bin/zsh"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("version 2"));
}

/// Bytes through a program.
fn through(program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let output = Command::new(program[0]).args(&program[1..]).stdin(file).output().unwrap();
    assert!(output.status.success(), "{program:?}");
    output.stdout
}

#[test]
fn lines_that_no_index_has_and_a_broken_frame_are_told_with_their_place() {
    const HEADER: usize = 12;
    let folder = database();
    let path = folder.path().join("files");
    let whole = fs::read(&path).unwrap();
    let lines = through(&["zstd", "-dcq"], &whole[HEADER..]);
    let long = [&b"1r\0\0/"[..], &vec![b'a'; 10 << 20], b"\n"].concat();
    let odd: [(&str, &[u8]); 2] =
        [("no package", b"1r\0\0/lib/libz.so.1.3.9\np\0\0{\"attr\":1}\n"), ("longer than", &long)];
    let mut broken: Vec<(&str, Vec<u8>)> = Vec::new();
    for (words, line) in odd {
        let packed = through(&["zstd", "-qc"], &[&lines, line].concat());
        broken.push((words, [&whole[..HEADER], &packed].concat()));
    }
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
    broken.push(("zstd", flipped));
    for (what, bytes) in broken {
        fs::write(&path, bytes).unwrap();
        let output = pitstop(folder.path(), &["lib/libz.so.1.3"]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{what}: {words}");
        let has_place = words.contains("at byte") || words.contains("bytes into what was unpacked");
        assert!(has_place && words.contains(path.to_str().unwrap()), "{what}: {words}");
        assert!(words.contains("partial") && !words.contains("panicked"), "{what}: {words}");
        if what != "zstd" {
            assert!(String::from_utf8_lossy(&output.stdout).contains("/lib/libz.so.1.3.1"), "{what}");
        }
    }
}

#[test]
fn the_document_names_package_and_file() {
    let folder = database();
    let output = pitstop(folder.path(), &["--json", "-t", "s", "/lib/libz.so.1"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema"], &document["complete"]), (&1.into(), &true.into()));
    let entries = document["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["attribute"], "zlib");
    assert_eq!(entries[0]["store_path"], "/nix/store/00000000000000000000000000000000-zlib-1.3.1");
    assert_eq!(entries[0]["target"], "libz.so.1.3.1");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let folder = database();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "\"$0\" locate --no-group / | head -n 1"]).arg(env!("CARGO_BIN_EXE_pitstop"));
    let output = command.env("NIX_INDEX_DATABASE", folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((text.lines().count(), output.stderr.len()), (1, 0));
}

#[test]
fn the_name_of_a_library_is_answered_from_the_table() {
    let empty = tempfile::tempdir().unwrap();
    let output = pitstop(empty.path(), &["libz.so.1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("zlib") && text.contains("zlib1g"), "{text}");
    assert_eq!(pitstop(empty.path(), &["libnobody-knows.so.9"]).status.code(), Some(1));
}

/// The names of the system calls that a command makes, its threads' and children's among them.
fn calls(home: &Path, folder: &Path, words: &[&str]) -> Vec<String> {
    let trace = home.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_pitstop")).args(words);
    command.env("XDG_CACHE_HOME", home).env("NIX_INDEX_DATABASE", folder).env_remove("LD_LIBRARY_PATH");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(trace).unwrap();
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    text.lines().filter_map(name).collect()
}

/// How fast a lookup is follows from this: a millisecond is some hundred calls.
#[test]
fn a_lookup_starts_nothing_and_asks_the_system_little() {
    let (folder, home) = (database(), tempfile::tempdir().unwrap());
    let ask = |words: &[&str]| calls(home.path(), folder.path(), words);
    let built = ask(&["locate", "libz.so.1"]);
    assert!(built.iter().any(|call| call.starts_with("clone")), "the index was not built: {built:?}");
    let (start, one) = (ask(&["--version"]), ask(&["locate", "libz.so.1"]));
    let many = ask(&["locate", "libz.so.1", "libpng16.so.16", "libssl.so.3", "libX11.so.6", "libGL.so.1"]);
    for calls in [&start, &one, &many] {
        let starts = calls.iter().filter(|call| call.starts_with("clone") || call.contains("fork")).count();
        assert_eq!(starts, 0, "a thread or a process was started: {calls:?}");
    }
    assert!(start.len() <= 80, "{}: {start:?}", start.len());
    assert!(one.len() <= start.len() + 30, "{} after {}: {one:?}", one.len(), start.len());
    assert!(many.len() <= one.len() + 4 * 5, "{} after {}: {many:?}", many.len(), one.len());
}
