//! The docs: links lead somewhere, and what stands in their consoles is what the commands say.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod answers;
mod book;
mod console;
mod links;
mod pages;
mod recording;
mod schema;
#[path = "../tools/mod.rs"]
mod tools;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, Nixbox, wheels};

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The command, made to start inside the root.
fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// A machine with a folder of wheels for its pip, and nothing in its home.
struct Root {
    machine: Machine<'static>,
    path: String,
}

impl Root {
    /// Wheels of these requirements, and of what they need; `tools` are programs on the PATH beside pitstop.
    fn with(requirements: &[&str], tools: &[&Path]) -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let download = || wheels::download_all(requirements, &[], "3.11", &cache);
        let mut machine = nixbox().machine();
        if !requirements.is_empty() {
            machine = machine.bind(download().unwrap_or_else(|error| panic!("{error}")), "/wheels", false);
        }
        let folders = [pitstop()].into_iter().chain(tools.iter().copied()).map(|file| file.parent().unwrap());
        let folders: String = folders.map(|folder| format!("{}:", folder.display())).collect();
        Self { machine: machine.start().unwrap(), path: format!("{folders}/run/current-system/sw/bin") }
    }

    /// Runs a script with bash; all that it said, on both streams, as it came.
    fn bash(&self, script: &str) -> String {
        let mut command = self.machine.command("bash");
        command.env("PATH", &self.path).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command.envs([("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", "/wheels"), ("PIP_NO_COMPILE", "1")]);
        command.envs([("UV_NO_INDEX", "1"), ("UV_FIND_LINKS", "/wheels"), ("UV_OFFLINE", "1")]);
        // There is none without a network, which uv says each time.
        command.env_remove("SSL_CERT_FILE");
        let output = command.args(["-c", &format!("exec 2>&1 </dev/null\n{script}")]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
