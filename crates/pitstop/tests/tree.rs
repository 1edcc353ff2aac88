//! `pitstop tree`, through the built command.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod native;

use native::{Lab, command, json, pitstop, stderr, stdout};

/// `main` needs `libone` by RPATH, which needs `libtwo` by RUNPATH and `libgone`, which is nowhere.
fn program(lab: &Lab) -> std::path::PathBuf {
    lab.library("deep/libtwo.so.1", &[]);
    lab.library("libgone.so.1", &[]);
    lab.library(
        "libs/libone.so.1",
        &["deep/libtwo.so.1", "libgone.so.1", "-Wl,-rpath,$ORIGIN/../deep", "-Wl,--enable-new-dtags"],
    );
    std::fs::remove_file(lab.path().join("libgone.so.1")).unwrap();
    lab.gcc(
        "int main(void) { return 0; }\n",
        "main",
        &[
            "libs/libone.so.1",
            "deep/libtwo.so.1",
            "-Wl,-rpath,$ORIGIN/libs:$ORIGIN/deep",
            "-Wl,--disable-new-dtags",
            "-Wl,--allow-shlib-undefined",
        ],
    )
}

#[test]
fn each_edge_of_a_program_names_the_rule_that_found_it() {
    let lab = Lab::new();
    let main = program(&lab);
    let output = pitstop(&["tree", main.to_str().unwrap()]);
    let folder = lab.path().display().to_string();
    let expected = format!(
        "{folder}/main\n\
         ├── libone.so.1 => {folder}/libs/libone.so.1 [RPATH of main]\n\
         │   ├── libtwo.so.1 => {folder}/deep/libtwo.so.1 [already loaded] (below)\n\
         │   └── libgone.so.1 [not found]\n\
         └── libtwo.so.1 => {folder}/deep/libtwo.so.1 [RPATH of main]\n"
    );
    assert_eq!(stdout(&output), expected);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("libc's own parts left out"), "{}", stderr(&output));
}

#[test]
fn verbose_says_where_was_looked_and_shows_libc() {
    let lab = Lab::new();
    let main = program(&lab);
    let text = stdout(&pitstop(&["tree", "--verbose", main.to_str().unwrap()]));
    let tried = format!("{}/libs/../deep/libgone.so.1: not there [RUNPATH]", lab.path().display());
    assert!(text.contains(&tried), "{text}");
    assert!(text.contains("libc.so.6 => "), "{text}");
}

#[test]
fn a_variable_of_the_caller_counts() {
    let lab = Lab::new();
    let main = program(&lab);
    lab.library("elsewhere/libgone.so.1", &[]);
    // What is loaded by the variable is asked after RPATH and before RUNPATH.
    let output = command(&["tree", main.to_str().unwrap()])
        .env("LD_LIBRARY_PATH", lab.path().join("elsewhere"))
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains("elsewhere/libgone.so.1 [LD_LIBRARY_PATH]"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_module_is_opened_in_the_python_of_its_environment() {
    let lab = Lab::new();
    let site = lab.venv();
    lab.library("libabsent.so.3", &[]);
    let module = lab.module(&site, "pack", "mod", &["libabsent.so.3"]);
    std::fs::remove_file(lab.path().join("libabsent.so.3")).unwrap();
    let output = pitstop(&["tree", module.to_str().unwrap()]);
    assert_eq!(stdout(&output), "pack/mod.abi3.so  pack 1.0\n└── libabsent.so.3 [not found]\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pitstop why libabsent.so.3"), "{}", stderr(&output));

    let document = json(&pitstop(&["tree", "--json", module.to_str().unwrap()]));
    assert_eq!(document["schema"], 1);
    assert_eq!(document["complete"], false);
    assert_eq!(document["nodes"][0]["package"], "pack 1.0");
    let edges = document["edges"].as_array().unwrap();
    let absent = edges.iter().find(|edge| edge["soname"] == "libabsent.so.3").unwrap();
    assert_eq!(absent["rule"], "missing");
    assert!(absent["to"].is_null());
    assert!(!absent["probes"].as_array().unwrap().is_empty());
    let libc = edges.iter().find(|edge| edge["soname"] == "libc.so.6").unwrap();
    assert_eq!(libc["rule"], "loaded");
}

#[test]
fn a_version_that_is_not_defined_stands_below_its_asker() {
    let lab = Lab::new();
    let script = |version: &str| {
        let path = lab.path().join(version);
        std::fs::write(&path, format!("{version} {{ global: f; }};\n")).unwrap();
        format!("-Wl,--version-script={}", path.display())
    };
    let build = |version: &str| {
        let arguments = ["-shared", "-fPIC", "-Wl,-soname,libv.so.1", &script(version)];
        lab.gcc("int f(void) { return 0; }\n", "libv.so.1", &arguments)
    };
    build("V_2");
    let user = lab.gcc(
        "int f(void); int g(void) { return f(); }\n",
        "libuser.so",
        &["-shared", "-fPIC", "libv.so.1", "-Wl,-rpath,$ORIGIN"],
    );
    build("V_1");
    let output = pitstop(&["tree", user.to_str().unwrap()]);
    let text = stdout(&output);
    assert!(text.contains("does not define version V_2"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("note: opened as "), "{}", stderr(&output));
}

#[test]
fn what_is_no_native_file_is_said_to_be_none() {
    let lab = Lab::new();
    let text = lab.path().join("text");
    std::fs::write(&text, "hello").unwrap();
    let damaged = lab.path().join("damaged.so");
    std::fs::write(&damaged, b"\x7fELF\x02\x01\x01").unwrap();
    for (path, status, words) in [
        (text, 2, "is not an ELF file"),
        (lab.path().join("absent"), 2, "No such file"),
        (lab.path(), 2, "is a folder"),
        ("/dev/zero".into(), 2, "is not a regular file"),
        (damaged, 3, "cannot be read"),
    ] {
        let output = pitstop(&["tree", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(status), "{path:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{path:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_program_without_its_loader_is_incomplete() {
    let lab = Lab::new();
    let main = lab.gcc("int main(void) { return 0; }\n", "main", &["-Wl,--dynamic-linker,/nowhere/ld.so"]);
    let output = pitstop(&["tree", main.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("libc.so.6 [not looked for]"), "{}", stdout(&output));
    assert!(stderr(&output).contains("/nowhere/ld.so"), "{}", stderr(&output));
}
