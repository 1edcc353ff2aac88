//! From fix to undo and back: what stays, what is told.

use std::fs;

use crate::snapshot::assert_same;
use crate::venv::Venv;

#[test]
fn a_second_fix_changes_nothing_and_a_second_undo_neither() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    venv.imports_not();
    venv.pitstop("status").ends(0, &["pitstop has done nothing here"]);
    venv.pitstop("undo").ends(0, &["nothing to undo"]);
    assert_same(&before, &venv.snapshot(), "an undo of nothing changed something");
    venv.pitstop("fix --dry-run").ends(0, &["_pitstop.py"]);
    assert_same(&before, &venv.snapshot(), "a dry run changed something");

    venv.pitstop("fix").ends(0, &["libpstest.so.1  wheel", "fixed"]);
    venv.import().unwrap();
    let fixed = venv.snapshot();
    venv.pitstop("status").ends(0, &["1 library from outside, all in place"]);
    venv.pitstop("check").ends(0, &["nothing is missing"]);
    venv.pitstop("fix").ends(0, &["nothing to do, the fix is in place"]);
    assert_same(&fixed, &venv.snapshot(), "a second fix changed something");
    venv.pitstop("fix --dry-run").ends(0, &[]);
    assert_same(&fixed, &venv.snapshot(), "a dry run over a fix changed something");

    venv.pitstop("undo").ends(0, &["as it was before the fix"]);
    assert_same(&before, &venv.snapshot(), "undo left something");
    venv.imports_not();
    venv.pitstop("undo").ends(0, &["nothing to undo"]);
    assert_same(&before, &venv.snapshot(), "a second undo changed something");
}

#[test]
fn an_environment_that_lacks_nothing_is_not_touched() {
    let venv = Venv::bare("v");
    let before = venv.snapshot();
    for command in ["check", "fix", "status", "undo", "fix --dry-run"] {
        venv.pitstop(command).ends(0, &[]);
        assert_same(&before, &venv.snapshot(), command);
    }
}

#[test]
fn a_library_that_nobody_has_leaves_the_environment_as_it_was() {
    let venv = Venv::lacking();
    fs::remove_dir_all(venv.site.join("giver")).unwrap();
    let before = venv.snapshot();
    let mut command = venv.command(["fix"]);
    // No package set can be asked on this search path: that is not the environment's fault, and named.
    let ran = crate::venv::Ran::of(command.arg(&venv.root).env("PATH", "/nowhere").output().unwrap());
    assert!(matches!(ran.code, Some(1 | 4)), "{ran:?}");
    assert!(ran.err.contains("libpstest.so.1") || ran.err.contains("was not found"), "{ran:?}");
    assert!(ran.err.contains("hint: ") || ran.code == Some(1), "{ran:?}");
    assert_same(&before, &venv.snapshot(), "something was written");
}

#[test]
fn a_file_of_ours_that_was_changed_or_deleted_is_told_and_left_to_its_owner() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let hook = venv.site.join("_pitstop.py");
    fs::write(&hook, "mine = True\n").unwrap();
    venv.pitstop("status")
        .ends(1, &["no longer whole", "_pitstop.py was changed by somebody else", "hint: "]);
    venv.pitstop("fix").ends(5, &["_pitstop.py` was changed after pitstop wrote it", "hint: delete"]);
    assert_eq!(fs::read_to_string(&hook).unwrap(), "mine = True\n");
    venv.pitstop("undo").ends(0, &["_pitstop.py was changed by somebody else", "undone, but for"]);
    assert_eq!(fs::read_to_string(&hook).unwrap(), "mine = True\n");
    assert!(!venv.root.join(".pitstop").exists());
    fs::remove_file(&hook).unwrap();

    venv.pitstop("fix").ends(0, &[]);
    fs::remove_file(venv.site.join("pitstop.pth")).unwrap();
    venv.pitstop("status").ends(1, &["pitstop.pth was deleted by somebody else", "hint: "]);
    venv.imports_not();
    venv.pitstop("fix").ends(0, &["fixed"]);
    venv.import().unwrap();
    venv.pitstop("status").ends(0, &["all in place"]);
}

