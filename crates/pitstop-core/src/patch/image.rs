//! The headers of a file that is to be changed, as plain numbers.

use object::elf;

use super::{Edit, PatchError};
use crate::elf::Source;

const HEADER_BYTES: u64 = 64;
pub(super) const SEGMENT_BYTES: u64 = 56;
const SECTION_BYTES: u64 = 64;
pub(super) const DYNAMIC_BYTES: u64 = 16;

/// The smallest page of any machine: only within it is it certain that padding is mapped.
pub(super) const PAGE: u64 = 0x1000;

/// Real files have a dozen segments, fifty sections and forty dynamic entries.
const SEGMENTS_MAX: u64 = 1024;
const SECTIONS_MAX: u64 = 1 << 16;
const DYNAMIC_MAX: u64 = 1 << 12;

/// `Elf64_Phdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) paddr: u64,
    pub(super) filesz: u64,
    pub(super) memsz: u64,
    pub(super) align: u64,
}

impl Segment {
    fn parse(bytes: &[u8]) -> Self {
        Self {
            kind: word(bytes, 0),
            flags: word(bytes, 4),
            offset: long(bytes, 8),
            vaddr: long(bytes, 16),
            paddr: long(bytes, 24),
            filesz: long(bytes, 32),
            memsz: long(bytes, 40),
            align: long(bytes, 48),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(56);
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        let longs = [self.offset, self.vaddr, self.paddr, self.filesz, self.memsz, self.align];
        bytes.extend(longs.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// The same bytes at another place: all that a string, a table and so on is moved by.
    pub(super) fn moved(self, offset: u64, vaddr: u64, size: u64) -> Self {
        Self { offset, vaddr, paddr: vaddr, filesz: size, memsz: size, ..self }
    }

    pub(super) fn file_end(&self) -> u64 {
        self.offset + self.filesz
    }

    pub(super) fn memory_end(&self) -> u64 {
        self.vaddr + self.memsz
    }
}

/// `Elf64_Shdr`, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// Where its header lies.
    header: u64,
    kind: u32,
    addr: u64,
    pub(super) offset: u64,
    size: u64,
}

impl Section {
    /// Where its bytes end in the file; a `SHT_NOBITS` section has none.
    pub(super) fn file_end(&self) -> u64 {
        if self.kind == elf::SHT_NOBITS.0 { 0 } else { self.offset.saturating_add(self.size) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size == 0 || self.kind == elf::SHT_NOBITS.0 || self.kind == elf::SHT_NULL.0
    }

    /// `sh_addr`, `sh_offset` and `sh_size`, which follow each other.
    fn moved(&self, addr: u64, offset: u64, size: u64) -> Edit {
        let bytes = [addr, offset, size].iter().flat_map(|value| value.to_le_bytes()).collect();
        Edit { offset: self.header + 16, bytes }
    }
}

/// One entry of the dynamic section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) value: u64,
}

/// The dynamic section.
#[derive(Clone, Debug)]
pub(super) struct Dynamic {
    /// Its segment's index.
    pub(super) segment: usize,
    /// Where the table begins in the file.
    pub(super) offset: u64,
    /// The entries before the first `DT_NULL`.
    pub(super) entries: Vec<Entry>,
    /// How many entries there is room for.
    pub(super) room: u64,
    /// `DT_STRTAB`.
    pub(super) strtab: u64,
    /// `DT_STRSZ`.
    pub(super) strsz: u64,
}

impl Dynamic {
    pub(super) fn position(&self, tag: u64) -> Option<usize> {
        // Of a tag that occurs twice the last one counts.
        self.entries.iter().rposition(|entry| entry.tag == tag)
    }

    /// Where in the file an entry lies, and its value, which follows its tag.
    pub(super) fn place(&self, position: usize) -> u64 {
        self.offset + position as u64 * DYNAMIC_BYTES
    }

    /// For each tag the position of its entry: the one there is, or, for a `DT_NEEDED` and where there is none, a new one behind
    /// the last.
    pub(super) fn positions(&self, tags: impl Iterator<Item = u64>) -> Vec<usize> {
        let mut fresh = self.entries.len()..;
        let position = |tag| self.position(tag).filter(|_| tag != super::NEEDED).or_else(|| fresh.next());
        tags.filter_map(position).collect()
    }

    /// Whether the table has room for entries at these positions, and for a `DT_NULL` behind them.
    pub(super) fn has_room_for(&self, positions: &[usize]) -> bool {
        positions.iter().all(|&position| position < self.entries.len() || position as u64 + 1 < self.room)
    }
}

/// What is known of a file.
pub(super) struct Image {
    pub(super) length: u64,
    pub(super) machine: u16,
    pub(super) phoff: u64,
    pub(super) segments: Vec<Segment>,
    pub(super) sections: Vec<Section>,
    /// Where the section headers begin and end; 0 without.
    pub(super) section_table: (u64, u64),
    pub(super) dynamic: Option<Dynamic>,
    /// `e_ident` says AppImage (type 1 or 2).
    pub(super) is_appimage: bool,
}

impl Image {
    pub(super) fn read(source: &(impl Source + ?Sized)) -> Result<Self, PatchError> {
        let length = source.size_bytes();
        let header = read(source, 0, HEADER_BYTES, "the file header")?;
        let ident = (header[elf_class()], header[elf_class() + 1]);
        let kind = elf::FileType(half(&header, 16));
        if ident != (elf::ELFCLASS64.0, elf::ELFDATA2LSB.0) || !matches!(kind, elf::ET_EXEC | elf::ET_DYN) {
            return Err(PatchError::Unsupported);
        }
        let (phoff, phentsize) = (long(&header, 32), half(&header, 54));
        let phnum = u64::from(half(&header, 56));
        if u64::from(phentsize) != SEGMENT_BYTES || phnum > SEGMENTS_MAX {
            return Err(PatchError::Odd("its program headers are of an unknown kind"));
        }
        let table = read(source, phoff, phnum * SEGMENT_BYTES, "the table of program headers")?;
        let segments: Vec<Segment> = table
            .chunks_exact(size_of::<elf::ProgramHeader64<object::LittleEndian>>())
            .map(Segment::parse)
            .collect();
        check(&segments, length)?;
        let dynamic = dynamic(source, &segments)?;
        let (sections, section_table) = sections(source, &header, length);
        let is_appimage = header[8..10] == *b"AI" && matches!(header[10], 1 | 2);
        let machine = half(&header, 18);
        Ok(Self { length, machine, phoff, segments, sections, section_table, dynamic, is_appimage })
    }

    /// The index of `PT_INTERP`.
    pub(super) fn interp(&self) -> Option<usize> {
        self.segments.iter().position(|segment| segment.kind == elf::PT_INTERP.0 && segment.filesz > 0)
    }

    pub(super) fn loads(&self) -> impl Iterator<Item = (usize, &Segment)> {
        self.segments.iter().enumerate().filter(|(_, segment)| segment.kind == elf::PT_LOAD.0)
    }

    /// The segment that brings the byte at an address from the file.
    pub(super) fn load_of(&self, address: u64) -> Option<(usize, &Segment)> {
        self.loads()
            .find(|(_, load)| address.checked_sub(load.vaddr).is_some_and(|within| within < load.filesz))
    }

    /// Where the headers of a segment lie.
    pub(super) fn segment_place(&self, index: usize) -> u64 {
        self.phoff + index as u64 * SEGMENT_BYTES
    }

    /// Edits of the headers of the sections that have been moved: those that begin where something began.
    pub(super) fn section_moved(&self, from: u64, to: (u64, u64, u64)) -> Option<Edit> {
        let (addr, offset, size) = to;
        let section = self.sections.iter().find(|section| section.addr == from && !section.is_empty())?;
        Some(section.moved(addr, offset, size))
    }

    /// Where what its headers speak of ends in the file.
    pub(super) fn end(&self) -> u64 {
        let segments = self.segments.iter().map(Segment::file_end);
        let table = self.phoff + self.segments.len() as u64 * SEGMENT_BYTES;
        let sections = self.sections.iter().map(Section::file_end);
        segments.chain(sections).chain([table, self.section_table.1, HEADER_BYTES]).max().unwrap_or(0)
    }
}

fn elf_class() -> usize {
    std::mem::offset_of!(elf::Ident, class)
}

/// That the segments are such as the kernel maps without one covering another.
fn check(segments: &[Segment], length: u64) -> Result<(), PatchError> {
    let mut last_end = 0;
    for segment in segments {
        let file_end = segment.offset.checked_add(segment.filesz);
        let memory_end = segment.vaddr.checked_add(segment.memsz);
        if file_end.is_none_or(|end| end > length) {
            return Err(PatchError::CutShort("a segment"));
        }
        let memory_end = memory_end.ok_or(PatchError::Odd("a segment leaves the address space"))?;
        if segment.kind != elf::PT_LOAD.0 {
            continue;
        }
        if segment.vaddr < last_end || segment.memsz < segment.filesz {
            return Err(PatchError::Odd("its segments overlap, or are not in order"));
        }
        last_end = memory_end;
    }
    if last_end == 0 {
        return Err(PatchError::Odd("it has nothing to load"));
    }
    Ok(())
}

fn dynamic(source: &(impl Source + ?Sized), segments: &[Segment]) -> Result<Option<Dynamic>, PatchError> {
    let found = segments.iter().position(|segment| segment.kind == elf::PT_DYNAMIC.0 && segment.filesz > 0);
    let Some(index) = found else { return Ok(None) };
    let segment = segments[index];
    let holds = |load: &&Segment| {
        load.kind == elf::PT_LOAD.0
            && load.vaddr <= segment.vaddr
            && segment.vaddr + segment.filesz <= load.vaddr + load.filesz
            && segment.vaddr - load.vaddr == segment.offset.wrapping_sub(load.offset)
    };
    if segments.iter().find(holds).is_none() {
        return Err(PatchError::Odd("its dynamic section is not where the loader would look for it"));
    }
    let room = (segment.filesz / DYNAMIC_BYTES).min(DYNAMIC_MAX);
    let table = read(source, segment.offset, room * DYNAMIC_BYTES, "the dynamic section")?;
    let entry = |bytes: &[u8]| Entry { tag: long(bytes, 0), value: long(bytes, 8) };
    let entries: Vec<Entry> = table
        .chunks_exact(size_of::<elf::Dyn64<object::LittleEndian>>())
        .map(entry)
        .take_while(|entry| entry.tag != elf::DT_NULL.0.cast_unsigned())
        .collect();
    let mut dynamic = Dynamic { segment: index, offset: segment.offset, entries, room, strtab: 0, strsz: 0 };
    let value = |tag: elf::DynamicTag| Some(dynamic.entries[dynamic.position(tag.0.cast_unsigned())?].value);
    let (Some(strtab), Some(strsz)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Err(PatchError::Odd("its dynamic section names no table of strings"));
    };
    (dynamic.strtab, dynamic.strsz) = (strtab, strsz);
    Ok(Some(dynamic))
}

/// The section headers, for what they are worth: stripped and damaged ones count as none.
fn sections(source: &(impl Source + ?Sized), header: &[u8], length: u64) -> (Vec<Section>, (u64, u64)) {
    let (shoff, shentsize, shnum) = (long(header, 40), half(header, 58), u64::from(half(header, 60)));
    let end = shoff.checked_add(shnum * SECTION_BYTES).filter(|end| *end <= length);
    let (Some(end), true) = (end, shoff != 0 && u64::from(shentsize) == SECTION_BYTES) else {
        return (Vec::new(), (0, 0));
    };
    if shnum > SECTIONS_MAX {
        return (Vec::new(), (0, 0));
    }
    let Ok(table) = read(source, shoff, shnum * SECTION_BYTES, "the table of section headers") else {
        return (Vec::new(), (0, 0));
    };
    let section = |(index, bytes): (usize, &[u8])| Section {
        header: shoff + index as u64 * SECTION_BYTES,
        kind: word(bytes, 4),
        addr: long(bytes, 16),
        offset: long(bytes, 24),
        size: long(bytes, 32),
    };
    (
        table
            .chunks_exact(size_of::<elf::SectionHeader64<object::LittleEndian>>())
            .enumerate()
            .map(section)
            .collect(),
        (shoff, end),
    )
}

pub(super) fn read(
    source: &(impl Source + ?Sized),
    offset: u64,
    length: u64,
    what: &'static str,
) -> Result<Vec<u8>, PatchError> {
    let end = offset.checked_add(length).filter(|end| *end <= source.size_bytes());
    let length = end.and_then(|_| usize::try_from(length).ok()).ok_or(PatchError::CutShort(what))?;
    let mut bytes = vec![0; length];
    source.read_exact_at(offset, &mut bytes).map_err(|_| PatchError::CutShort(what))?;
    Ok(bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}
