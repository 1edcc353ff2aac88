//! What is said where: one JSON document, closed pipes, colours, silence, and mistakes on the command line.

use std::process::{Command, Stdio};

use crate::venv::{Ran, Venv};

#[test]
fn json_is_one_document_on_standard_output_in_every_state() {
    let venv = Venv::lacking();
    for (words, status) in [
        ("check", 1),
        ("check --static", 1),
        ("status", 0),
        ("undo", 0),
        ("fix --dry-run", 0),
        ("fix", 0),
        ("fix", 0),
        ("check", 0),
        ("status", 0),
        ("undo", 0),
    ] {
        let document = venv.pitstop(&format!("{words} --json")).ends(status, &[]).json();
        assert_eq!(document["schema"], 1, "{words}: {document}");
        assert_eq!(document["environment"], venv.root.to_str().unwrap(), "{words}: {document}");
    }
    for (words, path, status) in
        [("tree --json", venv.module(), 1), ("why --json libpstest.so.1", venv.root.clone(), 1)]
    {
        let document = venv.pitstop_on(words, &path).ends(status, &[]).json();
        assert_eq!(document["schema"], 1, "{words}: {document}");
        assert!(document.to_string().contains("libpstest.so.1"), "{words}: {document}");
    }
    let doctor = Ran::of(venv.command(["doctor", "--json"]).output().unwrap());
    assert_eq!(doctor.ends(0, &[]).json()["schema"], 1);
    let ran = venv.pitstop_on("check --json", &venv.beside("gone"));
    assert_eq!(ran.ends(2, &["error: ", "hint: "]).out, "", "no half document where there is no answer");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let venv = Venv::lacking();
    for words in
        [&["check"][..], &["check", "--json"], &["fix", "--dry-run"], &["--help"], &["status", "--json"]]
    {
        let mut command = venv.command(words);
        if !words.contains(&"--help") {
            command.arg(&venv.root);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap());
        let well = i32::from(words[0] == "check");
        assert_eq!(ran.code, Some(well), "{words:?}: {ran:?}");
        assert!(!ran.err.contains("panicked") && !ran.err.contains("Broken pipe"), "{ran:?}");
    }
}

#[test]
fn a_closed_standard_error_is_no_error() {
    let venv = Venv::lacking();
    let pitstop = env!("CARGO_BIN_EXE_pitstop");
    let script = format!("exec '{pitstop}' fix '{}' 2>&- >&-", venv.root.display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    venv.import().unwrap();
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let venv = Venv::lacking();
    let run = |words: &[&str], variable: Option<(&str, &str)>| {
        let mut command = venv.command(words);
        command.arg(&venv.root).envs(variable);
        let ran = Ran::of(command.output().unwrap());
        format!("{}{}", ran.out, ran.err)
    };
    assert!(!run(&["check"], None).contains('\u{1b}'));
    assert!(run(&["check", "--color", "always"], None).contains('\u{1b}'));
    assert!(!run(&["check", "--color", "never"], Some(("CLICOLOR_FORCE", "1"))).contains('\u{1b}'));
    // On a terminal: `script` is one.
    let on_terminal = |variable: &str| {
        let line = format!("{} check {}", env!("CARGO_BIN_EXE_pitstop"), venv.root.display());
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
        command.env_remove("NO_COLOR").env(variable, "1");
        String::from_utf8(command.output().expect("script is there").stdout).unwrap()
    };
    assert!(on_terminal("SOMETHING_ELSE").contains('\u{1b}'));
    assert!(!on_terminal("NO_COLOR").contains('\u{1b}'));
}

#[test]
fn quiet_says_the_answer_and_errors_only() {
    let venv = Venv::lacking();
    let ran = venv.pitstop("check --quiet");
    assert_eq!(ran.ends(1, &["libpstest.so.1"]).err, "");
    let ran = venv.pitstop("fix --quiet");
    ran.ends(0, &[]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = venv.pitstop("undo -q");
    ran.ends(0, &[]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = venv.pitstop_on("check -q", &venv.beside("gone"));
    assert!(ran.ends(2, &["error: "]).err.starts_with("error: "), "{ran:?}");
}

#[test]
fn mistakes_on_the_command_line_end_with_status_2() {
    let venv = Venv::bare("v");
    for words in [
        &["check", "--unknown"][..],
        &["unknown"],
        &[],
        &["fix", "a", "b"],
        &["check", "--color", "sometimes"],
        &["check", "--quiet", "--verbose"],
        &["try"],
        &["undo", "--dry-run"],
    ] {
        let ran = Ran::of(venv.command(words).output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains("Usage") || ran.err.contains("--help"), "{ran:?}");
    }
    for words in ["--help", "--version", "help"] {
        let ran = Ran::of(venv.command([words]).output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("pitstop"), "{ran:?}");
    }
}

#[test]
fn without_a_name_the_active_environment_is_meant_or_none() {
    let venv = Venv::lacking();
    let ran = Ran::of(venv.command(["check"]).env("VIRTUAL_ENV", &venv.root).output().unwrap());
    ran.ends(1, &["libpstest.so.1"]);
    let ran = Ran::of(venv.command(["check"]).output().unwrap());
    ran.ends(2, &["no environment is active", "hint: name one"]);
    let ran = Ran::of(venv.command(["check"]).env("VIRTUAL_ENV", "/gone").output().unwrap());
    ran.ends(2, &["/gone: ", "hint: "]);
}
