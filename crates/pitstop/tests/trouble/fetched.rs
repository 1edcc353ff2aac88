//! `check` of what an installer fetches: requirements and locks, with pip and with uv, from a local index.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::snapshot::{assert_same, snapshot};
use crate::tools::{PYTHON, tool};
use crate::venv::{Ran, Venv};

/// An index of wheels on the loopback, as PEP 503 has it.
struct Index {
    server: Child,
    url: String,
}

impl Index {
    fn of(venv: &Venv) -> Self {
        let (wheels, root) = (venv.wheels(), venv.beside("index"));
        for (name, version) in [("needy", "1.0"), ("giver", "2.0"), ("wants", "1.0")] {
            let wheel = format!("{name}-{version}-py3-none-any.whl");
            fs::create_dir_all(root.join(name)).unwrap();
            fs::copy(wheels.join(&wheel), root.join(name).join(&wheel)).unwrap();
        }
        let mut server = Command::new(PYTHON)
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(&root)
            .arg("0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        Self { server, url }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The command with an empty folder for what is temporary, where nothing may stay.
struct Check<'v> {
    venv: &'v Venv,
    python: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl<'v> Check<'v> {
    /// With the machine's Python, which has pip.
    fn with_pip(venv: &'v Venv) -> Self {
        Self { venv, python: PYTHON.into(), variables: Vec::new() }
    }

    /// With a Python that has none, and uv on the search path.
    fn with_uv(venv: &'v Venv) -> Self {
        let path = format!("{}:/usr/bin:/bin", tool("uv").parent().unwrap().display());
        let cache = venv.beside("uv-cache").display().to_string();
        Self { venv, python: venv.other_python(), variables: vec![("PATH", path), ("UV_CACHE_DIR", cache)] }
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn of(&self, path: &Path) -> Ran {
        let temporary = self.venv.beside("temporary");
        fs::create_dir_all(&temporary).unwrap();
        let before = self.venv.snapshot();
        let mut command = self.venv.command(["check", "--python"]);
        command.arg(&self.python).arg(path).env("TMPDIR", &temporary).env("HOME", self.venv.beside("home"));
        for name in ["PIP_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"] {
            command.env_remove(name);
        }
        let ran = Ran::of(command.envs(self.variables.iter().cloned()).output().unwrap());
        assert_same(&before, &self.venv.snapshot(), "the check wrote into the environment");
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something temporary stayed: {ran:?}");
        ran
    }
}

/// What both packages together come to.
const TOGETHER: [&str; 3] = ["libpstest.so.1", "needy 1.0", "another wheel: giver/libpstest.so.1"];

fn list(venv: &Venv, text: &str) -> PathBuf {
    let path = venv.beside("requirements.txt");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_requirements_file_is_fetched_by_pip_from_its_folders_indexes_and_settings() {
    let venv = Venv::bare("v");
    let (wheels, index) = (venv.wheels().display().to_string(), Index::of(&venv));
    let asked = list(&venv, "wants>=1\n");
    let pip = || Check::with_pip(&venv);
    pip().set("PIP_NO_INDEX", "1").set("PIP_FIND_LINKS", &wheels).of(&asked).ends(1, &TOGETHER);
    pip().set("PIP_INDEX_URL", &index.url).of(&asked).ends(1, &TOGETHER);
    let settings = venv.beside("pip.conf");
    fs::write(&settings, format!("[global]\nindex-url = {}\n", index.url)).unwrap();
    pip().set("PIP_CONFIG_FILE", settings.display().to_string()).of(&asked).ends(1, &TOGETHER);
    pip().of(&list(&venv, &format!("--no-index\n--find-links {wheels}\nwants==1.0\n"))).ends(1, &TOGETHER);
    let project = venv.beside("pyproject.toml");
    fs::write(&project, "[project]\nname = 'p'\nversion = '1'\ndependencies = ['wants']\n").unwrap();
    pip().set("PIP_INDEX_URL", &index.url).of(&project).ends(1, &TOGETHER);
}

#[test]
fn what_cannot_be_fetched_is_told_in_the_installers_words() {
    let venv = Venv::bare("v");
    let wheels = venv.wheels().display().to_string();
    let pip = || Check::with_pip(&venv).set("PIP_NO_INDEX", "1").set("PIP_FIND_LINKS", &wheels);
    pip().of(&list(&venv, "absent\n")).ends(4, &["pip download failed", "absent", "hint: only wheels"]);
    pip().of(&list(&venv, "<<<<<<< HEAD\nneedy\n")).ends(4, &["pip download failed", "<<<<<<< HEAD"]);
}

#[test]
fn a_lock_is_fetched_to_the_letter_and_a_wheel_of_another_digest_refused() {
    let venv = Venv::bare("v");
    let index = Index::of(&venv);
    let wheel = venv.wheels().join("needy-1.0-py3-none-any.whl");
    let summed = Command::new("sha256sum").arg(&wheel).output().unwrap();
    let digest = String::from_utf8(summed.stdout).unwrap().split_whitespace().next().unwrap().to_owned();
    let lock = |digest: &str| {
        let path = venv.beside("uv.lock");
        let url = format!("{}needy/needy-1.0-py3-none-any.whl", index.url);
        let text = format!(
            "version = 1\nrequires-python = '>=3'\n\
             [[package]]\nname = 'p'\nversion = '1'\nsource = {{ virtual = '.' }}\ndependencies = [{{ name = 'needy' }}]\n\
             [[package]]\nname = 'needy'\nversion = '1.0'\nsource = {{ registry = '{}' }}\nwheels = [{{ url = '{url}', hash = 'sha256:{digest}' }}]\n",
            index.url
        );
        fs::write(&path, text).unwrap();
        path
    };
    let lie = "0".repeat(64);
    for check in [Check::with_pip(&venv), Check::with_uv(&venv)] {
        // Only what is locked.
        let ran = check.of(&lock(&digest));
        ran.ends(1, &["libpstest.so.1", "needy 1.0"]);
        assert!(!ran.out.contains("giver"), "{ran:?}");
        let ran = check.of(&lock(&lie));
        ran.ends(4, &["failed", "hint: "]);
        assert!(ran.err.to_lowercase().contains("hash"), "{ran:?}");
    }
}

#[test]
fn a_lock_of_any_tool_that_makes_no_sense_is_refused_and_left_as_it_is() {
    let venv = Venv::bare("v");
    let package = "[[package]]\nname = 'x'\nversion = '1'\n";
    let cases: &[(&str, String, &str)] = &[
        ("uv.lock", format!("version = 2\n{package}"), "it is of version 2"),
        ("uv.lock", "version = 'one'\n".to_owned(), "line 1: "),
        ("uv.lock", "version = 1\npackage = 3\n".to_owned(), "line 2: "),
        ("uv.lock", format!("version = 1\n{package}"), "source"),
        (
            "uv.lock",
            format!(
                "version = 1\n{package}source = {{ virtual = '.' }}\ndependencies = [{{ name = 'y' }}]\n"
            ),
            "x depends on y",
        ),
        ("uv.lock", format!("version = 1\nx = {}\n", "[".repeat(50_000)), "uv.lock: "),
        ("uv.lock", String::new(), "version"),
        ("poetry.lock", "package = 7\n[metadata]\nlock-version = '9.0'\n".to_owned(), "it is of version 9.0"),
        ("poetry.lock", format!("<<<<<<< HEAD\n{package}=======\n"), "line 1: "),
        ("poetry.lock", package.to_owned(), "metadata"),
        ("poetry.lock", "[metadata]\nlock-version = ['2']\n".to_owned(), "line 2: "),
        (
            "poetry.lock",
            format!("{package}markers = 'python ??'\n[metadata]\nlock-version = '2.1'\n"),
            "marker",
        ),
        ("pylock.toml", "lock-version = '2.0'\npackages = 7\n".to_owned(), "it is of version 2.0"),
        ("pylock.toml", "lock-version = '1.0'\npackages = 'x'\n".to_owned(), "line 2: "),
        ("pylock.toml", "lock-version = '1.0'\n<<<<<<< HEAD\n".to_owned(), "line 2: "),
        (
            "pylock.toml",
            "lock-version = '1.0'\n[[packages]]\nname = 'x'\nmarker = '(('\n".to_owned(),
            "marker",
        ),
        ("pylock.web.toml", "lock-version = 1\n".to_owned(), "line 1: "),
        ("pyproject.toml", "[project]\ndependencies = 'x'\n".to_owned(), "line 2: "),
        ("pyproject.toml", "[project\n".to_owned(), "line 1: "),
    ];
    for (name, text, words) in cases {
        let folder = venv.beside("project");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        let before = snapshot(&folder);
        let ran = Check::with_pip(&venv).of(&folder.join(name));
        ran.ends(2, &[name, words, "hint: "]);
        assert_same(&before, &snapshot(&folder), name);
        fs::remove_dir_all(&folder).unwrap();
    }
    let binary = venv.beside("uv.lock");
    fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    Check::with_pip(&venv).of(&binary).ends(2, &["uv.lock: ", "UTF-8"]);
}
