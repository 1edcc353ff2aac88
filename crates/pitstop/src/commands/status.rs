//! `pitstop status`: what pitstop has done to an environment, and whether it is still whole.

use pitstop_host::apply::{self, Status};
use pitstop_host::remedy::{Found, Kept, Pinned, Record};
use serde_json::json;

use super::fix::lock::project;
use super::fix::{refused, shown_path};
use super::{Done, answer_json, target};
use crate::args::Environment;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};

/// Says what is in place in the environment that is meant.
pub(super) fn run(named: &Environment, json: bool, output: &Output) -> Done {
    let environment = target::environment(named.venv.as_deref())?;
    let status = apply::status(&environment.root).map_err(refused)?;
    let record = Record::read(&environment.root).map_err(|error| {
        CommandError::new(ExitStatus::Incomplete, error).hint("run `pitstop undo`, then `pitstop fix` again")
    })?;
    let libraries = record.map(|record| record.libraries).unwrap_or_default();
    let lock = LockState::of(&environment.root, &libraries)?;
    let gone: Vec<&Kept> =
        libraries.iter().filter(|kept| !environment.root.join(&kept.file).exists()).collect();
    let mut trouble: Vec<String> =
        gone.iter().map(|kept| format!("{} is gone: {}", shown(&kept.soname), shown(&kept.file))).collect();
    let state = match &status {
        Status::None => "none",
        Status::Whole(_) if gone.is_empty() && lock.differs.is_empty() => "whole",
        Status::Whole(_) => "stale",
        Status::Stale { differences, .. } => {
            trouble.extend(differences.iter().map(ToString::to_string));
            "stale"
        }
        Status::Half(_) => "half",
        Status::Newer { .. } => "newer",
    };
    trouble.extend(lock.differs.iter().map(shown));
    let root = shown_path(&environment.root);
    if json {
        let document = json!({
            "schema": 1, "environment": root, "state": state, "libraries": libraries, "trouble": trouble,
            "lock": lock.path,
        });
        answer_json(output, &document)?;
    } else {
        let words = match state {
            "none" => "pitstop has done nothing here".to_owned(),
            "whole" => format!("{} from outside, all in place", libraries_count(libraries.len())),
            "stale" if trouble.len() == lock.differs.len() => Tone::Bad.paint("fixed, and not as locked"),
            "stale" => Tone::Bad.paint("fixed, but no longer whole"),
            "half" => Tone::Bad.paint("a fix or an undo was interrupted"),
            _ => "fixed by a newer pitstop".to_owned(),
        };
        output.answer(&format!("{}: {words}\n{}", Tone::Strong.paint(&root), table(&libraries)));
        for line in &trouble {
            output.warning(line);
        }
    }
    match state {
        "none" | "whole" => Ok(ExitStatus::Success),
        "newer" => Ok(ExitStatus::Incomplete),
        _ => {
            output.hint(&format!("`pitstop fix {root}` mends it, `pitstop undo {root}` takes it back"));
            Ok(ExitStatus::Missing)
        }
    }
}

/// The lock of the environment's project, and how what was provided differs from it.
struct LockState {
    path: Option<String>,
    differs: Vec<String>,
}

impl LockState {
    fn of(root: &std::path::Path, libraries: &[Kept]) -> Result<Self, CommandError> {
        let project = project(root)?.filter(|project| project.lock.is_some());
        let path = project.as_ref().map(|project| shown_path(&project.lock_file));
        let pinned = Pinned::of(project.as_ref(), &target::os_release());
        let found: Vec<Found> = libraries.iter().map(|kept| kept.found(root)).collect();
        let differs = if path.is_some() { pinned.differences(&found) } else { Vec::new() };
        Ok(Self { path, differs })
    }
}

fn libraries_count(number: usize) -> String {
    if number == 1 { "1 library".to_owned() } else { format!("{number} libraries") }
}

fn table(libraries: &[Kept]) -> String {
    if libraries.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["library", "from", "file"]);
    for kept in libraries {
        table.row([
            (shown(&kept.soname), Tone::Strong),
            (shown(&kept.from), Tone::Plain),
            (shown(&kept.file), Tone::Faint),
        ]);
    }
    table.render()
}
