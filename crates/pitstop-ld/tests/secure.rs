//! A program with rights that its caller has not listens to no variable and to no farm.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{LOADER, Lab, as_root, as_user, shim, succeed};

/// A machine on which an ordinary user finds everything: the shim, a program whose library lies in its RUNPATH, and one library
/// that must not be loaded.
struct Machine {
    lab: Lab,
    program: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let lab = Lab::new();
        succeed(as_root("cp").arg(shim()).arg(lab.path("ld")));
        succeed(as_root("chmod").arg("755").arg(lab.path("ld")));
        let good = lab.library("good", &[]).display().to_string();
        lab.library("bin/pitstop-libs", &["-DSET=\"HOSTILE\""]);
        let loader = format!("-Wl,--dynamic-linker={}", lab.path("ld").display());
        let runpath = format!("-Wl,-rpath={good}");
        let program = lab.gcc("show", "bin/show", &["-L", &good, "-lprobe", &runpath, &loader]);
        succeed(as_root("chown").arg("-R").arg("0:0").arg(lab.path("bin")));
        Machine { lab, program }
    }

    /// What the program says to an ordinary user who means harm.
    fn run(&self, variables: &[(&str, &str)]) -> String {
        succeed(&mut as_user(&self.program, variables))
    }
}

#[track_caller]
fn stays_deaf(machine: &Machine) {
    let hostile = machine.lab.library("hostile", &["-DSET=\"HOSTILE\""]).display().to_string();
    let variables = [
        ("HOME", "/h"),
        ("NIX_LD", "/no/such/loader"),
        ("NIX_LD_x86_64_linux", "/no/such/loader"),
        ("NIX_LD_LIBRARY_PATH", hostile.as_str()),
        ("NIX_LD_LIBRARY_PATH_x86_64_linux", hostile.as_str()),
        ("NIX_LD_LOG", "trace"),
    ];
    let said = machine.run(&variables);
    assert!(!said.contains("HOSTILE"), "a hostile library was loaded\n{said}");
    assert!(!said.lines().any(|line| line.starts_with('!')), "{said}");
    let given: Vec<String> = variables.iter().map(|(name, value)| format!("E{name}={value}")).collect();
    let seen: Vec<&str> = said.lines().filter(|line| line.starts_with('E')).collect();
    assert_eq!(seen, given, "nothing added, nothing taken");
    let seen_early = said.lines().filter(|line| line.starts_with('C')).count();
    assert_eq!(seen_early, given.len(), "the loader was given a variable\n{said}");
    let real = std::fs::canonicalize(LOADER).unwrap();
    let may_read_proc = said.contains("\nM");
    assert!(!may_read_proc || said.contains(&format!("\nB{}\n", real.display())), "{said}");
    // And with no variable at all, where a farm would be looked for.
    assert!(!machine.run(&[]).contains("HOSTILE"));
}

#[test]
fn without_special_rights_the_variables_would_have_been_heard() {
    let machine = Machine::new();
    let hostile = machine.lab.library("hostile", &["-DSET=\"HOSTILE\""]).display().to_string();
    assert!(machine.run(&[("NIX_LD_LIBRARY_PATH", &hostile)]).contains("EHOSTILE=1"));
    assert!(machine.run(&[]).contains("EHOSTILE=1"), "the farm");
    let output = as_user(&machine.program, &[("NIX_LD", "/no/such/loader")]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn a_setuid_program() {
    let machine = Machine::new();
    succeed(as_root("chmod").arg("4755").arg(&machine.program));
    stays_deaf(&machine);
}

#[test]
fn a_setgid_program() {
    let machine = Machine::new();
    succeed(as_root("chmod").arg("2755").arg(&machine.program));
    stays_deaf(&machine);
}

#[test]
fn a_program_with_file_capabilities() {
    let machine = Machine::new();
    succeed(as_root("setcap").arg("cap_net_raw+ep").arg(&machine.program));
    stays_deaf(&machine);
}

#[test]
fn a_setuid_program_that_cannot_start_does_not_advise_a_variable() {
    let lab = Lab::new();
    succeed(Command::new("cp").arg(support::plain()).arg(lab.path("ld")));
    let loader = format!("-Wl,--dynamic-linker={}", lab.path("ld").display());
    let hello = lab.gcc("hello", "hello", &[&loader]);
    succeed(as_root("chown").arg("0:0").arg(&hello));
    succeed(as_root("chmod").arg("4755").arg(&hello));
    let output = as_user(Path::new(&hello), &[("NIX_LD", LOADER)]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(127), "{said}");
    assert!(said.contains("nix-ld/lib/ld.so: cannot be opened: no such file"), "{said}");
    assert!(said.contains("a program with special rights does not look at NIX_LD"), "{said}");
}
