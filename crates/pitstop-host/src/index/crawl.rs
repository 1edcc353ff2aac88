//! Walking binary caches: from the paths that are asked for through all that they refer to.
//!
//! Worker threads ask; this thread keeps the books. What is learned goes into a journal as it comes, so that memory
//! holds a listing only while it is read, and a walk that was stopped, however rudely, goes on where it was.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use foldhash::HashMap;
use pitstop_core::index::{Entry, Package, StorePath};
use serde::Serialize;

use super::cache::Cache;
use super::graph::{Closures, Graph, Id};
use super::http::Client;
use super::journal::{Journal, JournalError, Known, Record};
use super::pack::{pack, unpack};
use crate::provide::Interrupt;

/// Enough for TLS and the decoders; hundreds of threads take no more of memory than they use.
const STACK_BYTES: usize = 512 << 10;
/// So many failures in a row, and one more for each thread, are no accident.
const FAILED_IN_ROW_MAX: usize = 50;
/// How often progress is shown and a wish to stop is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What is to be walked, and how.
#[derive(Debug)]
pub struct Plan {
    /// The caches, the first that has a path is taken.
    pub caches: Vec<Cache>,
    /// Outputs that a package set names.
    pub packages: Vec<Package>,
    /// Paths that are asked for by name alone.
    pub paths: Vec<StorePath>,
    /// How many requests may be under way at once.
    pub jobs: usize,
    /// Where what is learned is kept until the index is written.
    pub journal: PathBuf,
    /// Whether to forget what an earlier walk learned.
    pub fresh: bool,
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Paths whose files are known.
    pub listed: usize,
    /// Paths whose files cannot be known.
    pub failed: usize,
    /// Paths known of.
    pub known: usize,
    /// Requests made.
    pub requests: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
}

/// Why the files of a path are not in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "words", rename_all = "kebab-case")]
pub enum Unlisted {
    /// No cache has the path. Usual for what is not free to distribute, or did not build.
    Absent,
    /// A cache has the path, but was made without listings.
    NoListing,
    /// It could not be read.
    Failed(String),
}

impl fmt::Display for Unlisted {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => to.write_str("no cache has it"),
            Self::NoListing => to.write_str("the cache has it, but no listing of its files"),
            Self::Failed(words) => to.write_str(words),
        }
    }
}

/// A path whose files are not in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The path, and how it is reached.
    pub package: Package,
    /// Why.
    pub reason: Unlisted,
}

/// Why a walk ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Somebody asked to stop. What was learned is in the journal.
    #[error("interrupted")]
    Interrupted,
    /// Nothing but failures came for a while: going on would take for ever.
    #[error("{failed} paths in a row could not be read, so the walk was stopped: {words}")]
    Down {
        /// How many.
        failed: usize,
        /// What one of them met.
        words: String,
    },
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    Thread(#[source] io::Error),
}

impl From<io::Error> for CrawlError {
    fn from(error: io::Error) -> Self {
        Self::Journal(error.into())
    }
}

/// A walk that is done: what it learned is in its journal.
#[derive(Debug)]
pub struct Walked {
    graph: Graph,
    states: Vec<State>,
    failures: HashMap<Id, String>,
    journal: Journal,
    /// Paths that an earlier walk had learned already.
    pub resumed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    /// Its files are at this place of the journal.
    Listed(u64),
    Unlisted,
    Absent,
    Failed,
}

/// What a worker found.
struct Found {
    record: Record,
    /// What went wrong, where the record is not all that there may be.
    failure: Option<String>,
}

