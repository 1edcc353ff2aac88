//! The dynamic section (gABI chapter 5, "Dynamic Section"), and the strings that it refers to.

use bstr::BString;
use object::Endianness;
use object::elf::{self, PT_DYNAMIC};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::Source;
use super::error::{ElfError, Fault, Structure};
use super::image::Image;
use super::limits::{MAX_DYNAMIC_ENTRIES, MAX_NEEDED};

/// What the entries say, before any of it is followed: `DT_*` values, named for their tags.
#[derive(Default)]
pub(super) struct Dynamic {
    /// Where the table begins in the file.
    pub(super) offset: u64,
    pub(super) needed: Vec<u64>,
    pub(super) soname: Option<u64>,
    pub(super) rpath: Option<u64>,
    pub(super) runpath: Option<u64>,
    pub(super) flags_1: Option<u64>,
    pub(super) strtab: Option<u64>,
    pub(super) strsz: Option<u64>,
    pub(super) verneed: Option<u64>,
    pub(super) verdef: Option<u64>,
    pub(super) symtab: Option<u64>,
    pub(super) gnu_hash: Option<u64>,
    pub(super) hash: Option<u64>,
}

impl<S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'_, S, H> {
    /// Reads the entries up to `DT_NULL`, where a loader would: at the segment's address, not at its offset.
    ///
    /// `None` without `PT_DYNAMIC`, and where it holds no bytes of the file, as in files of separate debug symbols;
    /// glibc passes over such segments too (`_dl_map_object_from_fd` in elf/dl-load.c). The loader ignores the size
    /// of the segment and reads to `DT_NULL`; bytes beyond the file's part of a mapped segment are zero, thus an end.
    pub(super) fn dynamic(&mut self) -> Result<Option<Dynamic>, ElfError> {
        let (endian, what) = (self.endian, Structure::Dynamic);
        let Some(segment) = self.segment(PT_DYNAMIC) else { return Ok(None) };
        let (header_offset, filesz) = segment.file_range(endian);
        if filesz == 0 {
            return Ok(None);
        }
        let address: u64 = segment.p_vaddr(endian).into();
        let unmapped = ElfError::new(what, header_offset, Fault::Unmapped(address));
        let (offset, end) = self.locate(address).ok_or(unmapped)?;
        let size = size_of::<H::Dyn>() as u64;
        let mut dynamic = Dynamic { offset, ..Dynamic::default() };
        for index in 0.. {
            let at = offset + index as u64 * size;
            if end - at < size {
                break;
            }
            if index == MAX_DYNAMIC_ENTRIES {
                return Err(ElfError::new(what, at, Fault::TooMany(MAX_DYNAMIC_ENTRIES)));
            }
            let entry: H::Dyn = self.bytes.read(at, what)?;
            let value = entry.d_val(endian).into();
            // Of a tag that occurs twice the last one counts, as in glibc's `elf_get_dynamic_info`.
            match entry.d_tag(endian) {
                elf::DT_NULL => break,
                elf::DT_NEEDED => dynamic.needed.push(value),
                elf::DT_SONAME => dynamic.soname = Some(value),
                elf::DT_RPATH => dynamic.rpath = Some(value),
                elf::DT_RUNPATH => dynamic.runpath = Some(value),
                elf::DT_FLAGS_1 => dynamic.flags_1 = Some(value),
                elf::DT_STRTAB => dynamic.strtab = Some(value),
                elf::DT_STRSZ => dynamic.strsz = Some(value),
                elf::DT_VERNEED => dynamic.verneed = Some(value),
                elf::DT_VERDEF => dynamic.verdef = Some(value),
                elf::DT_SYMTAB => dynamic.symtab = Some(value),
                elf::DT_GNU_HASH => dynamic.gnu_hash = Some(value),
                elf::DT_HASH => dynamic.hash = Some(value),
                _ => {}
            }
            if dynamic.needed.len() > MAX_NEEDED {
                return Err(ElfError::new(what, at, Fault::TooMany(MAX_NEEDED)));
            }
        }
        Ok(Some(dynamic))
    }

    /// The string table's place in the file, clipped to `DT_STRSZ` and to the segment that holds it.
    pub(super) fn strings(&self, dynamic: &Dynamic) -> Result<Strings, ElfError> {
        let fail = |fault| ElfError::new(Structure::Dynamic, dynamic.offset, fault);
        let address = dynamic.strtab.ok_or(fail(Fault::NoTable("DT_STRTAB")))?;
        let (start, end) = self.locate(address).ok_or(fail(Fault::Unmapped(address)))?;
        let size = dynamic.strsz.unwrap_or(u64::MAX);
        Ok(Strings { start, end: end.min(start.saturating_add(size)) })
    }

    pub(super) fn string(&mut self, strings: &Strings, index: u64) -> Result<BString, ElfError> {
        let offset = strings.start.saturating_add(index);
        self.bytes.string(offset, strings.end, Structure::String)
    }
}

/// Where the table at `DT_STRTAB` lies in the file.
pub(super) struct Strings {
    pub(super) start: u64,
    pub(super) end: u64,
}
