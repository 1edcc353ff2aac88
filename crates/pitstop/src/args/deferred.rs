//! Options that are set up when they are needed.

use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The options of one command, which clap sets up when this command is the one that is given, or when its help is asked
/// for, rather than those of all commands at each start.
#[derive(Clone, Debug)]
pub(crate) struct Deferred<T>(T);

impl<T> Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(set_up::<T>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(set_up::<T>)
    }
}

fn set_up<T: Args>(command: Command) -> Command {
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    // What was said of the command stands, not what is said of the type of its options.
    let command = T::augment_args(command).about(about.unwrap_or_default());
    match long {
        Some(long) => command.long_about(long),
        None => command.long_about(None::<&str>),
    }
}
