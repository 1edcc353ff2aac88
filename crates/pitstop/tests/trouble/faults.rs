//! `fix` and `undo`, stopped at one system call after the other: killed, or told by the kernel that the disk is full, that
//! it cannot be read, that this is not allowed, that a signal came.
//!
//! One traced run of each command lists its calls; each later run meets one fault at one of them, through strace. The tests
//! take some of these points, evenly chosen; `cargo xtask fault` takes all of them (`PITSTOP_FAULT_POINTS=all`) and prints
//! what came of it, which stands in docs/faults.md.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kill::restore_time;
use crate::snapshot::Snapshot;
use crate::venv::{Ran, Venv};

/// How many points the tests take, where `PITSTOP_FAULT_POINTS` says nothing.
const POINTS: usize = 40;
/// Venvs that are worked on at once.
const WORKERS: usize = 2;

/// Calls by which a file changes.
const CHANGES: &[&str] = &[
    "copy_file_range",
    "fchmod",
    "fchown",
    "fsync",
    "ftruncate",
    "linkat",
    "mkdirat",
    "pwrite64",
    "renameat",
    "renameat2",
    "symlinkat",
    "unlinkat",
    "utimensat",
    "write",
];
/// Calls by which a file is looked at. Nothing changes between two of them, so that a kill there is one at the next change.
const LOOKS: &[&str] = &[
    "faccessat2",
    "flistxattr",
    "flock",
    "fstat",
    "getdents64",
    "newfstatat",
    "openat",
    "pread64",
    "read",
    "readlink",
    "readlinkat",
    "statx",
];
/// What a call that changes something meets.
const CHANGE_FAULTS: &[&str] = &["SIGKILL", "ENOSPC", "EIO", "EACCES", "EINTR"];
/// What a call that looks meets.
const LOOK_FAULTS: &[&str] = &["EIO", "EACCES", "EINTR"];

/// One fault at one call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    /// `fix` or `undo`.
    words: &'static str,
    call: String,
    /// Which call of that name, from 1.
    number: usize,
    fault: &'static str,
    /// In threads and children, too: each meets it at its own call of that number.
    everywhere: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, call, number, fault, everywhere } = self;
        let place = if *everywhere { "of each thread and child " } else { "" };
        write!(to, "{words}, {fault} at {call} {place}{number}")
    }
}

/// The venv whose module and whose program both lack a library: the fix writes files and patches one.
fn venv() -> Venv {
    let venv = Venv::lacking();
    let source = venv.beside("tool.c");
    fs::write(&source, "int pstest_value(void); int main(void) { return pstest_value() - 42; }\n").unwrap();
    let tool = venv.root.join("bin/tool");
    let made = Command::new("gcc").arg("-o").arg(&tool).arg(&source).arg(venv.library()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    venv
}

/// Runs a command under strace.
fn traced(venv: &Venv, words: &str, options: &[&str]) -> (String, Ran) {
    let log = venv.beside("log");
    let mut before = vec!["timeout", "300", "strace", "-qq", "-o", log.to_str().unwrap()];
    before.extend(options);
    let ran = Ran::of(venv.around(&before, [words]).arg(&venv.root).output().expect("strace is there"));
    (fs::read_to_string(&log).unwrap_or_default(), ran)
}

/// The calls of a command: each with its number among those of its name, and whether it changes something. What comes
/// before the environment is first named is the start of the process, which any program has.
fn calls(venv: &Venv, words: &str) -> Vec<(String, usize, bool)> {
    let trace = format!("trace={},{}", CHANGES.join(","), LOOKS.join(","));
    let (log, ran) = traced(venv, words, &["-s", "4096", "-e", &trace]);
    ran.ends(0, &[]);
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut started = false;
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        if !CHANGES.contains(&name) && !LOOKS.contains(&name) {
            continue;
        }
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        started |= rest.contains(venv.root.to_str().unwrap());
        if started {
            let changes = CHANGES.contains(&name) || rest.contains("O_CREAT");
            calls.push((name.to_owned(), *number, changes));
        }
    }
    calls
}

