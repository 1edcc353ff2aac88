//! A program's own libraries, in `pitstop-libs` beside it.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Lab, as_root, bare, fail, succeed};

/// A program at `venv/bin/show`, and its library in `store/farm`.
fn venv(lab: &Lab) -> (PathBuf, PathBuf) {
    let farm = lab.library("store/farm", &[]);
    let program = lab.program_at("show", "venv/bin/show", &["-L", farm.to_str().unwrap(), "-lprobe"]);
    (program, farm)
}

fn loaded_from(said: &str, folder: &Path) -> bool {
    said.contains(folder.join("libprobe.so").to_str().unwrap())
}

#[test]
fn it_is_found_in_the_programs_folder_or_in_its_parent() {
    let lab = Lab::new();
    let (program, farm) = venv(&lab);
    let (status, _) = fail(&mut bare(&program));
    assert_eq!(status, Some(127));
    for place in ["venv/pitstop-libs", "venv/bin/pitstop-libs"] {
        symlink(&farm, lab.path(place)).unwrap();
        succeed(&mut bare(&program));
        // By a relative name and through a link, too: the program's own folder counts.
        succeed(bare("./show").current_dir(program.parent().unwrap()));
        let link = lab.path("link");
        symlink(&program, &link).unwrap();
        let said = succeed(&mut bare(&link));
        assert!(said.contains("\nG(unset)\n") && !said.contains("\n!"), "{said}");
        fs::remove_file(link).unwrap();
        fs::remove_file(lab.path(place)).unwrap();
    }
    succeed(Command::new("cp").arg("-r").arg(&farm).arg(lab.path("venv/pitstop-libs")));
    succeed(&mut bare(&program));
}

#[test]
fn the_callers_path_comes_before_it_and_our_variable_replaces_it() {
    let lab = Lab::new();
    let (program, farm) = venv(&lab);
    symlink(&farm, lab.path("venv/pitstop-libs")).unwrap();
    let link = lab.path("venv/pitstop-libs");
    let other = lab.library("other", &[]);
    assert!(loaded_from(&succeed(&mut bare(&program)), &farm));
    assert!(loaded_from(&succeed(bare(&program).env("LD_LIBRARY_PATH", &other)), &other));
    assert!(loaded_from(&succeed(bare(&program).env("NIX_LD_LIBRARY_PATH", &other)), &other));
    assert!(loaded_from(&succeed(bare(&program).env("NIX_LD_LIBRARY_PATH", "")), &farm), "empty is unset");
    let (_, said) = fail(bare(&program).env("NIX_LD_LIBRARY_PATH", "/none"));
    assert!(said.contains("libprobe.so: cannot open"), "{said}");
    // The default path is still behind it.
    let said = bare(&program).env("NIX_LD_LOG", "info").output().unwrap();
    let path = format!("LD_LIBRARY_PATH={}:{}\n", link.display(), support::default_path().display());
    assert!(String::from_utf8_lossy(&said.stderr).contains(&path), "{said:?}");
}

#[test]
fn of_a_script_the_interpreters_folder_counts() {
    let lab = Lab::new();
    let (program, farm) = venv(&lab);
    symlink(&farm, lab.path("venv/pitstop-libs")).unwrap();
    fs::create_dir_all(lab.path("scripts/pitstop-libs")).unwrap();
    let script = lab.path("scripts/run");
    let text = format!("#!{} word\n", program.display());
    succeed(
        Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(&script)
            .arg(text),
    );
    let said = succeed(bare(&script).arg("more"));
    assert!(said.contains(&format!("\nAword\nA{}\nAmore\n", script.display())), "{said}");
}

#[test]
fn it_must_belong_to_the_programs_owner() {
    let lab = Lab::new();
    let (program, farm) = venv(&lab);
    let link = lab.path("venv/pitstop-libs");
    symlink(&farm, &link).unwrap();
    succeed(as_root("chown").args(["-h", "1000:1000"]).arg(&link));
    let (_, said) = fail(&mut bare(&program));
    assert!(
        said.contains(&format!(
            "{} is passed over: it does not belong to the program's owner",
            link.display()
        )),
        "{said}"
    );
    // The link's own owner counts, not that of what it leads to.
    succeed(as_root("chown").args(["1000:1000"]).arg(&program));
    succeed(&mut bare(&program));
}

#[test]
fn a_file_of_that_name_is_passed_over_for_the_parents() {
    let lab = Lab::new();
    let (program, farm) = venv(&lab);
    fs::write(lab.path("venv/bin/pitstop-libs"), "").unwrap();
    symlink(&farm, lab.path("venv/pitstop-libs")).unwrap();
    succeed(&mut bare(&program));
}

#[test]
fn a_folder_that_a_search_path_cannot_hold_has_none() {
    let lab = Lab::new();
    for name in ["a:b", "a;b", "$ORIGIN"] {
        let farm = lab.library("store/farm", &[]);
        let output = format!("{name}/show");
        let program = lab.program_at("show", &output, &["-L", farm.to_str().unwrap(), "-lprobe"]);
        symlink(&farm, lab.path(name).join("pitstop-libs")).unwrap();
        let (status, _) = fail(&mut bare(&program));
        assert_eq!(status, Some(127), "{name}");
    }
}

#[test]
fn where_our_variable_is_set_nothing_is_looked_up() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let trace = lab.path("trace");
    let mut strace = bare("/usr/bin/strace");
    strace.arg("-o").arg(&trace).arg(&hello).env("NIX_LD_LIBRARY_PATH", "/none");
    succeed(&mut strace);
    let calls = fs::read_to_string(trace).unwrap();
    assert!(!calls.contains("pitstop-libs") && !calls.contains("/proc/self/exe"), "{calls}");
}
