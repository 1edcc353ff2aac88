//! Fetching an index that others built: resumed where it was, checked, and read whole before it replaces the old one.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, header};

use super::http::{Client, FetchError, Reason};
use super::own::{About, beside, count};
use super::{database, http};
use crate::provide::Interrupt;

/// The most that an index may take, in bytes. nixpkgs' takes some tens of megabytes.
const INDEX_BYTES_MAX: u64 = 4 << 30;

/// What is known of an index before it is fetched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Its SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Its length, in bytes.
    pub bytes: Option<u64>,
}

/// Why a file was not replaced. The old one stands.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is not the one that was meant.
    #[error("{url} has {found}, and {expected} was expected")]
    Other {
        /// Where it came from.
        url: String,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// It is no index that can be read.
    #[error("{url} is no index that can be read")]
    Unreadable {
        /// Where it came from.
        url: String,
        /// Why.
        source: Box<database::Error>,
    },
    /// Another pitstop fetches it.
    #[error("another pitstop fetches the same file (it holds `{0}`)")]
    Busy(PathBuf),
    /// It cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a digest: 64 hexadecimal digits, or `sha256-` and base64 as Nix writes hashes.
#[must_use]
pub fn digest(text: &str) -> Option<[u8; 32]> {
    let bytes: Vec<u8> = if let Some(base64) = text.strip_prefix("sha256-") {
        let digits = base64.strip_suffix('=').unwrap_or(base64).bytes().map(|digit| match digit {
            b'A'..=b'Z' => Some(digit - b'A'),
            b'a'..=b'z' => Some(digit - b'a' + 26),
            b'0'..=b'9' => Some(digit - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        });
        let digits: Vec<u8> = digits.collect::<Option<_>>()?;
        let bits = digits.iter().flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
        let bits: Vec<u8> = bits.collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
    } else {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let pair = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        (0..hex.len()).step_by(2).map(pair).collect::<Option<_>>()?
    };
    bytes.try_into().ok()
}

/// Fetches `url`, checks it, reads it whole, and puts it at `index`.
pub fn update(
    url: &str,
    index: &Path,
    expected: Expected,
    client: &Client,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<About, UpdateError> {
    let unreadable = |source| UpdateError::Unreadable { url: url.to_owned(), source: Box::new(source) };
    let read = |part: &Path| count(part).map_err(unreadable);
    let ((packages, entries), bytes) = fetch(url, index, expected, client, interrupt, progress, read)?;
    let about =
        About { source: vec![url.to_owned()], made: About::now(), packages, entries, bytes, unlisted: 0 };
    about.write(index)?;
    Ok(about)
}

/// Fetches `url`, checks it, gives it to `read`, and puts it at `file`. Gives its length, too.
///
/// What a stop leaves is in `FILE.part`, and the next call goes on from there, as long as the server says by its
/// `ETag` that the file is the same (RFC 9110, section 13.1.5).
pub(super) fn fetch<T>(
    url: &str,
    to: &Path,
    expected: Expected,
    client: &Client,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64, Option<u64>),
    read: impl FnOnce(&Path) -> Result<T, UpdateError>,
) -> Result<(T, u64), UpdateError> {
    if let Some(folder) = to.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let part = beside(to, "part");
    let file = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part)?;
    if file.file().try_lock().is_err() {
        return Err(UpdateError::Busy(part));
    }
    let tag = beside(&part, "etag");
    let mut download =
        Download { url, file, tag, limit: expected.bytes.unwrap_or(INDEX_BYTES_MAX), client, interrupt };
    download.run(progress)?;
    let checked = check(url, &mut download.file, expected).and_then(|bytes| Ok((read(&part)?, bytes)));
    if checked.is_err() {
        // What is wrong now is wrong the next time, too.
        download.forget()?;
        return checked;
    }
    download.file.sync_all()?;
    fs_err::rename(&part, to)?;
    let _ = fs_err::remove_file(&download.tag);
    checked
}

/// Checks length and digest; gives the length.
fn check(url: &str, file: &mut File, expected: Expected) -> Result<u64, UpdateError> {
    let bytes = file.metadata()?.len();
    let other = |found: String, expected: String| UpdateError::Other { url: url.to_owned(), found, expected };
    if let Some(size) = expected.bytes.filter(|size| *size != bytes) {
        return Err(other(format!("{bytes} bytes"), size.to_string()));
    }
    if let Some(sha256) = expected.sha256 {
        let found = sha256_of(file)?;
        if found != sha256 {
            return Err(other(format!("the digest {}", hex(&found)), hex(&sha256)));
        }
    }
    Ok(bytes)
}

/// The SHA-256 of a whole file.
pub(super) fn sha256_of(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    file.rewind()?;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..read]);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Download<'a> {
    url: &'a str,
    file: File,
    /// Which file of the server the part is of: the URL and its entity tag.
    tag: PathBuf,
    limit: u64,
    client: &'a Client,
    interrupt: &'a Interrupt,
}