#[test]
fn a_library_that_went_away_is_told_and_provided_anew() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let moved = venv.site.join("giver/lib");
    fs::create_dir(&moved).unwrap();
    fs::rename(venv.library(), moved.join("libpstest.so.1")).unwrap();
    venv.pitstop("status").ends(1, &["libpstest.so.1 is gone", "hint: "]);
    venv.pitstop("check").ends(1, &["libpstest.so.1"]);
    assert!(venv.import().unwrap_err().contains("run `pitstop fix"));
    venv.pitstop("fix").ends(0, &["fixed"]);
    venv.import().unwrap();
    venv.pitstop("status").ends(0, &["all in place"]);
}

#[test]
fn a_fix_that_is_needed_no_more_is_taken_back() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    fs::remove_file(venv.module()).unwrap();
    venv.pitstop("fix").ends(0, &["needed no more"]);
    assert!(!venv.root.join(".pitstop").exists() && !venv.site.join("pitstop.pth").exists());
}

#[test]
fn a_file_of_somebody_else_in_the_way_is_never_overwritten() {
    let venv = Venv::lacking();
    venv.write("_pitstop.py", "mine\n");
    let before = venv.snapshot();
    venv.pitstop("fix").ends(5, &["_pitstop.py` is already there", "hint: move"]);
    assert_same(&before, &venv.snapshot(), "something was written");
}

#[test]
fn a_damaged_manifest_is_named_and_nothing_is_written() {
    for content in ["", "{", "[]", "{\"schema\": 1}", "{\"schema\": 999}"] {
        let venv = Venv::lacking();
        venv.pitstop("fix").ends(0, &[]);
        fs::write(venv.root.join(".pitstop/manifest.json"), content).unwrap();
        let before = venv.snapshot();
        for command in ["fix", "undo"] {
            venv.pitstop(command).ends(5, &[".pitstop/manifest.json", "hint: "]);
        }
        let ran = venv.pitstop("status");
        assert!(matches!(ran.code, Some(3 | 5)), "{ran:?}");
        venv.pitstop("check").ends(1, &["libpstest.so.1"]);
        venv.import().unwrap();
        assert_same(&before, &venv.snapshot(), content);
    }
}

#[test]
fn a_damaged_record_of_what_was_provided_is_told_and_written_anew() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    venv.pitstop("fix").ends(0, &[]);
    fs::remove_file(venv.root.join(".pitstop/provided.json")).unwrap();
    venv.pitstop("status").ends(1, &["provided.json was deleted by somebody else", "hint: "]);
    venv.pitstop("fix").ends(0, &[]);
    venv.pitstop("status").ends(0, &["1 library from outside, all in place"]);
    fs::write(venv.root.join(".pitstop/provided.json"), "{").unwrap();
    venv.pitstop("status").ends(3, &["provided.json", "hint: "]);
    venv.pitstop("undo").ends(0, &[]);
    fs::remove_dir_all(venv.root.join(".pitstop")).ok();
    let mut after = venv.snapshot();
    // The time of the root is that of the last change by somebody else: ours, here.
    after.insert("".into(), before[std::path::Path::new("")].clone());
    assert_same(&before, &after, "undo left something");
}

#[test]
fn a_moved_environment_works_and_can_be_undone() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let moved = venv.beside("moved");
    fs::rename(&venv.root, &moved).unwrap();
    let ran = std::process::Command::new(moved.join("bin/python"))
        .args(["-B", "-c", "import needy._x"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    venv.pitstop_on("status", &moved).ends(0, &["all in place"]);
    venv.pitstop_on("undo", &moved).ends(0, &["as it was before the fix"]);
}
