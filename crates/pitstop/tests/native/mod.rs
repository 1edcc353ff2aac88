//! Native files made by gcc, environments made by venv, and the built command.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; it runs in tests only")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that is gone with it.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Runs gcc on an empty source, or the one given, in this folder.
    pub(crate) fn gcc(&self, source: &str, output: &str, arguments: &[&str]) -> PathBuf {
        let (code, output) = (self.path().join("code.c"), self.path().join(output));
        fs::write(&code, source).unwrap();
        fs::create_dir_all(output.parent().unwrap()).unwrap();
        let done = Command::new("gcc")
            .current_dir(self.path())
            .args(["-Wl,--no-as-needed", "-o"])
            .arg(&output)
            .arg(&code)
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        output
    }

    /// A shared library with its file name as its soname.
    pub(crate) fn library(&self, path: &str, arguments: &[&str]) -> PathBuf {
        let soname = format!("-Wl,-soname,{}", Path::new(path).file_name().unwrap().to_str().unwrap());
        let arguments: Vec<&str> = ["-shared", "-fPIC", &soname].iter().chain(arguments).copied().collect();
        self.gcc("", path, &arguments)
    }

    /// An environment in `venv`, and its site-packages folder.
    pub(crate) fn venv(&self) -> PathBuf {
        let venv = self.path().join("venv");
        let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let python = fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap();
        python.path().join("site-packages")
    }

    /// An extension module of a package with one file, in `site`; what it needs is linked from this folder.
    pub(crate) fn module(&self, site: &Path, package: &str, module: &str, arguments: &[&str]) -> PathBuf {
        let relative = format!("{package}/{module}.abi3.so");
        let inside = site.strip_prefix(self.path()).unwrap().join(&relative);
        let arguments: Vec<&str> = ["-shared", "-fPIC"].iter().chain(arguments).copied().collect();
        let file = self.gcc(
            &format!("void *PyInit_{module}(void) {{ return 0; }}\n"),
            inside.to_str().unwrap(),
            &arguments,
        );
        let info = site.join(format!("{package}-1.0.dist-info"));
        fs::create_dir_all(&info).unwrap();
        let record = info.join("RECORD");
        let before = fs::read_to_string(&record).unwrap_or_default();
        fs::write(record, format!("{before}{relative},,\n")).unwrap();
        file
    }
}

/// Runs the command without anything that could change what a loader finds.
pub(crate) fn pitstop(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// The same, not yet run.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    command.args(arguments).env_remove("LD_LIBRARY_PATH").env_remove("VIRTUAL_ENV").env("NO_COLOR", "1");
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}
