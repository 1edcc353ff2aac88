//! A `RECORD` of any bytes: whatever it lists, only files that were asked about get an owner.

use std::path::Path;

use pitstop_core::targets::{Owner, Owners};

pub(crate) fn run(bytes: &[u8]) {
    let owner = |name: &str| Owner { name: name.to_owned(), version: "1".to_owned() };
    // Files of usual names, and those that a line of the list may spell.
    let text = String::from_utf8_lossy(bytes);
    let listed = text.lines().filter_map(|line| line.split(',').next()).take(16);
    let files: Vec<&str> = ["numpy/core/_x.so", "a b.so"].into_iter().chain(listed).collect();
    let mut owners = Owners::of(files.iter().map(Path::new));
    let first = owners.read(owner("first"), bytes);
    if let Err(problem) = first {
        assert!(problem.line <= 1 + bytes.len() as u64);
    }
    let _ = owners.read(owner("second"), bytes);
    for file in &files {
        // Where two packages claim a file, the first one read keeps it.
        assert_ne!(owners.owner_of(Path::new(file)).map(|owner| owner.name.as_str()), Some("second"));
    }
    // No line of text spells this one, so that it was not asked about.
    assert_eq!(owners.owner_of(Path::new("never\nasked")), None);
}
