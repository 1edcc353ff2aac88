//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, without a nightly compiler.
//!
//! Coverage is LLVM's own pass, which stable rustc runs; the code has next to no `unsafe`, so that a sanitizer would find
//! little that overflow checks and assertions do not. `cargo fuzz` works, too, and has one.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, run};

/// What `cargo fuzz` gives rustc, without the sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks --cfg fuzzing";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Ten minutes.
const SECONDS: &str = "600";

/// Takes `[--seconds N] [TARGET…]`; without a target all of them, one after the other.
pub(crate) fn run_words(words: &[OsString]) -> Result<()> {
    let mut words = words.iter().filter_map(|word| word.to_str()).peekable();
    let seconds = match words.next_if_eq(&"--seconds") {
        Some(_) => words.next().context("--seconds takes a number")?,
        None => SECONDS,
    };
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut targets: Vec<String> = words.map(str::to_owned).collect();
    if targets.is_empty() {
        for entry in std::fs::read_dir(fuzz.join("fuzz_targets"))? {
            let path = entry?.path();
            targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        targets.sort();
    }
    // Dependencies are built with coverage, too: what a parser of others does with our bytes counts.
    let mut build = Command::new(cargo());
    build.args(["build", "--release", "--target", TRIPLE, "--manifest-path"]).arg(fuzz.join("Cargo.toml"));
    run(build.env("RUSTFLAGS", FLAGS))?;
    for target in targets {
        one(&fuzz, &target, seconds)?;
    }
    Ok(())
}

/// Runs one target, and prints the last figures that libFuzzer gave.
fn one(fuzz: &Path, target: &str, seconds: &str) -> Result<()> {
    let program = fuzz.join("target").join(TRIPLE).join("release").join(target);
    if !program.is_file() {
        bail!("there is no fuzz target {target}");
    }
    let (corpus, artifacts) = (fuzz.join("corpus").join(target), fuzz.join("artifacts").join(target));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let mut fuzzer = Command::new(&program);
    fuzzer.args([format!("-max_total_time={seconds}"), "-timeout=20".into(), "-rss_limit_mb=2048".into()]);
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus);
    let seeds = fuzz.join("seeds").join(target);
    fuzzer.args(seeds.is_dir().then_some(seeds));
    let ran = fuzzer.stdout(Stdio::null()).output().context("the target could not be started")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let figures = said.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or("no figures");
    println!("{target}: {figures}");
    ensure!(ran.status.success(), "{target} found something:\n{said}");
    Ok(())
}
