//! `pitstop index build`.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pitstop_core::index::{Entry, Package, StorePath};
use pitstop_host::index::Closures;
use pitstop_host::index::cache::{Cache, CacheError};
use pitstop_host::index::crawl::{self, CrawlError, Gap, Plan, Progress as Step, Unlisted};
use pitstop_host::index::database::Writer;
use pitstop_host::index::http::{Client, Settings};
use pitstop_host::index::local::{LocalError, Store};
use pitstop_host::index::own::{self, About, beside};
use pitstop_host::index::roots::{self, RootsError};
use pitstop_host::index::sonames::{
    self, BuildError, Error as SonamesError, Gathering, Index as Sonames, Input,
};
use pitstop_host::provide::Interrupt;
use serde_json::json;

use super::super::progress::Progress;
use super::super::{Done, answer_json, fix};
use super::{index_file, megabytes, seconds, unwritable};
use crate::args::{Build, Format};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// How many store paths without files are named on the screen.
const GAPS_SHOWN: usize = 20;

/// What came of a build.
struct Built {
    about: About,
    gaps: Vec<Gap>,
    /// Whether there is no soname index because there is no library.
    without_libraries: bool,
    /// How many of the gaps may close when the same is asked for once more.
    retryable: usize,
    resumed: usize,
    last: Step,
}

/// Builds an index.
pub(super) fn run(build: &Build, json: bool, output: &Output) -> Done {
    let index = match build.format {
        Format::All | Format::NixIndex => index_file(build.output.as_deref(), "files")?,
        Format::Soname => index_file(build.output.as_deref(), sonames::NIX)?,
    };
    if let Some(folder) = index.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(unwritable(&index))?;
    }
    let interrupt = fix::interrupt()?;
    let mut progress = Progress::new(output);
    let done = if build.store {
        from_store(build, &index, &interrupt, &mut progress)
    } else {
        from_caches(build, &index, &interrupt, &mut progress)
    };
    progress.finish();
    let done = done?;
    let listing = beside(&index, "unlisted");
    if done.gaps.is_empty() {
        let _ = std::fs::remove_file(&listing);
    } else {
        let text: String = done.gaps.iter().map(gap_line).collect();
        own::replace(&listing, text.as_bytes()).map_err(unwritable(&listing))?;
    }
    if done.without_libraries {
        output.note("it names no library, so no soname index was made of it");
    }
    report(&done, &index, &listing, json, output)?;
    match (done.gaps.is_empty(), build.store) {
        (true, _) => Ok(ExitStatus::Success),
        (false, true) => Ok(ExitStatus::Incomplete),
        (false, false) => Ok(ExitStatus::Provider),
    }
}

fn gap_line(Gap { package, reason }: &Gap) -> String {
    format!("{}\t{}\t{reason}\n", package.path, attribute(package))
}

/// As nix-locate writes it: in brackets where it is only in the closure.
fn attribute(package: &Package) -> String {
    let origin = &package.origin;
    let name = format!("{}.{}", origin.attribute, origin.output);
    if origin.toplevel { name } else { format!("({name})") }
}

fn report(
    built: &Built,
    index: &Path,
    listing: &Path,
    json: bool,
    output: &Output,
) -> Result<(), CommandError> {
    let Built { about, gaps, retryable, resumed, last, .. } = built;
    let path = shown(index.to_string_lossy().as_bytes());
    if json {
        let gaps: Vec<_> = gaps
            .iter()
            .map(|Gap { package, reason }| json!({ "path": package.path.to_string(), "origin": package.origin, "reason": reason }))
            .collect();
        let document = json!({
            "schema": 1, "index": path, "source": about.source, "packages": about.packages,
            "entries": about.entries, "bytes": about.bytes, "partial": !gaps.is_empty(), "unlisted": gaps,
            "retryable": retryable, "resumed": resumed, "requests": last.requests, "received_bytes": last.bytes,
        });
        answer_json(output, &document)?;
    } else {
        output.answer(&format!(
            "{path}: {} store paths, {} files, {}\n",
            about.packages,
            about.entries,
            megabytes(about.bytes)
        ));
    }
    if *resumed > 0 {
        output.note(&format!("{resumed} store paths were known from a build that was interrupted"));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    let mut words = format!("the index is partial: the files of {} store paths are not in it", gaps.len());
    for Gap { package, reason } in gaps.iter().take(GAPS_SHOWN) {
        let _ = write!(words, "\n  {} {}: {reason}", package.path, attribute(package));
    }
    if gaps.len() > GAPS_SHOWN {
        let _ = write!(words, "\n  and {} more", gaps.len() - GAPS_SHOWN);
    }
    output.warning(&words);
    output.note(&format!("all of them are named in {}", shown(listing.to_string_lossy().as_bytes())));
    if *retryable > 0 {
        output.hint(&format!(
            "the same command asks again for the {retryable} whose requests failed, and for no other"
        ));
    }
    Ok(())
}

/// Why an index could not be written.
struct Failed(CommandError);

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(CommandError::new(ExitStatus::Refused, format!("the index cannot be written: {error}")))
    }
}

