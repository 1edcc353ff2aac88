//! Whatever bytes a soname index has: reading all of it neither panics nor runs away.
//!
//! Checksums keep a fuzzer from what lies behind them, so those of the preamble and the head are set right first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitstop_core::index::sonames::{Sonames, VERSION};

fuzz_target!(|bytes: &[u8]| {
    target::read(bytes);
    let mut bytes = bytes.to_vec();
    target::set_right(&mut bytes);
    target::read(&bytes);
});

/// What the target does with its bytes.
mod target {
    use super::{Sonames, VERSION};

    pub(super) fn read(bytes: &[u8]) {
        let Ok(index) = Sonames::open(bytes) else { return };
        let _ = index.verify();
        for name in index.names(b"", 64).unwrap_or_default() {
            let _ = index.holders(&name);
        }
    }

    /// Makes a preamble that fits to what follows: 32 bytes, the head's length taken from them.
    pub(super) fn set_right(bytes: &mut Vec<u8>) {
        if bytes.len() < 32 {
            return;
        }
        let length = bytes.len();
        let head = (u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize).min(length - 32);
        bytes[..8].copy_from_slice(b"PITSONAM");
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::try_from(head).unwrap_or(0).to_le_bytes());
        bytes[16..24].copy_from_slice(&(length as u64).to_le_bytes());
        let sum = crc32fast::hash(&bytes[32..32 + head]);
        bytes[24..28].copy_from_slice(&sum.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    }
}
