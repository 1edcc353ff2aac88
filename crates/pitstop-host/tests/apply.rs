//! Applying and undoing where the machine gets in the way: kills, full disks, other users, read-only mounts.
//!
//! Failures and kills at each single step: src/apply/tests.rs.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fs_err as fs;
use pitstop_core::plan::{Inside, Operation, Plan};
use pitstop_host::apply::{Status, Venv, status};
use tempfile::TempDir;

/// Path → type and mode, modification time, owner, and content or link target.
type Snapshot = BTreeMap<PathBuf, (u32, (i64, i64), u32, Vec<u8>)>;

fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        let time = (metadata.mtime(), metadata.mtime_nsec());
        all.insert(
            path.strip_prefix(root).unwrap().to_owned(),
            (metadata.mode(), time, metadata.uid(), content),
        );
    }
    all
}

const SITE: &str = "lib/python3.11/site-packages";

fn make_venv(root: &Path) {
    fs::create_dir_all(root.join(SITE)).unwrap();
    fs::write(root.join("pyvenv.cfg"), "home = /usr/bin\n").unwrap();
    fs::write(root.join(SITE).join("six.py"), "").unwrap();
}

/// Many files, some large, so that there is something to interrupt.
fn plan(content: &str) -> Plan {
    let inside = |name: String| Inside::new(format!("{SITE}/{name}")).unwrap();
    let mut operations = vec![Operation::MakeFolder { path: inside("made".to_owned()) }];
    for number in 0..20 {
        let bytes = content.repeat(20_000).into_bytes();
        operations.push(Operation::WriteFile { path: inside(format!("made/{number}")), bytes, mode: 0o644 });
    }
    operations.push(Operation::Link { path: inside("link".to_owned()), target: content.to_owned() });
    let bytes = b"import _p\n".to_vec();
    operations.push(Operation::WriteFile { path: inside("p.pth".to_owned()), bytes, mode: 0o644 });
    Plan { operations }
}

const ROLE: &str = "PITSTOP_TEST_ROLE";

/// Runs a test of this file once more, in a process of its own and in a role, through `wrapper`.
fn again(wrapper: &[&str], test: &str, role: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role);
    command
}

