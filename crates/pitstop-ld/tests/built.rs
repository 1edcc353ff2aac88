//! What was built: small, position-independent, nothing to write to, nothing that can panic, few calls.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::fs;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Rela, SectionHeader};
use support::{Lab, bare, plain, shim, succeed};

type Header = FileHeader64<LE>;

/// Bytes that the issue of this crate allows.
const LEN_MAX: usize = 64 * 1024;

#[test]
fn it_is_small_and_stripped() {
    let file = fs::read(plain()).unwrap();
    assert!(file.len() <= LEN_MAX, "{} bytes", file.len());
    let header = Header::parse(&*file).unwrap();
    let sections = header.sections(LE, &*file).unwrap();
    assert!(sections.iter().all(|section| section.sh_type(LE) != elf::SHT_SYMTAB));
}

#[test]
fn it_is_position_independent_and_needs_nobody() {
    let file = fs::read(plain()).unwrap();
    let header = Header::parse(&*file).unwrap();
    assert_eq!(header.e_type(LE), elf::ET_DYN);
    let segments = header.program_headers(LE, &*file).unwrap();
    assert!(segments.iter().all(|segment| segment.p_type(LE) != elf::PT_INTERP));
    let entries = segments.iter().find_map(|segment| segment.dynamic(LE, &*file).unwrap()).unwrap();
    assert!(entries.iter().all(|entry| entry.d_tag(LE) != elf::DT_NEEDED));
    let flags = entries.iter().find(|entry| entry.d_tag(LE) == elf::DT_FLAGS_1).unwrap().d_val(LE);
    assert_ne!(flags & elf::DF_1_NOW.0, 0);
    assert_ne!(flags & elf::DF_1_PIE.0, 0);
}

#[test]
fn all_that_can_be_written_is_protected_once_it_is_relocated() {
    let file = fs::read(plain()).unwrap();
    let header = Header::parse(&*file).unwrap();
    let segments = header.program_headers(LE, &*file).unwrap();
    let of = |kind| segments.iter().filter(move |segment| segment.p_type(LE) == kind);
    let relro = of(elf::PT_GNU_RELRO).next().unwrap();
    for segment in of(elf::PT_LOAD) {
        let has = |flag: elf::ProgramFlags| segment.p_flags(LE).0 & flag.0 != 0;
        assert!(!(has(elf::PF_W) && has(elf::PF_X)), "written and executed");
        if has(elf::PF_W) {
            let range = |one: &elf::ProgramHeader64<LE>| one.p_vaddr(LE)..one.p_vaddr(LE) + one.p_memsz(LE);
            assert_eq!(range(segment), range(relro), "written, and not protected");
            assert_eq!(range(segment).end % 4096, 0);
        }
    }
    assert_eq!(of(elf::PT_GNU_STACK).next().unwrap().p_flags(LE).0 & elf::PF_X.0, 0);
}

/// `_start` knows no other kind.
#[test]
fn its_relocations_only_add_the_base() {
    let file = fs::read(plain()).unwrap();
    let header = Header::parse(&*file).unwrap();
    let sections = header.sections(LE, &*file).unwrap();
    let mut count = 0;
    for section in sections.iter() {
        if let Some((relocations, _)) = section.rela(LE, &*file).unwrap() {
            for relocation in relocations {
                assert_eq!(relocation.r_type(LE, false), elf::R_X86_64_RELATIVE);
                assert_eq!(relocation.symbol(LE, false), None);
                count += 1;
            }
        }
    }
    assert!(count > 0, "the test has looked at nothing");
}

#[test]
fn nothing_in_it_can_panic() {
    let file = fs::read(plain()).unwrap();
    let has = |words: &[u8]| file.windows(words.len()).any(|window| window == words);
    assert!(has(b"cannot start "), "the search works");
    assert!(!has(b"pitstop-ld: broken"), "the panic handler is in use");
    assert!(!has(b"panicked") && !has(b".rs\0"));
}

#[test]
fn its_calls_are_these() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let calls = |variables: &[(&str, &str)]| {
        let trace = lab.path("trace");
        succeed(bare("/usr/bin/strace").arg("-o").arg(&trace).arg(&hello).envs(variables.iter().copied()));
        let text = fs::read_to_string(trace).unwrap();
        // The shim comes between the start and the real loader's first call.
        let names = text.lines().map(|line| line.split('(').next().unwrap().to_owned());
        names.skip(1).take_while(|name| name != "brk").collect::<Vec<_>>()
    };
    let start = ["mprotect", "open", "pread64", "lseek", "mmap", "mmap", "mmap", "close"];
    assert_eq!(calls(&[("NIX_LD_LIBRARY_PATH", "/none")]), start);
    assert_eq!(calls(&[]), [&start[..], &["readlink", "lstat", "lstat"]].concat());
    assert!(shim().exists());
}
