//! Folders that may not be read or written, and disks that are full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::snapshot::{Snapshot, assert_same};
use crate::venv::{Ran, Venv};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A snapshot that an ordinary user may take, too, of what is closed to them.
fn before_closing(venv: &Venv, path: &Path, mode: u32) -> Snapshot {
    set_mode(path, mode);
    venv.give_to_nobody();
    let before = crate::venv::is_root().then(|| venv.snapshot());
    before.unwrap_or_default()
}

fn assert_still(venv: &Venv, before: &Snapshot) {
    if crate::venv::is_root() {
        assert_same(before, &venv.snapshot(), "something was written");
    }
}

#[test]
fn a_folder_that_may_not_be_read_is_named_with_status_3() {
    let venv = Venv::lacking();
    let closed = venv.site.join("closed");
    fs::create_dir(&closed).unwrap();
    let before = before_closing(&venv, &closed, 0o000);
    venv.pitstop_as_nobody("check")
        .ends(3, &["closed could not be read: ", "Permission denied", "libpstest.so.1", "hint: "]);
    let report = venv.pitstop_as_nobody("check --json").ends(3, &[]).json();
    assert_eq!(report["unread"][0]["path"], "closed", "{report}");
    assert_still(&venv, &before);
    venv.pitstop_as_nobody("fix").ends(3, &["closed could not be read: ", "Permission denied"]);
    venv.import().unwrap();
    venv.pitstop_as_nobody("undo").ends(0, &[]);
    assert_still(&venv, &before);
    set_mode(&closed, 0o755);
}

#[test]
fn a_file_that_may_not_be_read_is_named_with_status_3() {
    let venv = Venv::lacking();
    let closed = venv.site.join("needy/closed.abi3.so");
    fs::copy(venv.module(), &closed).unwrap();
    let before = before_closing(&venv, &closed, 0o000);
    venv.pitstop_as_nobody("check")
        .ends(3, &["needy/closed.abi3.so could not be read: ", "Permission denied"]);
    assert_still(&venv, &before);
}

#[test]
fn an_environment_that_may_not_be_entered_is_refused() {
    let venv = Venv::lacking();
    let before = before_closing(&venv, &venv.root, 0o000);
    for command in ["check", "fix", "undo", "status"] {
        venv.pitstop_as_nobody(command).ends(2, &["Permission denied", "/v", "hint: "]);
    }
    assert_still(&venv, &before);
    set_mode(&venv.root, 0o755);
}

#[test]
fn an_environment_of_somebody_else_is_checked_but_not_fixed() {
    let venv = Venv::lacking();
    for closed in [&venv.root, &venv.site] {
        let before = before_closing(&venv, closed, 0o555);
        venv.pitstop_as_nobody("check").ends(1, &["libpstest.so.1"]);
        venv.pitstop_as_nobody("fix --dry-run").ends(0, &["_pitstop.py"]);
        assert_still(&venv, &before);
        let ran = venv.pitstop_as_nobody("fix");
        ran.ends(5, &["cannot be changed", "Permission denied", "hint: ", &closed.display().to_string()]);
        assert_still(&venv, &before);
        venv.imports_not();
        set_mode(closed, 0o755);
    }
}

#[test]
fn a_fix_that_may_not_be_taken_back_stays_whole() {
    let venv = Venv::lacking();
    venv.give_to_nobody();
    venv.pitstop_as_nobody("fix").ends(0, &[]);
    for closed in [&venv.site, &venv.root] {
        let before = before_closing(&venv, closed, 0o555);
        venv.pitstop_as_nobody("undo").ends(5, &["cannot be changed", "Permission denied", "hint: "]);
        assert_still(&venv, &before);
        venv.pitstop_as_nobody("status").ends(0, &["all in place"]);
        venv.import().unwrap();
        set_mode(closed, 0o755);
    }
}

/// Runs a script as root of a namespace of its own, with the command as `$1` and the folder around the venv as `$2`.
#[track_caller]
fn in_namespace(venv: &Venv, script: &str) -> String {
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-euc", script, "sh", env!("CARGO_BIN_EXE_pitstop")]);
    command.arg(venv.root.parent().unwrap()).env_remove("VIRTUAL_ENV");
    let ran = Ran::of(command.output().expect("unshare is there"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    ran.out
}

#[test]
fn a_read_only_mount_is_checked_but_neither_fixed_nor_undone() {
    let venv = Venv::lacking();
    let script = r#"
        cd "$2"
        look() { (cd v; find . -printf '%p %y %m %T@ %l\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum); }
        fixed=$1
        mount --bind v v && mount -o remount,bind,ro v
        look >before
        status=0; "$fixed" check v >out 2>&1 || status=$?; [ $status = 1 ] || { cat out; exit 1; }
        status=0; "$fixed" fix v >out 2>&1 || status=$?; [ $status = 5 ] || { cat out; exit 1; }
        cat out
        look | cmp - before
        umount v
        "$fixed" fix v >out 2>&1
        mount --bind v v && mount -o remount,bind,ro v
        look >before
        status=0; "$fixed" undo v >out 2>&1 || status=$?; [ $status = 5 ] || { cat out; exit 1; }
        cat out
        look | cmp - before
        v/bin/python -B -c 'import needy._x'
    "#;
    let said = in_namespace(&venv, script);
    for words in ["Read-only file system", "cannot be changed", "not mounted read-only"] {
        assert_eq!(said.matches(words).count(), 2, "{said}");
    }
}

#[test]
fn on_a_full_disk_the_environment_stays_as_it_was_and_can_be_fixed_when_there_is_space() {
    let venv = Venv::lacking();
    // With no page free, with one, with two, until there are enough.
    let script = r#"
        cd "$2"
        look() { (cd disk/v; find . -printf '%p %y %m %T@ %l\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum); }
        mkdir disk
        refused=0
        for free in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            mount -t tmpfs -o size=8m tmpfs disk
            cp -a v disk/v
            look >before
            dd if=/dev/zero of=disk/filler bs=4096 2>/dev/null || :
            truncate -s -$((free * 4096)) disk/filler
            status=0; "$1" fix disk/v >out 2>&1 || status=$?
            case $status in
            0)
                disk/v/bin/python -B -c 'import needy._x';;
            5)
                refused=$((refused + 1))
                [ $refused != 1 ] || cat out
                grep -q 'No space left on device' out && grep -q 'hint: free some space' out || { cat out; exit 1; }
                look | cmp - before;;
            *)
                cat out; exit 1;;
            esac
            # As full as can be, what was fixed can be taken back.
            dd if=/dev/zero of=disk/more bs=4096 2>/dev/null || :
            "$1" undo disk/v >out 2>&1 || { cat out; exit 1; }
            look | cmp - before
            rm disk/filler disk/more
            "$1" fix disk/v >out 2>&1
            disk/v/bin/python -B -c 'import needy._x'
            umount disk
        done
        echo "refused $refused"
    "#;
    let said = in_namespace(&venv, script);
    assert!(!said.contains("refused 0") && said.contains("/disk/v/"), "{said}");
}
