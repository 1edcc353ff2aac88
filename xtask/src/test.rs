//! Everything that must hold before a change goes in.

use std::process::Command;

use anyhow::Result;

use crate::{dist, install, run};

/// Installs what is needed, then checks format, lints and tests.
pub(crate) fn run_all() -> Result<()> {
    install::debian_packages()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    // The shim has no standard library, and so a profile of its own.
    run(cargo()
        .args(["clippy", "--profile", "shim", "--package", "pitstop-ld", "--features", "standalone"])
        .args(["--bin", "pitstop-ld", "--locked", "--", "-D", "warnings"]))?;
    // What a person runs is the static release build. The tests use it as a wheel, and otherwise one of their own.
    dist::run_words(&[])?;
    run(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

fn cargo() -> Command {
    Command::new(crate::cargo())
}
