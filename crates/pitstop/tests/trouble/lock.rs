//! A project's settings and its `pitstop.lock`: good ones are obeyed, bad ones are named, and nothing is lost.

use std::fs;
use std::path::PathBuf;

use crate::venv::{Ran, Venv};

const WHEELS: &str =
    "version = 1\n\n[[library]]\nsoname = \"libpstest.so.1\"\nprovider = \"wheel\"\nfor = [\"needy\"]\n";

/// A venv whose project has these settings.
fn project(settings: &str) -> Venv {
    let venv = Venv::lacking();
    fs::write(venv.beside("pitstop.toml"), settings).unwrap();
    venv
}

fn lock(venv: &Venv) -> PathBuf {
    venv.beside("pitstop.lock")
}

/// Runs a command that must end with `status` and these words, and must change neither the venv nor the lock.
#[track_caller]
fn refuses(venv: &Venv, command: &str, status: i32, words: &[&str]) -> Ran {
    let before = (venv.snapshot(), fs::read(lock(venv)).ok());
    let ran = venv.pitstop(command);
    ran.ends(status, words);
    let after = (venv.snapshot(), fs::read(lock(venv)).ok());
    assert!(before == after, "`{command}` changed something");
    ran
}

#[test]
fn a_venv_without_a_project_gets_no_lock_unless_it_is_asked_for() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &["fixed"]);
    assert!(!lock(&venv).exists());
    venv.pitstop("fix --lock").ends(0, &["wrote", "pitstop.lock"]);
    assert!(fs::read_to_string(lock(&venv)).unwrap().ends_with(WHEELS));
    let elsewhere = venv.beside("other.lock");
    venv.pitstop(&format!("fix --lock={}", elsewhere.display())).ends(0, &["other.lock"]);
    assert_eq!(fs::read(elsewhere).unwrap(), fs::read(lock(&venv)).unwrap());
}

#[test]
fn a_project_has_a_lock_that_says_who_gave_what_to_whom_and_outlives_undo() {
    let venv = project("");
    let ran = venv.pitstop("fix --json");
    ran.ends(0, &[]);
    let report = &ran.json()["lock"];
    assert_eq!(report["changed"], true, "{report}");
    assert_eq!(report["path"], lock(&venv).display().to_string(), "{report}");
    let text = fs::read_to_string(lock(&venv)).unwrap();
    assert!(text.ends_with(WHEELS), "{text}");

    let second = venv.pitstop("fix --json");
    assert_eq!(second.json()["lock"]["changed"], false, "{second:?}");
    venv.pitstop("fix --locked").ends(0, &["nothing to do"]);
    venv.pitstop("undo").ends(0, &[]);
    assert_eq!(fs::read_to_string(lock(&venv)).unwrap(), text);
    venv.pitstop("fix --locked").ends(0, &["fixed"]);
    venv.import().unwrap();
    // A dry run says what it says, and writes no lock.
    fs::remove_file(lock(&venv)).unwrap();
    venv.pitstop("fix --dry-run").ends(0, &[]);
    assert!(!lock(&venv).exists());
}

#[test]
fn what_other_kinds_of_machine_have_locked_is_kept() {
    let venv = project("");
    let others = "[[library]]\nsoname = \"libpstest.so.1\"\nprovider = \"nix\"\nsystem = \"riscv64-linux\"\n\
                  attribute = \"pstest\"\npath = \"/nix/store/x-pstest\"\nrev = \"0123456789abcdef0123456789abcdef01234567\"\n";
    fs::write(lock(&venv), others).unwrap();
    for command in ["fix", "fix --upgrade", "fix --upgrade libpstest.so.1"] {
        venv.pitstop(command).ends(0, &[]);
        let text = fs::read_to_string(lock(&venv)).unwrap();
        assert!(text.contains("riscv64-linux") && text.contains("\"wheel\""), "{command}: {text}");
    }
}

