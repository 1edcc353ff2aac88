//! What `fix` says of scripts whose first line names a program that is not there.

use pitstop_host::fixing::ScriptRemedy;
use pitstop_host::provide::nix;
use pitstop_host::provide::{self, Interrupt};
use pitstop_host::survey::Survey;
use serde::Serialize;

use super::{Begun, count, shown_path};
use crate::output::{Output, shown};

/// What is done about one script.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct ScriptReport {
    script: String,
    /// `mended`, `refused` or `left`.
    pub(super) way: &'static str,
    /// What its first line names now, or why it names nothing else.
    note: String,
}

/// The scripts of an environment, in words.
pub(super) fn report(survey: &Survey, scripts: &ScriptRemedy) -> Vec<ScriptReport> {
    let line = |path, way, note| ScriptReport { script: shown_path(survey.short(path)), way, note };
    let mended = scripts.mended.iter().map(|one| line(&one.path, "mended", shown_path(&one.program)));
    let refused = scripts.refused.iter().map(|(path, why)| line(path, "refused", shown(why)));
    let left = scripts.left.iter().map(|path| line(path, "left", "nobody asked".to_owned()));
    mended.chain(refused).chain(left).collect()
}

/// Says which scripts are left as they are, and why.
pub(super) fn tell(survey: &Survey, scripts: &ScriptRemedy, output: &Output) {
    for (path, why) in &scripts.refused {
        let script = shown_path(survey.short(path));
        output.warning(&format!("{script} cannot be made to start: {}", shown(why)));
    }
    let many = scripts.left.len();
    if many > 0 {
        let number = count(many, "script names a program", "scripts name programs");
        output.note(&format!(
            "note: {number} that {} not there; `pitstop fix --scripts` mends that",
            if many == 1 { "is" } else { "are" }
        ));
    }
}

/// Keeps the programs that scripts will name from being collected.
pub(super) fn keep(
    scripts: &ScriptRemedy,
    begun: &Begun<'_>,
    interrupt: &Interrupt,
) -> Result<(), provide::Error> {
    for mended in scripts.mended.iter().filter(|mended| mended.program.starts_with("/nix/store")) {
        nix::keep(&mended.program, &begun.keep_in()?.join("roots"), interrupt)?;
    }
    Ok(())
}
