//! uv links its cache into each environment: a fix of one must change neither the cache nor, through it, any other.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

#[path = "trouble/snapshot.rs"]
mod snapshot;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use snapshot::{assert_same, snapshot};

const PYTHON: &str = "/usr/bin/python3";

/// Runs a command that must succeed, and gives all that it said.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {:?}\n{said}", output.status);
    said
}

/// uv, installed by pip into an environment of its own, once.
fn uv() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv-tool");
        let uv = folder.join("bin/uv");
        if !uv.exists() {
            succeed(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder));
            succeed(Command::new(folder.join("bin/python")).args(["-m", "pip", "install", "--quiet", "uv"]));
        }
        uv
    })
}

/// An environment of uv's, with a cache of its own beside it.
struct Environment {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Environment {
    fn with(package: &str) -> Self {
        let version = succeed(
            Command::new(PYTHON).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2], end='')"]),
        );
        // pip knows where this machine gets its packages; uv is given the files.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let wheels = nixbox::wheels::download(package, &version, &cache).unwrap();
        // Links need one file system for both.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let environment = Self { root: folder.path().join("v"), folder };
        succeed(environment.uv(&["venv", "--offline", "--python", PYTHON]).arg(&environment.root));
        let install = ["pip", "install", "--offline", "--no-index", "--find-links"];
        succeed(environment.uv(&install).arg(&wheels).args([package, "--python"]).arg(environment.python()));
        environment
    }

    fn uv(&self, words: &[&str]) -> Command {
        let mut command = Command::new(uv());
        command.args(words).current_dir(self.folder.path()).env("UV_CACHE_DIR", self.cache());
        command.env_remove("VIRTUAL_ENV").env_remove("UV_LINK_MODE").env("UV_NO_CONFIG", "1");
        command
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn python(&self) -> PathBuf {
        self.root.join("bin/python")
    }

    fn site(&self) -> PathBuf {
        let lib = fs::read_dir(self.root.join("lib")).unwrap().next().unwrap().unwrap().path();
        lib.join("site-packages")
    }

    fn pitstop(&self, words: &str) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        command.args(words.split_whitespace()).arg(&self.root).env_remove("VIRTUAL_ENV");
        let output = command.env("XDG_CACHE_HOME", self.folder.path().join("own-cache")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn import(&self, code: &str) -> Result<(), String> {
        let output = Command::new(self.python()).env_clear().args(["-B", "-c", code]).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
    }
}

#[test]
fn a_fix_changes_neither_uvs_cache_nor_another_environment_made_from_it() {
    let environment = Environment::with("pyodbc");
    let module = fs::read_dir(environment.site()).unwrap().map(|entry| entry.unwrap().path());
    let module = module.into_iter().find(|path| path.extension().is_some_and(|end| end == "so")).unwrap();
    assert_eq!(fs::metadata(&module).unwrap().nlink(), 2, "uv did not link, so this test shows nothing");
    let words = environment.import("import pyodbc").expect_err("this machine has libodbc.so.2 already");
    assert!(words.contains("libodbc.so.2: cannot open shared object file"), "{words}");

    let (cache, before) = (snapshot(&environment.cache()), snapshot(&environment.root));
    let (status, said) = environment.pitstop("fix");
    assert_eq!(status, Some(0), "{said}");
    environment.import("import pyodbc; pyodbc.drivers()").unwrap_or_else(|error| panic!("{said}\n{error}"));
    assert_same(&cache, &snapshot(&environment.cache()), "the fix changed uv's cache");
    assert_eq!(fs::metadata(&module).unwrap().nlink(), 2);
    let (status, said) = environment.pitstop("check");
    assert_eq!(status, Some(0), "{said}");

    let (status, said) = environment.pitstop("undo");
    assert_eq!(status, Some(0), "{said}");
    assert_same(&cache, &snapshot(&environment.cache()), "undo changed uv's cache");
    assert_same(&before, &snapshot(&environment.root), "undo left something");
    assert!(environment.import("import pyodbc").is_err());
}

#[test]
fn a_fix_that_is_refused_after_a_package_was_unpacked_leaves_the_environment_as_it_was() {
    let environment = Environment::with("pyodbc");
    fs::write(environment.site().join("_pitstop.py"), "mine\n").unwrap();
    let (cache, before) = (snapshot(&environment.cache()), snapshot(&environment.root));
    let (status, said) = environment.pitstop("fix");
    assert_eq!(status, Some(5), "{said}");
    assert!(said.contains("_pitstop.py` is already there") && said.contains("hint: move"), "{said}");
    assert_same(&before, &snapshot(&environment.root), "a refused fix left something");
    assert_same(&cache, &snapshot(&environment.cache()), "a refused fix changed uv's cache");
}
