//! Debian's Contents from a mirror over HTTP(S): named by the suite's `Release`, asked for by their digests, checked, and
//! not fetched again while they are what the mirror names.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pitstop_core::index::release::{self, Listed, Release, ReleaseError};
use ureq::http::StatusCode;

use super::http::{Allowance, Client, FetchError, Reason};
use super::room::Room;
use super::update::{Expected, UpdateError, fetch, hex, sha256_of};
use crate::provide::Interrupt;

/// The most that a `Release` may take, in bytes. Debian's takes some hundred thousand.
const RELEASE_BYTES_MAX: u64 = 16 << 20;
/// Lists for an architecture, and those of packages that fit any.
const ALL: &str = "all";

/// What is read of a mirror.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where its `dists` lies: `https://deb.debian.org/debian`.
    pub url: String,
    /// The suite or its codename: `stable`, `bookworm`.
    pub suite: String,
    /// `main`, `contrib`, …
    pub components: Vec<String>,
    /// `amd64`, …
    pub architecture: String,
}

/// Why a mirror gave no lists.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// It has no such suite.
    #[error("{0} has neither InRelease nor Release")]
    NoSuite(String),
    /// What it says of the suite cannot be read.
    #[error("{url} cannot be read")]
    Release {
        /// Which file.
        url: String,
        /// Why.
        source: ReleaseError,
    },
    /// The suite has no lists of files for any of the components.
    #[error("{url} names no Contents-{architecture} of {}", components.join(", "))]
    NoLists {
        /// The suite.
        url: String,
        /// The architecture.
        architecture: String,
        /// The components.
        components: Vec<String>,
    },
    /// It names a list, and does not have it.
    #[error("the mirror names {0} and does not have it")]
    Gone(String),
    /// It could not be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A list could not be fetched whole, or is another one.
    #[error(transparent)]
    List(#[from] UpdateError),
}

impl Mirror {
    fn dists(&self) -> String {
        format!("{}/dists/{}", self.url.trim_end_matches('/'), self.suite)
    }

    /// Fetches the lists of files into `folder`, and gives them. `progress` is told of each, and how far it is.
    pub fn lists(
        &self,
        folder: &Path,
        client: &Client,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Vec<PathBuf>, MirrorError> {
        let dists = self.dists();
        let release = self.release(client)?;
        let mut lists = Vec::new();
        for component in &self.components {
            for architecture in [self.architecture.as_str(), ALL] {
                let listed = release.contents(component, architecture);
                let Some(first) = listed.first() else { continue };
                let mut found = None;
                for one in &listed {
                    let mut say = |done, whole| progress(&one.path, done, whole);
                    found = self.list(one, release.by_hash, folder, client, interrupt, &mut say)?;
                    if found.is_some() {
                        break;
                    }
                }
                let path = found.ok_or_else(|| MirrorError::Gone(format!("{dists}/{}", first.path)))?;
                // Of those that lie beside the components there is one for all.
                if !lists.contains(&path) {
                    lists.push(path);
                }
            }
        }
        if lists.is_empty() {
            let (architecture, components) = (self.architecture.clone(), self.components.clone());
            return Err(MirrorError::NoLists { url: dists, architecture, components });
        }
        Ok(lists)
    }

    fn release(&self, client: &Client) -> Result<Release, MirrorError> {
        let large = Mutex::new(());
        let dists = self.dists();
        for name in ["InRelease", "Release"] {
            let url = format!("{dists}/{name}");
            let allowance = Allowance { bytes: RELEASE_BYTES_MAX, room: Room::new(&large) };
            if let Some(body) = client.get(&url, allowance, |answer, _| Ok(answer.body))? {
                return release::parse(&body).map_err(|source| MirrorError::Release { url, source });
            }
        }
        Err(MirrorError::NoSuite(dists))
    }

    /// One list, as it lies in `folder`; `None` where the mirror does not have it.
    fn list(
        &self,
        listed: &Listed,
        by_hash: bool,
        folder: &Path,
        client: &Client,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Option<PathBuf>, MirrorError> {
        let name = format!("{}_{}", self.suite, listed.path).replace('/', "_");
        let path = folder.join(name);
        if let Ok(mut known) = fs_err::File::open(&path)
            && sha256_of(&mut known).is_ok_and(|found| found == listed.sha256)
        {
            return Ok(Some(path));
        }
        let plain = format!("{}/{}", self.dists(), listed.path);
        let parent = plain.rsplit_once('/').map_or("", |(parent, _)| parent);
        let hashed = format!("{parent}/by-hash/SHA256/{}", hex(&listed.sha256));
        let expected = Expected { sha256: Some(listed.sha256), bytes: Some(listed.bytes) };
        for url in by_hash.then_some(&hashed).into_iter().chain([&plain]) {
            match fetch(url, &path, expected, client, interrupt, progress, |_| Ok(())) {
                Ok(_) => return Ok(Some(path)),
                Err(UpdateError::Fetch(FetchError { reason: Reason::Status(status), .. }))
                    if status == StatusCode::NOT_FOUND || status == StatusCode::FORBIDDEN => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}