impl From<LocalError> for Failed {
    fn from(error: LocalError) -> Self {
        Self(local(error))
    }
}

/// What is written.
enum Target {
    Database(Writer),
    Sonames(Box<Gathering>),
}

/// Takes packages, and counts them.
struct Counted {
    target: Target,
    about: About,
}

impl Counted {
    fn create(build: &Build, index: &Path, source: Vec<String>) -> Result<Self, CommandError> {
        let target = match build.format {
            Format::Soname => Target::Sonames(Box::default()),
            // One thread beside this one: memory grows with each.
            _ => Target::Database(Writer::create(index, build.compression, 1).map_err(unwritable(index))?),
        };
        Ok(Self { target, about: About { source, made: About::now(), ..About::default() } })
    }

    fn add(
        &mut self,
        package: &Package,
        entries: &[Entry],
        closures: &Closures<'_>,
    ) -> Result<Option<Unlisted>, io::Error> {
        let added = match &mut self.target {
            Target::Database(writer) => writer.add(package, entries),
            Target::Sonames(sonames) => sonames.add(package, entries, closures.bytes(&package.path)),
        };
        match added {
            Ok(()) => {
                self.about.packages += 1;
                self.about.entries += entries.len() as u64;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Ok(Some(Unlisted::Failed(format!("the index cannot hold its names: {error}"))))
            }
            Err(error) => Err(error),
        }
    }

    fn finish(mut self, index: &Path, gaps: usize) -> Result<About, CommandError> {
        self.about.bytes = match self.target {
            Target::Database(writer) => writer.finish().map_err(unwritable(index))?,
            Target::Sonames(sonames) => {
                let failed = |error| CommandError::new(ExitStatus::Incomplete, error);
                sonames.finish(index, &self.about.source).map_err(failed)?
            }
        };
        self.about.unlisted = gaps as u64;
        self.about.write(index).map_err(unwritable(index))?;
        Ok(self.about)
    }
}

