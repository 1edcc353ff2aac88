use super::*;
use crate::targets::Libc;

fn here() -> Interpreter {
    let libc = Libc::Glibc(Some((2, 36)));
    Interpreter { version: (3, 11), free_threaded: false, machine: "x86_64".to_owned(), libc }
}

fn locked(name: &str, text: &str) -> Vec<Locked> {
    match read(name, text, &here()).unwrap() {
        Asked::Locked(locked) => locked,
        Asked::Requirements(_) => panic!("{name} is no lock"),
    }
}

fn names(locked: &[Locked]) -> Vec<&str> {
    locked.iter().map(|package| package.name.as_str()).collect()
}

const UV: &str = r#"
version = 1
revision = 3
requires-python = ">=3.10"

[[package]]
name = "colorama"
version = "0.4.6"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://files.example/colorama-0.4.6-py2.py3-none-any.whl", hash = "sha256:00", size = 1 }]

[[package]]
name = "mine"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "numpy", version = "1.26.2", source = { registry = "https://index.example/simple" }, marker = "python_full_version < '3.12'" },
    { name = "numpy", version = "2.0.0", source = { registry = "https://index.example/simple" }, marker = "python_full_version >= '3.12'" },
    { name = "colorama", marker = "sys_platform == 'win32'" },
    { name = "web", extra = ["fast"] },
]

[package.dev-dependencies]
dev = [{ name = "pytest" }]

[[package]]
name = "numpy"
version = "1.26.2"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://files.example/numpy-1.26.2.tar.gz", hash = "sha256:11", size = 1 }
wheels = [
    { url = "https://files.example/numpy-1.26.2-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", hash = "sha256:22" },
    { url = "https://files.example/numpy-1.26.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", hash = "sha256:33" },
    { url = "https://files.example/numpy-1.26.2-cp311-cp311-musllinux_1_1_x86_64.whl", hash = "sha256:44" },
]

[[package]]
name = "numpy"
version = "2.0.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "web"
version = "1"
source = { git = "https://git.example/web?rev=1#abc" }

[package.optional-dependencies]
fast = [{ name = "fastjson" }]
slow = [{ name = "unwanted" }]

[[package]]
name = "fastjson"
version = "3"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://files.example/fastjson-3.tar.gz" }

[[package]]
name = "pytest"
version = "8"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://files.example/pytest-8-py3-none-any.whl" }]
"#;

#[test]
fn a_uv_lock_is_followed_from_the_project_under_its_conditions() {
    let packages = locked("uv.lock", UV);
    assert_eq!(names(&packages), ["numpy", "web", "fastjson", "pytest"]);
    let Choice::Wheel(wheel) = packages[0].choose(&here()) else { panic!("{:?}", packages[0]) };
    assert!(wheel.name.starts_with("numpy-1.26.2-cp311-cp311-manylinux"), "{}", wheel.name);
    assert_eq!(wheel.hashes, ["sha256:33"]);
    assert_eq!(packages[1].choose(&here()), Choice::Elsewhere("git https://git.example/web?rev=1#abc"));
    assert!(matches!(packages[2].choose(&here()), Choice::Build(file) if file.name == "fastjson-3.tar.gz"));
}

#[test]
fn a_uv_lock_that_refers_to_nothing_is_refused() {
    let text = UV.replace("name = \"fastjson\"\nversion", "name = \"gone\"\nversion");
    let error = read("uv.lock", &text, &here()).unwrap_err();
    assert_eq!(error.to_string(), "web depends on fastjson, which the lock does not have");
}

