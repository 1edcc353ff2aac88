//! `pitstop fix`: provide what is missing, apply it, and verify that it loads.

pub(super) mod lock;
pub(super) mod programs;
pub(super) mod python;
mod scripts;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bstr::BString;
use pitstop_core::plan::Plan;
use pitstop_core::report::UnreadReport;
use pitstop_core::targets::Role;
use pitstop_core::targets::module_stem;
use pitstop_core::words::{Complaint, complaint};
use pitstop_host::apply::{ApplyError, Status, Venv, status};
use pitstop_host::environment::Environment;
use pitstop_host::fixing::{self, Originals, PlanError, ScriptRemedy};
use pitstop_host::locating::Locator;
use pitstop_host::programs::Programs;
use pitstop_host::provide::host::driver_note;
use pitstop_host::provide::{self, Interrupt};
use pitstop_host::remedy::{Found, Pinned, Record, Remedy, Search, Sources, suite, total};
use pitstop_host::survey::{Asking, Survey};
use pitstop_host::verify::{Subject, Verdict, module_name, verify};
use serde::Serialize;

use super::progress::Progress;
use super::{Done, answer_json, target};
use crate::args::{self, Fix, Locking};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};
use lock::Governed;

/// What `fix --json` prints.
#[derive(Debug, Default, Serialize)]
pub(super) struct FixReport {
    schema: u32,
    environment: String,
    pub(super) changed: bool,
    provided: Vec<ProvidedReport>,
    refused: Vec<provide::Refused>,
    /// What a package set would be asked for, in a dry run.
    pending: Vec<String>,
    pub(super) plan: Option<Plan>,
    /// What is done about programs that do not start.
    programs: Vec<programs::ProgramReport>,
    /// What is done about scripts whose first line names a program that is not there.
    scripts: Vec<scripts::ScriptReport>,
    pub(super) failing: Vec<FailingReport>,
    /// What could not be read, so that it is not known what it needs.
    unread: Vec<UnreadReport>,
    /// The project's lock; nothing where the environment belongs to none.
    lock: Option<lock::LockReport>,
}

impl FixReport {
    /// The report with how the command ends: what could not be read wins.
    pub(super) fn with(self, status: ExitStatus) -> (Self, ExitStatus) {
        let refused = self.scripts.iter().any(|script| script.way == "refused");
        let status = if refused { status.max(ExitStatus::Missing) } else { status };
        let status = if self.unread.is_empty() { status } else { status.max(ExitStatus::Incomplete) };
        (self, status)
    }
}

#[derive(Debug, Serialize)]
struct ProvidedReport {
    soname: String,
    file: String,
    from: String,
    note: String,
    /// Who told that this package has it.
    told_by: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct FailingReport {
    file: String,
    words: String,
    library_missing: bool,
}

/// What a fix does and leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acts {
    /// Scripts are mended too.
    pub(super) scripts: bool,
    /// Nothing is done, and what would be is told.
    pub(super) dry_run: bool,
}

/// Fixes the environment that is meant.
pub(super) fn run(fix: &Fix, json: bool, output: &Output) -> Done {
    let (locking, venv) = fix.locking.clone().settle(fix.environment.venv.clone())?;
    let environment = target::environment(venv.as_deref())?;
    let acts = Acts { scripts: fix.scripts, dry_run: fix.dry_run };
    let root = environment.root.as_path();
    let (report, status) = mend(root, &fix.sources, Some(&locking), acts, json, output)?;
    if json {
        answer_json(output, &report)?;
    }
    Ok(status)
}

/// Fixes the environment in the folder `root`, and says what was done. Without `locking` no project counts.
pub(super) fn mend(
    root: &Path,
    sources: &args::Sources,
    locking: Option<&Locking>,
    acts: Acts,
    json: bool,
    output: &Output,
) -> Result<(FixReport, ExitStatus), CommandError> {
    let environment = target::environment(Some(root))?;
    let governed = Governed::of(&environment.root, locking)?;
    let venv = Venv::lock(&environment.root).map_err(refused)?;
    let before = status(&environment.root).map_err(refused)?;
    if matches!(before, Status::Half(_)) && !acts.dry_run {
        venv.heal().map_err(refused)?;
        output.note("an interrupted fix was taken back first");
    }
    let was_fixed = matches!(before, Status::Whole(_) | Status::Stale { .. });
    let begun = Begun { venv: &venv, by_us: Cell::new(false), was_fixed };
    let mended = mend_locked(environment, &governed, &begun, sources, acts, json, output);
    // Whatever ends a fix, what it had begun goes with it.
    mended.inspect_err(|_| begun.take_back())
}

