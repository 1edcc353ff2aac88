//! Running commands in turn and measuring each: what else the machine does meets all of them alike.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// A command, by the name under which it stands in the table.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    start: Start,
    /// It runs in one round of so many; the slow ones not in each.
    every: usize,
}

/// How a command is started.
enum Start {
    /// By `sh -c`.
    Shell(String),
    /// By itself, with variables: for what takes no longer than a shell.
    Direct(Vec<String>, Vec<(&'static str, String)>),
}

impl Contestant {
    pub(super) fn new(name: &'static str, command: String) -> Self {
        Self { name, start: Start::Shell(command), every: 1 }
    }

    /// A program and its arguments, started without a shell.
    pub(super) fn direct(name: &'static str, words: &[&str], variables: &[(&'static str, &str)]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        let variables = variables.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Self { name, start: Start::Direct(words, variables), every: 1 }
    }

    pub(super) fn every(self, rounds: usize) -> Self {
        Self { every: rounds, ..self }
    }
}

/// One run.
#[derive(Clone, Copy)]
struct Run {
    wall: Duration,
    processor: Duration,
    peak_kib: u64,
}

/// What came of all runs of one contestant.
pub(super) struct Figures {
    pub(super) name: &'static str,
    pub(super) runs: usize,
    pub(super) median_ms: f64,
    pub(super) least_ms: f64,
    /// The middle half of the runs lies within so much.
    pub(super) spread_ms: f64,
    /// Processor time, user and system, of all its processes: the least.
    pub(super) processor_ms: f64,
    /// Of its largest process.
    pub(super) peak_mib: f64,
}

/// Runs all contestants in turn, so many times, after one round that warms the caches and is not counted.
pub(super) fn run(contestants: &[Contestant], rounds: usize) -> Result<Vec<Figures>> {
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); contestants.len()];
    for round in 0..=rounds {
        for (contestant, runs) in contestants.iter().zip(&mut runs) {
            if round > 0 && round % contestant.every != 0 {
                continue;
            }
            let run = one(&contestant.start).with_context(|| contestant.name)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    contestants.iter().zip(runs).map(|(contestant, runs)| figures(contestant.name, runs)).collect()
}

/// Runs one contestant once, cold as it is.
pub(super) fn once(contestant: &Contestant) -> Result<Figures> {
    figures(contestant.name, vec![one(&contestant.start)?])
}

/// Runs a command in a process that does nothing else, since the system counts memory by children that have ended.
fn one(start: &Start) -> Result<Run> {
    let mut measuring = Command::new(std::env::current_exe()?);
    match start {
        Start::Shell(command) => measuring.args(["bench", "measure", command]),
        Start::Direct(words, variables) => {
            measuring.args(["bench", "measure-direct"]).args(words).envs(variables.iter().cloned())
        }
    };
    let output = measuring.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || Ok::<u64, anyhow::Error>(numbers.next().context("no answer")??);
    Ok(Run {
        wall: Duration::from_micros(next()?),
        processor: Duration::from_micros(next()?),
        peak_kib: next()?,
    })
}

/// `xtask bench measure COMMAND`: microseconds by the clock and by the processor, and KiB.
pub(super) fn measure(command: &str) -> Result<()> {
    measure_direct(&["/bin/sh", "-c", command])
}

/// `xtask bench measure-direct PROGRAM ARGUMENTS…`: the same, without a shell.
pub(super) fn measure_direct(words: &[&str]) -> Result<()> {
    let [program, arguments @ ..] = words else { bail!("measure what?") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let wall = began.elapsed();
    // Contestants end as they like (`grep` finds nothing, libraries are missing), but they must be there.
    ensure!(!matches!(status.code(), None | Some(126 | 127)), "the command failed: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let processor = (usage.user_time() + usage.system_time()).num_microseconds();
    println!("{} {processor} {}", wall.as_micros(), usage.max_rss());
    Ok(())
}

fn figures(name: &'static str, mut runs: Vec<Run>) -> Result<Figures> {
    ensure!(!runs.is_empty(), "{name} never ran: more rounds are needed");
    runs.sort_by_key(|run| run.wall);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let at = |part: usize| ms(runs[(runs.len() - 1) * part / 4].wall);
    let processor = runs.iter().map(|run| run.processor).min().unwrap_or_default();
    let peak = runs.iter().map(|run| run.peak_kib).max().unwrap_or_default();
    Ok(Figures {
        name,
        runs: runs.len(),
        median_ms: at(2),
        least_ms: at(0),
        spread_ms: at(3) - at(1),
        processor_ms: ms(processor),
        // Exact: no process here has 2^52 KiB.
        peak_mib: Duration::from_secs(peak).as_secs_f64() / 1024.0,
    })
}
