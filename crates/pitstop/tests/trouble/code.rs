//! Python code of every kind: what loads a library by name is found in it, and nothing in it stops a check.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::venv::{Ran, Venv};

/// Writes a file that a package lists, for each name and content.
fn package(venv: &Venv, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        venv.write(&format!("coded/{name}"), bytes);
    }
    let names: Vec<String> = files.iter().map(|(name, _)| format!("coded/{name}")).collect();
    venv.own("coded-1.0", &names.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The sonames that a check says are asked for by name, and who asks.
fn asked(venv: &Venv) -> Vec<(String, String)> {
    let ran = venv.pitstop("check --json");
    ran.ends(0, &[]);
    let json = ran.json();
    let missing = json["optional"].as_array().unwrap().clone();
    let of = |row: &serde_json::Value| {
        let file = row["needed_by"][0]["asks"][0]["file"].as_str().unwrap_or_default().to_owned();
        (row["soname"].as_str().unwrap().to_owned(), file)
    };
    missing.iter().map(of).collect()
}

fn calls(name: &str) -> String {
    format!("import ctypes\nctypes.CDLL('{name}')\n")
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [0xff, 0xfe].into_iter().chain(units).collect()
}

#[test]
fn names_are_found_in_every_encoding_that_python_reads_and_in_no_other() {
    let venv = Venv::bare("v");
    let latin = |name: &str| {
        [b"# -*- coding: latin-1 -*-\ns = '\xe9\xff'\n".as_slice(), calls(name).as_bytes()].concat()
    };
    package(
        &venv,
        &[
            ("latin.py", latin("libpslatin.so.1")),
            ("bom.py", format!("\u{feff}{}", calls("libpsbom.so.1")).into_bytes()),
            ("dos.py", calls("libpsdos.so.1").replace('\n', "\r\n").into_bytes()),
            ("mac.py", calls("libpsmac.so.1").replace('\n', "\r").into_bytes()),
            // Python refuses these two, so nobody imports them.
            ("wide.py", utf16(&calls("libpswide.so.1"))),
            ("nul.py", calls("libpsnul.so.1").replace('\n', "\0\n").into_bytes()),
        ],
    );
    let found = |name: &str| (format!("libps{name}.so.1"), format!("coded/{name}.py"));
    assert_eq!(asked(&venv), ["bom", "dos", "latin", "mac"].map(found));
    for (module, imports) in [("latin", true), ("bom", true), ("mac", true), ("wide", false), ("nul", false)]
    {
        let compile = format!(
            "compile(open('{}', 'rb').read(), 'x', 'exec')",
            venv.site.join(format!("coded/{module}.py")).display()
        );
        let ran = Command::new(venv.python()).args(["-c", &compile]).output().unwrap();
        assert_eq!(ran.status.success(), imports, "Python thinks otherwise of {module}.py");
    }
}

#[test]
fn code_that_no_python_takes_stops_no_check_and_hides_nothing() {
    let venv = Venv::bare("v");
    let big = [calls("libpsbig.so.1").into_bytes(), vec![b'#'; 50 << 20]].concat();
    package(
        &venv,
        &[
            ("old.py", b"print 'CDLL'\nexec 'x' in y\n".to_vec()),
            ("template.py", b"{% if x %}CDLL({{ name }}){% endif %}".to_vec()),
            (
                "conflict.py",
                format!("<<<<<<< HEAD\n{}=======\n>>>>>>> x\n", calls("libpsc.so.1")).into_bytes(),
            ),
            ("deep.py", format!("CDLL({}", "(".repeat(200_000)).into_bytes()),
            ("unary.py", format!("CDLL({}1)", "-".repeat(500_000)).into_bytes()),
            ("chain.py", format!("CDLL(x{})", ".x".repeat(300_000)).into_bytes()),
            ("strings.py", format!("CDLL({})", "'a' + ".repeat(100_000) + "'b'").into_bytes()),
            (
                "noise.py",
                (0..1 << 16)
                    .flat_map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes())
                    .chain(*b"CDLL")
                    .collect(),
            ),
            ("big.py", big),
            ("good.py", calls("libpsgood.so.1").into_bytes()),
        ],
    );
    let found = [("libpsgood.so.1".to_owned(), "coded/good.py".to_owned())];
    assert_eq!(asked(&venv), found);
    // Once more, from what was kept; and within memory that no file of 50 MB, nor its syntax tree, fits into.
    assert_eq!(asked(&venv), found);
    let words = ["check", "--json", venv.root.to_str().unwrap()];
    let mut limited = venv.around(&["prlimit", "--as=600000000"], words);
    let ran = Ran::of(limited.env("XDG_CACHE_HOME", venv.beside("fresh")).output().unwrap());
    ran.ends(0, &["libpsgood.so.1"]);
}

#[test]
fn what_is_listed_as_code_and_is_none_harms_nothing() {
    let venv = Venv::bare("v");
    package(&venv, &[("good.py", calls("libpsgood.so.1").into_bytes())]);
    let names = ["pipe.py", "endless.py", "folder.py", "gone.py", "loop.py", "locked.py", "good.py"];
    let made = Command::new("mkfifo").arg(venv.site.join("coded/pipe.py")).status().unwrap();
    assert!(made.success());
    symlink("/dev/zero", venv.site.join("coded/endless.py")).unwrap();
    symlink("loop.py", venv.site.join("coded/loop.py")).unwrap();
    fs::create_dir(venv.site.join("coded/folder.py")).unwrap();
    venv.own(
        "coded-1.0",
        &names.map(|name| format!("coded/{name}")).iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(asked(&venv), [("libpsgood.so.1".to_owned(), "coded/good.py".to_owned())]);
}