fn mend_locked(
    environment: Environment,
    governed: &Governed,
    begun: &Begun<'_>,
    sources: &args::Sources,
    acts: Acts,
    json: bool,
    output: &Output,
) -> Result<(FixReport, ExitStatus), CommandError> {
    let Acts { scripts, dry_run } = acts;
    let interrupt = interrupt()?;
    let mut survey = python::survey(environment, sources, dry_run, &interrupt, output)?;
    survey.heed(governed.settings());
    let known = governed.hold(known(&survey, output));
    let originals = Originals::of(&survey.environment.root).map_err(refused)?;
    let its_programs = Programs::of(&survey, Asking::Allowed, &originals.facts());
    let sources = sources_of(sources, &survey, governed.pinned(), dry_run);
    let remedy = search(&survey, &its_programs, &sources, known, begun, &interrupt, output)?;
    governed.check(&remedy, sources.kind(&survey.loader.path))?;
    let its_scripts = ScriptRemedy::of(&survey, &originals, scripts);

    tell_refused(&remedy, output);
    programs::tell_refused(&survey, &remedy, output);
    scripts::tell(&survey, &its_scripts, output);
    let mut report = report(&survey, &remedy);
    report.scripts = scripts::report(&survey, &its_scripts);
    let unread = report.unread.iter().map(|unread| (unread.path.as_str(), unread.cause.as_str()));
    target::tell_unread(unread, output);
    let plan = fixing::plan(&survey, &remedy, &its_scripts, &originals);
    let plan = plan.map_err(|error| plan_error(error, &survey))?;
    if dry_run {
        tell_dry_run(&remedy, &plan, json, output);
        report.plan = Some(plan);
        report.lock = governed.write(&survey, &remedy, &sources, dry_run, output)?;
        return Ok(report.with(outcome(&remedy, &[])));
    }
    if plan.operations.is_empty() {
        report.lock = governed.write(&survey, &remedy, &sources, dry_run, output)?;
        return nothing_to_apply(begun, &remedy, report, output);
    }
    if interrupt.is_requested() {
        return Err(provider_error(provide::Error::Interrupted));
    }
    scripts::keep(&its_scripts, begun, &interrupt).map_err(provider_error)?;
    report.changed = begun.venv.apply(&plan).map_err(refused)?.changed;
    if interrupt.is_requested() && !begun.was_fixed {
        // Loading what was fixed may take minutes; whoever asked to stop does not wait for that.
        begun.venv.undo().map_err(refused)?;
        return Err(provider_error(provide::Error::Interrupted));
    }
    report.lock = governed.write(&survey, &remedy, &sources, dry_run, output)?;
    if !report.changed {
        let root = shown_path(&survey.environment.root);
        output.note(&format!("{root}: nothing to do, the fix is in place"));
        return Ok(report.with(outcome(&remedy, &[])));
    }
    tell_found(&remedy, output);
    report.failing = verified(&survey, &remedy, output);
    report.failing.extend(programs::verified(&survey, &remedy, output));
    let status = outcome(&remedy, &report.failing);
    if status == ExitStatus::Success {
        tell_fixed(&remedy, &its_scripts, output);
    }
    Ok(report.with(status))
}

/// Says what was done, in one line.
fn tell_fixed(remedy: &Remedy, scripts: &ScriptRemedy, output: &Output) {
    let libraries = count(remedy.found.len(), "library", "libraries");
    let asked = remedy.after.asked.values().filter(|(_, libraries)| !libraries.is_empty()).count();
    let files = count(remedy.after.preloads.len() + asked, "file", "files");
    let fixed = Tone::Good.paint("fixed");
    let and = |number: usize, one: &str, many: &str| match number {
        0 => String::new(),
        number => format!(" and {}", count(number, one, many)),
    };
    let programs = and(remedy.programs.loaders.len(), "program", "programs");
    let scripts = and(scripts.mended.len(), "script", "scripts");
    let costs = total(&remedy.costs);
    output.note(&format!("{fixed}: {libraries} for {files}{programs}{scripts}, verified; {costs}"));
}

/// What a fix has begun in an environment before it knows what it will do.
pub(super) struct Begun<'a> {
    pub(super) venv: &'a Venv,
    pub(super) by_us: Cell<bool>,
    pub(super) was_fixed: bool,
}

