//! A `.narinfo` of any bytes is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitstop_core::index::narinfo::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = parse(bytes, "/nix/store") {
        assert!(info.nar_size > 0);
        assert!(info.references.iter().all(|path| path.hash.len() == 32 && !path.name.contains('/')));
    }
});
