//! `pitstop doctor`, through the built command.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod native;

use native::{Lab, command, json, pitstop, stderr, stdout};

fn finding<'a>(document: &'a serde_json::Value, what: &str) -> Option<&'a serde_json::Value> {
    document["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what)
}

#[test]
fn it_says_what_the_machine_is() {
    let output = pitstop(&["doctor"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for what in ["system", "loader", "default folders", "user namespaces", "python3", "GPU driver"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    let document = json(&pitstop(&["doctor", "--json"]));
    assert_eq!(document["schema"], 1);
    assert_eq!(finding(&document, "loader").unwrap()["mark"], "ok");
    assert!(finding(&document, "LD_LIBRARY_PATH").is_none());
}

#[test]
fn a_machine_with_nothing_on_its_path_is_no_failure() {
    let lab = Lab::new();
    let output = command(&["doctor", "--json"]).env("PATH", lab.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = json(&output);
    assert_eq!(finding(&document, "python3").unwrap()["mark"], "no");
    assert_eq!(finding(&document, "nix").unwrap()["mark"], "note");
    assert!(document["hints"].to_string().contains("without Nix or apt"));
}

#[test]
fn a_harmful_variable_is_told_of() {
    let output = command(&["doctor"])
        .env("LD_LIBRARY_PATH", "/nowhere/lib")
        .env("NIX_LD", "/nix/ld.so")
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains("/nowhere/lib (it leaks into every program that you start"), "{text}");
    assert!(text.contains("/nix/ld.so"), "{text}");
    assert!(stderr(&output).contains("unset it"), "{}", stderr(&output));
}

#[test]
fn an_environment_that_is_gone_is_told_of() {
    let output = command(&["doctor", "--json"]).env("VIRTUAL_ENV", "/nowhere/venv").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(finding(&json(&output), "environment").unwrap()["mark"], "no");
}

#[test]
fn a_program_that_never_answers_holds_nothing_up_for_ever() {
    let lab = Lab::new();
    let uv = lab.path().join("uv");
    // Written by another process: a child just forked by another test's thread would hold ours open, and so busy.
    let script = lab.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nsleep 1000\n").unwrap();
    assert!(
        std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&script, &uv])
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/bin/sleep", lab.path().join("sleep")).unwrap();
    let output = command(&["doctor", "--json"]).env("PATH", lab.path()).output().unwrap();
    let document = json(&output);
    assert_eq!(finding(&document, "uv").unwrap()["detail"], uv.to_str().unwrap());
}
