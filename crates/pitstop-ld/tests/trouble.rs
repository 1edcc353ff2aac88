//! What cannot be a loader has its message, and the program's name is always in it.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::{LOADER, Lab, as_user, bare, fail, plain, shim, succeed};

/// Starts a program with this loader, and gives the one line that says what is wrong with it.
#[track_caller]
fn complaint(lab: &Lab, loader: &Path) -> String {
    let hello = lab.program("hello", &[]);
    let (status, said) = fail(bare(&hello).env("NIX_LD", loader));
    assert_eq!(status, Some(127), "{said}");
    judge(&said, &hello, loader)
}

#[track_caller]
fn judge(said: &str, program: &Path, loader: &Path) -> String {
    let start = format!("pitstop-ld: cannot start {}: the loader {}: ", program.display(), loader.display());
    let (first, second) = said.split_once('\n').unwrap();
    let why = first.strip_prefix(&start).unwrap_or_else(|| panic!("{start}\n{said}"));
    let mend = "pitstop-ld: NIX_LD names this loader: set it to that of a glibc (…/lib/ld-linux-x86-64.so.2), or unset it\n";
    assert_eq!(second, mend);
    assert!(!said.contains("panic") && !said.contains(".rs:"), "{said}");
    why.to_owned()
}

#[test]
fn missing() {
    let lab = Lab::new();
    let why = complaint(&lab, Path::new("/no/ld.so"));
    assert_eq!(why, "cannot be opened: no such file or directory (ENOENT)");
}

#[test]
fn missing_with_nothing_set_says_what_to_set() {
    let lab = Lab::new();
    let loader = format!("-Wl,--dynamic-linker={}", plain().display());
    let hello = lab.gcc("hello", "hello", &[&loader]);
    let (status, said) = fail(&mut bare(&hello));
    assert_eq!(status, Some(127));
    let expected = format!(
        "pitstop-ld: cannot start {}: the loader /run/current-system/sw/share/nix-ld/lib/ld.so: cannot be opened: \
         no such file or directory (ENOENT)\n\
         pitstop-ld: set programs.pitstop.enable = true; in the NixOS configuration, or NIX_LD to the loader of a \
         glibc (…/lib/ld-linux-x86-64.so.2)\n",
        hello.display()
    );
    assert_eq!(said, expected);
}

#[test]
fn the_systems_variable_is_named_where_it_is_the_one() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let (_, said) = fail(bare(&hello).env("NIX_LD_x86_64_linux", "/no").env("NIX_LD", LOADER));
    assert!(said.contains("\npitstop-ld: NIX_LD_x86_64_linux names this loader"), "{said}");
}

#[test]
fn folder_link_loop_and_pipe() {
    let lab = Lab::new();
    assert_eq!(complaint(&lab, Path::new("/usr")), "cannot be read: it is a folder (EISDIR)");
    symlink("loop", lab.path("loop")).unwrap();
    assert_eq!(
        complaint(&lab, &lab.path("loop")),
        "cannot be opened: too many links, or a link loop (ELOOP)"
    );
    assert_eq!(
        complaint(&lab, &lab.path("loop/x")),
        "cannot be opened: too many links, or a link loop (ELOOP)"
    );
    succeed(Command::new("mkfifo").arg(lab.path("pipe")));
    assert_eq!(complaint(&lab, &lab.path("pipe")), "cannot be read: it is a pipe, not a file (ESPIPE)");
    assert_eq!(complaint(&lab, Path::new("/dev/null")), "the file is empty");
}