/// Walks the caches.
pub fn walk(
    plan: Plan,
    client: &Client,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<Walked, CrawlError> {
    let Plan { caches, packages, paths, jobs, journal, fresh } = plan;
    let store_dir = caches.first().map_or("/nix/store", |cache| cache.info.store_dir.as_str());
    let mut graph = Graph::new(store_dir);
    for package in &*packages {
        graph.add_package(package);
    }
    for path in &*paths {
        graph.add_path(path);
    }
    drop((packages, paths));

    let identity =
        format!("{store_dir} {}", caches.iter().map(|cache| cache.url("")).collect::<Vec<_>>().join(" "));
    let mut states = Vec::new();
    let journal = Journal::open(&journal, &identity, fresh, |record, place| {
        let id = graph.id(&record.path);
        graph.refer(id, record.size, &record.references);
        states.resize(graph.len(), State::Unknown);
        states[id as usize] = state(record.known, place);
    })?;
    states.resize(graph.len(), State::Unknown);
    let failures = HashMap::default();
    let mut books = Books::new(Walked { graph, states, failures, journal, resumed: 0 });
    let jobs = jobs.max(1);
    let (work, takers) = sync_channel::<(Id, StorePath)>(jobs);
    let (givers, found) = sync_channel::<(Id, Found)>(jobs);
    let takers = Arc::new(Mutex::new(takers));
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (takers, givers, caches) = (Arc::clone(&takers), givers.clone(), &caches);
            let worker = move || serve(&takers, &givers, caches);
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, worker)
                .map_err(CrawlError::Thread)?;
        }
        drop(givers);
        let done = books.run(jobs, &work, &found, interrupt, &mut |known: Progress| {
            let requests = client.counters.requests.load(Ordering::Relaxed);
            let bytes = client.counters.bytes.load(Ordering::Relaxed);
            progress(Progress { requests, bytes, ..known });
        });
        if done.is_err() {
            client.shut_down();
        }
        // Without these, workers end: with nothing to take, and nobody to give an answer to.
        drop((work, found));
        done
    })?;
    Ok(books.walked)
}

fn state(known: Known, place: u64) -> State {
    match known {
        Known::Listed => State::Listed(place),
        Known::Unlisted => State::Unlisted,
        Known::Absent => State::Absent,
    }
}

struct Books {
    walked: Walked,
    progress: Progress,
    /// Paths that are reached from what was asked for. A journal may know of more.
    reached: Vec<bool>,
    queue: VecDeque<Id>,
    /// How many answers in a row were failures.
    failed_in_row: usize,
}

impl Books {
    fn new(walked: Walked) -> Self {
        let reached = vec![false; walked.graph.len()];
        let mut books =
            Self { walked, progress: Progress::default(), reached, queue: VecDeque::new(), failed_in_row: 0 };
        let roots = books.walked.graph.roots().to_vec();
        for root in roots {
            books.visit(root);
        }
        books.walked.resumed = books.progress.listed + books.progress.failed;
        books
    }

    /// Reaches a path: it is to be asked for, or known, and then all that it refers to is reached, too.
    fn visit(&mut self, id: Id) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut self.reached[id as usize], true) {
                continue;
            }
            self.progress.known += 1;
            match self.walked.states[id as usize] {
                State::Unknown => self.queue.push_back(id),
                State::Listed(_) => self.progress.listed += 1,
                _ => self.progress.failed += 1,
            }
            open.extend_from_slice(self.walked.graph.references(id));
        }
    }

    fn run(
        &mut self,
        jobs: usize,
        work: &SyncSender<(Id, StorePath)>,
        found: &Receiver<(Id, Found)>,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), CrawlError> {
        let mut under_way = 0_usize;
        loop {
            while let Some(id) = self.queue.front() {
                match work.try_send((*id, self.walked.graph.path(*id))) {
                    Ok(()) => {
                        self.queue.pop_front();
                        under_way += 1;
                    }
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => break,
                }
            }
            if under_way == 0 {
                progress(self.progress);
                return Ok(());
            }
            match found.recv_timeout(TICK) {
                Ok((id, found)) => {
                    under_way -= 1;
                    self.enter(id, found)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CrawlError::Thread(io::Error::other("all of them ended")));
                }
            }
            if interrupt.is_requested() {
                return Err(CrawlError::Interrupted);
            }
            if self.failed_in_row > FAILED_IN_ROW_MAX + jobs {
                let last = self.walked.failures.values().next().cloned().unwrap_or_default();
                return Err(CrawlError::Down { failed: self.failed_in_row, words: last });
            }
            progress(self.progress);
        }
    }

    fn enter(&mut self, id: Id, found: Found) -> Result<(), CrawlError> {
        let Found { record, failure } = found;
        let Walked { graph, states, failures, journal, .. } = &mut self.walked;
        graph.refer(id, record.size, &record.references);
        states.resize(graph.len(), State::Unknown);
        self.reached.resize(graph.len(), false);
        if let Some(words) = failure {
            // Not in the journal, so that the next walk asks again.
            states[id as usize] = State::Failed;
            failures.insert(id, words);
            self.failed_in_row += 1;
        } else {
            states[id as usize] = state(record.known, journal.append(&record)?);
            self.failed_in_row = 0;
        }
        match states[id as usize] {
            State::Listed(_) => self.progress.listed += 1,
            _ => self.progress.failed += 1,
        }
        for reference in self.walked.graph.references(id).to_vec() {
            self.visit(reference);
        }
        Ok(())
    }
}

