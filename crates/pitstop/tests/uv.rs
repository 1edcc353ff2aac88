//! uv links its cache into each environment: a fix of one must change neither the cache nor, through it, any other.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

#[path = "trouble/snapshot.rs"]
mod snapshot;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
        let environment = Self::new();
        let install = ["pip", "install", "--offline", "--no-index", "--find-links"];
        let mut uv = environment.uv(&install);
        succeed(uv.arg(environment.wheels(package)).args([package, "--python"]).arg(environment.python()));
        environment
    }

    fn new() -> Self {
        // Links need one file system for both.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let environment = Self { root: folder.path().join("v"), folder };
        succeed(environment.uv(&["venv", "--offline", "--python", PYTHON]).arg(&environment.root));
        environment
    }

    /// pip knows where this machine gets its packages; uv is given the files.
    fn wheels(&self, package: &str) -> PathBuf {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        nixbox::wheels::download(package, &self.version(), &cache).unwrap()
    }

    /// As `3.11`.
    fn version(&self) -> String {
        let site = self.site();
        let lib = site.parent().unwrap().file_name().unwrap().to_str().unwrap();
        lib.trim_start_matches("python").to_owned()
    }

    /// A Python that has no pip, as those that uv installs: the machine's, elsewhere.
    fn python_without_pip(&self) -> PathBuf {
        let (prefix, name) = (self.folder.path().join("base"), format!("python{}", self.version()));
        fs::create_dir_all(prefix.join("bin")).unwrap();
        fs::create_dir_all(prefix.join("lib")).unwrap();
        let python = prefix.join("bin").join(&name);
        // By another process's hand, so that nobody who starts it meanwhile is told that it is busy.
        succeed(Command::new("cp").arg(fs::canonicalize(PYTHON).unwrap()).arg(&python));
        symlink(Path::new("/usr/lib").join(&name), prefix.join("lib").join(&name)).unwrap();
        python
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
        let words: Vec<&str> = words.split_whitespace().collect();
        Self::ended(self.command(&words).arg(&self.root))
    }

    /// The command, to which uv is at hand and its cache is this environment's.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        let path = format!("{}:/usr/bin:/bin", uv().parent().unwrap().display());
        command.args(words).env_remove("VIRTUAL_ENV").env("PATH", path).env("UV_CACHE_DIR", self.cache());
        command.env("XDG_CACHE_HOME", self.folder.path().join("own-cache"));
        command
    }

    fn ended(command: &mut Command) -> (Option<i32>, String) {
        let output = command.output().unwrap();
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

/// An index of packages (PEP 503) for as long as it lives: a folder of wheels, listed.
struct Index {
    server: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Index {
    fn of(wheels: &Path, package: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        symlink(wheels, folder.path().join(package)).unwrap();
        let mut server = Command::new(PYTHON);
        server
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"])
            .arg(folder.path());
        let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        Self { url: format!("http://127.0.0.1:{port}"), server, _folder: folder }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_list_is_checked_with_what_uv_fetches_and_then_with_its_cache_alone() {
    let environment = Environment::new();
    let list = environment.folder.path().join("requirements.txt");
    fs::write(&list, "pyodbc\n").unwrap();
    let python = environment.python_without_pip();
    let index = Index::of(&environment.wheels("pyodbc"), "pyodbc");
    let url = index.url.clone();
    let check = |variables: &[(&str, &str)]| {
        let mut command = environment.command(&["check", "--python"]);
        command.arg(&python).arg(&list).envs(variables.iter().copied());
        Environment::ended(command.env("UV_DEFAULT_INDEX", &url))
    };
    let nowhere = [("UV_OFFLINE", "1")];
    let (status, said) = check(&nowhere);
    assert!(status == Some(4) && said.contains("uv pip install failed: "), "{status:?} {said}");

    let lacks = |(status, said): (Option<i32>, String)| {
        assert!(status == Some(1) && said.contains("libodbc.so.2") && said.contains("pyodbc 5"), "{said}");
    };
    lacks(check(&[]));
    drop(index);
    lacks(check(&nowhere));
}

#[test]
fn an_environment_of_uv_sync_is_fixed_and_stays_so_when_it_is_synced_again() {
    let environment = Environment::new();
    let project = environment.folder.path();
    let settings = format!(
        "[project]\nname = 'p'\nversion = '1'\nrequires-python = '=={}.*'\ndependencies = ['pyodbc']\n",
        environment.version()
    );
    fs::write(project.join("pyproject.toml"), settings).unwrap();
    let sync = || {
        let words = ["sync", "--offline", "--no-index", "--no-install-project", "--find-links"];
        let mut uv = environment.uv(&words);
        succeed(uv.arg(environment.wheels("pyodbc")).env("UV_PROJECT_ENVIRONMENT", &environment.root))
    };
    sync();
    environment.import("import pyodbc").expect_err("this machine has libodbc.so.2 already");
    let mut command = environment.command(&["check", "--python"]);
    let ended = Environment::ended(command.arg(environment.python()).arg(project.join("uv.lock")));
    assert!(ended.0 == Some(1) && ended.1.contains("libodbc.so.2"), "{ended:?}");
    let (status, said) = environment.pitstop("check");
    assert!(status == Some(1) && said.contains("libodbc.so.2"), "{said}");
    let (status, said) = environment.pitstop("fix");
    assert_eq!(status, Some(0), "{said}");
    sync();
    environment.import("import pyodbc; pyodbc.drivers()").unwrap();
    let (status, said) = environment.pitstop("status");
    assert_eq!(status, Some(0), "{said}");
}
