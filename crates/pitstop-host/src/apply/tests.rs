//! Applying and undoing, with failures and kills at every step. Processes, users and full disks: tests/apply.rs.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use rustix::io::Errno;
use tempfile::TempDir;

use pitstop_core::plan::Piece;

use super::*;

mod patching;

/// Path → type, mode, modification time to the nanosecond, number of links, and content or link target.
type Snapshot = BTreeMap<PathBuf, (char, u32, (i64, i64), u64, Vec<u8>)>;

fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let (kind, content) = if metadata.is_symlink() {
            ('l', fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
        } else if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            ('d', Vec::new())
        } else {
            ('f', fs::read(&path).unwrap())
        };
        let time = (metadata.mtime(), metadata.mtime_nsec());
        let links = if kind == 'd' { 0 } else { metadata.nlink() };
        all.insert(
            path.strip_prefix(root).unwrap().to_owned(),
            (kind, metadata.mode(), time, links, content),
        );
    }
    all
}

/// Only what Python sees: without pitstop's own folder, and without times.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = snapshot(root).into_iter();
    all.filter(|(path, _)| !path.starts_with(FOLDER)).map(|(path, seen)| (path, seen.4)).collect()
}

const SITE: &str = "lib/python3.11/site-packages";

/// Something like a venv, with times in the past.
fn venv() -> TempDir {
    let root = TempDir::new().unwrap();
    let site = root.path().join(SITE);
    fs::create_dir_all(site.join("pkg")).unwrap();
    fs::write(root.path().join("pyvenv.cfg"), "home = /usr/bin\n").unwrap();
    fs::write(site.join("pkg/__init__.py"), "").unwrap();
    fs::write(site.join("pkg/tool"), TOOL).unwrap();
    symlink("lib", root.path().join("lib64")).unwrap();
    for (index, folder) in ["lib/python3.11/site-packages", "lib/python3.11", "lib", ""].iter().enumerate() {
        set_time(&root.path().join(folder), 1_600_000_000 + i64::try_from(index).unwrap(), 123_456_789);
    }
    root
}

fn set_time(folder: &Path, seconds: i64, nanoseconds: i64) {
    Tree::open(folder).unwrap().set_time(None, Moment { seconds, nanoseconds }).unwrap();
}

fn inside(path: &str) -> Inside {
    Inside::new(path).unwrap()
}

fn write(path: &str, content: &str) -> Operation {
    Operation::WriteFile { path: inside(path), bytes: content.as_bytes().to_vec(), mode: 0o644 }
}

/// A program before it is patched.
const TOOL: &str = "the bytes of a program that is there";

/// Changes the program in its middle, and lets it grow.
fn patch(data: &str) -> Operation {
    let edits = vec![
        Edit { offset: 4, bytes: data.as_bytes().to_vec() },
        Edit { offset: 50, bytes: data.as_bytes().to_vec() },
    ];
    let length = 50 + data.len() as u64;
    let middle = &TOOL.as_bytes()[4..4 + data.len()];
    let record = PatchRecord {
        purpose: data.to_owned(),
        original: content_of(TOOL.as_bytes()).unwrap(),
        patched: content_after(TOOL.as_bytes(), &edits, length).unwrap(),
        pieces: vec![Piece::of(&Edit { offset: 4, bytes: middle.to_vec() })],
    };
    Operation::Patch { path: inside(&format!("{SITE}/pkg/tool")), edits, record }
}

/// A plan of all kinds of operations; `data` is the content of one of the files.
fn plan(data: &str) -> Plan {
    let cache = inside(&format!("{SITE}/__pycache__"));
    let claim =
        Operation::Claim { folder: cache.clone(), starts_with: "_pit.".into(), ends_with: ".pyc".into() };
    Plan {
        operations: vec![
            Operation::Link { path: inside(".pitstop/root-0"), target: "/nix/store/x".into() },
            write(&format!("{SITE}/_pit.data"), data),
            Operation::MakeFolder { path: cache },
            claim,
            write(&format!("{SITE}/__pycache__/_pit.cpython-311.pyc"), "code"),
            write(&format!("{SITE}/_pit.py"), "source"),
            Operation::Link { path: inside("bin"), target: data.to_owned() },
            patch(data),
            write(&format!("{SITE}/pit.pth"), "import _pit\n"),
        ],
    }
}

