//! How fast pitstop is, beside what people use today and what no program can do without: `bench check` here, the others in
//! their own files.

mod contest;
mod fhs;
mod hook;
mod index;
mod locate;
mod names;
mod report;
mod shim;
mod tree;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use contest::{Contestant, Figures};

/// Times that each contestant runs, where nothing else is said.
const ROUNDS: usize = 12;

/// Runs what the words after `bench` say.
pub(crate) fn run_words(words: &[OsString]) -> Result<()> {
    let words: Vec<&str> =
        words.iter().map(|word| word.to_str().context("not UTF-8")).collect::<Result<_>>()?;
    match words.as_slice() {
        ["measure", command] => contest::measure(command),
        ["measure-direct", words @ ..] => contest::measure_direct(words),
        ["index"] => index::run(),
        ["names"] => names::run(),
        ["check", options @ ..] => check(&Options::parse(options)?),
        ["locate", options @ ..] => locate::run_words(options),
        ["shim", options @ ..] => shim::run_words(options),
        ["fhs", options @ ..] => fhs::run(Options::parse(options)?.rounds),
        ["fhs-inside", rest @ ..] => fhs::inside(rest),
        _ => bail!("cargo xtask bench check|fhs|index|locate|names|shim, see cargo xtask"),
    }
}

#[derive(Default)]
struct Options {
    /// The large environment; made where none is named.
    tree: Option<PathBuf>,
    rounds: Option<usize>,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for pair in words.chunks(2) {
            match pair {
                ["--tree", path] => options.tree = Some(std::path::absolute(path)?),
                ["--rounds", number] => options.rounds = Some(number.parse()?),
                _ => bail!("what does {} mean?", pair.join(" ")),
            }
        }
        Ok(options)
    }
}

fn check(options: &Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let pitstop = crate::dist::command("release")?;
    let floor = build(&["--package", "pitstop-host", "--example", "reading"], "examples/reading")?;
    let large = match &options.tree {
        Some(tree) => tree.clone(),
        None => tree::large()?,
    };
    let (plain, fixed) = tree::small(&pitstop)?;
    let size = tree::Size::of(&pitstop, &large)?;

    let on_large = contest::run(&on_large(&pitstop, &floor, &large), rounds)?;
    let on_small = contest::run(&on_small(&pitstop, &plain, &fixed), rounds * 10)?;
    let misses = hook::misses(&plain, &fixed)?;
    report::write(&report::Report { size, rounds, on_large, on_small, misses })
}

/// Builds for release, and gives the path of what was built.
pub(crate) fn build(what: &[&str], name: &str) -> Result<PathBuf> {
    run(Command::new(crate::cargo()).args(["build", "--release", "--locked", "--quiet"]).args(what))?;
    let xtask = std::env::current_exe()?;
    let target = xtask.ancestors().nth(2).context("xtask lies in no target folder")?;
    let built = target.join("release").join(name);
    ensure!(built.is_file(), "{} was not built", built.display());
    Ok(built)
}

fn on_large(pitstop: &Path, floor: &Path, tree: &Path) -> Vec<Contestant> {
    let (pitstop, floor, tree) = (quoted(pitstop), quoted(floor), quoted(tree));
    let find = format!("find {tree} -name '*.so*'");
    vec![
        Contestant::new("`pitstop check`", format!("exec {pitstop} check {tree}")),
        Contestant::new("`pitstop check --static`", format!("exec {pitstop} check --static {tree}")),
        Contestant::new("floor", format!("exec {floor} --floor {tree}")),
        Contestant::new("`find … \\| xargs libtree`", format!("{find} | xargs libtree")),
        Contestant::new(
            "`find … \\| xargs ldd \\| grep 'not found'`",
            format!("{find} | xargs ldd | grep 'not found'"),
        )
        .every(3),
        // Debian's lddtree needs a module of Debian's Python.
        Contestant::new("`find … \\| xargs lddtree`", format!("{find} | PATH=/usr/bin:/bin xargs lddtree"))
            .every(6),
    ]
}

fn on_small(pitstop: &Path, plain: &Path, fixed: &Path) -> Vec<Contestant> {
    let program = quoted(pitstop);
    let python = |venv: &Path| format!("exec {} -c pass", quoted(&venv.join("bin/python")));
    vec![
        Contestant::new("`pitstop check`, fixed", format!("exec {program} check {}", quoted(fixed))),
        Contestant::new("`pitstop fix`, nothing to do", format!("exec {program} fix {}", quoted(fixed))),
        Contestant::new("`pitstop --version`", format!("exec {program} --version")),
        Contestant::new("Python's start without the hook", python(plain)),
        Contestant::new("Python's start with it", python(fixed)),
    ]
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// The figures of a contestant whose name holds these words.
fn named<'a>(figures: &'a [Figures], words: &str) -> Result<&'a Figures> {
    figures.iter().find(|figures| figures.name.contains(words)).with_context(|| format!("no {words}"))
}
