//! What `fix` says of programs, and how it verifies that they start.

use std::collections::BTreeSet;
use std::path::Path;

use pitstop_host::programs::farm_place;
use pitstop_host::remedy::Remedy;
use pitstop_host::survey::Survey;
use pitstop_host::verify::{Verdict, verify_program};
use serde::Serialize;

use super::{FailingReport, shown_path};
use crate::output::{Output, shown};

/// What is done about one program.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct ProgramReport {
    program: String,
    /// `patched`, `shim` or `refused`.
    way: &'static str,
    /// The loader that starts it now, or why nothing does.
    note: String,
}

/// The programs of a remedy, in words.
pub(in crate::commands) fn report(survey: &Survey, remedy: &Remedy) -> Vec<ProgramReport> {
    let programs = &remedy.programs;
    let short = |native: usize| shown_path(survey.short(&survey.natives[native].path));
    let loader =
        |native: &usize| programs.loaders.get(native).map(|path| shown_path(path)).unwrap_or_default();
    let patched = programs.changes.iter().map(|(native, _)| (*native, "patched", loader(native)));
    let by_shim = programs.by_shim.iter().map(|native| (*native, "shim", loader(native)));
    let refused = programs.refused.iter().map(|(native, reason)| (*native, "refused", shown(reason)));
    let all = patched.chain(by_shim).chain(refused);
    all.map(|(native, way, note)| ProgramReport { program: short(native), way, note }).collect()
}

/// Says which programs nothing mends.
pub(in crate::commands) fn tell_refused(survey: &Survey, remedy: &Remedy, output: &Output) {
    for (native, reason) in &remedy.programs.refused {
        let program = shown_path(survey.short(&survey.natives[*native].path));
        output.warning(&format!("{program} cannot be made to start: {}", shown(reason)));
    }
}

/// Asks each program's loader what it would load. No program is run.
pub(in crate::commands) fn verified(survey: &Survey, remedy: &Remedy, output: &Output) -> Vec<FailingReport> {
    let programs = &remedy.programs;
    let farm = survey.environment.root.join(farm_place());
    let by_shim: BTreeSet<usize> = programs.by_shim.iter().copied().collect();
    let mut failing = Vec::new();
    for (native, loader) in &programs.loaders {
        let path = &survey.natives[*native].path;
        let searched: Option<&Path> = by_shim.contains(native).then_some(farm.as_path());
        let verdict = verify_program(loader, searched, path);
        let (Verdict::Fails(words) | Verdict::Dies(words)) = verdict else { continue };
        let file = shown_path(survey.short(path));
        output.warning(&format!("{file} still does not start: {}", shown(&words)));
        failing.push(FailingReport { file, words: shown(&words), library_missing: true });
    }
    failing
}