fn apply(root: &Path, plan: &Plan) -> Applied {
    Venv::lock(root).unwrap().apply(plan).unwrap()
}

fn undo(root: &Path) -> Undone {
    Venv::lock(root).unwrap().undo().unwrap()
}

#[test]
fn apply_then_undo_is_identity() {
    let root = venv();
    let before = snapshot(root.path());
    let applied = apply(root.path(), &plan("one"));
    assert!(applied.changed);
    assert_eq!(applied.manifest.state, State::Applied);
    assert_eq!(fs::read(root.path().join(SITE).join("_pit.data")).unwrap(), b"one");
    assert_eq!(status(root.path()).unwrap(), Status::Whole(applied.manifest));
    let undone = undo(root.path());
    assert_eq!(undone, Undone { was_fixed: true, differences: vec![] });
    assert_eq!(snapshot(root.path()), before);
    assert_eq!(status(root.path()).unwrap(), Status::None);
    assert_eq!(undo(root.path()), Undone::default());
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn applying_twice_touches_nothing() {
    let root = venv();
    assert!(!Venv::lock(root.path()).unwrap().is_applied(&plan("one")).unwrap());
    apply(root.path(), &plan("one"));
    let before = snapshot(root.path());
    assert!(Venv::lock(root.path()).unwrap().is_applied(&plan("one")).unwrap());
    assert!(!Venv::lock(root.path()).unwrap().is_applied(&plan("two")).unwrap());
    assert!(!apply(root.path(), &plan("one")).changed);
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn a_changed_plan_replaces_what_changed_and_keeps_the_record() {
    let root = venv();
    let before = snapshot(root.path());
    apply(root.path(), &plan("one"));
    let mut second = plan("two");
    second.operations.remove(5);
    second.operations.insert(0, write(&format!("{SITE}/more"), "more"));
    apply(root.path(), &second);
    assert!(!root.path().join(SITE).join("_pit.py").exists());
    assert_eq!(fs::read(root.path().join(SITE).join("_pit.data")).unwrap(), b"two");
    assert_eq!(fs::read_link(root.path().join("bin")).unwrap(), Path::new("two"));
    apply(root.path(), &plan("one"));
    assert!(root.path().join(SITE).join("_pit.py").exists());
    apply(root.path(), &plan("three"));
    undo(root.path());
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn what_others_changed_is_told_and_left() {
    let root = venv();
    apply(root.path(), &plan("one"));
    let site = root.path().join(SITE);
    fs::write(site.join("_pit.py"), "mine now").unwrap();
    fs::remove_file(site.join("_pit.data")).unwrap();
    fs::write(site.join("__pycache__/six.cpython-311.pyc"), "pip").unwrap();
    fs::write(site.join("__pycache__/_pit.cpython-311.opt-1.pyc"), "python -O").unwrap();
    fs::write(site.join("__pycache__/_pit.txt"), "not python's").unwrap();
    let expected = vec![
        Difference::Gone(inside(&format!("{SITE}/_pit.data"))),
        Difference::Changed(inside(&format!("{SITE}/_pit.py"))),
    ];
    let Status::Stale { differences, .. } = status(root.path()).unwrap() else { panic!() };
    assert_eq!(differences, expected);
    let error = Venv::lock(root.path()).unwrap().apply(&plan("two")).unwrap_err();
    assert!(matches!(error, ApplyError::Changed { .. }), "{error}");
    let time = fs::metadata(&site).unwrap().mtime();
    let mut differences = undo(root.path()).differences;
    assert_eq!(differences.remove(1), Difference::InUse(inside(&format!("{SITE}/__pycache__"))));
    differences.reverse();
    assert_eq!(differences, expected);
    assert_eq!(fs::read(site.join("_pit.py")).unwrap(), b"mine now");
    let mut left: Vec<_> =
        fs::read_dir(site.join("__pycache__")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["_pit.txt", "six.cpython-311.pyc"]);
    assert!(!root.path().join(FOLDER).exists());
    // Others changed the folder, so its time is theirs, not the one of before the fix.
    assert_eq!(fs::metadata(&site).unwrap().mtime(), time);
    assert_ne!(time, 1_600_000_000);
}

#[test]
fn packages_installed_between_two_fixes_keep_their_time() {
    let root = venv();
    apply(root.path(), &plan("one"));
    let site = root.path().join(SITE);
    fs::create_dir(site.join("new")).unwrap();
    set_time(&site, 1_700_000_000, 5);
    apply(root.path(), &plan("two"));
    undo(root.path());
    let metadata = fs::metadata(&site).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_700_000_000, 5));
    assert!(site.join("new").is_dir());
    assert!(!site.join("__pycache__").exists());
}

#[test]
fn a_deleted_file_comes_back() {
    let root = venv();
    apply(root.path(), &plan("one"));
    fs::remove_file(root.path().join(SITE).join("_pit.data")).unwrap();
    assert!(apply(root.path(), &plan("one")).changed);
    assert!(matches!(status(root.path()).unwrap(), Status::Whole(_)));
}

#[test]
fn nothing_foreign_is_overwritten() {
    for make in [
        (|path| fs::write(path, "theirs").unwrap()) as fn(&Path),
        |path| symlink("/dev/null", path).unwrap(),
        |path| fs::create_dir(path).unwrap(),
    ] {
        let root = venv();
        make(&root.path().join(SITE).join("_pit.py"));
        let before = snapshot(root.path());
        let error = Venv::lock(root.path()).unwrap().apply(&plan("one")).unwrap_err();
        assert!(matches!(&error, ApplyError::Occupied { path } if path.ends_with("_pit.py")), "{error}");
        assert!(error.hint().unwrap().contains("move"));
        assert_eq!(snapshot(root.path()), before);
    }
}

#[test]
fn links_lead_nowhere() {
    let outside = venv();
    for link in ["lib", SITE, &format!("{SITE}/__pycache__"), ".pitstop"] {
        let root = venv();
        let path = root.path().join(link);
        if path.exists() {
            fs::rename(&path, root.path().join("away")).unwrap();
        }
        let target = outside.path().join(link);
        symlink(if target.exists() { target } else { outside.path().to_owned() }, &path).unwrap();
        let (before, other) = (snapshot(root.path()), snapshot(outside.path()));
        let error = Venv::lock(root.path()).unwrap().apply(&plan("one")).unwrap_err();
        assert!(matches!(error, ApplyError::Symlink { .. }), "{link}: {error}");
        assert_eq!((snapshot(root.path()), snapshot(outside.path())), (before, other), "{link}");
    }
}

#[test]
fn a_link_put_in_later_is_not_followed_by_undo() {
    let (root, outside) = (venv(), venv());
    apply(root.path(), &plan("one"));
    apply(outside.path(), &plan("one"));
    let theirs = snapshot(outside.path());
    fs::rename(root.path().join("lib"), root.path().join("away")).unwrap();
    symlink(outside.path().join("lib"), root.path().join("lib")).unwrap();
    let undone = undo(root.path());
    assert_eq!(undone.differences.len(), 6);
    assert_eq!(snapshot(outside.path()), theirs);
}

#[test]
fn a_file_shared_by_a_hard_link_is_replaced_not_written() {
    let root = venv();
    apply(root.path(), &plan("one"));
    let other = root.path().join("other-name");
    fs::hard_link(root.path().join(SITE).join("_pit.data"), &other).unwrap();
    apply(root.path(), &plan("two"));
    assert_eq!(fs::read(&other).unwrap(), b"one");
    assert_eq!(fs::read(root.path().join(SITE).join("_pit.data")).unwrap(), b"two");
}

#[test]
fn all_of_the_own_folder_goes() {
    let root = venv();
    let before = snapshot(root.path());
    let venv = Venv::lock(root.path()).unwrap();
    let own = venv.begin().unwrap();
    assert_eq!(own, root.path().join(FOLDER));
    assert!(matches!(status(root.path()).unwrap(), Status::Half(Some(_))));
    fs::create_dir_all(own.join("unpacked/usr/lib")).unwrap();
    fs::write(own.join("unpacked/usr/lib/libz.so.1"), "elf").unwrap();
    symlink("/etc", own.join("unpacked/etc")).unwrap();
    fs::set_permissions(own.join("unpacked/usr/lib"), std::fs::Permissions::from_mode(0o555)).unwrap();
    venv.apply(&plan("one")).unwrap();
    venv.begin().unwrap();
    assert!(own.join("unpacked/usr/lib/libz.so.1").exists());
    venv.undo().unwrap();
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn manifests_of_the_future_and_damaged_ones_are_refused() {
    let root = venv();
    apply(root.path(), &plan("one"));
    let path = root.path().join(FOLDER).join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    for (bad, newer) in [
        (text.replace("\"schema\": 1", "\"schema\": 2"), true),
        (text.replace(SITE, "../etc"), false),
        (text[..text.len() / 2].to_owned(), false),
        ("{}".to_owned(), false),
    ] {
        fs::write(&path, bad).unwrap();
        let before = snapshot(root.path());
        let venv = Venv::lock(root.path()).unwrap();
        for error in
            [venv.undo().unwrap_err(), venv.apply(&plan("two")).unwrap_err(), venv.begin().unwrap_err()]
        {
            assert_eq!(matches!(error, ApplyError::Newer { found: 2, known: 1, .. }), newer, "{error}");
            assert!(newer || matches!(error, ApplyError::Damaged { .. }), "{error}");
            assert!(error.hint().is_some());
        }
        assert_eq!(matches!(status(root.path()), Ok(Status::Newer { schema: 2 })), newer);
        assert_eq!(snapshot(root.path()), before);
    }
}

#[test]
fn one_at_a_time() {
    let root = venv();
    let before = snapshot(root.path());
    let first = Venv::lock(root.path()).unwrap();
    let error = Venv::lock(root.path()).err().unwrap();
    let own = std::process::id();
    assert!(
        matches!(&error, ApplyError::Busy { process: Some(process), .. } if *process == own),
        "{error:?}"
    );
    // A process forked meanwhile holds the lock's descriptor, too, until it comes to its exec.
    let copy = first.tree.descriptor().try_clone().unwrap();
    drop(first);
    drop(Venv::lock(root.path()).unwrap());
    drop(copy);
    assert!(Venv::lock(root.path()).is_ok());
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn not_a_folder() {
    let root = venv();
    for path in ["pyvenv.cfg", "none"] {
        let error = Venv::lock(&root.path().join(path)).err().unwrap();
        assert!(matches!(error, ApplyError::NoFolder { .. }), "{error}");
    }
    let plan = Plan { operations: vec![write("no/such/file", "")] };
    assert!(matches!(Venv::lock(root.path()).unwrap().apply(&plan), Err(ApplyError::NoFolder { .. })));
}

/// An environment whose change number `at` fails; and all later ones, too, if `dead`, as if the process were killed.
fn failing(root: &Path, at: usize, dead: bool) -> (Venv, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let mut venv = Venv::lock(root).unwrap();
    venv.tree.fault = Some(Box::new(move |_| {
        let number = seen.fetch_add(1, Ordering::Relaxed);
        if number == at || (dead && number > at) { Err(Errno::IO) } else { Ok(()) }
    }));
    (venv, count)
}

#[test]
fn a_first_fix_that_fails_anywhere_is_taken_back() {
    for at in 0.. {
        let root = venv();
        let before = snapshot(root.path());
        let (venv, _) = failing(root.path(), at, false);
        match venv.apply(&plan("one")) {
            Ok(_) => return assert!(at > 30, "{at}"),
            Err(ApplyError::RolledBack { .. }) => assert_eq!(snapshot(root.path()), before, "{at}"),
            Err(error) => panic!("{at}: {error:?}"),
        }
    }
}

#[test]
fn a_first_fix_killed_anywhere_is_undone_or_finished() {
    for at in 0.. {
        let root = venv();
        let before = snapshot(root.path());
        let (venv, _) = failing(root.path(), at, true);
        let Err(_) = venv.apply(&plan("one")) else { return assert!(at > 30, "{at}") };
        drop(venv);
        // Activated last: while that is not there, nothing is.
        if root.path().join(SITE).join("pit.pth").exists() {
            assert_eq!(fs::read(root.path().join(SITE).join("_pit.data")).unwrap(), b"one");
        }
        // Whole only when nothing but the last sync was missing.
        let whole = matches!(status(root.path()).unwrap(), Status::Whole(_));
        assert!(!whole || contents(root.path()).len() == 15, "{at}");
        if at % 2 == 0 {
            apply(root.path(), &plan("one"));
            assert!(matches!(status(root.path()).unwrap(), Status::Whole(_)));
        }
        assert_eq!(undo(root.path()).differences, [], "{at}");
        let mut after = snapshot(root.path());
        if at == 1 {
            // The documented gap: the folder is made, and the time not yet set back.
            after.get_mut(Path::new("")).unwrap().2 = before[Path::new("")].2;
        }
        assert_eq!(after, before, "{at}");
    }
}

#[test]
fn a_later_fix_killed_anywhere_works_and_is_finished_or_undone() {
    for at in 0.. {
        let root = venv();
        let before = snapshot(root.path());
        apply(root.path(), &plan("one"));
        let mut second = plan("two");
        second.operations.remove(5);
        let (venv, _) = failing(root.path(), at, true);
        let done = venv.apply(&second).is_ok();
        drop(venv);
        let data = fs::read(root.path().join(SITE).join("_pit.data")).unwrap();
        assert!(data == b"one" || data == b"two");
        let tool = fs::read(root.path().join(SITE).join("pkg/tool")).unwrap();
        assert!(tool.ends_with(b"one") || tool.ends_with(b"two"), "{at}: half a program");
        assert!(root.path().join(SITE).join("pit.pth").exists());
        if at % 2 == 0 {
            apply(root.path(), &second);
            assert!(matches!(status(root.path()).unwrap(), Status::Whole(_)));
            assert_eq!(contents(root.path()).len(), 14, "{:?}", contents(root.path()));
        }
        assert_eq!(undo(root.path()).differences, [], "{at}");
        assert_eq!(snapshot(root.path()), before, "{at}");
        if done {
            return assert!(at > 12, "{at}");
        }
    }
}

#[test]
fn an_undo_that_fails_or_is_killed_anywhere_is_finished() {
    for dead in [false, true] {
        for at in 0.. {
            let root = venv();
            let before = snapshot(root.path());
            apply(root.path(), &plan("one"));
            let (venv, count) = failing(root.path(), at, dead);
            let done = venv.undo().is_ok();
            let last = count.load(Ordering::Relaxed);
            drop(venv);
            if done && at >= last {
                assert!(at > 12, "{at}");
                break;
            }
            if at % 2 == 0 {
                // Once more from the start.
                apply(root.path(), &plan("two"));
            }
            undo(root.path());
            let mut after = snapshot(root.path());
            let gap = root.path().metadata().unwrap().mtime() != 1_600_000_003;
            if gap {
                assert!(at + 3 > last, "{at} of {last}");
                after.get_mut(Path::new("")).unwrap().2 = before[Path::new("")].2;
            }
            assert_eq!(after, before, "{at}");
        }
    }
}
