//! `pitstop undo`: every byte as it was.

use pitstop_host::apply::Venv;
use serde_json::json;

use super::fix::{python, refused, shown_path};
use super::{Done, answer_json, patch, target};
use crate::args::Undo;
use crate::exit::ExitStatus;
use crate::output::Output;

/// Takes back what a fix did to the environment that is meant.
pub(super) fn run(undo: &Undo, json: bool, output: &Output) -> Done {
    let (root, undone) = match &undo.venv {
        Some(file) if file.is_file() && !undo.python => {
            let (folder, inside) = patch::place(file)?;
            let undone = Venv::lock(&folder).and_then(|venv| venv.undo_file(&inside)).map_err(refused)?;
            (shown_path(file), undone)
        }
        named => {
            let environment = target::environment(named.as_deref())?;
            let root = if undo.python { python::home(&environment)? } else { environment.root };
            let undone = Venv::lock(&root).and_then(|venv| venv.undo()).map_err(refused)?;
            (shown_path(&root), undone)
        }
    };
    for difference in &undone.differences {
        output.warning(&difference.to_string());
    }
    if json {
        let left: Vec<String> = undone.differences.iter().map(ToString::to_string).collect();
        return answer_json(
            output,
            &json!({ "schema": 1, "environment": root, "was_fixed": undone.was_fixed, "left_alone": left }),
        );
    }
    output.note(&match (undone.was_fixed, undone.differences.is_empty()) {
        (false, _) => format!("{root}: pitstop has done nothing here, so there is nothing to undo"),
        (true, true) => format!("{root}: everything is as it was before the fix"),
        (true, false) => format!("{root}: undone, but for what others have changed since"),
    });
    Ok(ExitStatus::Success)
}
