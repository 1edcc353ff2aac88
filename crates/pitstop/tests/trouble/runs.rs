//! What a check runs: the environment's Python, bare, and nothing else that came with the environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::snapshot::assert_same;
use crate::venv::{Ran, Venv};

/// The programs that a command starts, itself left out.
fn started(venv: &Venv, words: &[&str]) -> Vec<String> {
    let log = venv.beside("log");
    let before =
        ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve,execveat", "-o", log.to_str().unwrap()];
    let ran = Ran::of(venv.around(&before, words).arg(&venv.root).output().expect("strace is there"));
    ran.ends(1, &["libpstest.so.1"]);
    let calls = fs::read_to_string(log).unwrap();
    let names =
        calls.lines().filter(|line| line.contains("execve")).filter_map(|line| line.split('"').nth(1));
    names.skip(1).map(str::to_owned).collect()
}

/// Leaves things in the environment that would run when Python starts as usual.
fn set_traps(venv: &Venv) {
    let trap =
        |name: &str| format!("import os; open({:?}, 'w').close()\n", venv.beside(name).to_str().unwrap());
    venv.write("trap.pth", trap("pth"));
    venv.write("sitecustomize.py", trap("sitecustomize"));
    venv.write("usercustomize.py", trap("usercustomize"));
    venv.write("needy/__init__.py", trap("package"));
    for module in ["json", "encodings", "sysconfig"] {
        venv.write(&format!("{module}.py"), trap("module"));
        fs::write(venv.beside(&format!("{module}.py")), trap("module")).unwrap();
    }
}

#[test]
fn a_check_runs_nothing_that_came_with_the_environment() {
    let venv = Venv::lacking();
    set_traps(&venv);
    let before = venv.snapshot();
    let started = started(&venv, &["check"]);
    let loader = |name: &String| {
        Path::new(name).file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-"))
    };
    let mut others = started.iter().filter(|name| !loader(name));
    assert_eq!(others.next().map(Path::new), Some(venv.python().as_path()), "{started:?}");
    assert_eq!(others.next(), None, "{started:?}");
    assert_same(&before, &venv.snapshot(), "a check wrote something");
    for trap in ["pth", "sitecustomize", "usercustomize", "package", "module"] {
        assert!(!venv.beside(trap).exists(), "{trap} was run");
    }
}

#[test]
fn a_static_check_runs_nothing_at_all() {
    let venv = Venv::lacking();
    set_traps(&venv);
    assert_eq!(started(&venv, &["check", "--static"]), Vec::<String>::new());
    // Nor does it need a Python that starts.
    let marker = venv.beside("marker");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    venv.replace_python(&script);
    venv.pitstop("check --static").ends(2, &["/v/bin/python", "hint: "]);
    assert!(!marker.exists());
    venv.pitstop("check").ends(2, &[]);
    assert!(marker.exists(), "the trap does not work, so this test shows nothing");
}

#[test]
fn a_loader_that_came_with_the_environment_is_not_run() {
    let venv = Venv::lacking();
    let loader = venv.site.join("needy/ld-linux-evil.so.2");
    let real = fs::read_to_string("/proc/self/maps").unwrap();
    let real = real
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("/ld-linux"));
    fs::copy(real.expect("this test was started by glibc's loader"), &loader).unwrap();
    let source = venv.beside("main.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let option = format!("-Wl,--dynamic-linker={}", loader.display());
    let made =
        Command::new("gcc").arg(&source).arg(&option).arg("-o").arg(venv.root.join("bin/tool")).status();
    assert!(made.unwrap().success());
    let started = started(&venv, &["check"]);
    assert!(!started.contains(&loader.display().to_string()), "{started:?}");
}
