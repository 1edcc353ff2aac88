//! After the fix: what is told of an environment that has changed since, and who may call `fix` again and again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::snapshot::assert_same;
use crate::tools::{PYTHON, succeed, tool};
use crate::venv::{Ran, Venv};

#[test]
fn packages_that_came_went_or_changed_are_told_until_the_next_fix() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let hook = |name: &str| fs::metadata(venv.site.join(name)).unwrap().ino();
    let written = ["_pitstop.py", "_pitstop.1.data", "pitstop.pth"].map(hook);

    venv.write("other/__init__.py", "");
    venv.own("other-1.0", &["other/__init__.py"]);
    fs::rename(venv.site.join("giver-2.0.dist-info"), venv.site.join("giver-2.1.dist-info")).unwrap();
    let words =
        ["other 1.0 came since the fix", "giver was 2.0 at the fix, and is 2.1 now", "other packages"];
    venv.pitstop("status").ends(1, &words).ends(1, &["hint: `pitstop fix"]);
    let trouble = venv.pitstop("status --json").json()["trouble"].to_string();
    assert!(trouble.contains("giver was 2.0"), "{trouble}");
    // All that was provided still serves.
    venv.pitstop("check").ends(0, &[]);
    venv.import().unwrap();

    venv.pitstop("fix").ends(0, &["nothing built or downloaded"]);
    assert_eq!(written, ["_pitstop.py", "_pitstop.1.data", "pitstop.pth"].map(hook), "written anew");
    let fixed = venv.snapshot();
    venv.pitstop("status").ends(0, &["all in place"]);
    venv.pitstop("fix").ends(0, &["nothing to do"]);
    assert_same(&fixed, &venv.snapshot(), "a fix of nothing new changed something");

    fs::remove_dir_all(venv.site.join("other-1.0.dist-info")).unwrap();
    venv.pitstop("status").ends(1, &["other 1.0 went since the fix"]);
    venv.pitstop("fix").ends(0, &[]);
    venv.pitstop("status").ends(0, &["all in place"]);
}

#[test]
fn an_upgrade_of_pip_itself_is_no_news() {
    let venv = Venv::lacking();
    venv.write("pip/__init__.py", "");
    venv.own("pip-1.0", &["pip/__init__.py"]);
    venv.pitstop("fix").ends(0, &[]);
    fs::rename(venv.site.join("pip-1.0.dist-info"), venv.site.join("pip-2.0.dist-info")).unwrap();
    let upgraded = venv.snapshot();
    venv.pitstop("status").ends(0, &["all in place"]);
    venv.pitstop("fix").ends(0, &["nothing to do"]);
    assert_same(&upgraded, &venv.snapshot(), "a fix of nothing new changed something");
}

#[test]
fn a_package_that_came_with_needs_of_its_own_is_served_beside_the_others() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &["for 1 file"]);
    venv.write("second/__init__.py", "");
    let name = venv.module().file_name().unwrap().to_str().unwrap().to_owned();
    fs::copy(venv.module(), venv.site.join("second").join(&name)).unwrap();
    venv.own("second-1.0", &["second/__init__.py", &format!("second/{name}")]);
    let import = || {
        let mut python = Command::new(venv.python());
        Ran::of(python.env_clear().args(["-B", "-c", "import second._x"]).output().unwrap())
    };
    // The hook knows its own environment, and what mends it.
    let ran = import();
    assert!(
        ran.err.contains("libpstest.so.1 is missing for ") && ran.err.contains("run `pitstop fix "),
        "{ran:?}"
    );
    venv.pitstop("fix").ends(0, &["for 2 files"]);
    assert_eq!(import().code, Some(0));
    venv.import().unwrap();
}

#[test]
fn another_python_under_the_environment_is_told_and_the_fix_made_anew() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let other = venv.other_python();
    let config = fs::read_to_string(venv.root.join("pyvenv.cfg")).unwrap();
    let home = format!("home = {}\n", other.parent().unwrap().display());
    let config: String =
        config.lines().filter(|line| !line.starts_with("home")).map(|line| format!("{line}\n")).collect();
    fs::write(venv.root.join("pyvenv.cfg"), home + &config).unwrap();
    venv.link_python(other.to_str().unwrap());

    venv.pitstop("status")
        .ends(1, &["the fix was made for the Python of /usr, and this is that of ", "hint: "]);
    assert!(
        venv.import().unwrap_err().contains("pitstop fix"),
        "the hook serves a Python that it was not made for"
    );
    venv.pitstop("fix").ends(0, &["another Python now"]);
    venv.pitstop("status").ends(0, &["all in place"]);
    venv.import().unwrap();

    venv.link_python("/nonexistent/python3");
    venv.pitstop("status").ends(1, &["its Python does not start: ", "hint: "]);
}

