//! What to index: outputs that `nix-env` names, and lists of store paths.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use pitstop_core::index::nix_env::{self, NixEnvError};
use pitstop_core::index::store_paths::{self, StorePathsError};
use pitstop_core::index::{Package, StorePath};

use super::decode::reader;
use super::http::{Allowance, Client, FetchError};
use super::room::Room;
use crate::provide::Interrupt;

/// The most that a list on a server may take, in bytes: nixpkgs' is below ten megabytes.
const LIST_BYTES_MAX: u64 = 512 << 20;

/// Why it is not known what to index.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A server has no such file.
    #[error("there is no {0}")]
    Absent(String),
    /// A list of packages is broken.
    #[error("{of}: {source}")]
    Packages {
        /// Where it came from.
        of: String,
        /// Where and why.
        source: NixEnvError,
    },
    /// A list of paths is broken.
    #[error("{of}: {source}")]
    Paths {
        /// Where it came from.
        of: String,
        /// Where and why.
        source: StorePathsError,
    },
    /// `nix-env` failed.
    #[error("nix-env could not list the packages of `{nixpkgs}`: {words}")]
    NixEnv {
        /// The package set.
        nixpkgs: String,
        /// Its last words.
        words: String,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Opens a file or a URL, and undoes its compression, by the end of its name or its first bytes.
fn open(name: &str, client: &Client) -> Result<Box<dyn BufRead>, RootsError> {
    let mut buffered: Box<dyn BufRead> = if name.starts_with("http://") || name.starts_with("https://") {
        let large = Mutex::new(());
        let allowance = Allowance { bytes: LIST_BYTES_MAX, room: Room::new(&large) };
        let body = client.get(name, allowance, |answer, _| Ok(answer.body))?;
        Box::new(io::Cursor::new(body.ok_or_else(|| RootsError::Absent(name.to_owned()))?))
    } else {
        let path = name.strip_prefix("file://").unwrap_or(name);
        Box::new(BufReader::with_capacity(1 << 16, fs_err::File::open(path)?))
    };
    let start = buffered.fill_buf()?;
    let kind = match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x1f, 0x8b, ..] => "gzip",
        _ if Path::new(name).extension().is_some_and(|end| end == "br") => "br",
        _ => return Ok(buffered),
    };
    Ok(Box::new(BufReader::new(reader(kind, buffered)?)))
}

/// Reads what `nix-env -qaP --out-path --xml` printed, from a file or a URL.
pub fn packages(name: &str, store_dir: &str, client: &Client) -> Result<Vec<Package>, RootsError> {
    let mut packages = Vec::new();
    nix_env::read(open(name, client)?, store_dir, |package| packages.push(package))
        .map_err(|source| RootsError::Packages { of: name.to_owned(), source })?;
    Ok(packages)
}

/// Reads a list of store paths, from a file or a URL.
pub fn paths(name: &str, store_dir: &str, client: &Client) -> Result<Vec<StorePath>, RootsError> {
    let mut paths = Vec::new();
    for (number, line) in open(name, client)?.lines().enumerate() {
        let path = store_paths::line(number + 1, &line?, store_dir);
        paths.extend(path.map_err(|source| RootsError::Paths { of: name.to_owned(), source })?);
    }
    Ok(paths)
}

/// Asks `nix-env` for every output of a package set: a path, or what else its `-f` takes.
///
/// Aliases would give one path several names, and the user's overlays would make paths that no cache has: both are
/// left out, as nix-index does (`src/nixpkgs.rs`). `scopes` are sets that `nix-env` does not go into by itself.
pub fn evaluate(
    nixpkgs: &str,
    system: Option<&str>,
    scopes: &[String],
    store_dir: &str,
    interrupt: &Interrupt,
) -> Result<Vec<Package>, RootsError> {
    let mut packages = query(nixpkgs, system, None, store_dir, interrupt)?;
    for scope in scopes {
        packages.extend(query(nixpkgs, system, Some(scope), store_dir, interrupt)?);
    }
    Ok(packages)
}

fn query(
    nixpkgs: &str,
    system: Option<&str>,
    scope: Option<&str>,
    store_dir: &str,
    interrupt: &Interrupt,
) -> Result<Vec<Package>, RootsError> {
    let failed = |words: String| RootsError::NixEnv { nixpkgs: nixpkgs.to_owned(), words };
    let mut command = Command::new("nix-env");
    command.args(["-qaP", "--out-path", "--xml", "--arg", "config", "{ allowAliases = false; }"]);
    command.args(["--arg", "overlays", "[ ]", "--file", nixpkgs]);
    command.args(system.iter().flat_map(|system| ["--argstr", "system", system]));
    command.args(scope.iter().flat_map(|scope| ["-A", scope]));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(format!("it could not be started: {error}")))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let errors = thread::spawn(move || last_line(errors));
    let mut packages = Vec::new();
    let mut read = Ok(());
    if let Some(output) = output {
        // A signal from the terminal reaches the child, too; one to us alone ends it here.
        let input = BufReader::new(Watched { inner: output, interrupt });
        read = nix_env::read(input, store_dir, |package| packages.push(package));
        if read.is_err() {
            let _ = child.kill();
        }
    }
    let status = child.wait()?;
    let words = errors.join().unwrap_or_default();
    if interrupt.is_requested() {
        return Err(RootsError::Interrupted);
    }
    // Where it failed, its own words say more than the end of its output.
    if !status.success() && !words.is_empty() {
        return Err(failed(words));
    }
    read.map_err(|source| RootsError::Packages { of: "nix-env".to_owned(), source })?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    Ok(packages)
}

/// The last line that says something.
fn last_line(stream: Option<impl Read>) -> String {
    let mut last = String::new();
    if let Some(stream) = stream {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if line.trim_start().starts_with("error:") || last.is_empty() {
                line.trim().clone_into(&mut last);
            }
        }
    }
    last
}

/// Ends the reading when somebody asked to stop.
struct Watched<'a, R> {
    inner: R,
    interrupt: &'a Interrupt,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_requested() {
            return Err(io::Error::other("interrupted"));
        }
        self.inner.read(to)
    }
}

/// The file that a person means by `--nixpkgs`, as `nix-env -f` takes it: a name that exists is a path.
#[must_use]
pub fn nixpkgs_file(option: &str, folder: &Path) -> String {
    let path: PathBuf = folder.join(option);
    if path.exists() { path.to_string_lossy().into_owned() } else { option.to_owned() }
}
