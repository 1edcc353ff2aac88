//! What the tests of the providers share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fs_err::File;
use pitstop_core::elf::{Class, Elf, Encoding, Source, Target};
use pitstop_core::files::{FileId, Files, Opened};
use pitstop_core::locate::locate;
use pitstop_host::provide::{Context, Event, Interrupt, Want};

pub(crate) const X86_64: Target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };

/// The real file system, read anew each time.
pub(crate) struct OnDisk;

struct Bytes(std::fs::File, u64);

impl Source for Bytes {
    fn size_bytes(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl Files for OnDisk {
    fn open(&self, path: &Path) -> Opened {
        let Ok(file) = File::open(path) else { return Opened::Absent };
        let Ok(metadata) = file.metadata() else { return Opened::Absent };
        if metadata.is_dir() {
            return Opened::Absent;
        }
        let id = FileId { device: metadata.dev(), inode: metadata.ino() };
        match Elf::read(&Bytes(file.into_parts().0, metadata.len())) {
            Ok(elf) => Opened::Elf(id, Arc::new(elf)),
            Err(error) => Opened::Unusable(error.to_string().into()),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

pub(crate) fn want(soname: &str) -> Want {
    Want { soname: soname.into(), target: X86_64, versions: Vec::new(), candidates: locate(soname) }
}

/// Runs `work` with a context over the real file system, and gives the events as well.
pub(crate) fn with_context<T>(
    accept_inexact: bool,
    work: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, Vec<Event>) {
    let mut events = Vec::new();
    let interrupt = Interrupt::default();
    let mut progress = |event| events.push(event);
    let mut context =
        Context { files: &OnDisk, accept_inexact, progress: &mut progress, interrupt: &interrupt };
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