#[test]
fn locked_refuses_what_is_not_in_the_lock_and_says_what_it_is() {
    let venv = project("");
    refuses(&venv, "fix --locked", 2, &["there is no", "pitstop.lock", "--lock"]);
    fs::write(lock(&venv), "version = 1\n").unwrap();
    let words = ["libpstest.so.1: the lock has none for this kind of machine, here it is wheel", "--upgrade"];
    refuses(&venv, "fix --locked", 5, &words);
    fs::write(lock(&venv), WHEELS.replace("wheel", "python")).unwrap();
    let words = ["libpstest.so.1: the lock has python, here it is wheel"];
    refuses(&venv, "fix --locked", 5, &words);
    // Without it the library is provided, and what is locked stays locked.
    venv.pitstop("fix").ends(0, &["the lock has python, here it is wheel"]);
    assert!(fs::read_to_string(lock(&venv)).unwrap().contains("python"));
    venv.pitstop("fix --upgrade").ends(0, &["wrote"]);
    assert!(fs::read_to_string(lock(&venv)).unwrap().ends_with(WHEELS));
    venv.pitstop("fix --locked").ends(0, &[]);
}

#[test]
fn status_says_how_environment_and_lock_differ() {
    let venv = project("");
    venv.pitstop("fix").ends(0, &[]);
    let whole = venv.pitstop("status --json");
    assert_eq!((whole.code, &whole.json()["state"]), (Some(0), &"whole".into()), "{whole:?}");
    fs::write(lock(&venv), WHEELS.replace("wheel", "host")).unwrap();
    venv.pitstop("status").ends(1, &["not as locked", "libpstest.so.1: the lock has host, here it is wheel"]);
    fs::write(lock(&venv), "version = 1\n").unwrap();
    venv.pitstop("status").ends(1, &["the lock has none", "pitstop fix"]);
    venv.pitstop("fix").ends(0, &[]);
    venv.pitstop("status").ends(0, &[]);
}

#[test]
fn a_lock_that_cannot_be_used_is_named_and_nothing_is_written() {
    let venv = project("");
    let conflict = format!("<<<<<<< HEAD\n{WHEELS}=======\n>>>>>>> theirs\n");
    for (text, words) in [
        ("version = 2\n[whatever]\n", ["version 2 of the format", "newer pitstop"]),
        (conflict.as_str(), ["conflict that git could not settle (line 1)", "both sides"]),
        ("version = 1\n[[library]]\nsoname = 'x'\nprovider = 'wheel'\n", ["\"x\"", "no soname"]),
        ("version = 1\nlibrary = 'nonsense'\n", ["library", "git"]),
        ("\u{0}\u{1}", ["line 1", "git"]),
    ] {
        fs::write(lock(&venv), text).unwrap();
        for command in ["fix", "fix --locked", "fix --upgrade", "status", "check"] {
            let file = lock(&venv).display().to_string();
            refuses(&venv, command, 2, &[file.as_str(), words[0], words[1]]);
        }
    }
    fs::write(lock(&venv), [0xff, 0xfe]).unwrap();
    refuses(&venv, "fix", 2, &["pitstop.lock", "utf-8"]);
    fs::remove_file(lock(&venv)).unwrap();
    fs::create_dir(lock(&venv)).unwrap();
    let ran = venv.pitstop("fix");
    ran.ends(2, &["pitstop.lock", "directory"]);
}

#[test]
fn a_lock_that_cannot_be_written_is_told_after_the_fix() {
    // The folder of the project may not be written to; the venv may.
    let venv = project("");
    venv.give_to_nobody();
    let readonly = |on: bool| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(if on { 0o555 } else { 0o755 });
        fs::set_permissions(venv.beside("pitstop.toml").parent().unwrap(), mode).unwrap();
    };
    // The copy of the command is made before.
    venv.pitstop_as_nobody("status").ends(0, &[]);
    readonly(true);
    let ran = venv.pitstop_as_nobody("fix");
    readonly(false);
    ran.ends(5, &["pitstop.lock", "the environment is fixed; only the lock could not be written"]);
    venv.import().unwrap();
}