fn from_caches(
    build: &Build,
    index: &Path,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<Built, CommandError> {
    let jobs = usize::from(build.jobs);
    let settings = Settings { stall: seconds(build.timeout), retries: build.retries, connections: jobs };
    let client = Arc::new(Client::new(settings, interrupt.clone()));
    progress.say("asking the binary caches what they are".to_owned());
    let caches = open_caches(&build.cache, &client)?;
    let store_dir = caches.first().map_or("/nix/store", |cache| cache.info.store_dir.as_str()).to_owned();
    let (packages, paths) = what(build, &store_dir, &client, interrupt, progress)?;
    let source = caches.iter().map(|cache| cache.url("")).collect();
    let plan = Plan { caches, packages, paths, jobs, journal: beside(index, "journal"), fresh: build.fresh };
    let mut last = Step::default();
    let walked = crawl::walk(plan, &client, interrupt, &mut |step| {
        last = step;
        let Step { listed, failed, known, requests, bytes } = step;
        progress.say(format!(
            "{} of {known} store paths, {failed} without files; {requests} requests, {}",
            listed + failed,
            megabytes(bytes)
        ));
    })
    .map_err(|error| crawl_failed(error, last))?;
    progress.say(format!("writing {}", index.display()));
    let mut counted = Counted::create(build, index, source)?;
    let closures = walked.closures();
    let mut unfit = Vec::new();
    let gaps = walked.each(|package, entries| {
        if interrupt.is_requested() {
            return Err(Failed(crawl_failed(CrawlError::Interrupted, last)));
        }
        let gap = counted.add(package, entries, &closures)?;
        unfit.extend(gap.map(|reason| Gap { package: package.clone(), reason }));
        Ok(())
    });
    let mut gaps = gaps.map_err(|Failed(error)| error)?;
    gaps.extend(unfit);
    let about = counted.finish(index, gaps.len())?;
    let without_libraries = sonames_of(build, index, &closures, progress)?;
    drop(closures);
    let (retryable, resumed) = (walked.failures(), walked.resumed);
    walked.finish().map_err(unwritable(index))?;
    Ok(Built { about, gaps, without_libraries, retryable, resumed, last })
}

/// Makes the soname index of the database that was written, where one is wanted; gives whether there was no library.
fn sonames_of(
    build: &Build,
    index: &Path,
    closures: &Closures<'_>,
    progress: &mut Progress<'_>,
) -> Result<bool, CommandError> {
    let (Format::All, Some(folder)) = (build.format, own::folder()) else { return Ok(false) };
    let database = Input::Nix(std::path::absolute(index).map_err(unwritable(index))?);
    let mut found = |libraries| progress.say(format!("making the soname index: {libraries} libraries"));
    match Sonames::build(&database, &folder, Some(closures), &mut found) {
        Ok(_) => Ok(false),
        // A cache of documents is whole without one.
        Err(SonamesError::Build(BuildError::Empty { .. })) => Ok(true),
        Err(error) => Err(CommandError::new(ExitStatus::Incomplete, error)),
    }
}

fn open_caches(urls: &[String], client: &Arc<Client>) -> Result<Vec<Cache>, CommandError> {
    let mut caches: Vec<Cache> = Vec::new();
    for url in urls {
        let cache = Cache::open(url, client).map_err(cache_failed)?;
        if let Some(first) = caches.first().filter(|first| first.info.store_dir != cache.info.store_dir) {
            return Err(cache_failed(CacheError::OtherStore {
                cache: cache.url(""),
                other: cache.info.store_dir.clone(),
                first: first.info.store_dir.clone(),
            }));
        }
        caches.push(cache);
    }
    Ok(caches)
}

fn cache_failed(error: CacheError) -> CommandError {
    let status = match error {
        CacheError::Url(_) | CacheError::OtherStore { .. } => ExitStatus::Usage,
        CacheError::NoInfo(_) | CacheError::Fetch(_) => ExitStatus::Provider,
    };
    CommandError::new(status, error)
}

fn crawl_failed(error: CrawlError, last: Step) -> CommandError {
    let kept = format!(
        "what was learned of {} store paths is kept: the same command goes on from there",
        last.listed
    );
    match error {
        CrawlError::Interrupted => {
            CommandError::new(ExitStatus::Refused, "interrupted; no index was written").hint(kept)
        }
        CrawlError::Down { .. } => CommandError::new(ExitStatus::Provider, error).hint(kept),
        CrawlError::Journal(_) | CrawlError::Thread(_) => CommandError::new(ExitStatus::Refused, error),
    }
}

/// What is to be indexed: outputs of attributes, and store paths.
fn what(
    build: &Build,
    store_dir: &str,
    client: &Client,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<(Vec<Package>, Vec<StorePath>), CommandError> {
    let failed = |error: RootsError| {
        let status = match &error {
            RootsError::Fetch(_) | RootsError::Absent(_) | RootsError::NixEnv { .. } => ExitStatus::Provider,
            RootsError::Interrupted => ExitStatus::Refused,
            RootsError::Io(_) | RootsError::Packages { .. } | RootsError::Paths { .. } => {
                ExitStatus::Incomplete
            }
        };
        CommandError::new(status, error)
    };
    let mut packages = Vec::new();
    for name in &build.packages {
        progress.say(format!("reading {name}"));
        packages.extend(roots::packages(name, store_dir, client).map_err(failed)?);
    }
    let mut paths = Vec::new();
    for name in &build.store_paths {
        progress.say(format!("reading {name}"));
        paths.extend(roots::paths(name, store_dir, client).map_err(failed)?);
    }
    let nothing_named = build.packages.is_empty() && build.store_paths.is_empty() && !build.store;
    let nixpkgs = build.nixpkgs.as_deref().or(nothing_named.then_some("<nixpkgs>"));
    if let Some(nixpkgs) = nixpkgs {
        progress.say(format!("evaluating {nixpkgs}, which takes minutes for all of nixpkgs"));
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let file = roots::nixpkgs_file(nixpkgs, &folder);
        let found = roots::evaluate(&file, build.system.as_deref(), &build.scope, store_dir, interrupt);
        packages.extend(found.map_err(failed)?);
    }
    if packages.is_empty() && paths.is_empty() && !build.store {
        return Err(CommandError::new(ExitStatus::Incomplete, "what was named has no packages"));
    }
    Ok((packages, paths))
}

fn local(error: LocalError) -> CommandError {
    let status = match error {
        LocalError::Nix(_) => ExitStatus::Provider,
        LocalError::Io(_) | LocalError::Interrupted => ExitStatus::Refused,
    };
    CommandError::new(status, error)
}

fn from_store(
    build: &Build,
    index: &Path,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<Built, CommandError> {
    let store_dir = std::env::var("NIX_STORE_DIR").unwrap_or_else(|_| "/nix/store".to_owned());
    let client = Client::new(Settings::default(), interrupt.clone());
    let (packages, _) = what(build, &store_dir, &client, interrupt, progress)?;
    progress.say("asking Nix what is in its store".to_owned());
    let store = Store::open(&packages, &store_dir).map_err(local)?;
    let known = store.len();
    let mut counted = Counted::create(build, index, vec!["the local store".to_owned()])?;
    let closures = store.closures();
    let mut unfit = Vec::new();
    let gaps = store.each(interrupt, |package, entries| {
        let gap = counted.add(package, entries, &closures)?;
        unfit.extend(gap.map(|reason| Gap { package: package.clone(), reason }));
        progress.say(format!("{} of {known} store paths", counted.about.packages));
        Ok::<(), Failed>(())
    });
    let mut gaps = gaps.map_err(|Failed(error)| error)?;
    gaps.extend(unfit);
    let about = counted.finish(index, gaps.len())?;
    let without_libraries = sonames_of(build, index, &closures, progress)?;
    Ok(Built { about, gaps, without_libraries, retryable: 0, resumed: 0, last: Step::default() })
}
