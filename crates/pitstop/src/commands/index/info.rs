//! `pitstop index info`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pitstop_host::index::database::Reader;
use pitstop_host::index::own::{self, About};
use serde_json::json;

use super::super::{Done, answer_json};
use super::megabytes;
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};

/// Says which indexes are there: pitstop's own, and nix-index's.
pub(super) fn run(json: bool, output: &Output) -> Done {
    let own = own::folder();
    let beside = own.as_deref().and_then(|folder| folder.parent()?.parent());
    let variable = std::env::var_os("NIX_INDEX_DATABASE").map(PathBuf::from);
    let folders = [own.clone(), variable, beside.map(|cache| cache.join("nix-index"))];
    let mut files: Vec<PathBuf> = folders.into_iter().flatten().map(|folder| folder.join("files")).collect();
    files.dedup();
    files.retain(|file| file.exists());
    let facts = files.iter().map(|file| {
        let metadata = std::fs::metadata(file).ok();
        let about = About::read(file);
        let changed = metadata.as_ref().and_then(|facts| facts.modified().ok());
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|age| age.as_secs());
        let made = about.as_ref().map(|about| about.made).or(changed.and_then(seconds));
        let trouble = Reader::open(file).err().map(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        });
        (file, metadata.map_or(0, |facts| facts.len()), made.unwrap_or_default(), about, trouble)
    });
    if json {
        let indexes: Vec<_> = facts
            .map(|(file, bytes, made, about, trouble)| {
                json!({ "index": file.to_string_lossy(), "bytes": bytes, "made": made, "about": about, "trouble": trouble })
            })
            .collect();
        return answer_json(output, &json!({ "schema": 1, "indexes": indexes }));
    }
    if files.is_empty() {
        output.answer("there is no index\n");
        output.hint("`pitstop index update` fetches one, `pitstop index build` makes one");
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["index", "size", "age", "store paths", "files", "from"]);
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
    output.answer(&table.render());
    Ok(ExitStatus::Success)
}

fn age(made: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(made);
    let hours = SystemTime::now().duration_since(then).unwrap_or_default().as_secs() / 3600;
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}