#[test]
fn not_a_loader() {
    let lab = Lab::new();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(lab.path(name), bytes).unwrap();
        lab.path(name)
    };
    let real = fs::read(LOADER).unwrap();
    assert_eq!(complaint(&lab, &write("empty", b"")), "the file is empty");
    assert_eq!(complaint(&lab, &write("script", b"#!/bin/sh\nexit 0\n")), "it is not an ELF file");
    let mut other = real.clone();
    other[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let why = complaint(&lab, &write("other", &other));
    assert_eq!(why, "it is made for another machine (e_machine 183)");
    let mut small = real.clone();
    small[4] = 1;
    let why = complaint(&lab, &write("small", &small));
    assert_eq!(why, "it is an ELF file of another class or byte order (not 64-bit, little-endian)");
    assert_eq!(
        complaint(&lab, &lab.gcc("hello", "static", &["-static"])),
        "it is a program linked to fixed addresses, not a loader"
    );
    assert_eq!(
        complaint(&lab, &lab.gcc("hello", "program", &[])),
        "it needs a loader itself (PT_INTERP), and is none"
    );
    assert_eq!(complaint(&lab, &lab.gcc("hello", "object", &["-c"])), "it is no shared object (e_type 1)");
}

#[test]
fn truncated_at_any_place() {
    let lab = Lab::new();
    let real = fs::read(LOADER).unwrap();
    // What comes after the last segment, its section headers, no loader needs.
    for len in [5, 63, 64, 100, 700, 4096, 100_000, real.len() / 2, real.len() - 8192] {
        let path = lab.path("short");
        fs::write(&path, &real[..len]).unwrap();
        let why = complaint(&lab, &path);
        assert_eq!(why, "it is truncated: it ends before the last byte of its segments", "{len}");
    }
}

#[test]
fn unreadable() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    // An ordinary user must come to the shim, which may lie below somebody's home.
    let copy = lab.path("ld");
    succeed(Command::new("cp").arg(shim()).arg(&copy));
    let hello_here = lab.gcc("hello", "here", &[&format!("-Wl,--dynamic-linker={}", copy.display())]);
    drop(hello);
    let closed = lab.path("closed");
    succeed(Command::new("cp").arg(LOADER).arg(&closed));
    succeed(Command::new("chmod").arg("000").arg(&closed));
    if succeed(Command::new("id").arg("-u")).trim() != "0" {
        succeed(support::as_root("chown").arg("0:0").arg(&closed));
    }
    let (status, said) = fail(&mut as_user(&hello_here, &[("NIX_LD", closed.to_str().unwrap())]));
    assert_eq!(status, Some(127), "{said}");
    assert_eq!(judge(&said, &hello_here, &closed), "cannot be opened: permission denied (EACCES)");
}

#[test]
fn the_shim_as_its_own_loader_is_no_endless_loop() {
    let lab = Lab::new();
    let why = complaint(&lab, shim());
    assert_eq!(why, "this is pitstop-ld itself, not a loader");
    let (status, said) = fail(bare(shim()).arg(lab.path("hello")).env("NIX_LD", shim()));
    assert_eq!(status, Some(127));
    assert_eq!(judge(&said, &lab.path("hello"), shim()), "this is pitstop-ld itself, not a loader");
}

#[test]
fn a_newline_behind_the_loaders_name_is_forgiven() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    assert_eq!(succeed(bare(&hello).env("NIX_LD", format!("{LOADER}\n"))), "Hello, world!\n");
    let (_, said) = fail(bare(&hello).env("NIX_LD", "/no/such\n"));
    assert!(said.contains("the loader /no/such?: cannot be opened: no such file"), "{said}");
}

#[test]
fn the_log_says_more_when_asked_and_what_is_no_level_is_named() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let said = |level: &str| {
        let output = bare(&hello).env("NIX_LD_LOG", level).output().unwrap();
        assert_eq!(output.stdout, b"Hello, world!\n");
        String::from_utf8(output.stderr).unwrap()
    };
    for quiet in ["", "off", "error", "WARN"] {
        assert_eq!(said(quiet), "", "{quiet}");
    }
    let info = said("info");
    assert!(info.contains(&format!("pitstop-ld: the loader is {LOADER}, built in\n")), "{info}");
    assert!(info.contains("pitstop-ld: for the loader: LD_LIBRARY_PATH="), "{info}");
    assert!(said("debug").contains("the loader lies at 0x"));
    assert!(said("trace").contains("pitstop-ld: maps "));
    let loud = "pitstop-ld: warning: NIX_LD_LOG=loud is none of off, error, warn, info, debug, trace\n";
    assert_eq!(said("loud"), loud);
}
