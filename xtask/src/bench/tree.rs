//! The environments that are measured, made by pip once and kept in `$XDG_CACHE_HOME/pitstop-bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run;

/// The large environment: the wheels with the most native code that people install, without what they require, most of
/// which is Python, or several GB more of CUDA.
const LARGE: &[&str] = &[
    "numpy",
    "h5py",
    "pillow",
    "pyzmq",
    "scipy",
    "pandas",
    "matplotlib",
    "lxml",
    "pyarrow",
    "grpcio",
    "opencv-python",
    "pyodbc",
    "shapely",
    "scikit-learn",
    "PyQt6",
    "PyQt6-Qt6",
    "PyQt6-sip",
    "soundfile",
    "cffi",
    "torch",
    "nvidia-cublas-cu12",
    "nvidia-cudnn-cu12",
    "nvidia-cusparse-cu12",
    "nvidia-nccl-cu12",
    "tensorflow",
    "setuptools",
    "kiwisolver",
    "contourpy",
    "fonttools",
    "joblib",
    "cryptography",
    "aiohttp",
    "sqlalchemy",
    "ruff",
    "polars",
];
/// A small one that `pitstop fix` mends: everything but what `pyodbc` needs is there on most machines.
const SMALL: &[&str] = &["numpy", "pandas", "pyodbc"];

/// What is copied until there are many packages: some with native code, some with much Python, some small.
const MANY: &[&str] = &[
    "numpy",
    "pillow",
    "lxml",
    "cffi",
    "cryptography",
    "pyyaml",
    "aiohttp",
    "sqlalchemy",
    "soundfile",
    "python-magic",
    "setuptools",
    "requests",
    "urllib3",
    "idna",
    "certifi",
    "charset-normalizer",
    "jinja2",
    "markupsafe",
    "click",
    "flask",
    "werkzeug",
    "pygments",
    "networkx",
    "pytest",
    "rich",
    "attrs",
    "packaging",
    "pyparsing",
    "python-dateutil",
    "six",
    "pydantic",
    "pydantic-core",
    "typing-extensions",
    "fonttools",
    "joblib",
    "tqdm",
    "psutil",
    "docutils",
    "sphinx",
    "mypy",
];
/// How many that is.
const MANY_PACKAGES: &str = "500";
/// Copies them.
const COPY: &str = include_str!("many.py");

/// How large an environment is.
pub(super) struct Size {
    pub(super) native_files: String,
    pub(super) files: usize,
    pub(super) gigabytes: f64,
}

impl Size {
    pub(super) fn of(pitstop: &Path, venv: &Path) -> Result<Self> {
        let output = Command::new(pitstop).args(["check", "--static", "--json"]).arg(venv).output()?;
        let report = String::from_utf8(output.stdout)?;
        let line = report.lines().find_map(|line| line.trim().strip_prefix("\"files\": "));
        let native_files = line.context("the report counts no files")?.trim_end_matches(',').to_owned();
        let output = Command::new("find").arg(venv).args(["-type", "f", "-printf", "%s\n"]).output()?;
        let sizes = String::from_utf8(output.stdout)?;
        let bytes: f64 = sizes.lines().filter_map(|line| line.parse::<f64>().ok()).sum();
        Ok(Self { native_files, files: sizes.lines().count(), gigabytes: bytes / 1e9 })
    }
}

/// The large environment.
pub(super) fn large() -> Result<PathBuf> {
    made("large", |venv| install(venv, LARGE, &["--no-deps", "--no-cache-dir"]))
}

/// An environment of [`MANY_PACKAGES`] packages.
pub(super) fn many() -> Result<PathBuf> {
    made("many", |venv| {
        install(venv, MANY, &["--no-deps", "--no-compile"])?;
        let mut command = Command::new(venv.join("bin/python"));
        let site = "import sysconfig; print(sysconfig.get_path('platlib'))";
        let site = Command::new(venv.join("bin/python")).args(["-c", site]).output()?;
        let site = String::from_utf8(site.stdout)?;
        run(command.args(["-c", COPY, site.trim(), MANY_PACKAGES]))
    })
}

/// The small environment as it is, and a copy of it that was fixed.
pub(super) fn small(pitstop: &Path) -> Result<(PathBuf, PathBuf)> {
    let plain = made("small", |venv| install(venv, SMALL, &[]))?;
    // The copy is byte for byte the same, so that nothing but the fix tells the two apart.
    let fixed = made("fixed", |venv| {
        run(Command::new("rm").args(["-rf", "--"]).arg(venv))?;
        run(Command::new("cp").args(["-a", "--"]).args([&plain, venv]))?;
        // Status 1: something has no provider here. What could be fixed is.
        let status = Command::new(pitstop).arg("fix").arg(venv).status()?;
        ensure!(matches!(status.code(), Some(0 | 1)), "pitstop fix: {status}");
        Ok(())
    })?;
    Ok((plain, fixed))
}

/// An environment of this name, made where it is not whole.
fn made(name: &str, fill: impl FnOnce(&PathBuf) -> Result<()>) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder =
        cache.or_else(home).context("there is no HOME to keep environments in")?.join("pitstop-bench");
    let (venv, whole) = (folder.join(name), folder.join(format!("{name}.whole")));
    if !whole.exists() {
        println!("xtask: making {}", venv.display());
        std::fs::create_dir_all(&folder)?;
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        fill(&venv)?;
        std::fs::write(whole, "")?;
    }
    Ok(venv)
}

fn install(venv: &Path, packages: &[&str], options: &[&str]) -> Result<()> {
    let pip = |packages: &[&str]| {
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(options).args(packages))
    };
    // One by one, so that what is unpacked does not lie about while all the rest is fetched.
    packages.iter().try_for_each(|package| pip(&[package]))
}
