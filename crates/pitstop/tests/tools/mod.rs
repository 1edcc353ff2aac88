//! Programs from PyPI that tests run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Runs a command that must succeed, and gives all that it said.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {:?}\n{said}", output.status);
    said
}

/// A program of that name, installed by pip into an environment of its own, once.
pub(crate) fn tool(name: &str) -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-tool"));
    let program = folder.join("bin").join(name);
    let _one_at_a_time = INSTALLING.lock();
    if !program.exists() {
        succeed(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder));
        succeed(Command::new(folder.join("bin/python")).args(["-m", "pip", "install", "--quiet", name]));
    }
    program
}
