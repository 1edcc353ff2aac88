//! A listing of any bytes: read or refused; what is read are paths that a store path can have.

use pitstop_core::index::ls::{PATH_BYTES_MAX, parse};

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(entries) = parse(bytes) {
        assert!(entries[0].path.is_empty());
        assert!(entries.iter().all(|entry| entry.path.len() <= PATH_BYTES_MAX));
        assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
        let climbs = |path: &[u8]| path.split(|byte| *byte == b'/').any(|part| part == b".." || part == b".");
        assert!(!entries.iter().any(|entry| climbs(&entry.path)), "a path that climbs out");
    }
}
