//! `pitstop run`, `pitstop fhs` and `pitstop shell` in the NixOS-like root, with real wheels and packages.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod bad;
mod fhs;
mod nested;
mod patch;
mod programs;
mod run;
mod shell;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nixbox::{Machine, MachineBuilder, Nixbox, wheels};

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// A machine with a venv `npenv` in its home.
pub(crate) struct Root(Machine<'static>);

impl Root {
    /// With these wheels installed in `npenv`.
    pub(crate) fn with(requirements: &[&str], as_root: bool) -> Self {
        let this = Self::start(nixbox().machine().root(as_root), requirements);
        let mut install = String::from("python3.11 -m venv npenv\n");
        for (number, requirement) in requirements.iter().enumerate() {
            install += &format!(
                "npenv/bin/pip install -q --no-index --find-links /wheels/{number} '{requirement}'\n"
            );
        }
        this.well(&install);
        this
    }

    /// With these wheels in folders `/wheels/0`, `/wheels/1` and so on.
    pub(crate) fn with_wheels(requirements: &[&str]) -> Self {
        Self::start(nixbox().machine(), requirements)
    }

    /// With a graphics driver, as NixOS has it.
    pub(crate) fn with_driver(folder: &Path) -> Self {
        let libc = std::fs::canonicalize("/lib/x86_64-linux-gnu/libm.so.6").unwrap();
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        let library = folder.join("lib/libcuda.so.1");
        std::fs::copy(libc, &library).unwrap();
        let named = Command::new("patchelf").args(["--set-soname", "libcuda.so.1"]).arg(&library).status();
        assert!(named.unwrap().success());
        Self::start(nixbox().machine().bind(folder, "/run/opengl-driver", false), &[])
    }

    /// With these wheels, and a folder of this machine at a place.
    pub(crate) fn with_wheels_and(requirements: &[&str], folder: &Path, at: &str) -> Self {
        Self::start(nixbox().machine().bind(folder, at, true), requirements)
    }

    fn start(mut machine: MachineBuilder<'static>, requirements: &[&str]) -> Self {
        pitstop();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        for (number, requirement) in requirements.iter().enumerate() {
            let folder =
                wheels::download(requirement, "3.11", &cache).unwrap_or_else(|error| panic!("{error}"));
            machine = machine.bind(folder, format!("/wheels/{number}"), false);
        }
        Self(machine.start().unwrap())
    }

    /// Runs a script, `pitstop` being on its PATH; gives its status and all that it said.
    pub(crate) fn sh(&self, script: &str) -> (Option<i32>, String) {
        let folder = pitstop().parent().unwrap().display();
        let ran = self.0.sh(&format!("PATH=$PATH:{folder}\n{script}")).unwrap();
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    }

    pub(crate) fn well(&self, script: &str) -> String {
        let (code, said) = self.sh(script);
        assert_eq!(code, Some(0), "{script}\n{said}");
        said
    }
}
