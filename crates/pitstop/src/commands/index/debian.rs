//! `pitstop index build --debian`: a soname index of Debian's packages.

use std::path::PathBuf;

use pitstop_host::index::contents;
use pitstop_host::index::own;
use pitstop_host::index::sonames::{Error, Index, Input};
use pitstop_host::locating::debians_lists;
use serde::Serialize;

use super::super::progress::{self, Progress};
use super::super::{Done, answer_json, fix};
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

/// Builds the index from the lists that are named, else from those that apt has, else lets apt fetch them.
pub(super) fn run(named: &[PathBuf], json: bool, output: &Output) -> Done {
    let folder = own::folder()
        .ok_or_else(|| CommandError::new(ExitStatus::Usage, Error::Homeless).hint("set HOME"))?;
    let input = match (named, debians_lists()) {
        ([], Some(lists)) => lists,
        ([], None) => {
            let architecture = contents::architecture();
            let mut progress = Progress::new(output);
            let interrupt = fix::interrupt()?;
            let home = folder.join("debian");
            let fetched =
                contents::fetch(&home, architecture, &mut |event| progress.show(&event), &interrupt);
            progress.finish();
            Input::Debian {
                lists: fetched.map_err(fix::provider_error)?,
                architecture: architecture.to_owned(),
            }
        }
        (named, _) => {
            let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let lists = named.iter().map(absolute).collect();
            Input::Debian { lists, architecture: contents::architecture().to_owned() }
        }
    };
    let index = Index::build(&input, &folder, &mut progress::indexing(output)).map_err(|error| {
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
