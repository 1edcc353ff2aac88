//! The bodies of the fuzz targets, each for a bounded number of inputs: the seeds in `fuzz/seeds`, and what chance makes of
//! them from a fixed seed. `fuzz/` goes on from here.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/mod.rs"]
mod bodies;

/// Marsaglia's xorshift: the same numbers each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// An input with a few pieces changed, taken away, doubled, or put there from another.
    fn damage(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(24)).min(bytes.len());
            match self.below(5) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.truncate(at),
                2 => {
                    let other = &inputs[self.below(inputs.len())];
                    let from = self.below(other.len());
                    let piece = other[from..(from + self.below(32)).min(other.len())].to_vec();
                    drop(bytes.splice(at..end, piece));
                }
                3 => {
                    let piece = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                _ => {
                    let odd = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'/', b'.'];
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = odd[self.below(odd.len())];
                    }
                }
            }
        }
        bytes
    }
}

/// Runs a body on every seed of its target, and on `rounds` inputs made of them.
fn play(target: &str, rounds: usize, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    body(b"");
    for seed in &seeds {
        body(seed);
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        body(&chance.damage(&seeds));
    }
}

#[test]
fn elf_files() {
    play("elf", 4000, bodies::elf::run);
}

#[test]
fn caches_of_the_loader() {
    play("ld_so_cache", 4000, bodies::ld_so_cache::run);
}

#[test]
fn records() {
    play("record", 10_000, bodies::record::run);
}

#[test]
fn wheels() {
    play("wheel", 1000, bodies::wheel::run);
}

#[test]
fn locks() {
    play("lock", 2000, bodies::lock::run);
}

#[test]
fn manifests() {
    play("manifest", 1000, bodies::manifest::run);
}

#[test]
fn logs_of_nix() {
    play("nix_log", 10_000, bodies::nix_log::run);
}

#[test]
fn python_files() {
    play("python_scan", 2000, bodies::python_scan::run);
}

#[test]
fn listings() {
    play("ls", 10_000, bodies::ls::run);
}

#[test]
fn narinfos() {
    play("narinfo", 10_000, bodies::narinfo::run);
}