#[test]
fn a_setting_that_is_not_known_is_named_with_its_file_and_the_nearest_one() {
    let venv = Venv::lacking();
    fs::write(venv.beside("pyproject.toml"), "[tool.pitstop]\nprovider = ['wheel']\n").unwrap();
    for command in ["fix", "check", "status"] {
        let words = ["pyproject.toml: `tool.pitstop` has no setting `provider`; did you mean `providers`?"];
        refuses(&venv, command, 2, &words);
    }
    fs::write(venv.beside("pyproject.toml"), "[tool.pitstop]\n").unwrap();
    fs::write(venv.beside("pitstop.toml"), "").unwrap();
    refuses(&venv, "fix", 2, &["settings in `pitstop.toml` and in `[tool.pitstop]`", "keep one"]);
    // One that is not about pitstop may be as broken as it likes.
    fs::remove_file(venv.beside("pitstop.toml")).unwrap();
    fs::write(venv.beside("pyproject.toml"), "[[[").unwrap();
    venv.pitstop("fix").ends(0, &[]);
}

#[test]
fn an_excluded_package_is_not_looked_at_and_still_serves_others() {
    let venv = project("exclude = ['Needy']\n");
    venv.pitstop("check").ends(0, &["nothing is missing", "not looked at", "needy"]);
    venv.pitstop("fix").ends(0, &["nothing is missing"]);
    assert!(!venv.root.join(".pitstop").exists());
    fs::write(venv.beside("pitstop.toml"), "exclude = ['giver']\n").unwrap();
    venv.pitstop("fix").ends(0, &["fixed"]);
    venv.import().unwrap();
}

#[test]
fn only_the_providers_that_are_listed_are_asked() {
    let venv = project("providers = ['python', 'host']\n");
    let before = venv.snapshot();
    venv.pitstop("fix").ends(1, &["libpstest.so.1 could not be provided"]);
    assert!(before == venv.snapshot());
    fs::write(venv.beside("pitstop.toml"), "providers = ['host', 'wheel']\n").unwrap();
    venv.pitstop("fix").ends(0, &["wheel", "fixed"]);
    // What a provider gave that is listed no more is given up.
    fs::write(venv.beside("pitstop.toml"), "providers = ['host']\n").unwrap();
    venv.pitstop("fix").ends(1, &["libpstest.so.1 could not be provided"]);
    assert!(before == venv.snapshot(), "the earlier fix is still there");
}

#[test]
fn an_extra_library_is_missed_by_check_provided_by_fix_and_served_by_name() {
    let venv = project("");
    fs::remove_file(venv.module()).unwrap();
    venv.pitstop("check").ends(0, &["nothing is missing"]);
    let code = "import ctypes; assert ctypes.CDLL('libpstest.so.1').pstest_value() == 42";
    let by_name = || {
        let mut python = std::process::Command::new(venv.python());
        python.env_clear().args(["-B", "-c", code]).output().unwrap()
    };
    assert!(!by_name().status.success());
    fs::write(venv.beside("pitstop.toml"), "libraries = ['libpstest.so.1']\n").unwrap();
    venv.pitstop("check").ends(1, &["libpstest.so.1", "the project's settings"]);
    venv.pitstop("fix").ends(0, &["fixed"]);
    assert!(by_name().status.success(), "{:?}", by_name());
    venv.pitstop("check").ends(0, &[]);
    // For a package that is not here it is not wanted.
    let elsewhere = "libraries = [{ soname = 'libpstest.so.1', for = 'absent' }]\n";
    fs::write(venv.beside("pitstop.toml"), elsewhere).unwrap();
    venv.pitstop("check").ends(0, &[]);
}

#[test]
fn an_optional_library_is_provided_where_the_settings_name_it() {
    let venv = project("");
    fs::remove_file(venv.module()).unwrap();
    let code = "import ctypes\ntry:\n    ctypes.CDLL('libpstest.so.1')\nexcept OSError:\n    pass\n";
    venv.write("needy/__init__.py", code);
    venv.pitstop("fix").ends(0, &["nothing is missing"]);
    for optional in ["['libpstest.so.1']", "true"] {
        fs::write(venv.beside("pitstop.toml"), format!("optional = {optional}\n")).unwrap();
        venv.pitstop("fix").ends(0, &["libpstest.so.1", "fixed"]);
        fs::write(venv.beside("pitstop.toml"), "optional = ['libother.so.1']\n").unwrap();
        venv.pitstop("undo").ends(0, &[]);
        venv.pitstop("fix").ends(0, &["nothing is missing"]);
    }
}