/// How many calls of each name the busiest thread or child makes besides the command's own thread.
fn calls_elsewhere(venv: &Venv) -> BTreeMap<String, usize> {
    let trace = format!("trace={}", LOOKS.join(","));
    let (log, ran) = traced(venv, "fix", &["-f", "-e", &trace]);
    ran.ends(0, &[]);
    let own = log.split_whitespace().next().unwrap_or_default();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in log.lines() {
        let Some((task, rest)) = line.split_once(char::is_whitespace) else { continue };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        if task != own && LOOKS.contains(&name) {
            *counts.entry((task, name)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, name), count) in counts {
        let known = most.entry(name.to_owned()).or_default();
        *known = count.max(*known);
    }
    most
}

/// All points, in the order of the calls.
fn points(venv: &Venv) -> Vec<Point> {
    let mut points = Vec::new();
    let fix = calls(venv, "fix");
    let undo = calls(venv, "undo");
    for (words, calls) in [("fix", fix), ("undo", undo)] {
        for (call, number, changes) in calls {
            for fault in if changes { CHANGE_FAULTS } else { LOOK_FAULTS } {
                let call = call.clone();
                points.push(Point { words, call, number, fault, everywhere: false });
            }
        }
    }
    let elsewhere = calls_elsewhere(venv);
    venv.pitstop("undo").ends(0, &[]);
    for (call, most) in elsewhere {
        for number in 1..=most {
            let call = call.clone();
            points.push(Point { words: "fix", call, number, fault: "EIO", everywhere: true });
        }
    }
    points
}

/// As many of the points as are wanted, evenly chosen.
fn chosen(points: Vec<Point>) -> Vec<Point> {
    let wanted = match std::env::var("PITSTOP_FAULT_POINTS") {
        Ok(words) if words == "all" => points.len(),
        Ok(words) => words.parse().expect("PITSTOP_FAULT_POINTS is `all` or a number"),
        Err(_) => POINTS,
    };
    let step = points.len().div_ceil(wanted.max(1)).max(1);
    // An odd step, so that it does not always meet the same fault of a call.
    let step = if step > 1 { step | 1 } else { 1 };
    points.into_iter().step_by(step).collect()
}

/// What came of a command that met a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It went on, and did all that it should.
    Done,
    /// It gave up, and said why.
    Refused,
    Killed,
    /// The call was not made this time: what threads do differs from run to run.
    NotMet,
}

/// What a condition that does not hold says.
fn hold(condition: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(words()) }
}

/// That the module imports, or fails as it did before the fix.
fn imports_as_before_or_after(venv: &Venv) -> Result<(), String> {
    let words = venv.import().err().unwrap_or_default();
    let known = words.is_empty()
        || words.ends_with("libpstest.so.1: cannot open shared object file: No such file or directory\n");
    hold(known, || format!("the import says {words}"))
}

fn same(before: &Snapshot, after: &Snapshot, but_root: bool) -> Result<(), String> {
    let names = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    let differs = |path: &&std::path::PathBuf| {
        before.get(*path) != after.get(*path) && !(but_root && path.as_os_str().is_empty())
    };
    let paths: Vec<_> = names.filter(differs).collect();
    hold(paths.is_empty(), || format!("not as before: {paths:?}"))
}

/// One command after the fault, which must end well.
fn well(venv: &Venv, words: &str, says: &str) -> Result<(), String> {
    let ran = venv.pitstop(words);
    hold(ran.code == Some(0) && format!("{}{}", ran.out, ran.err).contains(says), || {
        format!("then {words}: {ran:?}")
    })
}

