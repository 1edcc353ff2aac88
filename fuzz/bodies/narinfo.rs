//! A `.narinfo` of any bytes: read or refused.

use pitstop_core::index::narinfo::parse;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(info) = parse(bytes, "/nix/store") {
        assert!(info.nar_size > 0);
        assert!(info.references.iter().all(|path| path.hash.len() == 32 && !path.name.contains('/')));
    }
}
