//! Patching files that are there. Kills and failures at each step: the tests above, whose plan has a patch in it.

use super::*;

fn tool(root: &TempDir) -> PathBuf {
    root.path().join(SITE).join("pkg/tool")
}

fn only_patch(data: &str) -> Plan {
    Plan { operations: vec![patch(data)] }
}

#[test]
fn a_patched_file_keeps_all_but_its_bytes_and_its_other_names_keep_those() {
    let root = venv();
    let other = root.path().join("cached");
    fs::set_permissions(tool(&root), std::fs::Permissions::from_mode(0o741)).unwrap();
    fs::hard_link(tool(&root), &other).unwrap();
    let before = fs::metadata(tool(&root)).unwrap();
    apply(root.path(), &only_patch("one"));

    let bytes = fs::read(tool(&root)).unwrap();
    let mut expected = TOOL.as_bytes().to_vec();
    expected[4..7].copy_from_slice(b"one");
    expected.resize(50, 0);
    expected.extend(b"one");
    assert_eq!(bytes, expected);
    assert_eq!(fs::read(&other).unwrap(), TOOL.as_bytes());
    let after = fs::metadata(tool(&root)).unwrap();
    assert_eq!(
        (after.mode(), after.mtime(), after.mtime_nsec()),
        (before.mode(), before.mtime(), before.mtime_nsec())
    );
    assert_eq!((after.atime(), after.uid(), after.gid()), (before.atime(), before.uid(), before.gid()));
    undo(root.path());
    assert_eq!(fs::read(tool(&root)).unwrap(), TOOL.as_bytes());
}

#[test]
fn attributes_of_a_file_go_with_its_new_bytes() {
    let root = venv();
    let set = rustix::fs::setxattr(tool(&root), "user.origin", b"pypi", rustix::fs::XattrFlags::empty());
    if set == Err(Errno::NOTSUP) {
        // A file system without them has nothing to lose.
        return;
    }
    set.unwrap();
    apply(root.path(), &only_patch("one"));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(tool(&root), "user.origin", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"pypi");
}

#[test]
fn a_file_that_runs_as_another_user_is_refused() {
    for bit in [0o4000, 0o2000] {
        let root = venv();
        fs::set_permissions(tool(&root), std::fs::Permissions::from_mode(0o755 | bit)).unwrap();
        let before = snapshot(root.path());
        let error = Venv::lock(root.path()).unwrap().apply(&only_patch("one")).unwrap_err();
        assert!(matches!(error, ApplyError::Privileged { .. }), "{error}");
        assert_eq!(snapshot(root.path()), before);
    }
}

#[test]
fn a_file_that_changed_since_it_was_looked_at_is_refused() {
    let root = venv();
    fs::write(tool(&root), "another program").unwrap();
    let before = snapshot(root.path());
    let error = Venv::lock(root.path()).unwrap().apply(&only_patch("one")).unwrap_err();
    assert!(matches!(error, ApplyError::Changed { .. }), "{error}");
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn what_somebody_installed_over_a_patched_file_is_told_and_left() {
    let root = venv();
    apply(root.path(), &only_patch("one"));
    let path = inside(&format!("{SITE}/pkg/tool"));
    fs::write(root.path().join("new"), "a newer program").unwrap();
    fs::rename(root.path().join("new"), tool(&root)).unwrap();
    let Status::Stale { differences, .. } = status(root.path()).unwrap() else { panic!() };
    assert_eq!(differences, [Difference::Changed(path.clone())]);
    assert_eq!(patched(root.path()).unwrap(), []);
    assert_eq!(undo(root.path()).differences, [Difference::Changed(path)]);
    assert_eq!(fs::read(tool(&root)).unwrap(), b"a newer program");
}

#[test]
fn a_change_that_keeps_length_and_time_is_seen() {
    let root = venv();
    apply(root.path(), &only_patch("one"));
    let (bytes, time) =
        (fs::read(tool(&root)).unwrap(), fs::metadata(tool(&root)).unwrap().modified().unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(tool(&root)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"X", bytes.len() as u64 - 1).unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    assert!(matches!(status(root.path()).unwrap(), Status::Stale { .. }));
}

#[test]
fn a_record_whose_bytes_are_damaged_undoes_nothing() {
    let root = venv();
    apply(root.path(), &only_patch("one"));
    let manifest = root.path().join(FOLDER).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let good = text.lines().find(|line| line.contains("\"bytes\"")).unwrap().to_owned();
    // No hexadecimal; and bytes that were never there.
    for (bad, expected) in [("\"bytes\": \"zz\"", "hexadecimal"), ("\"bytes\": \"000000\"", "was changed")] {
        fs::write(&manifest, text.replace(good.trim(), bad)).unwrap();
        let patched = fs::read(tool(&root)).unwrap();
        let error = Venv::lock(root.path()).unwrap().undo().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read(tool(&root)).unwrap(), patched);
        assert!(!root.path().join(SITE).join("pkg/.tool.pitstop-new").exists());
    }
    fs::write(&manifest, text).unwrap();
    undo(root.path());
    assert_eq!(fs::read(tool(&root)).unwrap(), TOOL.as_bytes());
}

#[test]
fn of_two_patched_files_one_is_undone_alone() {
    let root = venv();
    let second = root.path().join(SITE).join("pkg/other");
    fs::write(&second, TOOL).unwrap();
    let before = snapshot(root.path());
    let (one, other) = (patch("one"), inside(&format!("{SITE}/pkg/other")));
    let Operation::Patch { edits, record, .. } = one.clone() else { panic!() };
    let both = Plan { operations: vec![one, Operation::Patch { path: other.clone(), edits, record }] };
    apply(root.path(), &both);
    Venv::lock(root.path()).unwrap().undo_file(&other).unwrap();
    assert_eq!(fs::read(&second).unwrap(), TOOL.as_bytes());
    assert!(fs::read(tool(&root)).unwrap().ends_with(b"one"));
    assert!(matches!(status(root.path()).unwrap(), Status::Whole(_)));
    Venv::lock(root.path()).unwrap().undo_file(&inside(&format!("{SITE}/pkg/tool"))).unwrap();
    assert_eq!(snapshot(root.path()), before);
}