/// One fault, and all that must hold after it.
fn trial(venv: &Venv, before: &Snapshot, point: &Point) -> Result<End, String> {
    if point.words == "undo" {
        well(venv, "fix", "fixed")?;
    }
    let Point { call, number, fault, .. } = point;
    let what = if *fault == "SIGKILL" { "signal=KILL".to_owned() } else { format!("error={fault}") };
    let inject = format!("inject={call}:{what}:when={number}");
    let trace = format!("trace={call}");
    let mut options = vec!["-e", &trace, "-e", &inject];
    if point.everywhere {
        options.push("-f");
    }
    let (log, ran) = traced(venv, point.words, &options);
    let met = log.contains("(INJECTED)") || log.contains("+++ killed by SIGKILL");
    hold(!ran.err.contains("panicked"), || format!("{ran:?}"))?;
    let end = match ran.code {
        _ if !met => End::NotMet,
        Some(0) => End::Done,
        // strace ends as its child did; timeout says it in a number.
        None | Some(137) if *fault == "SIGKILL" => End::Killed,
        Some(1..=5) => End::Refused,
        // The command's own loader met it: it has not started.
        Some(127) if point.everywhere => End::Refused,
        other => return Err(format!("status {other:?}: {ran:?}")),
    };
    hold(
        end != End::Refused || ran.err.contains("error: ") || matches!(ran.code, Some(1 | 3 | 127)),
        || format!("refused without a word: {ran:?}"),
    )?;
    imports_as_before_or_after(venv)?;
    let status = venv.pitstop("status");
    hold(matches!(status.code, Some(0 | 1)), || format!("{status:?}"))?;
    if point.words == "fix"
        && end == End::Refused
        && ran.code == Some(5)
        && ran.err.contains("nothing was changed")
    {
        // It says that it has taken all back; then it has.
        same(before, &venv.snapshot(), false)?;
    }
    if end == End::Done && ran.code == Some(0) {
        match point.words {
            "fix" => venv.import().map_err(|words| format!("it said that all is well; {words}"))?,
            _ => same(before, &venv.snapshot(), false)?,
        }
    }
    // One time has no record that survives everything: that of the root, while `.pitstop` is made or removed.
    let but_root = status.out.contains("done nothing") || status.out.contains("interrupted");
    well(venv, "fix", "")?;
    venv.import().map_err(|words| format!("after the next fix: {words}"))?;
    well(venv, "status", "all in place")?;
    well(venv, "undo", "")?;
    same(before, &venv.snapshot(), but_root)?;
    restore_time(venv, before);
    Ok(end)
}

#[test]
fn stopped_at_any_system_call_an_environment_imports_as_before_or_after_and_is_healed() {
    let venvs: Vec<Venv> = (0..WORKERS).map(|_| venv()).collect();
    let all = points(&venvs[0]);
    let (known, all) = (all.len(), chosen(all));
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for mut venv in venvs {
            let (all, next, results) = (&all, &next, &results);
            scope.spawn(move || {
                let mut before = venv.snapshot();
                while let Some(point) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let end = trial(&venv, &before, point);
                    if end.is_err() {
                        // What is left is no start for the next.
                        venv = self::venv();
                        before = venv.snapshot();
                    }
                    results.lock().unwrap().push((point, end));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    print!("{}", table(known, &results));
    let broken: Vec<String> =
        results.iter().filter_map(|(point, end)| Some(format!("{point}: {}", end.as_ref().err()?))).collect();
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), results.len(), broken.join("\n"));
    let met = results.iter().filter(|(_, end)| *end != Ok(End::NotMet)).count();
    assert!(met * 10 >= results.len() * 8, "only {met} of {} faults were met", results.len());
}

/// What came of all, by command and fault.
fn table(known: usize, results: &[(&Point, Result<End, String>)]) -> String {
    let mut counts: BTreeMap<(String, &str), [usize; 5]> = BTreeMap::new();
    for (point, end) in results {
        let words = if point.everywhere {
            format!("{}, in threads and children", point.words)
        } else {
            point.words.to_owned()
        };
        let column = match end {
            Ok(End::Done) => 0,
            Ok(End::Refused) => 1,
            Ok(End::Killed) => 2,
            Ok(End::NotMet) => 3,
            Err(_) => 4,
        };
        counts.entry((words, point.fault)).or_default()[column] += 1;
    }
    let mut text = format!("{} of {known} points\n\n", results.len());
    text += "| command | fault | points | did all | refused | killed | not met | broken |\n";
    text += "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for ((words, fault), row) in counts {
        let points: usize = row.iter().sum();
        let row: Vec<String> = row.iter().map(usize::to_string).collect();
        text += &format!("| {words} | {fault} | {points} | {} |\n", row.join(" | "));
    }
    text
}
