//! The index that pitstop keeps: where it is, and what is said of it.

use std::env;
use std::fs::Permissions;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pitstop_core::secrets::without_credentials;
use serde::{Deserialize, Serialize};

use super::database::{self, Reader};

/// `$XDG_CACHE_HOME/pitstop/index`, or where that lies by default. The index in it is the file `files`, as nix-index
/// calls its own; nix-index's own folder is never written.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    cache.or_else(home).filter(|path| path.is_absolute()).map(|path| path.join("pitstop/index"))
}

/// What is known of an index beside what stands in it; kept beside it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Where it comes from: URLs of binary caches, of a release, a file, or `the local store`.
    pub source: Vec<String>,
    /// When it was made here, in seconds since 1970.
    pub made: u64,
    /// How many store paths it has.
    pub packages: u64,
    /// How many files, folders and links they have.
    pub entries: u64,
    /// Its length, in bytes. Where the file has another one, somebody else wrote it since.
    pub bytes: u64,
    /// How many store paths it should have and has not.
    pub unlisted: u64,
}

impl About {
    /// Now, in seconds since 1970.
    #[must_use]
    pub fn now() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// What is said of the index at a path; nothing where the words are not about what stands there now.
    #[must_use]
    pub fn read(index: &Path) -> Option<Self> {
        let about: Self = serde_json::from_slice(&fs_err::read(beside(index, "json")).ok()?).ok()?;
        let bytes = fs_err::metadata(index).ok()?.len();
        (about.bytes == bytes).then_some(about)
    }

    /// Says it of the index at a path.
    pub fn write(&self, index: &Path) -> io::Result<()> {
        // The file lies in a cache that backups and colleagues may read.
        let source = self.source.iter().map(|source| without_credentials(source).into_owned()).collect();
        replace(&beside(index, "json"), &serde_json::to_vec_pretty(&Self { source, ..self.clone() })?)
    }
}

/// A file that belongs to an index: its name with an end.
#[must_use]
pub fn beside(index: &Path, end: &str) -> PathBuf {
    let mut name = index.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Writes a file whole or not at all.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As any other file: the umask takes from it.
    let mut file =
        builder.prefix(".pitstop-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads an index whole; gives how many packages and entries it has.
pub fn count(index: &Path) -> Result<(u64, u64), database::Error> {
    let (mut packages, mut entries) = (0, 0);
    Reader::open(index)?.for_each(
        |_| true,
        |_, found| {
            packages += 1;
            entries += found.len() as u64;
            ControlFlow::Continue(())
        },
    )?;
    Ok((packages, entries))
}
