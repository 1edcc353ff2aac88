//! `pitstop why`, through the built command.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod native;

use std::path::PathBuf;

use native::{Lab, json, pitstop, stderr, stdout};

/// An environment in which three modules of `pack` reach `libabsent.so.3` through `libinner.so.1`, and one of `other`
/// asks for it itself.
fn environment(lab: &Lab) -> PathBuf {
    let site = lab.venv();
    lab.library("libabsent.so.3", &[]);
    let inner = "venv/inner/libinner.so.1";
    lab.library(inner, &["libabsent.so.3"]);
    let rpath = format!("-Wl,-rpath,{}/venv/inner", lab.path().display());
    for module in ["one", "three", "two"] {
        lab.module(&site, "pack", module, &[inner, &rpath, "-Wl,--allow-shlib-undefined"]);
    }
    lab.module(&site, "other", "direct", &["libabsent.so.3"]);
    std::fs::remove_file(lab.path().join("libabsent.so.3")).unwrap();
    lab.path().join("venv")
}

#[test]
fn the_ways_to_a_missing_library_are_shown_by_package_and_folded() {
    let lab = Lab::new();
    let venv = environment(&lab);
    let output = pitstop(&["why", "libabsent", venv.to_str().unwrap()]);
    let text = stdout(&output);
    let expected = "libabsent.so.3: not found, for 4 files\n\
                    \nother 1.0\n\
                    \x20 other/direct.abi3.so › libabsent.so.3  [not found]\n\
                    \npack 1.0\n\
                    \x20 pack/one.abi3.so › inner/libinner.so.1 › libabsent.so.3  [not found]\n\
                    \x20   and 2 more files of pack 1.0\n\
                    \nwhere the loader looked for it:\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("/libabsent.so.3  not there [default]"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pitstop fix"), "{}", stderr(&output));
}

#[test]
fn a_library_that_is_found_is_shown_with_its_place_and_rule() {
    let lab = Lab::new();
    let venv = environment(&lab);
    let output = pitstop(&["why", "libinner.so.1", venv.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let document = json(&output);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["missing"], false);
    let chains = document["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 3);
    assert_eq!(chains[0]["package"], "pack 1.0");
    assert_eq!(chains[0]["found"], "inner/libinner.so.1");
    assert!(["rpath", "runpath"].contains(&chains[0]["rule"].as_str().unwrap()));
}

#[test]
fn a_name_that_nobody_asks_for_is_compared_with_those_that_are() {
    let lab = Lab::new();
    let venv = environment(&lab);
    let output = pitstop(&["why", "libabsemt.so.3", venv.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("asks for libabsemt.so.3"), "{}", stderr(&output));
    assert!(stderr(&output).contains("did you mean libabsent.so.3?"), "{}", stderr(&output));
}

#[test]
fn one_file_can_be_asked() {
    let lab = Lab::new();
    let venv = environment(&lab);
    let module = lab.venv().join("other/direct.abi3.so");
    assert!(module.starts_with(&venv));
    let output = pitstop(&["why", "libabsent.so.3", module.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("other/direct.abi3.so › libabsent.so.3  [not found]"));
    assert!(!stdout(&output).contains("pack"), "{}", stdout(&output));
}
