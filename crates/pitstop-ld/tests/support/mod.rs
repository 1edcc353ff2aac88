//! The shim as it is built for people, and programs that have it as their loader.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The loader of this machine.
pub(crate) const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// How the shim is built, as docs/reference.md has it.
pub(crate) const BUILD: [&str; 8] =
    ["build", "--profile", "shim", "-p", "pitstop-ld", "--features", "standalone", "--locked"];

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Builds the shim with these settings, into a folder of that name. Cargo itself keeps others out meanwhile.
fn build(name: &str, settings: &[(&str, &OsStr)]) -> PathBuf {
    let target = scratch().join(name);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(BUILD).arg("--target-dir").arg(&target).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["PITSTOP_LD_DEFAULT", "PITSTOP_LD_DEFAULT_LIBRARY_PATH"] {
        cargo.env_remove(name);
    }
    cargo.envs(settings.iter().copied());
    succeed(&mut cargo);
    target.join("shim/pitstop-ld")
}

/// The shim as it is where no setting is changed.
pub(crate) fn plain() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("shim-plain", &[]))
}

/// The shim with defaults that exist on this machine: its loader, and [`default_path`].
pub(crate) fn shim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = default_path();
        std::fs::create_dir_all(&path).unwrap();
        let settings =
            [("PITSTOP_LD_DEFAULT", LOADER.as_ref()), ("PITSTOP_LD_DEFAULT_LIBRARY_PATH", path.as_os_str())];
        build("shim-here", &settings)
    })
}

/// The search path that [`shim`] has built in: an empty folder.
pub(crate) fn default_path() -> PathBuf {
    scratch().join("shim-default-path")
}

/// A folder with programs, gone with the test.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// An empty one, that every user may enter.
    pub(crate) fn new() -> Lab {
        let folder = tempfile::Builder::new().prefix("pitstop-ld").tempdir_in("/var/tmp").unwrap();
        succeed(Command::new("chmod").arg("755").arg(folder.path()));
        Lab { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles `programs/NAME.c` to `output`, with more arguments for gcc.
    pub(crate) fn gcc(&self, name: &str, output: &str, more: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/{name}.c"));
        let output = self.path(output);
        std::fs::create_dir_all(output.parent().unwrap()).unwrap();
        let mut gcc = Command::new("gcc");
        succeed(gcc.args(["-O1", "-o"]).arg(&output).arg(source).args(more));
        output
    }

    /// A program with the shim as its loader.
    pub(crate) fn program(&self, name: &str, more: &[&str]) -> PathBuf {
        self.program_at(name, name, more)
    }

    /// The same, with a path of its own.
    pub(crate) fn program_at(&self, name: &str, output: &str, more: &[&str]) -> PathBuf {
        let loader = format!("-Wl,--dynamic-linker={}", shim().display());
        let more: Vec<&str> = more.iter().copied().chain([loader.as_str()]).collect();
        self.gcc(name, output, &more)
    }

    /// `programs/probe.c` as `FOLDER/libprobe.so`; gives the folder.
    pub(crate) fn library(&self, folder: &str, more: &[&str]) -> PathBuf {
        let more: Vec<&str> =
            more.iter().copied().chain(["-shared", "-fPIC", "-Wl,-soname=libprobe.so"]).collect();
        self.gcc("probe", &format!("{folder}/libprobe.so"), &more);
        self.path(folder)
    }

    /// `programs/show.c`, which needs the library in that folder.
    pub(crate) fn show(&self, folder: &Path) -> PathBuf {
        self.program("show", &["-L", &folder.display().to_string(), "-lprobe"])
    }
}

/// A command that sees nothing of the tests' own environment.
pub(crate) fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

/// Runs a command that must succeed, and gives what it said on standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command, and gives its status and what it said on standard error.
#[track_caller]
pub(crate) fn fail(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(!output.status.success(), "{command:?} succeeded\n{}", both(&output));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A command that needs root, with no environment.
pub(crate) fn as_root(program: &str) -> Command {
    if succeed(Command::new("id").arg("-u")).trim() == "0" {
        let mut command = bare(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        return command;
    }
    let mut command = bare("/usr/bin/sudo");
    command.args(["-n", program]);
    command
}

/// A command run by an ordinary user, with these variables.
pub(crate) fn as_user(program: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = as_root("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i"]);
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}"))).arg(program);
    command
}
