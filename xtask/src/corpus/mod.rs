//! `cargo xtask corpus`: the packages that people install most, each used before a fix, after it, and on a Debian that has the
//! libraries.
//!
//! Each package is installed three times over: in the NixOS-like root, where it is used before `pitstop fix` and after, and in the
//! *control*, where everything is in its usual place. A package is mended when the use after the fix ends as the
//! control's does. What came of a package is kept beside the wheels, so that a run that was stopped goes on where it was.

mod control;
mod list;
mod page;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::install;
use control::Control;
use list::Package;
use trial::Outcome;

/// What the command line says.
#[derive(Debug)]
struct Options {
    /// The list of packages.
    packages: PathBuf,
    /// How many packages are tried at once.
    jobs: usize,
    /// Only these, where any are named.
    only: Vec<String>,
    /// Only those that the list marks as quick.
    quick: bool,
    /// Forget what came of earlier runs.
    fresh: bool,
    /// The command to try, where it is not to be built for release.
    pitstop: Option<PathBuf>,
    /// Where the table and the page are written.
    to: PathBuf,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut options = Self {
            packages: project.join("corpus/packages.tsv"),
            jobs: 2,
            only: Vec::new(),
            quick: false,
            fresh: false,
            pitstop: None,
            to: project.join("docs"),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--packages" => options.packages = value()?.into(),
                "--jobs" => options.jobs = value()?.parse().context("--jobs takes a number")?,
                "--pitstop" => options.pitstop = Some(value()?.into()),
                "--to" => options.to = value()?.into(),
                "--quick" => options.quick = true,
                "--fresh" => options.fresh = true,
                name if !name.starts_with('-') => options.only.push(name.to_owned()),
                _ => bail!("what does {word} mean? See cargo xtask"),
            }
        }
        Ok(options)
    }

    fn wants(&self, package: &Package) -> bool {
        (self.only.is_empty() || self.only.contains(&package.name)) && (!self.quick || package.quick)
    }
}

/// What every trial needs.
struct Bench<'a> {
    nixbox: &'a nixbox::Nixbox,
    /// The command, made to start in the root.
    pitstop: PathBuf,
    control: Control,
    /// `pitstop --version` and the bytes of the command: what an outcome was found with.
    made_with: String,
    folder: PathBuf,
}

/// Runs what the words after `corpus` say.
pub(crate) fn run_words(words: &[String]) -> Result<()> {
    let options = Options::parse(words)?;
    install::debian_packages()?;
    let packages = list::read(&options.packages)?;
    for name in &options.only {
        if !packages.iter().any(|package| package.name == *name) {
            bail!("{}: no package {name}", options.packages.display());
        }
    }
    let program = match &options.pitstop {
        Some(program) => program.clone(),
        None => crate::dist::command("release")?,
    };
    let folder = std::env::home_dir().context("no home folder")?.join(".cache/pitstop-corpus");
    std::fs::create_dir_all(folder.join("outcomes"))?;
    let nixbox = nixbox::Nixbox::open(&mut |line| println!("nixbox: {line}"))?;
    let bench = Bench {
        pitstop: nixbox.adopt(&program)?,
        control: Control::open(&folder)?,
        made_with: trial::fingerprint(&program)?,
        nixbox: &nixbox,
        folder,
    };
    let wanted: Vec<&Package> = packages.iter().filter(|package| options.wants(package)).collect();
    let outcomes = all(&bench, &wanted, &options)?;
    page::write(&outcomes, &options.to)?;
    let apart: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !outcome.is_mended())
        .map(|outcome| outcome.package.as_str())
        .collect();
    println!("{}", page::counts(&outcomes));
    if !apart.is_empty() {
        bail!("another end after the fix than on the control: {}", apart.join(" "));
    }
    Ok(())
}

/// Tries all packages, several at once, and gives what came of them in their order.
fn all(bench: &Bench<'_>, packages: &[&Package], options: &Options) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Outcome>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(package) = packages.get(number) else { return };
                    let outcome = one(bench, package, options.fresh);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    found.push((number, outcome));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(bench: &Bench<'_>, package: &Package, fresh: bool) -> Result<Outcome> {
    let kept = bench.folder.join("outcomes").join(format!("{}.json", package.name));
    if !fresh
        && let Ok(text) = std::fs::read_to_string(&kept)
        && let Ok(outcome) = serde_json::from_str::<Outcome>(&text)
        && outcome.made_with == bench.made_with
        && outcome.code == package.code
    {
        return Ok(outcome);
    }
    let begun = Instant::now();
    let outcome = trial::run(bench, package).with_context(|| package.name.clone())?;
    println!("{:>6.1} s  {}", begun.elapsed().as_secs_f64(), outcome.line());
    let text = serde_json::to_string_pretty(&outcome)?;
    let new = kept.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, kept)?;
    Ok(outcome)
}
