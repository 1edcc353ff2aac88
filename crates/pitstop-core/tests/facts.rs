//! Each fact of an ELF file, on files made by hand, in both classes and both byte orders.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod common;

use common::{BASE, Made, NEEDED, SONAME, STRTAB, VERNEED, full};
use pitstop_core::elf::{
    Class, DlopenPriority, Elf, ElfError, Encoding, Fault, Kind, Structure, Target, defines_symbol,
};

fn read(made: &Made) -> Elf {
    Elf::read(&made.build()[..]).unwrap()
}

fn flavours() -> impl Iterator<Item = (bool, bool)> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter()
}

#[test]
fn every_fact_in_every_flavour() {
    for (narrow, big) in flavours() {
        let elf = read(&full(narrow, big));
        let target = Target {
            class: if narrow { Class::Bits32 } else { Class::Bits64 },
            encoding: if big { Encoding::Big } else { Encoding::Little },
            machine: 62,
        };
        assert_eq!(elf.target, target);
        assert_eq!((elf.os_abi, elf.kind, elf.dynamic), (3, Kind::SharedObject, true));
        assert_eq!(elf.loader, Some("/lib/ld.so".into()));
        assert_eq!(elf.soname, Some("libme.so.2".into()));
        assert_eq!(elf.needed, ["libz.so.1", "libc.so.6"]);
        assert_eq!(elf.rpath, Some("$ORIGIN/../libs:/old".into()));
        assert_eq!(elf.runpath, Some("".into()), "an empty one is not the same as none");
        assert_eq!(elf.flags_1, 0x0800_0001);
        let wants: Vec<_> = elf
            .version_needs
            .iter()
            .flat_map(|need| {
                need.versions.iter().map(move |v| format!("{}:{}:{}", need.file, v.name, v.weak))
            })
            .collect();
        let expected =
            ["libz.so.1:ZLIB_1.2.9:false", "libc.so.6:GLIBC_2.38:false", "libc.so.6:GLIBC_2.2.5:true"];
        assert_eq!(wants, expected);
        assert_eq!(elf.version_definitions, Some(vec!["ME_1".into(), "ME_2".into()]));
        assert_eq!(elf.damaged_note, None);
        let [first, second] = &elf.dlopen_notes[..] else { panic!("{:?}", elf.dlopen_notes) };
        assert_eq!(first.sonames, ["liblz4.so.1"]);
        assert_eq!(first.feature.as_deref(), Some("lz4"));
        assert_eq!(first.priority, DlopenPriority::Suggested);
        assert_eq!(second.sonames, ["a", "b"]);
        assert_eq!((second.priority, &second.description), (DlopenPriority::Recommended, &None));
    }
}

#[test]
fn symbols_are_found_through_the_hash_table() {
    for (narrow, big) in flavours() {
        let made = full(narrow, big);
        let file = made.build();
        let defines = |name: &str| defines_symbol(&file[..], name.as_bytes()).unwrap();
        assert!(defines("PyInit_me") && defines("other"));
        assert!(!defines("malloc"), "needed, not defined");
        assert!(!defines("PyInit_m") && !defines("PyInit_mee") && !defines("absent"));
    }
    let s390x = Made { machine: 22, wide_hash: true, ..full(false, true) }.build();
    assert_eq!(defines_symbol(&s390x[..], b"PyInit_me"), Ok(true));
    assert_eq!(defines_symbol(&Made::default().build()[..], b"PyInit_me"), Ok(false));
}

#[test]
fn nothing_asked_nothing_read() {
    let elf = read(&Made::default());
    assert!(elf.dynamic && elf.needed.is_empty() && elf.version_definitions.is_none());
    assert_eq!((elf.loader, elf.soname, elf.rpath), (None, None, None));
}

#[test]
fn an_empty_interp_counts_as_none() {
    for interp in [b"\0".to_vec(), Vec::new()] {
        assert_eq!(read(&Made { interp: Some(interp), ..Made::default() }).loader, None);
    }
}

#[test]
fn only_a_base_definition_is_not_no_definition() {
    let made = Made { verdef: vec![("libx.so".into(), 1)], ..Made::default() };
    assert_eq!(read(&made).version_definitions, Some(vec![]));
}

#[test]
fn the_last_of_a_repeated_tag_counts() {
    let strings = vec![(SONAME, "first".into()), (SONAME, "last".into())];
    assert_eq!(read(&Made { strings, ..Made::default() }).soname, Some("last".into()));
}

#[test]
fn a_damaged_note_does_not_damage_the_file() {
    let notes = vec![
        (b"FDO\0".to_vec(), 0x407c_0c0a, b"[{\"soname\": 3}]".to_vec()),
        (b"FDO\0".to_vec(), 0x407c_0c0a, b"[{\"soname\":[\"x\"]}]\0".to_vec()),
    ];
    let elf = read(&Made { notes, strings: vec![(NEEDED, "libz.so.1".into())], ..Made::default() });
    assert_eq!(elf.needed, ["libz.so.1"]);
    assert_eq!(elf.dlopen_notes.len(), 1);
    let Some(ElfError::Damaged { what: Structure::Note, fault: Fault::Json, .. }) = elf.damaged_note else {
        panic!("{:?}", elf.damaged_note)
    };
}

#[test]
fn what_is_no_elf_file() {
    for bytes in [&b""[..], b"\x7fEL", b"#!/bin/sh\n", b"INPUT(libz.so.1)", b"PAR1 and so on"] {
        assert_eq!(Elf::read(bytes), Err(ElfError::NotElf));
        assert_eq!(defines_symbol(bytes, b"x"), Err(ElfError::NotElf));
    }
}

fn error(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut file = full(false, false).build();
    change(&mut file);
    Elf::read(&file[..]).unwrap_err().to_string()
}

#[test]
fn errors_name_the_structure_and_the_offset() {
    assert_eq!(error(|file| file.truncate(20)), "file header at offset 0x14: the file is cut short");
    assert_eq!(error(|file| file.truncate(100)), "program headers at offset 0x64: the file is cut short");
    assert_eq!(error(|file| file[4] = 9), "file header at offset 0x4: unknown value 0x9");
    assert_eq!(error(|file| file[54] = 9), "program headers at offset 0x40: unknown value 0x9");
    assert_eq!(
        error(|file| file[57] = 0xff),
        "program headers at offset 0x40: more than 1170 entries",
        "65284 of them"
    );
    let no_strings = Made { strings: vec![(NEEDED, "x".into())], numbers: vec![], ..Made::default() };
    let mut file = no_strings.build();
    let at = file.windows(16).rposition(|w| w[..8] == STRTAB.to_le_bytes()).unwrap();
    file[at] = 21;
    let error = Elf::read(&file[..]).unwrap_err().to_string();
    assert!(error.ends_with("refers to a table, but there is no DT_STRTAB"), "{error}");
    let lost = Made { numbers: vec![(VERNEED, BASE + 0x10_0000)], ..Made::default() };
    let error = Elf::read(&lost.build()[..]).unwrap_err().to_string();
    assert!(error.ends_with("refers to address 0x140000, which no segment loads"), "{error}");
}
