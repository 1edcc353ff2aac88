//! The `pitstop` command: makes Python packages with native code run on machines that lack their libraries.

mod args;
mod commands;
#[cfg(test)]
mod docs;
mod error;
mod exit;
mod files;
mod output;
mod picture;

use std::process::ExitCode;

fn main() -> ExitCode {
    args::parse().map_or_else(ExitCode::from, |arguments| commands::run(&arguments).into())
}
