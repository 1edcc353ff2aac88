//! An ELF file of any bytes: its facts are read or refused, and what a patch makes of it reads as it was meant to.

use bstr::{BString, ByteSlice};
use pitstop_core::elf::{Elf, defines_symbol};
use pitstop_core::patch::{Change, Edited, PathKind, plan};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(elf) = Elf::read(bytes) else { return };
    // No list is longer than the file that it was read from.
    let listed = elf.needed.len() + elf.version_needs.len() + elf.dlopen_notes.len();
    assert!(listed <= bytes.len(), "{listed} names from {} bytes", bytes.len());
    let _ = defines_symbol(bytes, b"PyInit__x");
    let loader = elf.loader.is_some().then(|| BString::from("/lib64/ld-linux-x86-64.so.2"));
    let change = Change { loader, needed: vec!["libmade-up.so.1".into()], ..Change::default() };
    let change = change.with_folder(&elf, b"/nix/store/made-up/lib".as_bstr(), PathKind::Runpath);
    let Ok(patch) = plan(bytes, &change) else { return };
    assert_eq!(patch.old_length, bytes.len() as u64);
    assert!(
        patch.edits.windows(2).all(|pair| pair[0].offset + pair[0].bytes.len() as u64 <= pair[1].offset),
        "edits overlap"
    );
    let patched = Edited::new(bytes, &patch.edits, patch.new_length);
    assert_eq!(Elf::read(&patched).expect("it was read back"), change.applied_to(&elf));
}