impl Begun<'_> {
    /// The folder in which package sets keep what they give. A dry run asks none, and so never comes here.
    pub(super) fn keep_in(&self) -> Result<PathBuf, provide::Error> {
        self.by_us.set(true);
        self.venv.begin().map_err(|error| provide::Error::Io(std::io::Error::other(error.to_string())))
    }

    /// Removes what was begun where nothing came of it.
    pub(super) fn take_back(&self) {
        if self.by_us.get() && !self.was_fixed {
            // What cannot be taken back now is healed by the next fix or undo.
            let _ = self.venv.undo();
        }
    }
}

/// Looks for what is missing, with a line of progress where a person watches.
pub(super) fn search(
    survey: &Survey,
    programs: &Programs<'_>,
    sources: &Sources,
    known: BTreeMap<BString, Found>,
    begun: &Begun<'_>,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Remedy, CommandError> {
    let process = survey.process().map_err(target::survey_error)?;
    let kind = sources.kind(&survey.loader.path);
    let building = Box::new(super::progress::indexing(output));
    let locator = Locator::new(kind, suite(&sources.distribution), &survey.files, building);
    let locator = if sources.online && !sources.offline {
        locator.with_update(Box::new(|| super::index::fetch_own(interrupt)))
    } else {
        locator
    };
    let locator = RefCell::new(locator);
    let mut progress = Progress::new(output);
    let search = Search {
        survey,
        programs,
        process: &process,
        sources,
        keep_in: &mut || begun.keep_in(),
        progress: &mut |event| progress.show(&event),
        interrupt,
        locator: &locator,
    };
    let found = search.run(known);
    progress.finish();
    for problem in locator.borrow().problems() {
        output.warning(problem);
    }
    found.map_err(provider_error)
}

fn nothing_to_apply(
    begun: &Begun<'_>,
    remedy: &Remedy,
    mut report: FixReport,
    output: &Output,
) -> Result<(FixReport, ExitStatus), CommandError> {
    begun.take_back();
    let root = begun.venv.root();
    if matches!(status(root).map_err(refused)?, Status::Whole(_) | Status::Stale { .. }) {
        begun.venv.undo().map_err(refused)?;
        report.changed = true;
        output.note("the earlier fix is needed no more, and was taken back");
    } else if remedy.after.is_well() && remedy.programs.refused.is_empty() {
        output.note(&format!("{}: nothing is missing, nothing to do", shown_path(root)));
    }
    Ok(report.with(outcome(remedy, &[])))
}

/// Says what would be done.
pub(super) fn tell_dry_run(remedy: &Remedy, plan: &Plan, json: bool, output: &Output) {
    tell_found(remedy, output);
    for (soname, whom) in &remedy.pending {
        output.note(&format!("{} would be asked for from {}", shown(soname), shown(whom)));
    }
    if !json {
        output.answer(&plan.operations.iter().map(|operation| format!("{operation}\n")).collect::<String>());
    }
}

/// What an earlier fix provided, as far as it still holds.
pub(super) fn known(survey: &Survey, output: &Output) -> BTreeMap<BString, Found> {
    match Record::read(&survey.environment.root) {
        Ok(Some(record)) if record.fits(survey) => record.found(survey),
        Ok(Some(_)) => {
            output.note("the environment has another Python now; everything is provided anew");
            BTreeMap::new()
        }
        Ok(None) => BTreeMap::new(),
        Err(error) => {
            output.warning(&format!("{error}; everything is provided anew"));
            BTreeMap::new()
        }
    }
}

pub(super) fn sources_of(sources: &args::Sources, survey: &Survey, pinned: Pinned, offline: bool) -> Sources {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Sources {
        nixpkgs: sources.nixpkgs.clone(),
        accept_inexact: sources.yes,
        system: sources.system,
        optional: sources.optional,
        distribution: target::distribution(),
        project: project(survey, &folder),
        pinned,
        cache: cache.unwrap_or_else(std::env::temp_dir).join("pitstop"),
        folder,
        offline,
        online: sources.online,
    }
}

/// The folder whose `flake.lock` counts: the nearest above the environment, or here, that has one.
fn project(survey: &Survey, folder: &Path) -> Option<PathBuf> {
    let has_lock = |folder: &&Path| folder.join("flake.lock").is_file();
    let above = survey.environment.root.ancestors().skip(1).take(2).find(has_lock);
    above.or_else(|| folder.ancestors().find(has_lock)).map(Path::to_owned)
}

