//! Binary caches for tests: a real one, made by Nix of nixbox's package set, and a server that fails as it is told.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod made_up;
pub(crate) mod real;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};

use pitstop_core::index::{Entry, Package};
use pitstop_host::index::database::Reader;

/// The command, not started, that builds an index at `index` without any setting of the caller's.
pub(crate) fn build(index: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", index.with_file_name("cache"));
    command.args(["index", "build", "--json", "--compression", "3", "--output"]).arg(index).args(arguments);
    command
}

/// What a command said.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// All that stands in an index, by store path.
pub(crate) fn content(index: &Path) -> BTreeMap<String, (Package, Vec<Entry>)> {
    let mut found = BTreeMap::new();
    let each = |package: &Package, entries: &mut Vec<Entry>| {
        let before = found.insert(package.path.to_string(), (package.clone(), std::mem::take(entries)));
        assert!(before.is_none(), "{} stands there twice", package.path);
        ControlFlow::Continue(())
    };
    Reader::open(index).unwrap().for_each(|_| true, each).unwrap();
    found
}
