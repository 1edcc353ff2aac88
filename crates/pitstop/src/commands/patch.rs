//! `pitstop patch`: programs that belong to no environment, such as a download.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bstr::BString;
use pitstop_core::plan::Inside;
use pitstop_host::apply::{Status, Venv, status};
use pitstop_host::fixing::{Originals, plan_programs};
use pitstop_host::programs::{Programs, loader_of_this_machine};
use pitstop_host::provide::{self, Interrupt, nix};
use pitstop_host::survey::{Asking, Survey};

use super::fix::{self, Begun, FixReport, programs, refused, shown_path};
use super::{Done, answer_json, target};
use crate::args::{self, Patch};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Tone};

/// What a person wants besides.
pub(super) struct Wish<'a> {
    /// The loader, whatever stands at the place of the program's own.
    pub(super) loader: Option<&'a Path>,
    /// Folders to search.
    pub(super) folders: &'a [String],
    /// What the programs open when running.
    pub(super) modules: &'a [PathBuf],
}

/// Where a program's record is kept: its folder, and its name in it.
pub(super) fn place(file: &Path) -> Result<(PathBuf, Inside), CommandError> {
    let usage = |error: std::io::Error| {
        let cause = std::io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        CommandError::new(ExitStatus::Usage, cause).hint("name a program that is there")
    };
    let real = std::fs::canonicalize(file).map_err(usage)?;
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(usage(std::io::ErrorKind::IsADirectory.into()));
    };
    let inside = Inside::new(name).map_err(|error| CommandError::new(ExitStatus::Usage, error))?;
    Ok((folder.to_owned(), inside))
}

/// Patches each program named.
pub(super) fn run(patch: &Patch, json: bool, output: &Output) -> Done {
    let mut folders: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for file in &patch.files {
        let (folder, inside) = place(file)?;
        let program = folder.join(inside.as_path());
        folders.entry(folder).or_default().insert(program);
    }
    let loader = patch.loader.clone().or_else(loader_of_this_machine).ok_or_else(|| {
        CommandError::new(ExitStatus::Usage, std::io::Error::other("this machine's own loader is not known"))
            .hint("name it with `--loader`")
    })?;
    let interrupt = fix::interrupt()?;
    let (mut reports, mut worst) = (Vec::new(), ExitStatus::Success);
    for (folder, files) in folders {
        let venv = Venv::lock(&folder).map_err(refused)?;
        if matches!(status(&folder).map_err(refused)?, Status::Half(_)) && !patch.dry_run {
            venv.heal().map_err(refused)?;
        }
        let files: Vec<PathBuf> = files.into_iter().collect();
        let survey = Survey::of_programs(folder, &files, &loader).map_err(target::survey_error)?;
        let wish = Wish { loader: patch.loader.as_deref(), folders: &patch.add_runpath, modules: &[] };
        let (report, status) =
            mend(&venv, &survey, &wish, &patch.sources, patch.dry_run, &interrupt, output)?;
        if let Some(plan) = &report.plan
            && !json
        {
            output.answer(&plan.to_string());
        }
        worst = worst.max(status);
        reports.push(report);
    }
    if json {
        match reports.as_slice() {
            [report] => answer_json(output, report)?,
            reports => answer_json(output, &reports)?,
        };
    }
    Ok(worst)
}

/// Makes the programs of a survey start, and keeps what undoes it in their folder.
pub(super) fn mend(
    venv: &Venv,
    survey: &Survey,
    wish: &Wish<'_>,
    sources: &args::Sources,
    dry_run: bool,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(FixReport, ExitStatus), CommandError> {
    let was_fixed = !matches!(status(venv.root()).map_err(refused)?, Status::None);
    let begun = Begun { venv, by_us: Cell::new(false), was_fixed };
    let mended = mend_begun(&begun, survey, wish, sources, dry_run, interrupt, output);
    mended.inspect_err(|_| begun.take_back())
}

fn mend_begun(
    begun: &Begun<'_>,
    survey: &Survey,
    wish: &Wish<'_>,
    sources: &args::Sources,
    dry_run: bool,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(FixReport, ExitStatus), CommandError> {
    let root = &survey.environment.root;
    for unread in &survey.unread {
        output.warning(&format!("{}: {}", shown_path(&unread.path), unread.cause));
    }
    let originals = Originals::of(root).map_err(refused)?;
    let folders: Vec<BString> = wish.folders.iter().map(|folder| folder.as_str().into()).collect();
    let its_programs = Programs::of(survey, Asking::Allowed, &originals.facts())
        .with_modules(wish.modules)
        .forced(wish.loader.is_some(), folders);
    if its_programs.is_empty() {
        let cause = "there is no dynamic program among the files for this machine's processor";
        let error = CommandError::new(ExitStatus::Usage, std::io::Error::other(cause));
        return Err(error.hint("a static program needs no libraries, and is started by the kernel alone"));
    }
    let pinned = fix::lock::Governed::of(root, Some(&args::Locking::default()))?.pinned();
    let sources = fix::sources_of(sources, survey, pinned, dry_run);
    let known = fix::known(survey, output);
    let remedy = fix::search(survey, &its_programs, &sources, known, begun, interrupt, output)?;
    if wish.modules.is_empty() {
        fix::tell_refused(&remedy, output);
    }
    programs::tell_refused(survey, &remedy, output);
    let mut report = fix::report(survey, &remedy);
    let plan = plan_programs(survey, &remedy, &originals).map_err(|error| fix::plan_error(error, survey))?;
    let status = if remedy.programs.refused.is_empty() { ExitStatus::Success } else { ExitStatus::Missing };
    if dry_run {
        report.plan = Some(plan);
        return Ok(report.with(status));
    }
    if plan.operations.is_empty() {
        begun.take_back();
        if status == ExitStatus::Success {
            output.note(&format!("{}: nothing is missing, nothing to do", shown_path(root)));
        }
        return Ok(report.with(status));
    }
    if interrupt.is_requested() {
        return Err(fix::provider_error(provide::Error::Interrupted));
    }
    let roots = begun.keep_in().map_err(fix::provider_error)?.join("roots");
    for loader in remedy.programs.loaders.values() {
        nix::keep(loader, &roots, interrupt).map_err(fix::provider_error)?;
    }
    report.changed = begun.venv.apply(&plan).map_err(refused)?.changed;
    fix::tell_found(&remedy, output);
    report.failing = programs::verified(survey, &remedy, output);
    if report.failing.is_empty() && status == ExitStatus::Success {
        let fixed = Tone::Good.paint("patched");
        let number = fix::count(remedy.programs.loaders.len(), "program", "programs");
        output.note(&format!("{fixed}: {number}, verified"));
        return Ok(report.with(status));
    }
    Ok(report.with(ExitStatus::Missing))
}