impl Download<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), FetchError> {
        let mut tries = 0;
        loop {
            let before = self.file.metadata().map_or(0, |facts| facts.len());
            let Err(reason) = self.once(progress) else { return Ok(()) };
            let after = self.file.metadata().map_or(0, |facts| facts.len());
            // A line that gives a little each time gets there, too.
            tries = if after > before && self.held().is_some() { 1 } else { tries + 1 };
            self.client.wait_to_retry(tries, reason).map_err(|reason| FetchError {
                url: self.url.to_owned(),
                tries,
                reason,
            })?;
        }
    }

    /// The tag of what is held, where that can be gone on with.
    fn held(&self) -> Option<String> {
        let text = fs_err::read_to_string(&self.tag).ok()?;
        let (url, tag) = text.trim_end().split_once('\n')?;
        (url == self.url).then(|| tag.to_owned())
    }

    fn forget(&mut self) -> io::Result<()> {
        let _ = fs_err::remove_file(&self.tag);
        self.file.set_len(0)?;
        self.file.rewind()
    }

    fn once(&mut self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), Reason> {
        let mut held = self.file.metadata().map_err(Reason::Body)?.len();
        let mut headers = Vec::new();
        match self.held().filter(|_| held > 0) {
            Some(tag) => headers = vec![("Range", format!("bytes={held}-")), ("If-Range", tag)],
            None => self.forget().map_err(Reason::Body)?,
        }
        let response = self.client.open(self.url, &headers)?;
        match response.status().as_u16() {
            206 if continues(response.headers(), held) => {}
            200 => {
                self.forget().map_err(Reason::Body)?;
                held = 0;
                // A weak tag does not say that the bytes are the same.
                let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
                if let Some(tag) = tag.filter(|tag| tag.starts_with('"')) {
                    fs_err::write(&self.tag, format!("{}\n{tag}\n", self.url)).map_err(Reason::Body)?;
                }
            }
            206 | 416 => {
                self.forget().map_err(Reason::Body)?;
                return Err(Reason::Garbage("the server does not go on where we were".to_owned()));
            }
            _ => return Err(Reason::Status(response.status())),
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let whole = length.map(|length| held.saturating_add(length));
        if whole.is_some_and(|whole| whole > self.limit) {
            return Err(Reason::Large(self.limit));
        }
        self.file.seek(SeekFrom::Start(held)).map_err(Reason::Body)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        let mut done = held;
        loop {
            if self.interrupt.is_requested() {
                return Err(Reason::Interrupted);
            }
            let read = body.read(&mut buffer).map_err(Reason::Body)?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > self.limit {
                return Err(Reason::Large(self.limit));
            }
            self.file.write_all(&buffer[..read]).map_err(Reason::Body)?;
            progress(done, whole);
        }
        if whole.is_some_and(|whole| whole != done) {
            return Err(Reason::Body(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

/// Whether a part of a file begins where ours ends.
fn continues(headers: &HeaderMap, held: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) == Some(held)
}

/// The client that fetches one large file.
#[must_use]
pub fn client(stall: std::time::Duration, interrupt: &Interrupt) -> Client {
    Client::new(http::Settings { stall, connections: 1, ..http::Settings::default() }, interrupt.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_hexadecimal_or_as_nix_writes_it() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let expected = digest(hex).unwrap();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(b"")), expected);
        assert_eq!(digest("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), Some(expected));
        for wrong in ["", "e3", "sha256-AAAA", "é", &hex.replace('e', "g"), &format!("{hex}00")] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