/// Ctrl-C asks once, and is obeyed at the next safe moment; twice ends the program as ever.
pub(super) fn interrupt() -> Result<Interrupt, CommandError> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let interrupt = Interrupt::default();
    let failed = |error| CommandError::new(ExitStatus::Refused, error);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, interrupt.flag()).map_err(failed)?;
        signal_hook::flag::register(signal, interrupt.flag()).map_err(failed)?;
    }
    Ok(interrupt)
}

pub(super) fn report(survey: &Survey, remedy: &Remedy) -> FixReport {
    let provided = remedy.found.values().map(|found| ProvidedReport {
        soname: shown(found.soname.as_slice()),
        file: shown_path(&found.file),
        from: found.from.clone(),
        note: found.note.clone(),
        told_by: found.told_by.clone(),
    });
    let unread = survey.unread.iter().map(|unread| UnreadReport {
        path: shown_path(survey.short(&unread.path)),
        cause: unread.cause.clone(),
    });
    FixReport {
        schema: pitstop_core::report::SCHEMA,
        environment: shown_path(&survey.environment.root),
        provided: provided.collect(),
        refused: remedy.refused.clone(),
        programs: programs::report(survey, remedy),
        unread: unread.collect(),
        pending: remedy.pending.iter().map(|(soname, whom)| format!("{soname} from {whom}")).collect(),
        ..FixReport::default()
    }
}

/// Says who gave what.
pub(super) fn tell_found(remedy: &Remedy, output: &Output) {
    if remedy.found.is_empty() {
        return;
    }
    let mut table = Table::new(&["library", "from", "file"]);
    for found in remedy.found.values() {
        let file = shown_path(&found.file);
        table.row([
            (shown(found.soname.as_slice()), Tone::Strong),
            (shown(&found.from), Tone::Plain),
            (file, Tone::Faint),
        ]);
    }
    output.note(table.render().trim_end());
    for found in remedy.found.values() {
        let told_by = found.told_by.as_ref().map(|who| format!(", says {}", shown(who))).unwrap_or_default();
        output.detail(&format!("{}: {}{told_by}", shown(found.soname.as_slice()), shown(&found.note)));
    }
}

/// Says what nobody gave, and what does not fit.
pub(super) fn tell_refused(remedy: &Remedy, output: &Output) {
    let mut hints = BTreeSet::new();
    for refused in &remedy.refused {
        output.warning(&format!("{} could not be provided: {}", shown(&refused.soname), refused.reason));
        hints.extend(refused.hint.as_deref());
    }
    for hint in hints {
        output.hint(hint);
    }
    if let Some(note) = driver_note(&remedy.of_driver()) {
        output.note(&format!("note: {note}"));
    }
    for mismatch in &remedy.after.mismatched {
        output.warning(&format!(
            "{} does not define version {}, and no library that is provided can",
            shown(mismatch.soname.as_slice()),
            shown(mismatch.version.as_slice())
        ));
    }
}

/// Loads what was fixed, in the environment's own Python.
fn verified(survey: &Survey, remedy: &Remedy, output: &Output) -> Vec<FailingReport> {
    let subjects = subjects(survey, remedy);
    if subjects.is_empty() {
        return Vec::new();
    }
    output.detail(&format!("verifying {}", count(subjects.len(), "file", "files")));
    let python = survey.environment.python.as_deref().unwrap_or(&survey.python.executable);
    let verdicts = match verify(python, &subjects) {
        Ok(verdicts) => verdicts,
        Err(error) => {
            let file = shown_path(python);
            return vec![FailingReport { file, words: error.to_string(), library_missing: false }];
        }
    };
    let mut failing = Vec::new();
    // One library or version that is missing may keep dozens of files from loading: it is told once.
    let mut told = BTreeSet::new();
    for (subject, verdict) in subjects.iter().zip(verdicts) {
        let (Verdict::Fails(words) | Verdict::Dies(words)) = verdict else { continue };
        let file = shown_path(survey.short(&subject.path));
        let lacking = match complaint(&words) {
            // That was told, and there is nothing to mend.
            Complaint::MissingLibrary(name) if remedy.of_driver().contains(&name) => continue,
            // A library is loaded alone here, and by its package once what it needs is loaded, as tensorflow does.
            Complaint::MissingLibrary(name) if subject.module.is_none() && is_here(survey, &name) => {
                output.detail(&format!("{file} loads only where {} is loaded already", shown(name)));
                continue;
            }
            Complaint::MissingLibrary(name) | Complaint::MissingVersion(name) => Some(name),
            Complaint::Loader | Complaint::Own => None,
        };
        let library_missing = lacking.is_some();
        let sentence = format!("{file} still does not load: {}", shown(words.trim()));
        match lacking {
            Some(name) if told.insert(name.clone()) => output.warning(&sentence),
            Some(_) => output.detail(&sentence),
            None => {
                let first = shown(words.lines().next().unwrap_or_default());
                output.detail(&format!("{file} has a reason of its own: {first}"));
            }
        }
        failing.push(FailingReport { file, words: shown(&words), library_missing });
    }
    let own = failing.iter().filter(|failing| !failing.library_missing).count();
    let more = failing.len() - own - told.len();
    if more > 0 {
        output.note(&format!(
            "note: {} the same (see --verbose)",
            count(more, "more file lacks", "more files lack")
        ));
    }
    if own > 0 {
        output.note(&format!(
            "note: {} not load for reasons of their own, with all libraries there (see --verbose)",
            count(own, "file does", "files do")
        ));
    }
    failing
}

