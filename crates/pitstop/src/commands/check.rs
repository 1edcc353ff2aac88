//! `pitstop check`: what is missing, for whom, and who has it.

mod render;
pub(super) mod uninstalled;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::diagnose::Diagnosis;
use pitstop_core::ldso;
use pitstop_core::locate::{Located, Suite};
use pitstop_core::report::{
    HereReport, Names, ProgramReport, PythonReport, Report, SCHEMA, ScriptReport, UnreadReport,
};
use pitstop_core::settings::{Settings, normalized};
use pitstop_core::targets::Owner;
use pitstop_host::locating::Locator;
use pitstop_host::project::pin;
use pitstop_host::provide::host::driver_note;
use pitstop_host::remedy::{package_set, suite};
use pitstop_host::survey::{Asking, Survey, Unread};
use pitstop_host::walk::ScriptFile;

use super::fix::lock::project;
use super::{Done, answer_json, target};
use crate::args::Check;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// Checks each path named, or the environment that is meant.
pub(super) fn run(check: &Check, json: bool, output: &Output) -> Done {
    let asking = if check.run_nothing { Asking::Never } else { Asking::Allowed };
    let mut uninstalled = Vec::new();
    let mut named: Vec<Option<&Path>> = Vec::new();
    for path in &check.paths {
        match uninstalled::kind(path) {
            Some(kind) => uninstalled.push((kind, path.as_path())),
            None => named.push(Some(path)),
        }
    }
    if check.paths.is_empty() {
        named.push(None);
    }
    let mut worst = ExitStatus::Success;
    let mut reports = Vec::new();
    if !uninstalled.is_empty() {
        let report = uninstalled::report(&uninstalled, check.python.as_deref(), asking, output)?;
        worst = worst.max(status(&report));
        reports.push(report);
    }
    for path in named {
        let environment = target::environment(path)?;
        let project = project(&environment.root)?.unwrap_or_default();
        let mut survey = target::survey(environment, asking)?;
        survey.heed(&project.settings);
        let report = report(&survey, &project.settings, asking, &caller_environment(), output)?;
        worst = worst.max(status(&report));
        if survey.python_trouble.is_some() {
            // Nothing loads in a Python that does not start, whatever is there.
            worst = worst.max(ExitStatus::Missing);
        }
        reports.push(report);
    }
    if json {
        match reports.as_slice() {
            [report] => answer_json(output, report)?,
            reports => answer_json(output, &reports)?,
        };
    } else {
        for (index, report) in reports.iter().enumerate() {
            output.answer(&render::report(report, &target::distribution()));
            // What is not installed yet has one report, and it is the first.
            render::asides(report, index > 0 || uninstalled.is_empty(), output);
        }
    }
    Ok(worst)
}

/// Checks one environment and shows the report, without a hint of what to do about it.
pub(super) fn look(path: &Path, output: &Output) -> Result<(), CommandError> {
    let survey = target::survey(target::environment(Some(path))?, Asking::Allowed)?;
    let report = report(&survey, &Settings::default(), Asking::Allowed, &caller_environment(), output)?;
    output.answer(&render::report(&report, &target::distribution()));
    Ok(())
}

/// What a report means as an exit status. What could not be read wins: the rest of the report may be wrong for it.
fn status(report: &Report) -> ExitStatus {
    let well = report.missing.is_empty()
        && report.mismatched.is_empty()
        && report.unusable.is_empty()
        && report.programs.is_empty()
        && report.misfits.is_empty();
    match (report.unread.is_empty(), well) {
        (false, _) => ExitStatus::Incomplete,
        (true, false) => ExitStatus::Missing,
        (true, true) => ExitStatus::Success,
    }
}

/// What the caller's shell would hand to a Python that it starts.
pub(super) fn caller_environment() -> ldso::Environment {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let split = |byte: &u8| *byte == b':' || *byte == b' ';
    ldso::Environment {
        library_path: variable("LD_LIBRARY_PATH").map(|value| BString::from(value.as_bytes())),
        preload: variable("LD_PRELOAD")
            .map(|value| {
                value.as_bytes().split(split).filter(|name| !name.is_empty()).map(BString::from).collect()
            })
            .unwrap_or_default(),
        current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
    }
}

