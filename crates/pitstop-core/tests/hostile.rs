//! Damaged, hostile and absurd files: an error or wrong facts, but never a panic, much memory or much time.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Made, NEEDED, full};
use pitstop_core::elf::{Elf, ElfError, Fault, Source, defines_symbol};

/// The most that reading one file may hold at once.
const MAX_HELD_BYTES: usize = 6 * 1024 * 1024;

/// The longest that reading one file may take, on a slow and busy machine and unoptimised.
const MAX_TIME: Duration = Duration::from_secs(1);

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread holds.
struct Counting;

#[expect(unsafe_code, reason = "an allocator can be written in no other way")]
// SAFETY: every call is handed to the system's allocator as it came; counting touches thread-locals without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size());
        PEAK.set(PEAK.get().max(HELD.get()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads everything there is to read, within bounds.
fn survive(source: &(impl Source + ?Sized)) -> Result<Elf, ElfError> {
    let (held, start) = (HELD.get(), Instant::now());
    PEAK.set(held);
    let facts = Elf::read(source);
    let _ = defines_symbol(source, b"PyInit_me");
    assert!(PEAK.get() - held <= MAX_HELD_BYTES, "held {} bytes", PEAK.get() - held);
    assert!(start.elapsed() < MAX_TIME, "took {:?}", start.elapsed());
    if let Err(error) = &facts {
        // Every error can be told.
        assert!(!error.to_string().is_empty());
    }
    facts
}

/// xorshift64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Hand-made files of all flavours, and a linker's.
fn small_files() -> Vec<Vec<u8>> {
    let mut files: Vec<_> = [(false, false), (false, true), (true, false), (true, true)]
        .iter()
        .map(|(narrow, big)| full(*narrow, *big).build())
        .collect();
    files.extend(linked());
    files
}

/// A small library by the machine's own compiler, where there is one.
fn linked() -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let source = "#include <stdio.h>\nint PyInit_me(void) { return puts(\"\"); }\n";
    std::fs::write(folder.path().join("me.c"), source).unwrap();
    std::fs::write(folder.path().join("me.map"), "ME_1 { global: PyInit_me; local: *; };\n").unwrap();
    let compiled = Command::new("gcc")
        .current_dir(&folder)
        .args(["-shared", "-fPIC", "-Wl,-z,max-page-size=4096", "-Wl,--version-script=me.map"])
        .args(["-Wl,-soname,libme.so", "-Wl,-rpath,$ORIGIN/libs", "-o", "libme.so", "me.c"])
        .status();
    let compiled = compiled.is_ok_and(|status| status.success());
    compiled.then(|| std::fs::read(folder.path().join("libme.so")).unwrap())
}

#[test]
fn each_byte_wrong() {
    let mut random = Random(0x5eed);
    for mut file in small_files() {
        survive(&file[..]).unwrap();
        for at in 0..file.len() {
            let right = file[at];
            let any = random.next().to_le_bytes()[0];
            for wrong in [0, 0xff, right ^ 1, right ^ 0x80, any] {
                file[at] = wrong;
                let _ = survive(&file[..]);
            }
            file[at] = right;
        }
    }
}

#[test]
fn each_word_wrong() {
    let mut random = Random(0xcafe);
    for mut file in small_files() {
        for at in (0..file.len() - 8).step_by(4) {
            let right: [u8; 8] = file[at..at + 8].try_into().unwrap();
            let length = file.len() as u64;
            for wrong in [0, u64::MAX, 1 << 63, u64::from(u32::MAX), length, length - 1, random.next()] {
                for bytes in [wrong.to_le_bytes(), wrong.to_be_bytes()] {
                    file[at..at + 8].copy_from_slice(&bytes);
                    let _ = survive(&file[..]);
                }
            }
            file[at..at + 8].copy_from_slice(&right);
        }
    }
}

#[test]
fn cut_at_each_length() {
    for file in small_files() {
        for length in 0..file.len() {
            let _ = survive(&file[..length]);
        }
    }
}

#[test]
fn this_test_itself_damaged() {
    let mut random = Random(0xbeef);
    let mut file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let facts = survive(&file[..]).unwrap();
    assert!(facts.needed.iter().any(|name| name.starts_with(b"libc.so")), "{:?}", facts.needed);
    for _ in 0..2000 {
        let _ = survive(&file[..random.below(file.len())]);
    }
    for at in 0..4096 {
        let right = file[at];
        for wrong in [0, 0xff, random.next().to_le_bytes()[0]] {
            file[at] = wrong;
            let _ = survive(&file[..]);
        }
        file[at] = right;
    }
}

#[test]
fn noise_behind_a_good_header() {
    let mut random = Random(0xd1ce);
    let headers = full(false, false).build()[..288].to_vec();
    for _ in 0..2000 {
        let mut file = headers.clone();
        file.extend((0..random.below(9000)).map(|_| random.next().to_le_bytes()[0] & 0x1f));
        let _ = survive(&file[..]);
    }
}

fn fault(file: &[u8]) -> Fault {
    match survive(file) {
        Err(ElfError::Damaged { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_hold() {
    let needed = |count: usize, length: usize| Made {
        strings: (0..count).map(|_| (NEEDED, "n".repeat(length))).collect(),
        ..Made::default()
    };
    assert_eq!(survive(&needed(4096, 8).build()[..]).unwrap().needed.len(), 4096);
    assert_eq!(fault(&needed(4097, 8).build()), Fault::TooMany(4096));
    assert_eq!(survive(&needed(2, 128 * 1024).build()[..]).unwrap().needed.len(), 2);
    assert_eq!(fault(&needed(1, 128 * 1024 + 1).build()), Fault::TooLong(128 * 1024));
    assert_eq!(fault(&needed(100, 16 * 1024).build()), Fault::TooLong(1024 * 1024));
    let tags = Made { numbers: vec![(0x7000_0000, 0); 9000], ..Made::default() };
    assert_eq!(fault(&tags.build()), Fault::TooMany(8192));
    let versions = (0..40_000).map(|_| ("V".to_owned(), 0)).collect();
    let versions = Made { verdef: versions, ..Made::default() };
    assert_eq!(fault(&versions.build()), Fault::TooMany(0x7fff));
}

/// A chain of versions that turns back on itself: each entry is the next one's beginning.
#[test]
fn chains_that_never_end() {
    let versions = vec![("x".repeat(1000), 0); 100];
    let mut file = Made { verneed: vec![("f".into(), versions)], ..Made::default() }.build();
    // The last `vna_next` is 0; let it lead far ahead into other chains of zeros, or to itself by overflow.
    let at = file.windows(16).rposition(|w| w[..8] == [0, 0, 0, 0, 0, 0, 2, 0] && w[12..] == [0; 4]).unwrap();
    for next in [1_u32, 4, 16, 0x7fff_fff0, 0xffff_fff0] {
        file[at + 12..at + 16].copy_from_slice(&next.to_le_bytes());
        let _ = survive(&file[..]);
    }
}

/// A file that shrinks, or fails, after so many reads.
struct Fleeting<'f> {
    file: &'f [u8],
    reads: Cell<usize>,
    claimed: u64,
}

impl Source for Fleeting<'_> {
    fn size_bytes(&self) -> u64 {
        self.claimed
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.reads.get().checked_sub(1) {
            Some(left) => self.reads.set(left),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        self.file.read_exact_at(offset, buffer)
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let padding = vec![("x".repeat(3000), 0); 20];
    let file = Made { verneed: vec![("f".into(), padding)], ..full(false, false) }.build();
    let mut whole = 0;
    for reads in 0..64 {
        let fleeting = Fleeting { file: &file, reads: Cell::new(reads), claimed: file.len() as u64 };
        match survive(&fleeting) {
            Ok(_) => whole += 1,
            Err(ElfError::Damaged { fault, .. }) => {
                assert_eq!(fault, Fault::Unreadable(io::ErrorKind::UnexpectedEof));
            }
            Err(ElfError::NotElf) => panic!("it was one"),
        }
    }
    assert!((1..64).contains(&whole));
    let boasting = Fleeting { file: &file, reads: Cell::new(usize::MAX), claimed: u64::MAX };
    assert!(survive(&boasting).is_err());
}
