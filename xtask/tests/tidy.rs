//! What ARCHITECTURE.md promises of the tree, held as tests.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file that one still reads in a sitting.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function that one still sees whole.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file below a folder, with its text.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{below}: no sources");
    found
}

/// The part of a file that is the product, not its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Fails with every line of these files that has one of the words.
fn forbid(files: Vec<(PathBuf, String)>, words: &[&str], why: &str) {
    let mut found = Vec::new();
    for (path, text) in files {
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{why}\n{}", found.join("\n"));
}

#[test]
fn core_touches_nothing() {
    let words = [
        "std::fs",
        "std::env",
        "std::process",
        "std::net",
        "std::thread",
        "std::time::SystemTime",
        "unsafe ",
    ];
    forbid(
        sources("crates/pitstop-core/src"),
        &words,
        "pitstop-core is pure: effects belong in pitstop-host",
    );
}

#[test]
fn the_shim_is_unsafe_only_where_it_acts() {
    let mut files = sources("crates/pitstop-ld/src");
    // These are the binary's: they read the stack and call the kernel. The library beside them forbids it to itself.
    let acting = ["main.rs", "arch/x86_64.rs", "by_hand.rs", "mapping.rs", "process.rs", "sys.rs"];
    files.retain(|(path, _)| !acting.iter().any(|file| path.ends_with(file)));
    forbid(files.clone(), &["unsafe ", "asm!"], "what the shim thinks is safe code");
    let library = files.iter().find(|(path, _)| path.ends_with("lib.rs")).unwrap();
    assert!(library.1.contains("#![forbid(unsafe_code)]"));
    let all = sources("crates/pitstop-ld/src");
    forbid(
        all.clone(),
        &["std::", "core::fmt::Write", "write!", "format!", "panic!", ".expect("],
        "the shim has no std, and cannot panic",
    );
    let machine = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("arch"));
    let others = all.into_iter().filter(|(path, _)| !machine(path)).collect();
    forbid(others, &["asm!(", "rsp", "\"rax\""], "what depends on the machine stands in arch/");
}

/// What no file of a module of core may name: what comes after it.
const STAGES: &[(&str, &[&str])] = &[
    (
        "elf",
        &[
            "crate::files",
            "crate::hints",
            "crate::ldso",
            "crate::diagnose",
            "crate::locate",
            "crate::targets",
            "crate::plan",
        ],
    ),
    (
        "settings",
        &["crate::elf", "crate::files", "crate::hints", "crate::ldso", "crate::locate", "crate::lockfile"],
    ),
    ("lockfile", &["crate::elf", "crate::files", "crate::hints", "crate::ldso", "crate::locate"]),
    ("patch", &["crate::files", "crate::ldso", "crate::diagnose", "crate::locate", "crate::plan"]),
    (
        "requirements",
        &["crate::elf", "crate::ldso", "crate::diagnose", "crate::locate", "crate::plan", "crate::report"],
    ),
    (
        "ldso",
        &[
            "crate::hints",
            "crate::diagnose",
            "crate::locate",
            "crate::targets",
            "crate::plan",
            "crate::report",
        ],
    ),
    (
        "locate",
        &["crate::hints", "crate::ldso", "crate::diagnose", "crate::targets", "crate::plan", "crate::report"],
    ),
    ("hints", &["crate::ldso", "crate::diagnose", "crate::targets", "crate::plan", "crate::report"]),
    (
        "targets",
        &["crate::hints", "crate::ldso", "crate::diagnose", "crate::locate", "crate::plan", "crate::report"],
    ),
    (
        "plan",
        &[
            "crate::hints",
            "crate::ldso",
            "crate::diagnose",
            "crate::locate",
            "crate::targets",
            "crate::report",
        ],
    ),
    ("index", &["crate::ldso", "crate::diagnose", "crate::targets", "crate::plan", "crate::report"]),
    ("diagnose", &["crate::locate", "crate::plan", "crate::report"]),
];

#[test]
fn stages_use_only_those_before_them() {
    for &(module, words) in STAGES {
        let mut files = sources(&format!("crates/pitstop-core/src/{module}"));
        // A module may be a file beside its folder, too.
        let beside = root().join(format!("crates/pitstop-core/src/{module}.rs"));
        files.extend(fs::read_to_string(&beside).ok().map(|text| (beside, text)));
        forbid(files, words, "a stage reaches ahead");
    }
    forbid(sources("crates/pitstop-host/src"), &["nixbox::"], "the product does not know its tests");
    for crate_name in ["pitstop-core", "pitstop-host", "pitstop"] {
        let files = sources(&format!("crates/{crate_name}/src"));
        forbid(files, &["pitstop_ld::"], "the shim stands alone");
    }
}

#[test]
fn only_output_prints() {
    let files = sources("crates/pitstop/src").into_iter().chain(sources("crates/pitstop-host/src"));
    let others = files.filter(|(path, _)| !path.ends_with("pitstop/src/output.rs")).collect();
    let words =
        ["println!", "print!", "io::stdout()", "io::stderr()", "anstream::stdout", "anstream::stderr"];
    forbid(others, &words, "only output.rs prints");
}

#[test]
fn files_can_be_read_in_a_sitting() {
    let mut long = Vec::new();
    for (path, text) in sources("crates").into_iter().chain(sources("xtask")) {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(long.is_empty(), "longer than {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn functions_can_be_seen_whole() {
    let mut long = Vec::new();
    for (path, text) in sources("crates").into_iter().chain(sources("xtask")) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let start = line.trim_start();
            let is_function =
                ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn ", "pub const fn "]
                    .iter()
                    .any(|head| start.starts_with(head));
            if !is_function || line.trim_end().ends_with([';', '}']) {
                continue;
            }
            // rustfmt closes a function at the column where it starts.
            let close = format!("{}}}", &line[..line.len() - start.len()]);
            let length = lines[number..].iter().position(|line| *line == close).unwrap_or(0) + 1;
            if length > FUNCTION_LINES_MAX {
                long.push(format!("{}:{}: {length} lines", path.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "longer than {FUNCTION_LINES_MAX} lines:\n{}", long.join("\n"));
}