fn serve(takers: &Mutex<Receiver<(Id, StorePath)>>, givers: &SyncSender<(Id, Found)>, caches: &[Cache]) {
    loop {
        let taken = takers.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, path)) = taken else { return };
        if givers.send((id, ask(&path, caches))).is_err() {
            return;
        }
    }
}

/// Asks one cache after the other for a path, until one has its files.
fn ask(path: &StorePath, caches: &[Cache]) -> Found {
    let (references, packed) = (Vec::new(), Vec::new());
    let mut record = Record { known: Known::Absent, path: path.clone(), size: 0, references, packed };
    let mut failure = None;
    for cache in caches {
        let info = match cache.narinfo(&path.hash) {
            Ok(Some(info)) => info,
            Ok(None) => continue,
            Err(error) => {
                failure = failure.or(Some(error.to_string()));
                continue;
            }
        };
        record.known = Known::Unlisted;
        (record.size, record.references) = (info.nar_size, info.references);
        match cache.listing(path, |entries| pack(&entries)) {
            Ok(Some(packed)) => {
                record = Record { known: Known::Listed, packed, ..record };
                return Found { record, failure: None };
            }
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error.to_string())),
        }
    }
    // Where one cache failed, another's "no" does not count.
    Found { record, failure }
}

impl Walked {
    /// Every path with its files, in an order that depends on what the caches hold alone; and the gaps.
    pub fn each<E: From<io::Error>>(
        &self,
        mut write: impl FnMut(&Package, &[Entry]) -> Result<(), E>,
    ) -> Result<Vec<Gap>, E> {
        let mut gaps = Vec::new();
        for (id, root) in self.graph.reached() {
            let package = self.graph.package(id, root);
            let reason = match self.states[id as usize] {
                State::Listed(place) => {
                    write(&package, &unpack(&self.journal.packed(place)?)?)?;
                    continue;
                }
                State::Unlisted => Unlisted::NoListing,
                State::Absent => Unlisted::Absent,
                State::Failed | State::Unknown => {
                    let words = self.failures.get(&id).map_or("it was not asked for", String::as_str);
                    Unlisted::Failed(words.to_owned())
                }
            };
            gaps.push(Gap { package, reason });
        }
        Ok(gaps)
    }

    /// How many paths may yet be had from the caches: those whose requests failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures.len()
    }

    /// The bytes of the journal.
    #[must_use]
    pub const fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// How large closures are.
    #[must_use]
    pub fn closures(&self) -> Closures<'_> {
        Closures::of(&self.graph)
    }

    /// Ends the walk. The journal goes, unless requests failed that the next walk may make again.
    pub fn finish(self) -> io::Result<()> {
        if self.failures.is_empty() { self.journal.remove() } else { Ok(()) }
    }
}
