//! Fetching wheels with the installer that is there: it knows its indexes, credentials and caches.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::LaidOut;
use crate::child::{self, ChildError};

/// How long a download may take. The largest wheels are gigabytes.
const LIMIT: Duration = Duration::from_hours(1);

/// What shall be fetched.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Lines of a requirements file.
    pub lines: Vec<String>,
    /// Requirements files of the user's.
    pub files: Vec<PathBuf>,
    /// Whether what these depend on is fetched too.
    pub with_dependencies: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Obtained {
    /// The wheels fetched. Empty where uv unpacked them into the layout itself.
    pub wheels: Vec<PathBuf>,
    /// The folder that they lie in, gone with this.
    _folder: tempfile::TempDir,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// A temporary file could not be written.
    #[error("{}: {cause}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// There is no pip for this Python, and no uv.
    #[error("{} has no pip, and there is no uv on the PATH", .0.display())]
    NoInstaller(PathBuf),
    /// The installer failed.
    #[error("{installer} failed: {words}")]
    Failed {
        /// `pip download` or `uv pip install`.
        installer: &'static str,
        /// Its last words.
        words: String,
    },
    /// The installer could not be run.
    #[error("{installer}: {cause}")]
    NotRun {
        /// `pip download` or `uv pip install`.
        installer: &'static str,
        /// Why.
        #[source]
        cause: ChildError,
    },
}

/// Fetches wheels for a Python, and only wheels: fetching a source distribution would run its code.
///
/// pip of that Python is asked first, then uv, which unpacks what it fetches into `layout`. Both use their own caches.
pub fn obtain(python: &Path, wishes: &Wishes, layout: &LaidOut) -> Result<Obtained, ObtainError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| ObtainError::Folder { path, cause }
    };
    let folder = tempfile::Builder::new()
        .prefix("pitstop-download-")
        .tempdir()
        .map_err(failed(&std::env::temp_dir()))?;
    let list = folder.path().join("requirements.txt");
    fs::write(&list, wishes.lines.join("\n") + "\n").map_err(failed(&list))?;
    let wheels = folder.path().join("wheels");
    fs::create_dir(&wheels).map_err(failed(&wheels))?;

    let mut asked: Vec<OsString> = Vec::new();
    for file in std::iter::once(&list).filter(|_| !wishes.lines.is_empty()).chain(&wishes.files) {
        asked.extend(["-r".into(), file.into()]);
    }
    if !wishes.with_dependencies {
        asked.push("--no-deps".into());
    }
    if has_pip(python) {
        let mut pip = Command::new(python);
        pip.args(["-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]);
        pip.args(["--only-binary", ":all:", "--dest"]).arg(&wheels).args(&asked);
        run(&mut pip, "pip download")?;
    } else {
        let mut uv = Command::new("uv");
        uv.args(["pip", "install", "--quiet", "--no-build", "--no-config", "--python"]).arg(python);
        uv.arg("--target").arg(layout.site_packages()).args(&asked);
        match run(&mut uv, "uv pip install") {
            Err(ObtainError::NotRun { cause: ChildError::Start(cause), .. })
                if cause.kind() == io::ErrorKind::NotFound =>
            {
                return Err(ObtainError::NoInstaller(python.to_owned()));
            }
            done => done?,
        }
    }
    let entries = fs::read_dir(&wheels).map_err(failed(&wheels))?;
    let mut wheels: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    wheels.sort();
    Ok(Obtained { wheels, _folder: folder })
}

/// uv tells what failed in its first line, why in those that follow, and digests in the last.
fn in_one_line(errors: &str) -> String {
    const LETTERS_MAX: usize = 600;
    let words: Vec<&str> = errors.split_whitespace().collect();
    words.join(" ").chars().take(LETTERS_MAX).collect()
}

fn has_pip(python: &Path) -> bool {
    let mut ask = Command::new(python);
    ask.args(["-I", "-c", "import pip"]);
    child::run(&mut ask, LIMIT).is_ok_and(|finished| finished.status.success())
}

fn run(command: &mut Command, installer: &'static str) -> Result<(), ObtainError> {
    for variable in ["LD_LIBRARY_PATH", "LD_PRELOAD"] {
        command.env_remove(variable);
    }
    let finished = child::run(command, LIMIT).map_err(|cause| ObtainError::NotRun { installer, cause })?;
    if finished.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&finished.stderr);
    // pip begins its own errors so; the first one says what, the last one only that it gave up.
    let own = errors.lines().find_map(|line| line.strip_prefix("ERROR: "));
    let words = own.map_or_else(|| in_one_line(&errors), str::to_owned);
    let words = if words.is_empty() { finished.last_words() } else { words };
    Err(ObtainError::Failed { installer, words })
}
