//! `pitstop index build --debian`: a soname index of Debian's packages.

use std::path::{Path, PathBuf};

use pitstop_core::locate::Distribution;
use pitstop_host::index::contents;
use pitstop_host::index::mirror::{Mirror, MirrorError};
use pitstop_host::index::own;
use pitstop_host::index::sonames::{Error, Index, Input};
use pitstop_host::index::update;
use serde::Serialize;

use super::super::progress::{self, Progress};
use super::super::{Done, answer_json, fix};
use super::fetch::update_failed;
use super::{megabytes, seconds};
use crate::args::Build;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// What was built, as other programs read it.
#[derive(Serialize)]
struct DebianReport {
    schema: u32,
    /// The index.
    index: String,
    /// The lists that it was made from.
    lists: Vec<String>,
    /// Different file names.
    names: u64,
    /// Libraries.
    libraries: u64,
    /// Packages that have one.
    packages: u64,
}

/// Builds the index from the lists that are named or that a mirror has, else from those that apt has, else lets apt fetch
/// them.
pub(super) fn run(build: &Build, named: &[String], json: bool, output: &Output) -> Done {
    let folder = own::folder()
        .ok_or_else(|| CommandError::new(ExitStatus::Usage, Error::Homeless).hint("set HOME"))?;
    let home = folder.join("debian");
    let architecture = build.architecture.as_deref().unwrap_or(contents::architecture());
    let is_url = |word: &String| word.contains("://");
    let lists = match named {
        [] => match contents::apts_own(architecture) {
            lists if lists.is_empty() => by_apt(&home, architecture, output)?,
            lists => lists,
        },
        [url] if is_url(url) => of_mirror(url, build, architecture, &home, output)?,
        named if named.iter().any(is_url) => {
            return Err(CommandError::new(ExitStatus::Usage, "name one mirror, or files"));
        }
        named => {
            let absolute = |path: &String| std::path::absolute(path).unwrap_or_else(|_| path.into());
            named.iter().map(absolute).collect()
        }
    };
    let input = Input::Debian { lists, architecture: architecture.to_owned() };
    let index = Index::build(&input, &folder, None, &mut progress::indexing(output)).map_err(|error| {
        CommandError::new(ExitStatus::Incomplete, error)
            .hint("name the lists of files: `pitstop index build --debian FILE…`")
    })?;
    let (counts, made) = (index.sonames().counts(), index.sonames().made());
    let report = DebianReport {
        schema: pitstop_core::report::SCHEMA,
        index: fix::shown_path(index.path()),
        lists: made.sources.iter().map(|source| shown(source.place.as_slice())).collect(),
        names: counts.names,
        libraries: counts.libraries,
        packages: counts.packages,
    };
    if json {
        return answer_json(output, &report);
    }
    let DebianReport { index, names, libraries, packages, .. } = report;
    output.answer(&format!("{index}: {libraries} libraries of {names} names in {packages} packages\n"));
    Ok(ExitStatus::Success)
}

fn by_apt(home: &Path, architecture: &str, output: &Output) -> Result<Vec<PathBuf>, CommandError> {
    let mut progress = Progress::new(output);
    let interrupt = fix::interrupt()?;
    let fetched = contents::fetch(home, architecture, &mut |event| progress.show(&event), &interrupt);
    progress.finish();
    fetched.map_err(fix::provider_error)
}

fn of_mirror(
    url: &str,
    build: &Build,
    architecture: &str,
    home: &Path,
    output: &Output,
) -> Result<Vec<PathBuf>, CommandError> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let words = format!("`{url}` is no mirror that can be asked");
        return Err(CommandError::new(ExitStatus::Usage, words)
            .hint("give an http:// or https:// URL, or the lists of files themselves"));
    }
    let mirror = Mirror {
        url: url.to_owned(),
        suite: build.suite.clone().unwrap_or_else(own_suite),
        components: build.component.clone(),
        architecture: architecture.to_owned(),
    };
    let interrupt = fix::interrupt()?;
    let client = update::client(seconds(build.timeout), &interrupt);
    let mut progress = Progress::new(output);
    progress.say(format!("asking for {url}"));
    let lists = mirror.lists(&home.join("mirror"), &client, &interrupt, &mut |list, done, whole| {
        let of = whole.map(|whole| format!(" of {}", megabytes(whole))).unwrap_or_default();
        progress.say(format!("{}{of} of {list}", megabytes(done)));
    });
    progress.finish();
    lists.map_err(|error| match error {
        MirrorError::List(error) => update_failed(error),
        MirrorError::Fetch(_) | MirrorError::Gone(_) => CommandError::new(ExitStatus::Provider, error),
        MirrorError::Release { .. } => CommandError::new(ExitStatus::Incomplete, error),
        MirrorError::NoSuite(_) | MirrorError::NoLists { .. } => {
            CommandError::new(ExitStatus::Provider, error)
                .hint("--suite, --component and --architecture say which lists are meant")
        }
    })
}

/// The suite that this machine runs, where it is Debian's or one made from it.
fn own_suite() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.map(|name| name.trim_matches('"')).filter(|name| !name.is_empty());
    match (super::super::target::distribution(), codename) {
        (Distribution::Debian(_), Some(codename)) => codename.to_owned(),
        _ => "stable".to_owned(),
    }
}
