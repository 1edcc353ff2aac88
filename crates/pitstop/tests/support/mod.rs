//! Environments in the NixOS-like root, with real wheels in them, and the built command there.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; it runs in tests only")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nixbox::{Machine, MachineBuilder, Nixbox, wheels};

pub(crate) fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The command, made to start inside the root.
pub(crate) fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// The loader shim, and a system's profile in which it finds the real loader, but no libraries.
fn shim() -> &'static (PathBuf, PathBuf) {
    static BUILT: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet", "--target-dir"]).arg(target);
        cargo.args(["--profile", "shim", "--package", "pitstop-ld", "--features", "standalone"]);
        assert!(cargo.status().unwrap().success());
        let shim = nixbox().adopt(&target.join("shim/pitstop-ld")).unwrap();
        let expression = "with import <nixpkgs> { }; symlinkJoin { name = \"system-with-loader\"; paths = [ nixbox.system ];
            postBuild = \"mkdir -p $out/share/nix-ld/lib; ln -s ${stdenv.cc.bintools.dynamicLinker} $out/share/nix-ld/lib/ld.so\"; }";
        let machine = nixbox().machine().start().unwrap();
        let ran = machine.sh(&format!("nix-build --no-out-link -E '{expression}'")).unwrap();
        assert!(ran.ok, "{}", ran.stderr);
        (shim, ran.stdout.trim().into())
    })
}

/// Whether pitstop-ld stands where foreign programs look for their loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shim {
    Absent,
    InPlace,
}

impl Shim {
    /// Both kinds of machine.
    pub(crate) const BOTH: [Self; 2] = [Self::Absent, Self::InPlace];
}

/// Large packages are compiled once and not at each use, without a file more in the environment. What is imported before
/// code runs, the hook, has its own bytecode.
const BYTECODE_BESIDE: &str =
    "import sys; sys.dont_write_bytecode, sys.pycache_prefix = False, sys.prefix + \"/../bytecode\"";

/// A machine with an environment `v` in its home, into which wheels were installed without network.
pub(crate) struct Root {
    pub(crate) machine: Machine<'static>,
    wheels: Option<PathBuf>,
}

impl Root {
    /// Wheels of these requirements, and of all that they need.
    pub(crate) fn with(requirements: &[&str]) -> Self {
        Self::in_machine(nixbox().machine(), requirements)
    }

    /// The same in a machine that is described already.
    pub(crate) fn in_machine(machine: MachineBuilder<'static>, requirements: &[&str]) -> Self {
        Self::installed(machine, requirements, &[])
    }

    /// Wheels of these requirements alone, without what they need.
    pub(crate) fn with_exactly(requirements: &[&str]) -> Self {
        Self::installed(nixbox().machine(), requirements, &["--no-deps"])
    }

    fn installed(machine: MachineBuilder<'static>, requirements: &[&str], options: &[&str]) -> Self {
        pitstop();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let download = || wheels::download_all(requirements, options, "3.11", &cache);
        let wheels = (!requirements.is_empty()).then(|| download().unwrap_or_else(|error| panic!("{error}")));
        let this = Self::start(machine, wheels);
        this.sh("python3.11 -m venv v");
        if this.wheels.is_some() {
            let quoted: String = requirements.iter().map(|requirement| format!(" '{requirement}'")).collect();
            // Code is compiled when it is imported, if at all; most never is.
            let options = format!("--no-compile --no-index --find-links /wheels {}", options.join(" "));
            this.sh(&format!("v/bin/pip install -q {options}{quoted}"));
        }
        this
    }

    fn start(mut machine: MachineBuilder<'static>, wheels: Option<PathBuf>) -> Self {
        if let Some(wheels) = &wheels {
            machine = machine.bind(wheels, "/wheels", false);
        }
        Self { machine: machine.start().unwrap(), wheels }
    }

    /// Another machine with the same home, which is gone with this one's: with or without the shim.
    pub(crate) fn beside(&self, standing: Shim) -> Self {
        let mut machine = nixbox().machine().home(self.machine.home());
        if standing == Shim::InPlace {
            let (program, profile) = shim();
            machine = machine.ldso(program).profile(profile);
        }
        Self::start(machine, self.wheels.clone())
    }

    /// Runs a script that must succeed, and gives all that it said.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.try_sh(script).unwrap_or_else(|said| panic!("{script}\n{said}"))
    }

    /// Runs a script, and gives all that it said; of one that fails, its status too.
    pub(crate) fn try_sh(&self, script: &str) -> Result<String, String> {
        let ran = self.machine.sh(script).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        if ran.ok { Ok(said) } else { Err(format!("{said}(status {:?})", ran.code)) }
    }

    /// Runs the command, which must end with `status`; gives all that it said.
    pub(crate) fn pitstop(&self, arguments: &str, status: i32) -> String {
        self.pitstop_with("", arguments, status)
    }

    /// The same with variables set.
    pub(crate) fn pitstop_with(&self, variables: &str, arguments: &str, status: i32) -> String {
        let ran = self.machine.sh(&format!("{variables} {} {arguments}", pitstop().display())).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(status), "pitstop {arguments}\n{said}");
        said
    }

    /// Runs Python code with no variable set but those named.
    pub(crate) fn python(&self, variables: &str, code: &str) -> Result<String, String> {
        let quoted = format!("{BYTECODE_BESIDE}\n{code}").replace('\'', "'\\''");
        self.try_sh(&format!("env -i {variables} v/bin/python -B -c '{quoted}'"))
    }

    /// Everything about a folder that undo promises to leave as it was.
    pub(crate) fn tree(&self, folder: &str) -> String {
        self.sh(&format!("cd {folder}; find . -printf '%p %y %m %T@ %l %n\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum"))
    }
}

/// What Python code does with a library.
pub(crate) struct Use {
    /// Variables that are set for it, as a shell sets them.
    pub(crate) variables: &'static str,
    pub(crate) code: &'static str,
    /// How it fails without the library: a part of what it says.
    pub(crate) fails: &'static str,
}

/// The whole way for the packages of an environment, without the shim and with it: each use fails before and after, and
/// works in between. `fix` are options of the command.
pub(crate) fn come_to_work(root: &Root, uses: &[Use], fix: &str) {
    for standing in Shim::BOTH {
        let root = root.beside(standing);
        let fail = |when: &str| {
            for Use { variables, code, fails } in uses {
                let said = root.python(variables, code).expect_err(when);
                assert!(said.contains(fails), "{standing:?}, {code}\n{said}");
            }
        };
        fail("it works without a fix, so this test shows nothing");
        root.pitstop("check v", 1);
        let said = root.pitstop(&format!("fix {fix} v"), 0);
        for Use { variables, code, .. } in uses {
            if let Err(error) = root.python(variables, code) {
                panic!("{standing:?}, {code}\n{said}\n{error}");
            }
        }
        root.pitstop("check v", 0);
        root.pitstop("undo v", 0);
        fail("it still works after undo");
    }
}

/// Holds two listings of a tree against each other, and shows the first lines that differ.
pub(crate) fn same(before: &str, after: &str, what: &str) {
    let missing = |from: &str, of: &str| {
        let lines: HashSet<&str> = of.lines().collect();
        from.lines().filter(|line| !lines.contains(line)).take(10).collect::<Vec<_>>().join("\n  ")
    };
    assert!(
        before == after,
        "{what}\nbefore:\n  {}\nafter:\n  {}",
        missing(before, after),
        missing(after, before)
    );
}
