//! What the tests of the providers share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;
use std::process::Command;

use pitstop_core::elf::{Class, Encoding, Target};
use pitstop_core::locate::locate;
use pitstop_host::files::SystemFiles;
use pitstop_host::provide::{Context, Event, Interrupt, Want};

pub(crate) const X86_64: Target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };

pub(crate) fn want(soname: &str) -> Want {
    Want { soname: soname.into(), target: X86_64, versions: Vec::new(), candidates: locate(soname) }
}

/// Runs `work` with a context over the real file system, and gives the events as well.
pub(crate) fn with_context<T>(
    accept_inexact: bool,
    work: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, Vec<Event>) {
    let mut events = Vec::new();
    let (interrupt, files) = (Interrupt::default(), SystemFiles::new());
    let mut progress = |event| events.push(event);
    let mut context =
        Context { files: &files, accept_inexact, progress: &mut progress, interrupt: &interrupt };
    let result = work(&mut context);
    (result, events)
}

/// Fails the test with the package to install, instead of passing over it, where a tool is missing.
pub(crate) fn require(tools: &[(&str, &str)]) {
    let missing: BTreeSet<&str> = tools
        .iter()
        .filter(|(tool, _)| Command::new(tool).arg("--version").output().is_err())
        .map(|(_, package)| *package)
        .collect();
    assert!(missing.is_empty(), "these tests need more Debian packages: {missing:?}");
}