#[test]
fn a_poetry_lock_is_read_with_conditions_of_either_form() {
    let text = r#"
[[package]]
name = "numpy"
version = "1.26.2"
optional = false
groups = ["main"]
markers = "python_version < \"3.12\""
files = [{file = "numpy-1.26.2-cp310-cp310-manylinux2014_x86_64.whl", hash = "sha256:1"}]

[[package]]
name = "later"
version = "1"
optional = false
markers = {main = "python_version >= \"3.12\"", dev = "sys_platform == \"win32\""}
files = []

[[package]]
name = "extra"
version = "1"
optional = true
files = []

[[package]]
name = "click"
version = "8"
optional = false
files = [{file = "click-8-py3-none-any.whl", hash = "sha256:2"}]

[package.dependencies]
colorama = {version = "*", markers = "platform_system == \"Windows\""}

[[package]]
name = "colorama"
version = "0.4"
optional = false
files = [{file = "colorama-0.4-py2.py3-none-any.whl", hash = "sha256:3"}]

[[package]]
name = "forked"
version = "1"
optional = false
files = []
source = {type = "git", url = "https://git.example/forked", reference = "main"}

[metadata]
lock-version = "2.1"
python-versions = "^3.10"
content-hash = "0"
"#;
    let packages = locked("poetry.lock", text);
    assert_eq!(names(&packages), ["numpy", "click", "forked"]);
    let Choice::Nothing(Some((_, misfits))) = packages[0].choose(&here()) else { panic!() };
    assert!(matches!(misfits.as_slice(), [Misfit::Python { .. }]), "{misfits:?}");
    assert!(matches!(packages[2].choose(&here()), Choice::Elsewhere("git https://git.example/forked")));
}

#[test]
fn a_pylock_is_read_under_its_conditions() {
    let text = r#"
lock-version = "1.0"
created-by = "some tool"

[[packages]]
name = "pyodbc"
version = "5.1.0"
wheels = [
    {url = "https://files.example/a/pyodbc-5.1.0-cp311-cp311-manylinux_2_17_x86_64.whl#x", hashes = {sha256 = "ab"}},
    {name = "pyodbc-5.1.0-cp312-cp312-win_amd64.whl", path = "w/pyodbc.whl", hashes = {sha256 = "cd"}},
]

[[packages]]
name = "pywin32"
marker = "sys_platform == 'win32'"

[[packages]]
name = "mine"
directory = {path = ".", editable = true}
"#;
    for name in ["pylock.toml", "pylock.dev.toml"] {
        let packages = locked(name, text);
        assert_eq!(names(&packages), ["pyodbc", "mine"]);
        let Choice::Wheel(wheel) = packages[0].choose(&here()) else { panic!() };
        assert_eq!(wheel.name, "pyodbc-5.1.0-cp311-cp311-manylinux_2_17_x86_64.whl");
        assert_eq!(wheel.hashes, ["sha256:ab"]);
        assert_eq!(packages[1].choose(&here()), Choice::Elsewhere("folder ."));
    }
}

#[test]
fn a_projects_dependencies_are_left_to_an_installer() {
    let asked =
        read("pyproject.toml", "[project]\nname='x'\ndependencies = ['numpy>=1.26', 'h5py']\n", &here());
    assert_eq!(asked, Ok(Asked::Requirements(vec!["numpy>=1.26".into(), "h5py".into()])));
    let poetry = read("pyproject.toml", "[tool.poetry.dependencies]\nnumpy = '^1.26'\n", &here());
    assert_eq!(poetry, Err(RequirementsError::Poetry));
    assert_eq!(read("pyproject.toml", "[tool.ruff]\n", &here()), Err(RequirementsError::None));
}

#[test]
fn nonsense_is_refused_with_its_line_and_later_formats_by_their_version() {
    let error = |name: &str, text: &str| read(name, text, &here()).unwrap_err().to_string();
    assert!(error("uv.lock", "version = 1\n\n<<<<<<< HEAD\n").starts_with("line 3: "));
    assert!(error("uv.lock", "version = 1\npackage = 3\n").starts_with("line 2: "));
    assert_eq!(error("uv.lock", "version = 7\n"), "it is of version 7, and this pitstop reads up to 1");
    assert!(error("pylock.toml", "lock-version = '2.0'\n").starts_with("it is of version 2.0"));
    assert!(error("poetry.lock", "[metadata]\nlock-version = '3.0'\n").starts_with("it is of version 3.0"));
    let bad = "lock-version = '1.0'\n[[packages]]\nname = 'a'\nmarker = 'os is linux'\n";
    assert!(error("pylock.toml", bad).starts_with("a: the marker \"os is linux\" cannot be read: "));
}

#[test]
fn a_marker_with_letters_beyond_ascii_is_refused_with_its_words() {
    let marker =
        "extra == 'x' or\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd} os_name == 'posix'";
    let text =
        format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\nmarker = \"{marker}\"\n");
    let error = read("pylock.toml", &text, &here()).unwrap_err();
    assert!(error.to_string().contains("letters beyond ASCII"), "{error}");
}
