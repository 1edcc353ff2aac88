//! `pitstop index update` and `import`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pitstop_host::index::own::{self, About, count};
use pitstop_host::index::update::{self, Expected, UpdateError};
use pitstop_host::provide::Interrupt;
use serde_json::json;

use super::super::progress::Progress;
use super::super::{Done, answer_json, fix};
use super::{index_file, megabytes, seconds, unwritable};
use crate::args::{Import, Update};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// The variable that names another place for the index.
const VARIABLE: &str = "PITSTOP_INDEX_URL";
/// Where nix-community publishes an index of nixpkgs-unstable each week.
const RELEASES: &str = "https://github.com/nix-community/nix-index-database/releases/latest/download";

/// Where an index is fetched from when nothing else is said.
fn default_url() -> String {
    let variable = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    variable
        .unwrap_or_else(|| format!("{RELEASES}/index-{}-{}", std::env::consts::ARCH, std::env::consts::OS))
}

/// Fetches pitstop's own index from where it is fetched by default; for a `fix` that may use the network.
pub(in crate::commands) fn fetch_own(interrupt: &Interrupt) -> Result<PathBuf, String> {
    /// How long a server may stay silent.
    const STALL: Duration = Duration::from_secs(30);
    let index = own::folder().ok_or("there is no home folder to keep an index in")?.join("files");
    let client = update::client(STALL, interrupt);
    let url = default_url();
    let fetched = update::update(&url, &index, Expected::default(), &client, interrupt, &mut |_, _| {});
    fetched.map(|_| index).map_err(|error| {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            words.push_str(&format!(": {error}"));
            cause = error.source();
        }
        words
    })
}

/// Fetches an index.
pub(super) fn update(arguments: &Update, json: bool, output: &Output) -> Done {
    let index = index_file(arguments.output.as_deref(), "files")?;
    let sha256 = arguments.sha256.as_deref().map(|text| {
        let wrong = || format!("`{text}` is no SHA-256: give 64 hexadecimal digits, or sha256-BASE64");
        update::digest(text).ok_or_else(|| CommandError::new(ExitStatus::Usage, wrong()))
    });
    let expected = Expected { sha256: sha256.transpose()?, bytes: arguments.size };
    let url = arguments.url.clone().unwrap_or_else(default_url);
    let interrupt = fix::interrupt()?;
    let client = update::client(seconds(arguments.timeout), &interrupt);
    let mut progress = Progress::new(output);
    progress.say(format!("asking for {url}"));
    let done = update::update(&url, &index, expected, &client, &interrupt, &mut |done, whole| {
        let of = whole.map(|whole| format!(" of {}", megabytes(whole))).unwrap_or_default();
        progress.say(format!("{}{of} of {url}", megabytes(done)));
    });
    progress.finish();
    let about = done.map_err(|error| {
        let stays = if index.exists() { "the index that was there stays as it is" } else { "" };
        update_failed(error).hint(stays)
    })?;
    answer(&about, &index, json, output)
}

/// Why something was not fetched.
pub(super) fn update_failed(error: UpdateError) -> CommandError {
    let status = match &error {
        UpdateError::Fetch(_) => ExitStatus::Provider,
        UpdateError::Unreadable { .. } => ExitStatus::Incomplete,
        UpdateError::Other { .. } | UpdateError::Busy(_) | UpdateError::Io(_) => ExitStatus::Refused,
    };
    CommandError::new(status, error)
}

/// Takes an index from a file.
pub(super) fn import(arguments: &Import, json: bool, output: &Output) -> Done {
    let index = index_file(None, "files")?;
    let file = &arguments.file;
    let unreadable = |error| CommandError::new(ExitStatus::Incomplete, error);
    let (packages, entries) = count(file).map_err(unreadable)?;
    let folder = index.parent().unwrap_or(Path::new("."));
    let copy = || {
        std::fs::create_dir_all(folder)?;
        let mut copy = tempfile::Builder::new().prefix(".files-").tempfile_in(folder)?;
        let bytes = std::io::copy(&mut std::fs::File::open(file)?, &mut copy)?;
        copy.as_file().sync_all()?;
        copy.persist(&index).map_err(|error| error.error)?;
        let source = vec![std::path::absolute(file)?.to_string_lossy().into_owned()];
        let about = About { source, made: About::now(), packages, entries, bytes, unlisted: 0 };
        about.write(&index).map(|()| about)
    };
    let about = copy().map_err(unwritable(&index))?;
    answer(&about, &index, json, output)
}

fn answer(about: &About, index: &Path, json: bool, output: &Output) -> Done {
    let path = shown(index.to_string_lossy().as_bytes());
    if json {
        return answer_json(output, &json!({ "schema": 1, "index": path, "about": about }));
    }
    output.answer(&format!(
        "{path}: {} store paths, {} files, {}\n",
        about.packages,
        about.entries,
        megabytes(about.bytes)
    ));
    Ok(ExitStatus::Success)
}
