//! `pitstop run`: one command, with the libraries that it lacks, changing nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use pitstop_host::answers::Question;
use pitstop_host::lend::command::{self, Command};
use pitstop_host::lend::{self, Lender, Lent};
use pitstop_host::namespace::{self, NamespaceError};
use pitstop_host::provide::Interrupt;

use super::progress::Progress;
use super::{Done, answer_json, launch};
use crate::args::Run;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::Output;

/// Becomes the command; returns only where that fails, or where nothing was to be run.
pub(super) fn run(run: &Run, json: bool, output: &Output) -> Done {
    let path = command::search_path();
    let find = |word: &OsString| command::find(word, path.as_deref()).map_err(launch::find_error);
    let command = run.command.first().map(find).transpose()?;
    let lent = match &run.handed_over {
        Some(word) => launch::unpack(word)?,
        None => lent(run, command.as_ref(), output)?,
    };
    if run.print_env {
        return print(&lent, json, output);
    }
    let Some(command) = command else {
        return Err(CommandError::new(ExitStatus::Usage, "no command was named"));
    };
    Err(start(run, &command, &lent, output))
}

fn start(run: &Run, command: &Command, lent: &Lent, output: &Output) -> CommandError {
    if lent.changes.is_empty() {
        return launch::become_program(&command.path, &run.command, &[]);
    }
    if run.env {
        return start_with_variables(run, command, lent);
    }
    if !namespace::is_single_threaded() {
        return launch::start_again("run", lent, &run.command);
    }
    match namespace::enter(&lent.changes) {
        Ok(()) => launch::become_program(&command.path, &run.command, &[]),
        Err(error @ NamespaceError::Refused(_)) => {
            output.note(&format!("{error}; the libraries are lent by LD_LIBRARY_PATH instead"));
            start_with_variables(run, command, lent)
        }
        Err(error) => launch::namespace_error(error),
    }
}

fn start_with_variables(run: &Run, command: &Command, lent: &Lent) -> CommandError {
    let variables = launch::variables(lent);
    // A program whose loader is not here is started by the one that is, as nix-ld would do it.
    if let (true, Some(loader), [file]) = (lent.is_stranded, &lent.loader, command.chain.as_slice()) {
        let name = run.command.first().cloned().unwrap_or_default();
        let mut words: Vec<OsString> = vec![loader.into(), "--argv0".into(), name, file.into()];
        words.extend(run.command.iter().skip(1).cloned());
        return launch::become_program(loader, &words, &variables);
    }
    launch::become_program(&command.path, &run.command, &variables)
}

fn print(lent: &Lent, json: bool, output: &Output) -> Done {
    let variables = launch::variables(lent);
    if json {
        let named: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy())).collect();
        return answer_json(output, &named);
    }
    for (name, value) in variables {
        output.answer(&format!("export {}={}\n", name.to_string_lossy(), launch::quoted(&value)));
    }
    Ok(ExitStatus::Success)
}

/// What the command and its like lack: as the last time, where nothing has changed, else found now.
fn lent(run: &Run, command: Option<&Command>, output: &Output) -> Result<Lent, CommandError> {
    let also = run.also.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let also: Vec<PathBuf> = also.collect();
    let sources = launch::sources(run.nixpkgs.as_deref())?;
    let project_words = launch::project_words(&sources);
    let nix_path = std::env::var_os("NIX_PATH").unwrap_or_default();
    let mut parts: Vec<&OsStr> = vec![OsStr::new("run"), OsStr::new(env!("CARGO_PKG_VERSION")), &nix_path];
    parts.extend(command.iter().flat_map(|command| &command.chain).map(|path| path.as_os_str()));
    parts.extend(command.iter().filter_map(|command| command.environment.as_deref()).map(Path::as_os_str));
    parts.push(OsStr::new("--for"));
    parts.extend(also.iter().map(|path| path.as_os_str()));
    parts.push(OsStr::new("--with"));
    parts.extend(run.with.iter().map(OsStr::new));
    parts.push(OsStr::new("--nixpkgs"));
    parts.extend(run.nixpkgs.as_deref().map(OsStr::new));
    parts.extend(sources.project.as_deref().map(Path::as_os_str));
    parts.push(&project_words);
    if run.with.iter().any(|name| name.contains('/')) || run.nixpkgs.is_some() {
        parts.push(sources.folder.as_os_str());
    }
    let question = Question::new(parts.iter().copied());
    if let Some(lent) = lend::recall(&question) {
        return Ok(lent);
    }

    let mut progress = Progress::new(output);
    let mut show = |event| progress.show(&event);
    let interrupt = Interrupt::default();
    let keep_in = lend::keeping_place("run", parts).map_err(launch::lend_error)?;
    let mut lender = Lender::new(&sources, keep_in, &mut show, &interrupt);
    let found = find(&mut lender, run, command, &also);
    let made = found.and_then(|is_stranded| lender.lend(is_stranded));
    progress.finish();
    let (lent, troubles, witnesses) = made.map_err(launch::lend_error)?;
    for trouble in &troubles {
        output.warning(&format!("not provided: {trouble}"));
    }
    if troubles.is_empty() {
        let witnesses: Vec<PathBuf> = witnesses.into_iter().collect();
        let fields = lend::encode(&lent);
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        question.keep(&witnesses, &fields);
    }
    Ok(lent)
}

fn find(
    lender: &mut Lender<'_>,
    run: &Run,
    command: Option<&Command>,
    also: &[PathBuf],
) -> Result<bool, lend::LendError> {
    let mut is_stranded = false;
    if let Some(command) = command {
        if let Some(environment) = &command.environment {
            lender.environment(environment)?;
        }
        for file in &command.chain {
            is_stranded |= lender.program(file)?;
        }
    }
    for path in also {
        lender.path(path)?;
    }
    for name in &run.with {
        lender.named(name)?;
    }
    Ok(is_stranded)
}
