//! Programs that make environments.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use super::{PATIENCE, joined};
use crate::child;
use crate::python::without_loader_variables;

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name by which it was looked for.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself; `None` where it was not asked, or did not say.
    pub version: Option<String>,
}

/// The first file of that name in the folders of `PATH`.
#[must_use]
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

pub(super) fn look() -> Vec<Program> {
    thread::scope(|scope| {
        let asked = ["python3", "uv"].map(|name| scope.spawn(move || find(name, true)));
        let mut programs: Vec<Program> = asked.into_iter().filter_map(joined).collect();
        // pip imports half of itself before it says its version.
        programs.extend(find("pip", false));
        programs
    })
}

fn find(name: &'static str, ask: bool) -> Option<Program> {
    let path = in_path(name)?;
    let mut command = Command::new(&path);
    without_loader_variables(command.arg("--version"));
    let finished = if ask { child::run(&mut command, PATIENCE).ok() } else { None };
    let version = finished.filter(|finished| finished.status.success()).and_then(|finished| {
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        // "Python 3.11.2", "uv 0.9.1 (…)"
        text.split_whitespace().nth(1).map(str::to_owned)
    });
    Some(Program { name, path, version })
}
