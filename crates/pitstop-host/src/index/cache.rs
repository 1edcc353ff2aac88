//! A binary cache: over HTTP(S), or a folder.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pitstop_core::index::cache_info::{self, CacheInfo};
use pitstop_core::index::narinfo::{self, NarInfo};
use pitstop_core::index::{Entry, StorePath, ls};

use super::decode::{Plain, decode};
use super::http::{Allowance, Answer, Client, FetchError, Reason};
use super::room::Room;

/// The most that a `.narinfo` or a `nix-cache-info` may take, in bytes. A path with ten thousand references takes half
/// of it.
const INFO_BYTES_MAX: u64 = 1 << 20;
/// The most that a listing may take as it is sent, in bytes.
const LISTING_BYTES_MAX: u64 = 64 << 20;
/// The most that a listing may unfold to, in bytes. The largest of nixpkgs takes some tens of megabytes.
const LISTING_UNFOLDED_BYTES_MAX: u64 = 256 << 20;

/// Why a cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A URL of another kind.
    #[error(
        "`{0}` is no binary cache that can be read: give an http://, https:// or file:// URL, or a folder"
    )]
    Url(String),
    /// It has no `nix-cache-info`.
    #[error("{0} has no nix-cache-info, so it is no binary cache")]
    NoInfo(String),
    /// It cannot be asked.
    #[error("the binary cache cannot be asked: {0}")]
    Fetch(#[from] FetchError),
    /// It serves another store than those before it.
    #[error("{cache} serves the store {other}, and the first cache {first}")]
    OtherStore {
        /// The cache.
        cache: String,
        /// Its store.
        other: String,
        /// The store of the first.
        first: String,
    },
}

#[derive(Debug)]
enum Base {
    Http(String),
    Folder(PathBuf),
}

/// A binary cache that has said what it is.
#[derive(Debug)]
pub struct Cache {
    base: Base,
    client: Arc<Client>,
    large: Mutex<()>,
    /// What it says of itself.
    pub info: CacheInfo,
}

impl Cache {
    /// Asks a cache what it is. Options after a question mark, which Nix takes in such URLs, are ignored.
    pub fn open(url: &str, client: &Arc<Client>) -> Result<Self, CacheError> {
        let plain = url.split('?').next().unwrap_or_default().trim_end_matches('/');
        let base = if plain.starts_with("http://") || plain.starts_with("https://") {
            Base::Http(plain.to_owned())
        } else if let Some(folder) = plain.strip_prefix("file://") {
            Base::Folder(folder.into())
        } else if plain.starts_with('/') || plain.starts_with("./") {
            Base::Folder(plain.into())
        } else {
            return Err(CacheError::Url(url.to_owned()));
        };
        let info = CacheInfo { store_dir: String::new(), want_mass_query: false, priority: 0 };
        let mut cache = Self { base, client: Arc::clone(client), large: Mutex::new(()), info };
        let is_text: Plain = |bytes| bytes.is_empty() || bytes.first().is_some_and(u8::is_ascii_alphabetic);
        let read = |bytes: Vec<u8>, _: bool| cache_info::parse(&bytes).map_err(|error| error.to_string());
        let info = cache.file("nix-cache-info", INFO_BYTES_MAX, INFO_BYTES_MAX, is_text, read)?;
        cache.info = info.ok_or_else(|| CacheError::NoInfo(cache.url("")))?;
        Ok(cache)
    }

    /// Where a file of the cache is.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        let base = match &self.base {
            Base::Http(url) => url.clone(),
            Base::Folder(folder) => format!("file://{}", folder.display()),
        };
        if file.is_empty() { base } else { format!("{base}/{file}") }
    }

    /// What the cache says of the store path with this hash; `None` where it has none such.
    pub fn narinfo(&self, hash: &str) -> Result<Option<NarInfo>, FetchError> {
        let name = format!("{hash}.narinfo");
        let is_text: Plain = |bytes| bytes.first().is_some_and(u8::is_ascii_alphabetic);
        self.file(&name, INFO_BYTES_MAX, INFO_BYTES_MAX, is_text, |bytes, whole| {
            let info = narinfo::parse(&bytes, &self.info.store_dir).map_err(|error| error.to_string())?;
            if info.path.hash != hash {
                return Err(format!("it is about {}", info.path));
            }
            // References come late in the file. Where nobody said how long it is, a cut would go unseen.
            if !whole && !bytes.ends_with(b"\n") {
                return Err("it ends in the middle of a line".to_owned());
            }
            Ok(info)
        })
    }

    /// The files of a store path, as `interpret` takes them; `None` where the cache has no listing of it.
    ///
    /// Nix writes `HASH.ls`, compressed or not. Old caches have `HASH.ls.xz`.
    pub fn listing<T>(
        &self,
        path: &StorePath,
        interpret: impl Fn(Vec<Entry>) -> io::Result<T>,
    ) -> Result<Option<T>, FetchError> {
        let is_json: Plain = |bytes| bytes.trim_ascii_start().starts_with(b"{");
        let read = |bytes: Vec<u8>, _: bool| {
            let entries = ls::parse(&bytes).map_err(|error| error.to_string())?;
            drop(bytes);
            interpret(entries).map_err(|error| error.to_string())
        };
        for end in ["ls", "ls.xz"] {
            let name = format!("{}.{end}", path.hash);
            let found = self.file(&name, LISTING_BYTES_MAX, LISTING_UNFOLDED_BYTES_MAX, is_json, read)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn file<T>(
        &self,
        name: &str,
        bytes_max: u64,
        unfolded_max: u64,
        plain: Plain,
        read: impl Fn(Vec<u8>, bool) -> Result<T, String>,
    ) -> Result<Option<T>, FetchError> {
        let url = self.url(name);
        let allowance = Allowance { bytes: bytes_max, room: Room::new(&self.large) };
        let interpret = |answer: Answer, room: &mut Room<'_>| {
            let Answer { body, encoding, framed } = answer;
            let body = decode(body, encoding.as_deref(), plain, unfolded_max, room);
            let body = body.map_err(|error| Reason::Garbage(error.to_string()))?;
            read(body, framed).map_err(Reason::Garbage)
        };
        match &self.base {
            Base::Http(_) => self.client.get(&url, allowance, interpret),
            Base::Folder(folder) => {
                let failed = |reason| FetchError { url: url.clone(), tries: 1, reason };
                read_file(&folder.join(name), allowance, interpret).map_err(failed)
            }
        }
    }
}

fn read_file<T>(
    path: &std::path::Path,
    mut allowance: Allowance<'_>,
    interpret: impl Fn(Answer, &mut Room<'_>) -> Result<T, Reason>,
) -> Result<Option<T>, Reason> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Reason::Body(error)),
    };
    let body = allowance.room.read(&mut file.take(allowance.bytes + 1)).map_err(Reason::Body)?;
    if body.len() as u64 > allowance.bytes {
        return Err(Reason::Large(allowance.bytes));
    }
    interpret(Answer { body, encoding: None, framed: true }, &mut allowance.room).map(Some)
}
