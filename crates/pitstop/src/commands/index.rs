//! `pitstop index`: builds, fetches and describes indexes.

mod build;
mod debian;
mod fetch;
mod info;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pitstop_host::index::own;

use super::Done;
use crate::args::Index;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::Output;

pub(super) use fetch::fetch_own;

/// Does what is asked for.
pub(super) fn run(arguments: &Index, json: bool, output: &Output) -> Done {
    match arguments {
        Index::Build(build) => match &build.debian {
            Some(named) => debian::run(build, named, json, output),
            None => build::run(build, json, output),
        },
        Index::Update(update) => fetch::update(update, json, output),
        Index::Import(import) => fetch::import(import, json, output),
        Index::Info => info::run(json, output),
    }
}

/// The file that is meant: the one that is named, or pitstop's own of this name.
fn index_file(named: Option<&Path>, own: &str) -> Result<PathBuf, CommandError> {
    match named {
        Some(path) if path.is_dir() => Err(CommandError::new(
            ExitStatus::Usage,
            format!("`{}` is a folder: name the file that the index is to be", path.display()),
        )
        .hint(format!("nix-locate reads `{}`", path.join("files").display()))),
        Some(path) => Ok(path.to_owned()),
        None => own::folder().map(|folder| folder.join(own)).ok_or_else(|| {
            CommandError::new(ExitStatus::Usage, "there is no home folder to keep an index in")
                .hint("name a file with --output")
        }),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> CommandError {
    let words = format!("the index `{}` cannot be written", path.display());
    move |error| CommandError::new(ExitStatus::Refused, format!("{words}: {error}"))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
