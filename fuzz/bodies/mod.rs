//! What each fuzz target does with its bytes: shared with the bounded tests of pitstop-host (`tests/hostile_bytes.rs`).

pub(crate) mod elf;
pub(crate) mod ld_so_cache;
pub(crate) mod lock;
pub(crate) mod ls;
pub(crate) mod manifest;
pub(crate) mod narinfo;
pub(crate) mod nix_log;
pub(crate) mod python_scan;
pub(crate) mod record;
pub(crate) mod wheel;
