//! The Nix side (`nix/`, `flake.nix`), parsed and evaluated with real Nix. What it needs of nixpkgs is played by the `.nix` files
//! beside this one: the module system, and packages that are only their names. What is built is built in nixbox.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod farm;
mod flake;
mod home;
mod libraries;
mod machine;
mod module;
mod written;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

/// Runs one of Nix's programs with no settings but its own.
fn nix(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut command = Command::new(program);
    command
        .env("NIX_CONF_DIR", "/nonexistent")
        .env("NIX_USER_CONF_FILES", "/dev/null")
        .env_remove("NIX_PATH");
    command.args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What an expression is; it can name the tree as `root`, and the stand-ins as `lib` and `packages`.
fn try_evaluate(expression: &str) -> Result<Value, String> {
    let root = root();
    let root = root.display();
    let whole = format!(
        "let root = {root}; stand = root + \"/xtask/tests/nix\"; inherit (import (stand + \"/modules.nix\")) lib; \
         packages = nixpkgs: import (stand + \"/packages.nix\") {{ inherit lib nixpkgs; }}; in {expression}"
    );
    // A store that keeps nothing, so that none is needed.
    let arguments = ["--eval", "--strict", "--json", "--store", "dummy://", "--expr", &whole];
    let output = nix("nix-instantiate", arguments);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn evaluate(expression: &str) -> Value {
    try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}\n{error}"))
}

/// The path that a package of the stand-ins has.
fn store_path(name: &str) -> String {
    format!("/nix/store/00000000000000000000000000000000-{name}")
}

/// Every Nix file of the tree.
fn nix_files() -> Vec<PathBuf> {
    let root = root();
    let folders = ["", "nix", "xtask/tests/nix", "crates/nixbox/nix"];
    let listed = folders.iter().flat_map(|folder| root.join(folder).read_dir().unwrap());
    let files = listed.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "nix")).collect()
}

#[test]
fn every_nix_file_parses() {
    let files = nix_files();
    assert!(files.len() > 20, "{files:?}");
    let output = nix(
        "nix-instantiate",
        [OsStr::new("--parse")].into_iter().chain(files.iter().map(|path| path.as_os_str())),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_flakes_the_same_is_there() {
    let whole = evaluate(
        "let all = import (root + \"/default.nix\") { pkgs = packages \"26.05\"; }; in {
           names = builtins.attrNames all;
           built = [ all.pitstop.name all.pitstop-ld.name ];
           overlaid = builtins.attrNames (all.overlay (packages \"26.05\") { });
           modules = map builtins.pathExists [ all.nixosModule all.homeManagerModule ];
           shell = (import (root + \"/shell.nix\") { pkgs = packages \"26.05\"; }).name;
         }",
    );
    let expected = serde_json::json!({
        "names": ["homeManagerModule", "nixosModule", "overlay", "pitstop", "pitstop-ld"],
        "built": ["pitstop", "pitstop-ld"],
        "overlaid": ["pitstop", "pitstop-ld"],
        "modules": [true, true],
        "shell": "shell",
    });
    assert_eq!(whole, expected);
}
