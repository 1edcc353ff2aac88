//! One command with the libraries that it lacks.

use std::collections::BTreeSet;

use crate::Root;

/// Tells which files bash and git have mapped, both started by a Python that has imported numpy.
const MAPS: &str = r#"
import numpy, subprocess, sys
print("sum", int(numpy.eye(3).sum()))
def files(lines): return sorted({line.split()[-1] for line in lines if ".so" in line})
print("own", *files(open("/proc/self/maps")))
child = subprocess.run(["bash", "-c", "while read -r line; do echo \"$line\"; done < /proc/self/maps"], capture_output=True, text=True, check=True)
print("bash", *files(child.stdout.splitlines()))
git = subprocess.Popen(["git", "-C", "repo", "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
git.stdin.write(b"nothing\n"); git.stdin.flush()
assert git.stdout.readline() == b"nothing missing\n"
print("git", *files(open(f"/proc/{git.pid}/maps")))
git.stdin.close()
assert git.wait() == 0
"#;

/// The files that a line of the script's output names.
fn files<'s>(said: &'s str, of: &str) -> BTreeSet<&'s str> {
    let line = said.lines().find(|line| line.starts_with(of)).unwrap_or_else(|| panic!("{of}? {said}"));
    line.split(' ').skip(1).collect()
}

#[test]
fn numpy_is_imported_and_children_use_their_own_libraries() {
    for as_root in [false, true] {
        let root = Root::with(&["numpy==1.26.2"], as_root);
        root.well("nix-build '<nixpkgs>' -A git -o git && git/bin/git init -q repo");
        root.well(&format!("cat >t.py <<'EOF'\n{MAPS}\nEOF"));
        let (code, said) = root.sh("PATH=git/bin:$PATH npenv/bin/python t.py");
        assert_ne!(code, Some(0), "it works without help, so this test shows nothing: {said}");
        root.well("sed '/numpy/d' t.py | sed '1i import subprocess' >alone.py");
        let alone = root.well("PATH=git/bin:$PATH npenv/bin/python alone.py");
        let (bash_alone, git_alone) = (files(&alone, "bash"), files(&alone, "git"));
        assert!(git_alone.iter().any(|file| file.contains("libz.so")), "git has no libz of its own: {alone}");
        let before = root.well("cd npenv; find . -printf '%p %T@ %n\\n' | sort | grep -v __pycache__");
        for how in ["", "--env "] {
            let said = root.well(&format!("PATH=git/bin:$PATH pitstop run {how}-- npenv/bin/python t.py"));
            assert!(said.contains("sum 3"), "{how}{said}");
            assert!(files(&said, "own").iter().any(|file| file.contains("libz.so.1")), "{how}{said}");
            assert_eq!(files(&said, "bash"), bash_alone, "{how}bash has other libraries than alone");
            assert_eq!(files(&said, "git"), git_alone, "{how}git has other libraries than alone");
        }
        let after = root.well("cd npenv; find . -printf '%p %T@ %n\\n' | sort | grep -v __pycache__");
        assert_eq!(before, after, "something was written into the environment");
    }
}

#[test]
fn what_leaks_by_variables_is_one_soname_and_no_other_library() {
    let root = Root::with(&["numpy==1.26.2"], false);
    let farm = root.well(
        "eval \"$(pitstop run --for npenv --print-env)\"; echo \"$LD_LIBRARY_PATH\"; ls -A \"$LD_LIBRARY_PATH\"",
    );
    let names: Vec<&str> = farm.lines().skip(1).collect();
    assert_eq!(names, ["libz.so.1"], "{farm}");
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
