//! One file a command. Each takes its arguments and gives an exit status; none prints but through `Output`.

mod check;
mod completions;
mod doctor;
mod fhs;
mod fix;
mod help;
mod index;
mod launch;
mod locate;
mod man;
mod patch;
mod progress;
mod run;
mod shell;
mod status;
mod target;
mod tree;
mod try_;
mod undo;
mod why;
mod written;

use crate::args::{Arguments, Command};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::Output;

type Done = Result<ExitStatus, CommandError>;

/// Runs what the command line says.
pub(crate) fn run(arguments: &Arguments) -> ExitStatus {
    let output = Output::new(arguments.speech.verbosity());
    let json = arguments.speech.json;
    let done = match &arguments.command {
        Command::Check(check) => check::run(check, json, &output),
        Command::Fix(fix) => fix::run(fix, json, &output),
        Command::Undo(undo) => undo::run(undo, json, &output),
        Command::Status(environment) => status::run(environment, json, &output),
        Command::Patch(patch) => patch::run(patch, json, &output),
        Command::Try(arguments) => try_::run(arguments, json, &output),
        Command::Fhs(fhs) => fhs::run(fhs, &output),
        Command::Run(run) => run::run(run, json, &output),
        Command::Shell(shell) => shell::run(shell, json, &output),
        Command::Tree(tree) if json && tree.drawing.is_asked() => Err(two_answers()),
        Command::Why(why) if json && why.drawing.is_asked() => Err(two_answers()),
        Command::Tree(tree) => tree::run(tree, json, arguments.speech.verbosity(), &output),
        Command::Why(why) => why::run(why, json, arguments.speech.verbosity(), &output),
        Command::Locate(locate) => locate::run(locate, json, &output),
        Command::Index(arguments) => index::run(arguments, json, &output),
        Command::Doctor => doctor::run(json, &output),
        Command::Completions(completions) => Ok(completions::run(completions, &output)),
        Command::Man(man) => man::run(man, &output),
        Command::Help(help) => help::run(help, &output),
    };
    done.unwrap_or_else(|error| error.show(&output))
}

/// A document and a picture are asked for at once.
fn two_answers() -> CommandError {
    let text = "--json and a picture (--svg, --html) are two answers";
    CommandError::new(ExitStatus::Usage, text).hint("ask for one of them")
}

/// One JSON document, the answer of a command that was asked for it.
fn answer_json(output: &Output, document: &impl serde::Serialize) -> Done {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| CommandError::new(ExitStatus::Usage, error))?;
    output.answer(&format!("{text}\n"));
    Ok(ExitStatus::Success)
}