fn assert_passed(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Without namespaces or other users a test says nothing, unless told that it must.
fn can(program: &[&str]) -> bool {
    let can = Command::new(program[0])
        .args(&program[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(can || std::env::var_os("PITSTOP_MUST_WORK").is_none(), "cannot run {program:?}");
    can
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn killed_at_a_random_moment() {
    if let Ok(root) = std::env::var(ROLE) {
        // The child: fixes and undoes until it is killed.
        for round in 0.. {
            let venv = Venv::lock(Path::new(&root)).unwrap();
            venv.apply(&plan("one")).unwrap();
            venv.apply(&plan(if round % 2 == 0 { "two" } else { "three" })).unwrap();
            venv.undo().unwrap();
        }
    }
    let root = TempDir::new().unwrap();
    make_venv(root.path());
    let before = snapshot(root.path());
    let mut halves = 0;
    for round in 0_u64..60 {
        let mut child = again(&[], "killed_at_a_random_moment", root.path().to_str().unwrap());
        let mut child = child.stdout(Stdio::null()).spawn().unwrap();
        // Moments spread by a step that shares no factor with the length of a round.
        std::thread::sleep(Duration::from_micros(12_000 + round * 7_919 % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if root.path().join(SITE).join("p.pth").exists() {
            // Active, so all of it has to be there, each file whole.
            for number in 0..20 {
                let content =
                    fs::read_to_string(root.path().join(SITE).join(format!("made/{number}"))).unwrap();
                let whole = ["one", "two", "three"].iter().any(|text| content == text.repeat(20_000));
                assert!(whole, "{number} is {} long", content.len());
            }
        }
        halves += usize::from(matches!(status(root.path()).unwrap(), Status::Half(_)));
        let venv = Venv::lock(root.path()).unwrap();
        if round % 2 == 0 {
            venv.apply(&plan("four")).unwrap();
            assert!(matches!(status(root.path()).unwrap(), Status::Whole(_)));
        }
        assert_eq!(venv.undo().unwrap().differences, [], "round {round}");
        let mut after = snapshot(root.path());
        // The documented gap of two calls, in which only the time of the root is lost.
        after.get_mut(Path::new("")).unwrap().1 = before[Path::new("")].1;
        assert_eq!(after, before, "round {round}");
    }
    assert!(halves > 10, "only {halves} of 60 kills came half way");
}

#[test]
fn two_at_once() {
    if let Ok(root) = std::env::var(ROLE) {
        let error = Venv::lock(Path::new(&root)).err().unwrap();
        assert!(error.to_string().starts_with("another pitstop (process "), "{error}");
        return;
    }
    let root = TempDir::new().unwrap();
    make_venv(root.path());
    let _first = Venv::lock(root.path()).unwrap();
    assert_passed(&again(&[], "two_at_once", root.path().to_str().unwrap()).output().unwrap());
}

#[test]
fn on_a_full_disk() {
    let mount = |folder: &Path, size: &str| {
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", size, "none"]).arg(folder).status().unwrap();
        assert!(done.success());
    };
    if let Ok(folder) = std::env::var(ROLE) {
        for kib in (40..900).step_by(60) {
            let folder = Path::new(&folder);
            mount(folder, &format!("size={kib}k"));
            make_venv(folder);
            let before = snapshot(folder);
            let venv = Venv::lock(folder).unwrap();
            let error = venv.apply(&plan("one")).unwrap_err();
            assert!(error.to_string().starts_with("nothing was changed"), "{error}");
            assert!(error.hint().unwrap().starts_with("free some space"));
            assert_eq!(snapshot(folder), before, "{kib}");
        }
        let folder = Path::new(&folder);
        mount(folder, "size=4m");
        make_venv(folder);
        let before = snapshot(folder);
        let venv = Venv::lock(folder).unwrap();
        venv.apply(&plan("one")).unwrap();
        let ballast = folder.join("ballast");
        let _ = fs::write(&ballast, vec![1; 8_000_000]);
        let error = venv.apply(&plan("longer")).unwrap_err();
        assert!(error.hint().unwrap().contains("pitstop undo"), "{error}");
        assert!(matches!(status(folder).unwrap(), Status::Half(_) | Status::Whole(_)));
        venv.undo().unwrap();
        fs::remove_file(&ballast).unwrap();
        let mut after = snapshot(folder);
        // The ballast changed the root.
        after.get_mut(Path::new("")).unwrap().1 = before[Path::new("")].1;
        assert_eq!(after, before);
        return;
    }
    let namespace = ["unshare", "-Urm", "--"];
    if can(&["unshare", "-Urm", "--", "true"]) {
        let folder = TempDir::new().unwrap();
        assert_passed(
            &again(&namespace, "on_a_full_disk", folder.path().to_str().unwrap()).output().unwrap(),
        );
    }
}

#[test]
fn on_a_read_only_mount() {
    if let Ok(folder) = std::env::var(ROLE) {
        let folder = Path::new(&folder);
        make_venv(folder);
        let call = |arguments: &[&str]| {
            assert!(Command::new("mount").args(arguments).arg(folder).status().unwrap().success());
        };
        call(&["--bind", folder.to_str().unwrap()]);
        call(&["-o", "remount,ro,bind"]);
        let before = snapshot(folder);
        let venv = Venv::lock(folder).unwrap();
        let error = venv.apply(&plan("one")).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` cannot be changed", folder.display()));
        assert!(error.hint().unwrap().contains("read-only"));
        assert_eq!(snapshot(folder), before);
        return;
    }
    if can(&["unshare", "-Urm", "--", "true"]) {
        let folder = TempDir::new().unwrap();
        let namespace = ["unshare", "-Urm", "--"];
        assert_passed(
            &again(&namespace, "on_a_read_only_mount", folder.path().to_str().unwrap()).output().unwrap(),
        );
    }
}

#[test]
fn as_a_user_who_may_not() {
    if let Ok(root) = std::env::var(ROLE) {
        let root = Path::new(&root);
        let before = snapshot(root);
        let venv = Venv::lock(root).unwrap();
        let error = venv.apply(&plan("one")).unwrap_err();
        assert!(error.to_string().ends_with("cannot be changed"), "{error}");
        assert!(error.hint().unwrap().contains("the user who owns"));
        assert_eq!(snapshot(root), before);
        return;
    }
    if !is_root() || !can(&["setpriv", "--reuid", "65534", "--clear-groups", "true"]) {
        return;
    }
    // The test's own program must be in reach of that user.
    let bin = TempDir::new().unwrap();
    fs::set_permissions(bin.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = bin.path().join("test");
    // Copied by another process: a child just forked by another test's thread would hold ours open, and so busy.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    for locked in ["", SITE] {
        let root = TempDir::new().unwrap();
        make_venv(root.path());
        for folder in ["", "lib", "lib/python3.11", SITE] {
            let path = root.path().join(folder);
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            if folder != locked {
                chown(&path, Some(65534), Some(65534)).unwrap();
            }
        }
        let output = Command::new(&program)
            .args(["--exact", "as_a_user_who_may_not", "--nocapture"])
            .env(ROLE, root.path())
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        assert_passed(&output);
    }
}

#[test]
fn what_root_makes_in_a_users_venv_is_the_users() {
    if !is_root() {
        return;
    }
    let root = TempDir::new().unwrap();
    make_venv(root.path());
    for folder in ["", "lib", "lib/python3.11", SITE] {
        chown(root.path().join(folder), Some(65534), Some(65534)).unwrap();
    }
    let before = snapshot(root.path());
    let venv = Venv::lock(root.path()).unwrap();
    venv.apply(&plan("one")).unwrap();
    for (path, (mode, _, owner, _)) in snapshot(root.path()) {
        let link = mode & 0o170_000 == 0o120_000;
        assert!(before.contains_key(&path) || link || owner == 65534, "{}", path.display());
    }
    venv.undo().unwrap();
    assert_eq!(snapshot(root.path()), before);
}
