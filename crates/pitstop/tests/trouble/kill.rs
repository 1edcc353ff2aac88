//! Killed or asked to stop at any moment, and two at once.

use std::process::{Command, Stdio};

use crate::snapshot::assert_same;
use crate::venv::{Ran, Venv};

/// The calls by which the state on disk changes. A process that is killed between two of them is killed at the second.
const CHANGES: [&str; 6] = ["mkdirat", "renameat,renameat2", "unlinkat", "utimensat", "fchmod", "fsync"];

/// Runs the command so that its `number`th call of one of `calls` brings `signal`; says whether there was such a call.
fn signalled(venv: &Venv, words: &str, calls: &str, signal: &str, number: u32) -> (bool, Ran) {
    let log = venv.beside("log");
    let inject = format!("inject={calls}:signal={signal}:when={number}");
    let before = ["strace", "-qq", "-o", log.to_str().unwrap(), "-e", "signal=all", "-e"];
    let trace = format!("trace={calls}");
    let before: Vec<&str> = before.into_iter().chain([trace.as_str(), "-e", &inject]).collect();
    let mut command = venv.around(&before, [words]);
    let ran = Ran::of(command.arg(&venv.root).output().expect("strace is there"));
    let log = std::fs::read_to_string(&log).unwrap();
    (log.contains(&format!("SIG{signal}")), ran)
}

/// Kills a command at each change of a kind; each time the environment imports as before or as after, and is mended.
fn survives_kills(calls: &str) {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    for words in ["fix", "undo"] {
        for number in 1.. {
            if words == "undo" {
                venv.pitstop("fix").ends(0, &[]);
            }
            let (killed, ran) = signalled(&venv, words, calls, "KILL", number);
            let what = format!("{words} killed at {calls} {number}");
            if let Err(words) = venv.import() {
                assert!(words.ends_with("No such file or directory\n"), "{what}: {words}");
            }
            let status = venv.pitstop("status");
            assert!(matches!(status.code, Some(0 | 1)), "{what}: {status:?}");
            if !killed {
                assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
                venv.pitstop("undo").ends(0, &[]);
                break;
            }
            // Half of them are mended first, half taken back at once.
            if number % 2 == 0 {
                venv.pitstop("fix").ends(0, &[]);
                venv.import().unwrap_or_else(|error| panic!("{what}: {error}"));
                venv.pitstop("status").ends(0, &["all in place"]);
            }
            venv.pitstop("undo").ends(0, &[]);
            venv.imports_not();
            let mut after = venv.snapshot();
            let root = std::path::Path::new("");
            if status.out.contains("done nothing") || status.out.contains("interrupted") {
                // One time has no record that survives everything: that of the root, while `.pitstop` is made or removed.
                after.insert(root.to_owned(), before[root].clone());
            }
            assert_same(&before, &after, &what);
            restore_time(&venv, &before);
        }
    }
}

/// Sets the time of the root as it was, so that each round begins alike.
pub(crate) fn restore_time(venv: &Venv, before: &crate::snapshot::Snapshot) {
    let (seconds, nanoseconds) = before[std::path::Path::new("")].modified;
    let time = std::time::UNIX_EPOCH
        + std::time::Duration::new(u64::try_from(seconds).unwrap(), u32::try_from(nanoseconds).unwrap());
    std::fs::File::open(&venv.root).unwrap().set_modified(time).unwrap();
}

#[test]
fn killed_when_it_makes_a_folder() {
    survives_kills(CHANGES[0]);
}

#[test]
fn killed_when_it_renames() {
    survives_kills(CHANGES[1]);
}

#[test]
fn killed_when_it_removes() {
    survives_kills(CHANGES[2]);
}

#[test]
fn killed_when_it_sets_times() {
    survives_kills(CHANGES[3]);
}

#[test]
fn killed_when_it_sets_modes() {
    survives_kills(CHANGES[4]);
}

#[test]
fn killed_when_it_syncs() {
    survives_kills(CHANGES[5]);
}

#[test]
fn asked_to_stop_while_it_writes_it_takes_all_back_and_says_so() {
    for (calls, signal) in [("renameat", "INT"), ("renameat2", "TERM"), ("fsync", "INT")] {
        let venv = Venv::lacking();
        let before = venv.snapshot();
        for number in 1.. {
            let (asked, ran) = signalled(&venv, "fix", calls, signal, number);
            if !asked {
                assert_eq!(ran.code, Some(0), "{ran:?}");
                break;
            }
            ran.ends(5, &["error: interrupted", "hint: nothing was changed"]);
            assert_same(&before, &venv.snapshot(), &format!("{signal} at {calls} {number}"));
            venv.pitstop("status").ends(0, &["done nothing"]);
        }
    }
}

#[test]
fn a_dry_run_leaves_even_an_interrupted_fix_as_it_is() {
    let venv = Venv::lacking();
    let (killed, _) = signalled(&venv, "fix", "renameat2", "KILL", 2);
    assert!(killed);
    let half = venv.snapshot();
    venv.pitstop("status").ends(1, &["interrupted", "hint: "]);
    venv.pitstop("fix --dry-run").ends(0, &["_pitstop.py"]);
    assert_same(&half, &venv.snapshot(), "a dry run wrote something");
    venv.pitstop("fix").ends(0, &["an interrupted fix was taken back first", "fixed"]);
    venv.import().unwrap();
}

#[test]
fn of_many_fixes_at_once_each_ends_well_or_is_refused_and_says_why() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    for _ in 0..4 {
        let start = || {
            let mut command = venv.command(["fix"]);
            command.arg(&venv.root).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..6).map(|_| start()).collect();
        let all: Vec<Ran> =
            children.into_iter().map(|child| Ran::of(child.wait_with_output().unwrap())).collect();
        assert!(all.iter().any(|ran| ran.code == Some(0)), "{all:?}");
        for ran in &all {
            match ran.code {
                Some(0) => {}
                _ => drop(ran.ends(5, &["another pitstop", "is working on", "hint: wait"])),
            }
        }
        venv.import().unwrap();
        venv.pitstop("status").ends(0, &["all in place"]);
        venv.pitstop("undo").ends(0, &[]);
        assert_same(&before, &venv.snapshot(), "many fixes and one undo");
    }
}

#[test]
fn while_another_works_a_look_is_free_and_a_change_is_refused() {
    let venv = Venv::lacking();
    // The same lock, held by a program of another kind.
    let mut holder = Command::new("flock");
    holder.arg(&venv.root).args(["sh", "-c", "echo held; read line"]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("flock is there");
    let mut said = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
    let before = venv.snapshot();
    for words in ["fix", "undo"] {
        venv.pitstop(words).ends(5, &["another pitstop", "/v`", "hint: wait"]);
    }
    venv.pitstop("check").ends(1, &["libpstest.so.1"]);
    venv.pitstop("status").ends(0, &["done nothing"]);
    assert_same(&before, &venv.snapshot(), "something was written");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    venv.pitstop("fix").ends(0, &[]);
}
