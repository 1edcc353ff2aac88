//! One command in a root made of packages.

use crate::Root;

const PYPROJECT: &str = r#"
[project]
name = "sample"
version = "1"

[tool.pitstop.fhs]
packages = ["unixODBC", "imagemagick", "gcc", "python311"]
command = ["tox", "--version"]

[tool.tox]
legacy_tox_ini = """
[tox]
env_list = native, plain
no_package = true
[testenv]
set_env =
    PIP_NO_INDEX = 1
    PIP_FIND_LINKS = /wheels/0 /wheels/1 /wheels/2 /wheels/3
    PIP_DISABLE_PIP_VERSION_CHECK = 1
[testenv:plain]
deps =
    pyodbc
    Wand
commands = python tests.py
[testenv:native]
deps =
    setuptools
commands =
    pip install --no-build-isolation ./ext
    python -c "import sample_native; assert sample_native.answer() == 42; print('native is well')"
"""
"#;

const SETUP: &str = r#"
from setuptools import Extension, setup
setup(name="sample-native", version="1", ext_modules=[Extension("sample_native", ["native.c"])])
"#;

const NATIVE: &str = r#"
#include <Python.h>
#include <stdlib.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(atol("42")); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sample_native", 0, -1, methods};
PyMODINIT_FUNC PyInit_sample_native(void) { return PyModule_Create(&module); }
"#;

const TESTS: &str = r#"
import pyodbc
from wand.image import Image
assert isinstance(pyodbc.drivers(), list)
with Image(width=8, height=8, pseudo="xc:red") as image:
    image.resize(4, 4)
    assert image.size == (4, 4)
print("odbc and wand are well")
"#;

#[test]
fn tox_makes_its_environments_builds_an_extension_and_passes() {
    let root = Root::with_wheels(&["tox", "pyodbc", "Wand", "setuptools"]);
    root.well(
        "mkdir -p p/ext && python3.11 -m venv tools && tools/bin/pip install -q --no-index --find-links /wheels/0 tox",
    );
    for (file, text) in [
        ("pyproject.toml", PYPROJECT),
        ("ext/setup.py", SETUP),
        ("ext/native.c", NATIVE),
        ("tests.py", TESTS),
    ] {
        root.well(&format!("cat >p/{file} <<'EOF'\n{text}\nEOF"));
    }
    let said = root.well("cd p; PATH=~/tools/bin:$PATH; pitstop fhs");
    assert!(said.contains("tools"), "the default command is not tox: {said}");
    let said = root.well("cd p; PATH=~/tools/bin:$PATH; pitstop fhs -- tox");
    for line in ["native is well", "odbc and wand are well", "congratulations"] {
        assert!(said.contains(line), "{line}?\n{said}");
    }
}

#[test]
fn the_root_is_one_that_programs_made_elsewhere_expect() {
    let driver = tempfile::tempdir().unwrap();
    let root = Root::with_driver(driver.path());
    let said = root.well(
        "pitstop fhs --with zlib -- bash -c 'ls /lib64/ld-linux-x86-64.so.2 /usr/lib64/libz.so.1 /bin/sh /usr/bin/env \
         /lib/libc.so.6 /usr/include /usr/share /run/opengl-driver/lib/libcuda.so.1; \
         ldconfig -p | grep -e libz.so.1 -e libcuda; head -1 /etc/passwd; pwd; \
         for name in resolv.conf group nsswitch.conf hosts ssl; do diff -rq /etc/$name /.host-etc/$name; done; \
         for program in sed grep awk find tar gzip xz diff less which; do ls /usr/bin/$program; done'",
    );
    for line in [
        "/usr/lib64/libz.so.1",
        "=> /usr/lib/libz.so.1",
        "=> /run/opengl-driver/lib/libcuda.so.1",
        "root:",
        "/home/user",
    ] {
        assert!(said.contains(line), "{line}?\n{said}");
    }
}

#[test]
fn of_two_files_the_first_counts_and_verbose_names_both() {
    let root = Root::with(&[], false);
    root.well(
        "cat >set.nix <<'EOF'\n\
         { ... }: let pkgs = import <nixpkgs> { }; has = name: pkgs.runCommand name { } ''\n\
           mkdir -p $out/bin $out/share/both; echo \"echo ${name}\" >$out/bin/both; chmod +x $out/bin/both\n\
           touch $out/share/both/${name}\n\
         ''; in pkgs // { one = has \"one\"; two = has \"two\"; }\nEOF",
    );
    for (with, first, other) in
        [("--with one --with two", "one", "two"), ("--with two --with one", "two", "one")]
    {
        let said = root
            .well(&format!("pitstop -v fhs --nixpkgs ./set.nix {with} -- sh -c 'both; ls /usr/share/both'"));
        assert!(said.lines().any(|line| line == first), "{said}");
        assert!(said.contains("one\ntwo\n"), "{said}");
        let told =
            said.lines().find(|line| line.contains("/usr/bin/both is ")).unwrap_or_else(|| panic!("{said}"));
        let (kept, left_out) = told.split_once(", not ").unwrap();
        assert!(kept.ends_with(&format!("-{first}/bin/both")), "{told}");
        assert!(left_out.ends_with(&format!("-{other}/bin/both")), "{told}");
    }
}

