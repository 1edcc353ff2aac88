//! What binary caches send, damaged by chance from a fixed seed: it is read or refused, and never more than that. The
//! same promises as in `fuzz/fuzz_targets/{narinfo,ls}.rs`.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use pitstop_core::index::{ls, narinfo};

const ROUNDS: usize = 40_000;
const LISTING: &str = r#"{"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{"a\u00e9":{"type":"regular","size":12,"executable":true,"narOffset":3},"b":{"target":"../x","type":"symlink"}}},"e":{"entries":{},"type":"directory"}}}}"#;
const NARINFO: &str = "StorePath: /nix/store/0123456789abcdfghijklmnpqrsvwxyz-a-1\nURL: nar/x.nar.xz\nCompression: xz\nFileHash: sha256:1\nFileSize: 12\nNarHash: sha256:0\nNarSize: 34\nReferences: 0123456789abcdfghijklmnpqrsvwxyz-a-1 1123456789abcdfghijklmnpqrsvwxyz-b\nSig: k:AA\n";

/// Marsaglia's xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// A few bytes changed, taken away, doubled, or put there from elsewhere.
    fn damage(&mut self, text: &[u8]) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"{",
            b"}",
            b"\"",
            b"\\",
            b"\\ud800",
            b"\xff",
            b"..",
            b"/",
            b"\0",
            b"entries",
            b"99999999999999999999",
            b"\n",
            b": ",
        ];
        let mut bytes = text.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(24)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                3 => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

#[test]
fn a_damaged_listing_is_read_or_refused() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let bytes = chance.damage(LISTING.as_bytes());
        match ls::parse(&bytes) {
            Ok(entries) => {
                read += 1;
                assert!(entries[0].path.is_empty());
                assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
                assert!(entries.iter().skip(1).all(|entry| entry.path.starts_with(b"/")));
            }
            Err(error) => {
                refused += 1;
                assert!(error.offset <= bytes.len());
            }
        }
    }
    assert!(read > ROUNDS / 100 && refused > ROUNDS / 10, "{read} read, {refused} refused");
}

#[test]
fn a_damaged_narinfo_is_read_or_refused() {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let bytes = chance.damage(NARINFO.as_bytes());
        match narinfo::parse(&bytes, "/nix/store") {
            Ok(info) => {
                read += 1;
                assert!(info.nar_size > 0);
                assert!(info.references.iter().all(|path| path.hash.len() == 32 && !path.name.contains('/')));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > ROUNDS / 100 && refused > ROUNDS / 10, "{read} read, {refused} refused");
}
