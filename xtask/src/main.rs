//! Every chore of the project, as `cargo xtask CHORE`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore's words are its output")]

mod bench;
mod corpus;
mod dist;
mod fault;
mod fuzz;
mod install;
mod page;
mod record;
mod test;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

const USAGE: &str = "\
cargo xtask CHORE

  test           install what the tests need, then check the format, lint, and run every test
  bench check    time `pitstop check` beside what else there is, and write docs/performance.md;
                 --tree VENV measures that environment, --rounds N so many times
  bench shim     time the loader shim, and write docs/performance.md; --peer NAME=SHIM races another beside it,
                 --rounds N starts each so many times
  bench index    index made-up binary caches of up to 100,000 packages, and write docs/performance.md
  bench locate   compare `pitstop locate` with nix-locate, time both, and write docs/performance.md;
                 --peer nix-locate=PATH; --database FOLDER, else one is made from Contents of --mirror URL
  bench names    time what reading the code of 500 packages adds to a first check, and write docs/performance.md
  bench fhs      time a start in `pitstop fhs` beside bwrap and a wrapper like buildFHSEnv's; --rounds N
  corpus         use the packages that people install most: in the NixOS-like root before `pitstop fix` and after it, and on a
                 Debian that has the libraries; write docs/corpus.html and corpus.json. Goes on where it was stopped.
                 NAME… tries these alone, --quick the few of the tests; --packages FILE, --jobs N, --to FOLDER, --fresh;
                 --pitstop FILE takes that command instead of building one
  fault          stop fix and undo at each of their system calls, and write docs/faults.md; --points N takes only so many
  fuzz [TARGET…] run fuzz targets under libFuzzer, each for --seconds N, 600 unless said
  docs           write docs/commands.md from the code
  record         run the README's session in the NixOS-like root, and draw docs/recording.svg
  dist           make the wheel, a tarball and their checksums in target/dist, with the static command;
                 --profile NAME builds with that profile instead of release
  nixbox [CMD…]  run a command, or a shell, in the NixOS-like root
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let chore = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let done = match chore.to_str() {
        Some("test") => test::run_all(),
        Some("nixbox") => {
            return look(rest).unwrap_or_else(|error| {
                eprintln!("xtask: {error:#}");
                ExitCode::FAILURE
            });
        }
        Some("dist") => dist::run_words(&rest),
        Some("bench") => bench::run_words(&rest),
        Some("corpus") => texts(&rest).and_then(|words| corpus::run_words(&words)),
        Some("fault") => fault::run_words(&rest),
        Some("docs") => write_docs(),
        Some("record") => record::record(),
        Some("fuzz") => fuzz::run_words(&rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Has the test that holds `docs/commands.md` against the command line write it.
fn write_docs() -> Result<()> {
    run(Command::new(cargo())
        .args(["test", "--quiet", "--package", "pitstop", "--bin", "pitstop", "docs::the_page_of_commands"])
        .env("PITSTOP_WRITE_GOLDEN", "1"))
}

/// Runs a command, or a shell, in the NixOS-like root, with `pitstop` on its PATH.
fn look(command: Vec<OsString>) -> Result<ExitCode> {
    install::debian_packages()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut build = Command::new(cargo());
    run(build
        .args(["build", "--quiet", "--release", "--package", "pitstop", "--manifest-path"])
        .arg(manifest))?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/pitstop");
    let adopted = nixbox::Nixbox::open(&mut |line| eprintln!("nixbox: {line}"))?.adopt(&program)?;
    let folder = adopted.parent().context("the command has no folder in the root")?;
    let mut words: Vec<OsString> =
        ["/bin/sh", "-c", "PATH=$0:$PATH; exec \"$@\""].map(OsString::from).to_vec();
    words.push(folder.into());
    if command.is_empty() {
        words.push("bash".into());
    }
    words.extend(command);
    Ok(ExitCode::from(nixbox::cli(words)?))
}

/// Runs a command to its end, its words going where ours go.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("xtask: {shown}");
    let status = command.status().with_context(|| format!("{shown} could not be started"))?;
    ensure!(status.success(), "{shown} failed: {status}");
    Ok(())
}

/// What a command says on standard output.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Words of the command line that must be text.
fn texts(words: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| word.to_str().map(str::to_owned).context("a word is not UTF-8");
    words.iter().map(text).collect()
}

/// The cargo that runs us.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
