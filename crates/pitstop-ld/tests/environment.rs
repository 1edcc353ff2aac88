//! The program and its children see the environment exactly as the caller gave it.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{LOADER, Lab, bare, succeed};

/// A program that shows itself. The library that it needs lies where its RUNPATH says, so that any search path will do.
struct Shown {
    lab: Lab,
    program: PathBuf,
}

/// The lines that begin with this letter, without it.
fn lines(said: &str, letter: char) -> Vec<String> {
    said.lines().filter_map(|line| line.strip_prefix(letter)).map(str::to_owned).collect()
}

impl Shown {
    /// `more` is for the library's compiler.
    fn new(more: &[&str]) -> Shown {
        let lab = Lab::new();
        let folder = lab.library("near", more).display().to_string();
        let program = lab.program("show", &["-L", &folder, "-lprobe", &format!("-Wl,-rpath={folder}")]);
        Shown { lab, program }
    }

    /// What it says when started with these variables, in this order.
    fn run(&self, variables: &[&str]) -> String {
        let said = succeed(&mut launch(&self.lab, &self.program, variables));
        assert!(!said.lines().any(|line| line.starts_with('!')), "{variables:?}\n{said}");
        said
    }

    /// The environment of its child.
    fn child(&self, variables: &[&str]) -> Vec<String> {
        let said = succeed(launch(&self.lab, &self.program, variables).arg("child"));
        said.split_terminator('\0').map(str::to_owned).collect()
    }
}

fn launch(lab: &Lab, program: &Path, variables: &[&str]) -> Command {
    let launch = lab.path("launch");
    if !launch.exists() {
        lab.gcc("launch", "launch", &[]);
    }
    let mut command = bare(launch);
    command.arg(program).arg(variables.len().to_string()).args(variables);
    command
}

/// Rows: the caller's path unset, set, empty, twice; ours unset, set, empty, of the system.
fn rows() -> Vec<Vec<&'static str>> {
    let callers: [&[&str]; 5] = [
        &[],
        &["LD_LIBRARY_PATH=/mine"],
        &["LD_LIBRARY_PATH="],
        &["LD_LIBRARY_PATH=/mine:"],
        &["LD_LIBRARY_PATH=/one", "LD_LIBRARY_PATH=/two"],
    ];
    let ours: [&[&str]; 4] = [
        &[],
        &["NIX_LD_LIBRARY_PATH=/ours"],
        &["NIX_LD_LIBRARY_PATH="],
        &["NIX_LD_LIBRARY_PATH_x86_64_linux=/ours"],
    ];
    let mut rows = Vec::new();
    for callers in callers {
        for ours in ours {
            // In front, around and behind others; and alone.
            rows.push([callers, &["ZEBRA=z", "ALPHA=a=b", "NO_VALUE=", "odd"], ours].concat());
            rows.push([&["ZEBRA=z"], ours, &["HOME=/h"], callers, &["LAST=l"]].concat());
            rows.push([ours, callers].concat());
        }
    }
    rows
}

#[test]
fn program_and_proc_and_child_see_what_the_caller_gave() {
    let shown = Shown::new(&[]);
    for row in rows() {
        let said = shown.run(&row);
        assert_eq!(lines(&said, 'E'), row, "environ");
        assert_eq!(lines(&said, 'P'), row, "/proc/self/environ");
        // getenv finds the first of several, as without the shim.
        let first = row.iter().find_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH="));
        assert_eq!(lines(&said, 'G'), [first.unwrap_or("(unset)")], "{row:?}");
        assert!(lines(&said, 'D').is_empty(), "environ lies where the kernel put it");
        assert_eq!(shown.child(&row), row, "the child's");
    }
}

#[test]
fn constructors_see_every_other_variable() {
    let shown = Shown::new(&[]);
    for row in rows() {
        let seen = lines(&shown.run(&row), 'C');
        let others = |all: &[String]| {
            let is_other = |text: &&String| !text.is_empty() && !text.starts_with("LD_LIBRARY_PATH=");
            all.iter().filter(is_other).cloned().collect::<Vec<_>>()
        };
        let given: Vec<String> = row.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(others(&seen), others(&given));
        assert!(
            seen.iter().any(|text| text.starts_with("LD_LIBRARY_PATH=/")),
            "the loader had no path: {row:?}"
        );
    }
}

#[test]
fn what_a_constructor_takes_out_stays_out_and_nothing_else_is_lost() {
    let shown = Shown::new(&["-DUNSET=\"GOES\""]);
    for position in 0..3 {
        for callers in [None, Some("LD_LIBRARY_PATH=/mine"), Some("LD_LIBRARY_PATH=")] {
            let mut row = vec!["ONE=1", "TWO=2"];
            row.extend(callers);
            let left = row.clone();
            row.insert(position, "GOES=away");
            // Whatever the walk to the auxiliary vector comes to: with a word too many there, it fails without the shim, too.
            let said = succeed(&mut launch(&shown.lab, &shown.program, &row));
            assert_eq!(lines(&said, 'E'), left);
            assert_eq!(shown.child(&row), left);
        }
    }
}

#[test]
fn a_constructor_that_copies_the_environment_keeps_nothing_of_ours() {
    let shown = Shown::new(&["-DSET=\"ADDED\""]);
    for row in [vec!["ONE=1"], vec!["LD_LIBRARY_PATH=/mine", "ONE=1"], vec!["LD_LIBRARY_PATH=", "ONE=1"]] {
        // No walk from the copy comes to the auxiliary vector, with the shim or without.
        let said = succeed(&mut launch(&shown.lab, &shown.program, &row));
        let mut given = row.clone();
        given.push("ADDED=1");
        // The copy has two empty texts where no variable was set; no name, no path.
        let seen: Vec<String> = lines(&said, 'E').into_iter().filter(|text| !text.is_empty()).collect();
        assert_eq!(seen, given);
        let first = row.iter().find_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH="));
        assert_eq!(lines(&said, 'G'), [first.unwrap_or("(unset)")]);
    }
}

#[test]
fn of_two_paths_of_the_callers_the_one_counts_that_counts_for_the_real_loader() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    let there = format!("LD_LIBRARY_PATH={}", folder.display());
    for row in [[there.as_str(), "LD_LIBRARY_PATH=/none"], ["LD_LIBRARY_PATH=/none", there.as_str()]] {
        let mut real = launch(&lab, Path::new(LOADER), &row);
        let real = real.arg(&show).output().unwrap().status.success();
        let ours = launch(&lab, &show, &row).output().unwrap().status.success();
        assert_eq!(ours, real, "{row:?}");
    }
}
