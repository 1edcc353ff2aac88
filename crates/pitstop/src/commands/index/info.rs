//! `pitstop index info`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pitstop_host::index::database::Reader;
use pitstop_host::index::own::{self, About};
use pitstop_host::index::sonames::{Error, Index};
use serde_json::json;

use super::super::{Done, answer_json};
use super::megabytes;
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};

/// Says which indexes are there: pitstop's own, nix-index's, and soname indexes.
pub(super) fn run(json: bool, output: &Output) -> Done {
    let own = own::folder();
    let beside = own.as_deref().and_then(|folder| folder.parent()?.parent());
    let variable = std::env::var_os("NIX_INDEX_DATABASE").map(PathBuf::from);
    let folders = [own.clone(), variable, beside.map(|cache| cache.join("nix-index"))];
    let mut files: Vec<PathBuf> = folders.into_iter().flatten().map(|folder| folder.join("files")).collect();
    files.dedup();
    files.retain(|file| file.exists());
    let sonames = Sonames::of(own.as_deref());
    let facts = files.iter().map(|file| {
        let metadata = std::fs::metadata(file).ok();
        let about = About::read(file);
        let changed = metadata.as_ref().and_then(|facts| facts.modified().ok());
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|age| age.as_secs());
        let made = about.as_ref().map(|about| about.made).or(changed.and_then(seconds));
        let trouble = Reader::open(file).err().map(|error| words(&error));
        (file, metadata.map_or(0, |facts| facts.len()), made.unwrap_or_default(), about, trouble)
    });
    if json {
        let indexes: Vec<_> = facts
            .map(|(file, bytes, made, about, trouble)| {
                json!({ "index": file.to_string_lossy(), "bytes": bytes, "made": made, "about": about, "trouble": trouble })
            })
            .collect();
        let sonames: Vec<_> = sonames.iter().map(Sonames::document).collect();
        return answer_json(output, &json!({ "schema": 1, "indexes": indexes, "sonames": sonames }));
    }
    if files.is_empty() && sonames.is_empty() {
        output.answer("there is no index\n");
        output.hint("`pitstop index update` fetches one, `pitstop index build` makes one");
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["index", "size", "age", "packages", "files", "from"]);
    for (file, bytes, made, about, trouble) in facts {
        let number =
            |of: fn(&About) -> u64| about.as_ref().map_or("-".to_owned(), |about| of(about).to_string());
        let from = about.as_ref().map_or_else(|| "somebody else".to_owned(), |about| about.source.join(" "));
        table.row([
            (shown(file.to_string_lossy().as_bytes()), Tone::Strong),
            (megabytes(bytes), Tone::Plain),
            (age(made), Tone::Plain),
            (number(|about| about.packages), Tone::Plain),
            (number(|about| about.entries), Tone::Plain),
            (shown(from), Tone::Faint),
        ]);
        if let Some(trouble) = trouble {
            output.warning(&trouble);
        }
        if let Some(about) = about.filter(|about| about.unlisted > 0) {
            output.note(&format!(
                "{} lacks {} store paths",
                shown(file.to_string_lossy().as_bytes()),
                about.unlisted
            ));
        }
    }
    for index in &sonames {
        table.row(index.row());
        if let Err(error) = &index.index {
            output.warning(&words(error));
        }
    }
    output.answer(&table.render());
    Ok(ExitStatus::Success)
}

/// A soname index.
struct Sonames {
    file: PathBuf,
    bytes: u64,
    index: Result<Index, Error>,
}

impl Sonames {
    /// Those in pitstop's own folder, by name.
    fn of(folder: Option<&Path>) -> Vec<Self> {
        let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten();
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<PathBuf> =
            files.filter(|file| file.extension().is_some_and(|end| end == "sonames")).collect();
        files.sort();
        let opened = files.into_iter().filter_map(|file| {
            let bytes = std::fs::metadata(&file).map_or(0, |facts| facts.len());
            Some(Self { index: Index::at(&file).transpose()?, file, bytes })
        });
        opened.collect()
    }

    fn row(&self) -> [(String, Tone); 6] {
        let said = |index: &Index| {
            let (counts, made) = (index.sonames().counts(), index.sonames().made());
            let from: Vec<String> = made.sources.iter().map(|source| shown(&source.place)).collect();
            (age(made.built), counts.packages.to_string(), counts.libraries.to_string(), from.join(" "))
        };
        let (age, packages, libraries, from) = self.index.as_ref().map(said).unwrap_or_default();
        [
            (shown(self.file.to_string_lossy().as_bytes()), Tone::Strong),
            (megabytes(self.bytes), Tone::Plain),
            (age, Tone::Plain),
            (packages, Tone::Plain),
            (libraries, Tone::Plain),
            (from, Tone::Faint),
        ]
    }

    fn document(&self) -> serde_json::Value {
        let mut document = json!({ "index": self.file.to_string_lossy(), "bytes": self.bytes });
        match &self.index {
            Ok(index) => {
                let (counts, made) = (index.sonames().counts(), index.sonames().made());
                let sources: Vec<String> =
                    made.sources.iter().map(|source| source.place.to_string()).collect();
                document["made"] = made.built.into();
                document["packages"] = counts.packages.into();
                document["libraries"] = counts.libraries.into();
                document["source"] = sources.into();
            }
            Err(error) => document["trouble"] = words(error).into(),
        }
        document
    }
}

/// An error with its cause.
fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn age(made: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(made);
    let hours = SystemTime::now().duration_since(then).unwrap_or_default().as_secs() / 3600;
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}