/// Checks one environment.
fn report(
    survey: &Survey,
    settings: &Settings,
    asking: Asking,
    caller: &ldso::Environment,
    output: &Output,
) -> Result<Report, CommandError> {
    let mut notes = Vec::new();
    let provided = target::provided_by_fix(survey, &mut notes);
    let process = survey.process_with(caller.clone()).map_err(target::survey_error)?;
    let diagnosis = survey.diagnose(&process, &provided);
    let pythons_own: OnceCell<BTreeMap<BString, PathBuf>> = OnceCell::new();
    let here = |soname: &str| {
        let own = pythons_own.get_or_init(|| survey.libraries_of_python(&process));
        let path = own.get(soname.as_bytes().as_bstr())?;
        Some(HereReport { path: shown(path.as_os_str().as_bytes()), from: "python" })
    };
    let short = |path: &Path| shown(survey.short(path).as_os_str().as_bytes());
    let distribution = target::distribution();
    let locator = RefCell::new(Locator::new(
        package_set(&survey.loader.path, &distribution, false),
        suite(&distribution),
        &survey.files,
        Box::new(super::progress::indexing(output)),
    ));
    let names = Names {
        natives: &survey.natives,
        packages: &survey.packages,
        asks: &survey.asks,
        short: &short,
        here: &here,
        locate: &|soname, versions| {
            let located = locator.borrow_mut().locate(soname, versions);
            pinned(located, settings, suite(&distribution))
        },
    };
    let mut report = Report {
        schema: SCHEMA,
        environment: shown(survey.environment.root.as_os_str().as_bytes()),
        python: PythonReport {
            version: survey.python.version.clone(),
            executable: shown(survey.python.executable.as_os_str().as_bytes()),
            loader: shown(survey.loader.path.as_os_str().as_bytes()),
            asked: survey.python.answer.is_some(),
        },
        packages: survey.native_packages,
        files: survey.natives.len(),
        missing: Vec::new(),
        optional: Vec::new(),
        mismatched: Vec::new(),
        unusable: Vec::new(),
        programs: programs(survey, asking, &short),
        scripts: scripts(survey, &short),
        unread: Vec::new(),
        misfits: Vec::new(),
        to_build: Vec::new(),
        notes,
    };
    names.describe(&diagnosis, &mut report);
    let unread = |unread: &Unread| UnreadReport { path: short(&unread.path), cause: unread.cause.clone() };
    report.unread.extend(survey.unread.iter().map(unread));
    let locator = locator.borrow();
    report.notes.extend(locator.problems().iter().map(shown));
    report.notes.extend(locator.hint().map(str::to_owned));
    report.notes.extend(excluded(survey, settings));
    add_notes(survey, &diagnosis, caller, &provided, &mut report);
    Ok(report)
}

/// Who has a library, once the settings have had their say.
fn pinned(mut located: Located, settings: &Settings, suite: Suite) -> Located {
    if let Some(pinned) = settings.pins.get(&located.soname) {
        pin(&mut located, pinned, suite);
    }
    located
}

/// Says which packages were not looked at.
fn excluded(survey: &Survey, settings: &Settings) -> Option<String> {
    let names = survey.packages.iter().map(|package| normalized(&package.name));
    let excluded: Vec<String> = names.filter(|name| settings.exclude.contains(name)).collect();
    let words = "not looked at, as the project's settings have it";
    (!excluded.is_empty()).then(|| format!("{words}: {}", excluded.join(", ")))
}

fn programs(survey: &Survey, asking: Asking, short: &dyn Fn(&Path) -> String) -> Vec<ProgramReport> {
    let stranded = survey.stranded(asking);
    stranded
        .into_iter()
        .map(|program| ProgramReport {
            path: short(&survey.natives[program.native].path),
            package: survey.package_of(program.native).map(ToString::to_string),
            loader: shown(program.loader.as_os_str().as_bytes()),
            loader_exists: program.loader_exists,
            missing: program.missing.iter().map(|soname| shown(soname.as_slice())).collect(),
        })
        .collect()
}

fn scripts(survey: &Survey, short: &dyn Fn(&Path) -> String) -> Vec<ScriptReport> {
    let paths: Vec<&Path> = survey.scripts.iter().map(|script| script.path.as_path()).collect();
    let script = |(script, owner): (&ScriptFile, Option<Owner>)| ScriptReport {
        path: short(&script.path),
        package: owner.map(|owner| shown(owner.to_string())),
        names: shown(script.line.program.as_slice()),
    };
    survey.scripts.iter().zip(survey.owners_of(&paths)).map(script).collect()
}

fn add_notes(
    survey: &Survey,
    diagnosis: &Diagnosis,
    caller: &ldso::Environment,
    provided: &BTreeMap<BString, PathBuf>,
    report: &mut Report,
) {
    if let Some(trouble) = &survey.python_trouble {
        report.notes.push(target::python_note(trouble));
    }
    if survey.environment.system_site_packages {
        report.notes.push(
            "packages of the base Python are importable here too; check them by naming their site-packages folder".to_owned(),
        );
    }
    let of_driver = report.optional.iter().filter(|missing| missing.class == "driver");
    let of_driver: Vec<String> = of_driver.map(|missing| missing.soname.clone()).collect();
    report.notes.extend(driver_note(&of_driver));
    // Without the variable, would more be missing? Only then is it worth a word.
    if caller.library_path.is_some()
        && let Ok(process) = survey.process()
    {
        let without = survey.diagnose(&process, provided).required().count();
        let more = without.saturating_sub(diagnosis.required().count());
        if more > 0 {
            let plural = if more == 1 { "library is" } else { "libraries are" };
            report.notes.push(format!("{more} {plural} found only because LD_LIBRARY_PATH is set"));
        }
    }
}
