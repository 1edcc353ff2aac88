//! Errors as a person meets them: what went wrong, where, why, and what to do next.

use std::error::Error;

use crate::exit::ExitStatus;
use crate::output::Output;

/// What ended a command. Hints stand beside the message, never inside it, so that each can be shown once.
#[derive(Debug)]
pub(crate) struct CommandError {
    status: ExitStatus,
    source: Box<dyn Error>,
    hints: Vec<String>,
}

impl CommandError {
    /// An error that ends the command with `status`.
    pub(crate) fn new(status: ExitStatus, source: impl Into<Box<dyn Error>>) -> Self {
        Self { status, source: source.into(), hints: Vec::new() }
    }

    /// Adds what to do next: one imperative sentence.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() && !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Prints the message, its causes and its hints on standard error.
    pub(crate) fn show(&self, output: &Output) -> ExitStatus {
        let mut said = self.source.to_string();
        output.error(&said);
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Many errors end with their cause.
            if !said.ends_with(&words) {
                output.cause(&words);
                said = words;
            }
            cause = error.source();
        }
        for hint in &self.hints {
            output.hint(hint);
        }
        self.status
    }
}
