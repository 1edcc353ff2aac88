//! `cargo xtask bench names`: what reading the Python code of many packages adds to a first check.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::contest::{self, Contestant};
use super::{quoted, report, tree};

const ROUNDS: usize = 9;
/// What stands in the answer that holds the calls of all code.
const OF_CODE: &[u8] = b"\"requests\"";

/// Measures, and writes docs/performance.md.
pub(super) fn run() -> Result<()> {
    let pitstop = crate::dist::command("release")?;
    let venv = tree::many()?;
    let size = tree::Size::of(&pitstop, &venv)?;
    let work = tempfile::tempdir()?;
    let [all, natives, here] = ["all", "natives", "here"].map(|name| work.path().join(name));
    // Twice: what is written while it is looked at settles.
    for _ in 0..2 {
        let status =
            Command::new(&pitstop).arg("check").arg(&venv).env("XDG_CACHE_HOME", &all).output()?.status;
        ensure!(matches!(status.code(), Some(0 | 1)), "pitstop check: {status}");
    }
    crate::run(Command::new("cp").arg("-r").args([&all, &natives]))?;
    forget_code(&natives.join("pitstop/answers"))?;
    let from = |kept: Option<&Path>| {
        let here = quoted(&here);
        let copy = kept.map(|kept| format!("cp -r {} {here}; ", quoted(kept))).unwrap_or_default();
        let (pitstop, venv) = (quoted(&pitstop), quoted(&venv));
        format!("rm -rf {here}; {copy}XDG_CACHE_HOME={here} exec {pitstop} check {venv}")
    };
    let figures = contest::run(
        &[
            Contestant::new("a first check: nothing is known", from(None)),
            Contestant::new("all is known but the code", from(Some(&natives))),
            Contestant::new("a second check: all is known", from(Some(&all))),
        ],
        ROUNDS,
    )?;
    let [first, anew, second] = figures.as_slice() else { anyhow::bail!("three were to run") };
    let scan = anew.median_ms - second.median_ms;
    let mut text = format!(
        "{}\n\n500 packages, {} native files among {}, {:.1} GB; {ROUNDS} rounds, in turn, warm.\n\n",
        report::machine(&[]),
        size.native_files,
        size.files,
        size.gigabytes
    );
    text += &report::table(&figures, second, "a second")?;
    writeln!(
        text,
        "\nReading the code takes {scan:.0} ms and adds {:.0} % to a first check.",
        100.0 * scan / (first.median_ms - scan)
    )?;
    report::put("names", &text)
}

/// Removes the answer that holds the calls of the code.
fn forget_code(answers: &Path) -> Result<()> {
    let mut forgotten = 0;
    for entry in fs::read_dir(answers).with_context(|| answers.display().to_string())? {
        let path = entry?.path();
        if fs::read(&path)?.windows(OF_CODE.len()).any(|bytes| bytes == OF_CODE) {
            fs::remove_file(path)?;
            forgotten += 1;
        }
    }
    ensure!(forgotten == 1, "{forgotten} answers hold calls of code, where one was to");
    Ok(())
}
