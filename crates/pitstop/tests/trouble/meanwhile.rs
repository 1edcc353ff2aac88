//! What happens to an environment meanwhile: the clock jumps, the Python is upgraded, all of it moves.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use crate::snapshot::{Snapshot, assert_same};
use crate::venv::{PYTHON, Ran, Venv};

/// Starts a command, and stops it at its `number`th call of that name, as SIGSTOP does. The command's process and strace's;
/// `None` where there is no such call, and the command has ended.
fn stopped(venv: &Venv, words: &str, call: &str, number: usize) -> Option<(Child, String)> {
    let log = venv.beside("log");
    let _ = fs::remove_file(&log);
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=STOP:when={number}"));
    let before = ["strace", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
    let mut command = venv.around(&before, [words]);
    let mut child = command.arg(&venv.root).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains("--- stopped by SIGSTOP") {
            // strace's one child.
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let process = fs::read_to_string(children).unwrap().trim().to_owned();
            return Some((child, process));
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
}

fn go_on(child: Child, process: &str) -> Ran {
    assert!(Command::new("kill").args(["-CONT", process]).status().unwrap().success());
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn times_in_the_future_and_before_1970_are_kept() {
    for time in [UNIX_EPOCH + Duration::from_hours(1_139_568), UNIX_EPOCH - Duration::from_millis(86_400_500)]
    {
        let venv = Venv::lacking();
        let mut open = vec![venv.root.clone()];
        while let Some(path) = open.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            if !metadata.is_symlink() {
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
            }
        }
        let before = venv.snapshot();
        venv.pitstop("check").ends(1, &["libpstest.so.1"]);
        venv.pitstop("fix").ends(0, &["fixed"]);
        venv.import().unwrap();
        venv.pitstop("check").ends(0, &["nothing is missing"]);
        venv.pitstop("undo").ends(0, &["as it was before the fix"]);
        assert_same(&before, &venv.snapshot(), "undo left something");
    }
}

/// Runs the command at another time of the clock.
fn at(venv: &Venv, time: &str, words: &str) -> Ran {
    let before = ["timeout", "300", "faketime", "-f", time];
    let mut command = venv.around(&before, words.split(' '));
    // What waits is no matter of the clock that jumps: nobody can set the other one.
    command.arg(&venv.root).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Ran::of(command.output().expect("faketime is there"))
}

#[test]
fn a_clock_that_jumps_between_and_during_commands_disturbs_nothing() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    let times = ["@2099-01-01 00:00:00", "@1971-01-01 00:00:00", "@2038-01-19 03:14:07"];
    // Does it reach the command at all?
    let told =
        Command::new("faketime").args(["-f", times[0], "date", "+%Y"]).output().expect("faketime is there");
    assert_eq!(told.stdout, b"2099\n");
    for (number, time) in times.iter().enumerate() {
        let next = times[(number + 1) % times.len()];
        at(&venv, time, "check").ends(1, &["libpstest.so.1"]);
        // What is kept of Python's answer in a far future is not believed for ever.
        at(&venv, next, "check").ends(1, &["libpstest.so.1"]);
        at(&venv, time, "fix").ends(0, &["fixed"]);
        venv.import().unwrap();
        at(&venv, next, "fix").ends(0, &["nothing to do"]);
        at(&venv, next, "status").ends(0, &["all in place"]);
        at(&venv, next, "undo").ends(0, &["as it was before the fix"]);
        assert_same(&before, &venv.snapshot(), time);
        // It leaps while the command runs: a day back at each look.
        at(&venv, &format!("{time} i-86400"), "fix").ends(0, &["fixed"]);
        venv.pitstop("undo").ends(0, &["as it was before the fix"]);
        assert_same(&before, &venv.snapshot(), time);
    }
}

/// Another build of the same Python, elsewhere: `sys.base_prefix` differs.
fn another_python(venv: &Venv) -> PathBuf {
    let prefix = venv.beside("another");
    fs::create_dir_all(prefix.join("bin")).unwrap();
    fs::create_dir_all(prefix.join("lib")).unwrap();
    let real = fs::canonicalize(PYTHON).unwrap();
    let name = real.file_name().unwrap();
    // By another process's hand, so that nobody who starts it meanwhile is told that it is busy.
    let copied = Command::new("cp").arg(&real).arg(prefix.join("bin").join(name)).status().unwrap();
    assert!(copied.success());
    symlink(Path::new("/usr/lib").join(name), prefix.join("lib").join(name)).unwrap();
    prefix.join("bin").join(name)
}

#[test]
fn a_python_that_was_upgraded_under_a_fix_is_told_and_everything_is_provided_anew() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    venv.pitstop("fix").ends(0, &["fixed"]);
    let python = another_python(&venv);
    let link = fs::read_link(venv.root.join("bin/python3")).unwrap();
    let config = fs::read_to_string(venv.root.join("pyvenv.cfg")).unwrap();
    let home = python.parent().unwrap();
    let changed = config.replace("home = /usr/bin", &format!("home = {}", home.display()));
    assert_ne!(config, changed);
    fs::write(venv.root.join("pyvenv.cfg"), changed).unwrap();
    venv.link_python(python.to_str().unwrap());
    // The hook loads nothing into another Python than that it was made for, and says so.
    let words = venv.import().unwrap_err();
    assert!(words.contains("the Python of this environment has changed; run `pitstop fix"), "{words}");
    assert!(words.contains("ImportError: libpstest.so.1: cannot open shared object file"), "{words}");
    venv.pitstop("check").ends(1, &["libpstest.so.1"]);
    venv.pitstop("fix").ends(0, &["the environment has another Python now", "fixed"]);
    venv.import().unwrap();
    venv.pitstop("status").ends(0, &["all in place"]);
    venv.pitstop("undo").ends(0, &[]);
    venv.imports_not();
    fs::write(venv.root.join("pyvenv.cfg"), config).unwrap();
    venv.link_python(link.to_str().unwrap());
    let after = venv.snapshot();
    let site = venv.site.strip_prefix(&venv.root).unwrap();
    let inside = |snapshot: &Snapshot| -> Snapshot {
        let below = snapshot.iter().filter(|(path, _)| path.starts_with(site));
        below.map(|(path, node)| (path.clone(), node.clone())).collect()
    };
    assert_same(&inside(&before), &inside(&after), "undo left something in site-packages");
    assert!(!after.contains_key(Path::new(".pitstop")));
}

#[test]
fn an_environment_that_moves_while_it_is_fixed_is_fixed_where_it_went() {
    let venv = Venv::lacking();
    let inode = fs::metadata(&venv.root).unwrap().ino();
    let (child, process) = stopped(&venv, "fix", "renameat2", 3).expect("a fix renames");
    let moved = venv.beside("moved");
    fs::rename(&venv.root, &moved).unwrap();
    let ran = go_on(child, &process);
    // Nothing appears where it was, and it is as before or as after where it is.
    assert!(!venv.root.exists(), "{ran:?}");
    assert_eq!(fs::metadata(&moved).unwrap().ino(), inode);
    assert!(matches!(ran.code, Some(0..=5)), "{ran:?}");
    venv.pitstop_on("fix", &moved).ends(0, &[]);
    venv.pitstop_on("status", &moved).ends(0, &["all in place"]);
    let import =
        Command::new(moved.join("bin/python")).args(["-B", "-c", "import needy._x"]).output().unwrap();
    assert!(import.status.success(), "{import:?}");
    venv.pitstop_on("undo", &moved).ends(0, &[]);
    assert!(!moved.join(".pitstop").exists());
}
