//! A listing of any bytes is read or refused; what is read are paths that a store path can have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitstop_core::index::ls::{PATH_BYTES_MAX, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = parse(bytes) {
        assert!(entries[0].path.is_empty());
        assert!(entries.iter().all(|entry| entry.path.len() <= PATH_BYTES_MAX));
        assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
    }
});
