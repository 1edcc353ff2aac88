//! `pitstop completions`: what a shell offers behind `pitstop`.

use clap::builder::PossibleValuesParser;
use clap::{Args as _, ValueHint};
use clap_complete::{Shell, generate};
use clap_complete_nushell::Nushell;

use super::help;
use crate::args::{self, CompletionShell, Completions, Fhs, Man, Run};
use crate::exit::ExitStatus;
use crate::output::Output;

/// Prints them.
pub(super) fn run(completions: &Completions, output: &Output) -> ExitStatus {
    output.answer(&String::from_utf8_lossy(&text(completions.shell)));
    ExitStatus::Success
}

fn text(shell: CompletionShell) -> Vec<u8> {
    let mut command = args::command();
    // What may follow `help` and `man`, which is not held to when a command line is read. clap wants names that stay; this
    // process prints its answer and ends.
    let commands: Vec<(&'static str, String)> = command
        .get_subcommands()
        .map(|it| {
            (&*it.get_name().to_owned().leak(), it.get_about().map(ToString::to_string).unwrap_or_default())
        })
        .collect();
    let names: Vec<&'static str> = commands.iter().map(|(name, _)| *name).collect();
    // As commands, since not every generator offers the values of what is no option.
    let topics = help::topics().map(|(name, about)| (name, about.to_owned()));
    // fish takes a `help` behind `help` for the first one.
    let others = commands.into_iter().filter(|(name, _)| *name != "help");
    let explained = topics.chain(others).map(|(name, about)| clap::Command::new(name).about(about));
    let about = command.find_subcommand("help").and_then(|it| it.get_about().cloned()).unwrap_or_default();
    let help = clap::Command::new("help").about(about).subcommands(explained).disable_help_subcommand(true);
    // Options are set up later than this, so the commands whose options are to be others are made anew.
    let commands = PossibleValuesParser::new(names);
    let man =
        |it: clap::Command| Man::augment_args(it).mut_arg("command", |words| words.value_parser(commands));
    command = command
        .mut_subcommand("help", |_| help)
        .mut_subcommand("man", |it| man(bare("man", &it)))
        .mut_subcommand("run", |it| launching("run", &Run::augment_args(bare("run", &it))))
        .mut_subcommand("fhs", |it| launching("fhs", &Fhs::augment_args(bare("fhs", &it))));
    let mut text = Vec::new();
    match shell {
        CompletionShell::Bash => generate(Shell::Bash, &mut command, "pitstop", &mut text),
        CompletionShell::Zsh => generate(Shell::Zsh, &mut command, "pitstop", &mut text),
        CompletionShell::Fish => generate(Shell::Fish, &mut command, "pitstop", &mut text),
        CompletionShell::Nushell => generate(Nushell, &mut command, "pitstop", &mut text),
    }
    text
}

/// A command without its options.
fn bare(name: &'static str, command: &clap::Command) -> clap::Command {
    clap::Command::new(name).about(command.get_about().cloned().unwrap_or_default())
}

/// A command that starts another, without its hidden options, which the generators would offer.
fn launching(name: &'static str, command: &clap::Command) -> clap::Command {
    let shown: Vec<_> = command.get_arguments().filter(|it| !it.is_hide_set()).cloned().collect();
    bare(name, command)
        .args(shown)
        .mut_arg("command", |words| words.value_hint(ValueHint::CommandWithArguments))
}
