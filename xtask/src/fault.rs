//! `cargo xtask fault`: every fault at every system call of `fix` and `undo`, and what came of it.
//!
//! The work is a test's (`crates/pitstop/tests/trouble/faults.rs`), which takes a few of the points when it runs among the
//! others; here it takes all of them, or as many as are asked for.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, install, page};

const TEST: &str =
    "faults::stopped_at_any_system_call_an_environment_imports_as_before_or_after_and_is_healed";

/// Takes `[--points N]`; runs the faults, prints the table, and with all of them writes it into docs/faults.md.
pub(crate) fn run_words(words: &[OsString]) -> Result<()> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let points = match words.as_slice() {
        [] => "all",
        ["--points", number] => number,
        _ => bail!("usage: cargo xtask fault [--points N]"),
    };
    install::debian_packages()?;
    let mut test = Command::new(cargo());
    test.args(["test", "--quiet", "--locked", "--package", "pitstop", "--test", "trouble", "--"]);
    test.args(["--exact", TEST, "--nocapture"]).env("PITSTOP_FAULT_POINTS", points);
    let ran = test.stderr(Stdio::inherit()).output().context("cargo could not be started")?;
    let out = String::from_utf8_lossy(&ran.stdout);
    // The table, without what the test harness says before and after.
    let counts = out.lines().skip_while(|line| !line.contains(" points"));
    let counts =
        counts.take_while(|line| line.is_empty() || line.starts_with('|') || line.ends_with(" points"));
    let table: Vec<&str> = counts.collect();
    println!("{}", if table.is_empty() { out.to_string() } else { table.join("\n") });
    ensure!(ran.status.success(), "a fault was not healed: standard error names its point");
    ensure!(!table.is_empty(), "the test printed no table");
    if points == "all" {
        page::put("faults.md", "fault", table.join("\n").trim_end())?;
    }
    Ok(())
}