#[test]
fn it_keeps_status_and_descriptors_and_nests_in_itself() {
    for as_root in [false, true] {
        let root = Root::with(&[], as_root);
        assert_eq!(root.sh("pitstop fhs sh -c 'exit 42'").0, Some(42));
        let user = if as_root { 0 } else { 1000 };
        assert_eq!(root.well("pitstop fhs sh -c 'cat <&7; id -u' 7<<<seven"), format!("seven\n{user}\n"));
        let said = root.well(
            "pitstop fhs -- pitstop fhs --with zlib -- pitstop fhs --with zlib \
             sh -c 'ls /usr/lib/libz.so.1; cat /etc/hosts /etc/ld.so.conf'",
        );
        assert!(
            said.starts_with("/usr/lib/libz.so.1\n127.0.0.1")
                && said.ends_with("/run/opengl-driver/lib\n/usr/lib\n"),
            "{said}"
        );
        let said = root.well("pitstop fhs sh -c 'echo $$' & one=$!; wait; echo $one");
        let mut lines = said.lines();
        assert_eq!(lines.next(), lines.next(), "{said}");
    }
}

#[test]
fn a_root_that_is_known_is_entered_without_nix() {
    let root = Root::with(&[], false);
    root.well("pitstop fhs true");
    root.well("strace -f -e trace=execve -o trace $(type -P pitstop) fhs true");
    let trace = root.well("cat trace");
    assert_eq!(trace.matches("execve(").count(), 2, "{trace}");
}

/// A project whose root has unixODBC.
const LOCKED: &str = "printf '[tool.pitstop.fhs]\\npackages = [\"unixODBC\"]\\n' >pyproject.toml\n";

#[test]
fn a_root_that_is_locked_is_made_without_evaluating_nix() {
    let root = Root::with_wheels(&[]);
    let said = root.well(&format!("{LOCKED}pitstop fhs --lock -- test -e /usr/lib/libodbc.so.2"));
    assert!(said.contains("wrote ") && said.contains("pitstop.lock"), "{said}");
    let lock = root.well("cat pitstop.lock");
    assert!(lock.contains("[[package]]\nattribute = \"bashInteractive\"\n"), "{lock}");
    assert!(lock.contains("attribute = \"unixODBC\"\n"), "{lock}");
    // What was wanted for one command alone is not the project's.
    root.well("pitstop fhs --with zlib -- test -e /usr/lib/libz.so.1");
    assert_eq!(root.well("cat pitstop.lock"), lock);
    // As for a colleague who has just cloned it, and has no package set.
    let start = "rm -rf ~/.cache/pitstop; strace -f -qq -e trace=execve -o trace $(type -P pitstop) fhs \
        test -e /usr/lib/libodbc.so.2; cat trace";
    let trace = root.well(&format!("export NIX_PATH=nixpkgs=/nowhere; {start}"));
    assert!(trace.contains("nix-store\"") && !trace.contains("nix-instantiate"), "{trace}");
    let trace = root.well(&format!("mv pitstop.lock away; {start}; mv away pitstop.lock"));
    assert!(trace.contains("nix-instantiate\""), "{trace}");
    assert_eq!(root.well("cat pitstop.lock"), lock);
}

#[test]
fn what_is_nowhere_as_it_was_locked_is_built_and_the_difference_told() {
    let root = Root::with_wheels(&[]);
    root.well(&format!("{LOCKED}pitstop fhs --lock true"));
    let changed = "sed -i 's|\\(outputs = .*/store/\\)[^-]*\\(-unixODBC\\)|\\100000000000000000000000000000000\\2|' pitstop.lock";
    root.well(&format!("{changed}; grep 'outputs.*/0000*-unixODBC' pitstop.lock; rm -rf ~/.cache/pitstop"));
    let said = root.well("pitstop fhs -- test -e /usr/lib/libodbc.so.2");
    assert!(said.contains("unixODBC: the lock has ") && said.contains("here it is "), "{said}");
    // Who may not write the lock has the root nevertheless.
    let script = "rm -rf ~/.cache/pitstop; mkdir p; cp pyproject.toml p; cd p; echo 'version = 1' >pitstop.lock; chmod a-w .
        pitstop fhs true; chmod u+w .";
    let said = root.well(script);
    assert!(said.contains("not locked: ") && said.contains("pitstop.lock"), "{said}");
}

#[test]
fn what_is_exported_is_nix() {
    let root = Root::with(&[], false);
    root.well("pitstop fhs --with gcc --with libz.so.1 --export dev && nix-instantiate --parse dev.nix");
    let said = root.well("cat dev.nix");
    assert!(
        said.contains("name = \"dev\"") && said.contains("pkgs.gcc") && said.contains("pkgs.zlib"),
        "{said}"
    );
    // Not written over what others wrote.
    let (code, said) = root.sh("echo mine >other.nix; pitstop fhs --export other");
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(root.well("cat other.nix"), "mine\n");
}