/// Whether some native file of the environment is the library of this name.
fn is_here(survey: &Survey, name: &str) -> bool {
    survey.natives.iter().any(|native| {
        let file_name = native.path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
        native.elf.soname.as_ref().is_some_and(|soname| soname == name) || file_name == Some(name.as_bytes())
    })
}

/// The files of the packages that were fixed: every module, and every library that the hook serves.
fn subjects(survey: &Survey, remedy: &Remedy) -> Vec<Subject> {
    let fixed: BTreeSet<Option<usize>> =
        remedy.after.preloads.keys().map(|&root| survey.natives[root].package).collect();
    // What lacks something that can be done without does not load, and need not.
    let can_be_missed = remedy.after.missing.iter().filter(|missing| missing.optional);
    let left: BTreeSet<usize> =
        can_be_missed.flat_map(|missing| missing.askers.iter().map(|asker| asker.root)).collect();
    let of_fixed = |root: &&usize| {
        if left.contains(*root) {
            return false;
        }
        let native = &survey.natives[**root];
        let is_module = native.role == Role::Extension && fixed.contains(&native.package);
        is_module || remedy.after.preloads.contains_key(root)
    };
    let subject = |&root: &usize| {
        let native = &survey.natives[root];
        let site =
            survey.environment.site_packages.iter().find_map(|site| native.path.strip_prefix(site).ok());
        let module = site.filter(|_| native.role == Role::Extension).and_then(|relative| {
            let name = relative.file_name()?.to_str()?;
            let (stem, _) = module_stem(name, &survey.python.extension_suffixes)?;
            module_name(relative, stem)
        });
        Subject { path: native.path.clone(), module }
    };
    // What Python code asks for by name is opened by that name, as the code will.
    let asked = remedy.after.asked.values().filter(|(_, libraries)| !libraries.is_empty());
    let sonames: BTreeSet<&str> = asked.map(|(soname, _)| soname.as_str()).collect();
    let named = sonames.into_iter().map(|name| Subject { path: name.into(), module: None });
    remedy.after.roots.iter().filter(of_fixed).map(subject).chain(named).collect()
}

pub(super) fn outcome(remedy: &Remedy, failing: &[FailingReport]) -> ExitStatus {
    if remedy.after.is_well()
        && remedy.programs.refused.is_empty()
        && !failing.iter().any(|failing| failing.library_missing)
    {
        ExitStatus::Success
    } else {
        ExitStatus::Missing
    }
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

pub(super) fn shown_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    shown(path.as_os_str().as_bytes())
}

/// What stopped the applying of a plan, as a person meets it.
pub(super) fn refused(error: ApplyError) -> CommandError {
    let hint = error.hint();
    CommandError::new(ExitStatus::Refused, error).hint(hint.unwrap_or_default())
}

pub(super) fn plan_error(error: PlanError, survey: &Survey) -> CommandError {
    let hint = match (&error, &survey.python_trouble) {
        (PlanError::SilentPython, Some(trouble)) => format!("make its Python start first: {trouble}"),
        _ => String::new(),
    };
    CommandError::new(ExitStatus::Refused, error).hint(hint)
}

pub(super) fn provider_error(error: provide::Error) -> CommandError {
    let hint = error.hint();
    let status =
        if matches!(error, provide::Error::Interrupted) { ExitStatus::Refused } else { ExitStatus::Provider };
    let done = "nothing was changed; run `pitstop fix` again when you like".to_owned();
    CommandError::new(status, error).hint(hint.unwrap_or(done))
}