/// A search path on which the command is `pitstop`.
fn search_path() -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_pitstop")).parent().unwrap();
    format!("{}:/usr/bin:/bin", own.display())
}

#[test]
fn direnv_fixes_the_environment_when_its_folder_is_entered() {
    let venv = Venv::named(".venv");
    let folder = venv.root.parent().unwrap();
    fs::write(folder.join(".envrc"), "source .venv/bin/activate\npitstop fix --quiet\n").unwrap();
    let direnv = |words: &[&str]| {
        let mut direnv = Command::new("direnv");
        direnv.args(words).current_dir(folder).env_clear().env("HOME", folder).env("PATH", search_path());
        Ran::of(direnv.output().expect("direnv is there"))
    };
    assert_eq!(direnv(&["allow", "."]).code, Some(0));
    venv.imports_not();
    let ran = direnv(&["exec", ".", "python", "-B", "-c", "import needy._x; print('loaded')"]);
    assert!(ran.code == Some(0) && ran.out == "loaded\n" && !ran.err.contains("pitstop"), "{ran:?}");
    let fixed = venv.snapshot();
    assert_eq!(direnv(&["exec", ".", "true"]).code, Some(0));
    assert_same(&fixed, &venv.snapshot(), "entering again changed something");
}

#[test]
fn tox_fixes_each_environment_before_its_commands() {
    let venv = Venv::bare("v");
    let (wheels, folder) = (venv.wheels(), venv.root.parent().unwrap());
    let settings = "[tox]\nno_package = true\nenv_list = py\n\n[testenv]\ndeps = wants\n\
                    allowlist_externals = pitstop\ncommands_pre = pitstop fix --quiet {env_dir}\n\
                    commands = python -B -c 'import needy._x; print(\"loaded\")'\n";
    let tox = |settings: &str| {
        fs::write(folder.join("tox.ini"), settings).unwrap();
        let mut tox = Command::new(tool("tox"));
        tox.arg("run").current_dir(folder).env("PATH", search_path()).env_remove("VIRTUAL_ENV");
        tox.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &wheels).env("PYTHONDONTWRITEBYTECODE", "1");
        Ran::of(tox.env("HOME", folder).output().unwrap())
    };
    let without: String = settings
        .lines()
        .filter(|line| !line.starts_with("commands_pre"))
        .map(|line| format!("{line}\n"))
        .collect();
    let ran = tox(&without);
    assert!(ran.code != Some(0) && ran.err.contains("libpstest.so.1: cannot open"), "{ran:?}");
    let ran = tox(settings);
    assert!(ran.code == Some(0) && ran.out.contains("loaded"), "{ran:?}");
    let ran = tox(settings);
    assert!(ran.code == Some(0) && ran.out.contains("loaded"), "{ran:?}");
}

#[test]
fn pips_own_changes_are_told_and_mended_by_the_next_fix() {
    let venv = Venv::bare("v");
    let wheels = venv.wheels();
    let pip = |words: &[&str]| {
        let mut pip = Command::new(PYTHON);
        pip.args(["-m", "pip", "--python"]).arg(venv.python()).args(words).env("PIP_NO_INDEX", "1");
        succeed(pip.env("PIP_FIND_LINKS", &wheels).env("PIP_DISABLE_PIP_VERSION_CHECK", "1"))
    };
    pip(&["install", "needy", "giver"]);
    venv.imports_not();
    venv.pitstop("fix").ends(0, &[]);
    venv.import().unwrap();
    pip(&["check"]);
    let library = fs::read(venv.library()).unwrap();
    let files =
        [("giver/__init__.py".to_owned(), b"".as_slice()), ("giver/lib/libpstest.so.1".to_owned(), &library)];
    crate::venv::write_wheel(&wheels, "giver", "2.1", "", &files);
    pip(&["install", "--upgrade", "giver"]);
    venv.pitstop("status").ends(1, &["giver was 2.0 at the fix, and is 2.1 now", "libpstest.so.1 is gone"]);
    venv.pitstop("fix").ends(0, &["giver/lib/libpstest.so.1"]);
    venv.import().unwrap();
    pip(&["uninstall", "--yes", "needy"]);
    venv.pitstop("status").ends(1, &["needy 1.0 went since the fix"]);
    venv.pitstop("fix").ends(0, &["needed no more"]);
    assert!(!venv.root.join(".pitstop").exists());
}
