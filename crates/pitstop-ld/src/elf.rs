//! Whether a file can be a loader, and how it is to be mapped: pure, from its first bytes and its length.
//!
//! The rules are those of the kernel's `load_elf_interp` (fs/binfmt_elf.c), and stricter where it would go on into a
//! crash: segments ascend and share no page, every byte of them is in the file, and the entry can be executed.
//! As in the kernel, the loader's `PT_GNU_STACK` counts for nothing (the program's own decides), and x86_64 has no use
//! for `PT_GNU_PROPERTY` here; an aarch64 port has to honour it for BTI.

/// Bytes of an ELF header (`Elf64_Ehdr`).
pub const HEADER_LEN: usize = 64;
/// Bytes of a program header (`Elf64_Phdr`).
pub const PROGRAM_HEADER_LEN: usize = 56;
/// Most program headers that are read; glibc's loader has 11.
pub const PROGRAM_HEADERS_MAX: usize = 64;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
/// The segment can be executed.
pub const PF_X: u32 = 1;
/// The segment can be written.
pub const PF_W: u32 = 2;
/// The segment can be read.
pub const PF_R: u32 = 4;

/// Why a file cannot be a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no bytes.
    Empty,
    /// Its first four bytes are not ELF's.
    NotElf,
    /// It is not a little-endian 64-bit file of ELF's version 1.
    OtherClass,
    /// It is made for another machine, whose `e_machine` this is.
    OtherMachine(u16),
    /// It is a program that is linked to fixed addresses.
    Program,
    /// It is a program, or a library, that needs a loader itself (`PT_INTERP`).
    NeedsLoader,
    /// It is a relocatable object, a core file or something else.
    OtherType(u16),
    /// It ends before a byte that it says it has.
    Truncated,
    /// It says of itself what cannot be.
    Malformed(Malformed),
}

/// What a file says of itself that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The size, the number or the place of its program headers.
    ProgramHeaders,
    /// It has no segment to map.
    Segments,
    /// A segment's sizes, offset or alignment, or its place among the others.
    Segment,
    /// Its entry lies outside what can be executed.
    Entry,
}

/// The machine that a loader must be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// `e_machine`.
    pub number: u16,
    /// Bytes in a page, a power of two.
    pub page_size: usize,
}

/// What the ELF header says that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `e_entry`.
    pub entry: usize,
    /// `e_phoff`.
    pub table_offset: usize,
    /// Bytes of the program header table.
    pub table_len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`, which are the first of a file, and as many as could be had.
    pub fn read(bytes: &[u8], machine: Machine) -> Result<Header, Fault> {
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(if bytes.starts_with(b"\x7fELF") { Fault::Truncated } else { Fault::NotElf });
        };
        if !header.starts_with(b"\x7fELF") {
            return Err(Fault::NotElf);
        }
        // ELFCLASS64, ELFDATA2LSB, EV_CURRENT.
        if !header.starts_with(b"\x7fELF\x02\x01\x01") {
            return Err(Fault::OtherClass);
        }
        let number = half(header, 18);
        if number != machine.number {
            return Err(Fault::OtherMachine(number));
        }
        match half(header, 16) {
            ET_DYN => {}
            ET_EXEC => return Err(Fault::Program),
            other => return Err(Fault::OtherType(other)),
        }
        let count = usize::from(half(header, 56));
        if usize::from(half(header, 54)) != PROGRAM_HEADER_LEN || count == 0 || count > PROGRAM_HEADERS_MAX {
            return Err(Fault::Malformed(Malformed::ProgramHeaders));
        }
        let table_offset = address(header, 32);
        let table_len = count * PROGRAM_HEADER_LEN;
        // The offset must also be one that a positional read takes, whose offsets have a sign.
        let end = table_offset.checked_add(table_len).filter(|end| i64::try_from(*end).is_ok());
        if end.is_none() {
            return Err(Fault::Malformed(Malformed::ProgramHeaders));
        }
        Ok(Header { entry: address(header, 24), table_offset, table_len })
    }
}

/// One segment (`PT_LOAD`).
#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    flags: u32,
    offset: usize,
    address: usize,
    file_end: usize,
    memory_end: usize,
}

/// What comes to lie in a range of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The file, from this offset on.
    File(usize),
    /// Zeros.
    Zeros,
    /// Nothing: whoever goes there is stopped.
    Hole,
}

/// One mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// Bytes from the start of the reserved range, whole pages.
    pub at: usize,
    /// Bytes, whole pages, not 0.
    pub len: usize,
    /// [`PF_R`], [`PF_W`], [`PF_X`].
    pub flags: u32,
    /// What comes to lie there.
    pub source: Source,
}

/// Bytes after the end of the file's part of a segment that belong to the program, and must be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Bytes from the start of the reserved range.
    pub at: usize,
    /// Bytes, less than a page.
    pub len: usize,
}

/// One step of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Map this.
    Map(Act),
    /// Zero this.
    Clear(Tail),
}

/// How a loader is mapped: first [`Plan::reserve`], wherever the kernel likes; then each of [`Plan::steps`] over a part of
/// that. It refers to the program header table, and has no memory of its own: the shim has little stack.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The first segment, mapped over the whole range: what comes after it in the file, and is only read, then lies
    /// where it should without another call.
    pub reserve: Act,
    /// The address that the file has for the start of the range; 0 in nearly every loader.
    pub first: usize,
    /// Where execution begins, in bytes from the start of the range.
    pub entry: usize,
    table: &'a [u8],
    page: usize,
}

impl<'a> Plan<'a> {
    /// Plans the mapping of a file of `file_len` bytes from its header and its program header table.
    pub fn new(
        header: Header,
        table: &'a [u8],
        file_len: usize,
        machine: Machine,
    ) -> Result<Plan<'a>, Fault> {
        const SEGMENT: Fault = Fault::Malformed(Malformed::Segment);
        let page = machine.page_size;
        if table.len() != header.table_len {
            return Err(Fault::Truncated);
        }
        if !page.is_power_of_two() {
            return Err(SEGMENT);
        }
        let mut first: Option<Segment> = None;
        let mut end = 0;
        let mut is_executable = false;
        for header_bytes in table.as_chunks::<PROGRAM_HEADER_LEN>().0 {
            if word(header_bytes, 0) == PT_INTERP {
                return Err(Fault::NeedsLoader);
            }
            if !is_mapped(header_bytes) {
                continue;
            }
            let segment = read_segment(header_bytes, page).ok_or(SEGMENT)?;
            let file_len_needed = segment.offset.saturating_add(segment.file_end - segment.address);
            if file_len_needed > file_len {
                return Err(Fault::Truncated);
            }
            // The first is mapped over the whole range, so it must have something to map.
            let is_empty_first = first.is_none() && segment.file_end == segment.address;
            if page_start(segment.address, page) < end || is_empty_first {
                return Err(SEGMENT);
            }
            end = page_end(segment.memory_end, page).ok_or(SEGMENT)?;
            is_executable |=
                segment.flags & PF_X != 0 && (segment.address..segment.file_end).contains(&header.entry);
            first = first.or(Some(segment));
        }
        let first = first.ok_or(Fault::Malformed(Malformed::Segments))?;
        let start = page_start(first.address, page);
        let entry = header.entry.checked_sub(start).filter(|_| is_executable);
        let entry = entry.ok_or(Fault::Malformed(Malformed::Entry))?;
        let len = end.checked_sub(start).ok_or(SEGMENT)?;
        let source = Source::File(page_start(first.offset, page));
        Ok(Plan { reserve: Act { at: 0, len, flags: first.flags, source }, first: start, entry, table, page })
    }

    /// Gives each step, in this order, until one fails.
    pub fn steps<E>(&self, mut each: impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        let mut done = 0;
        for header in self.table.as_chunks::<PROGRAM_HEADER_LEN>().0 {
            // `new` has seen that each can be read.
            let Some(segment) = read_segment(header, self.page).filter(|_| is_mapped(header)) else {
                continue;
            };
            let mut map = |at: usize, end: usize, flags, source| {
                let len = end.saturating_sub(at);
                if len == 0 { Ok(()) } else { each(Step::Map(Act { at, len, flags, source })) }
            };
            let at = page_start(segment.address, self.page).wrapping_sub(self.first);
            let file_end = segment.file_end.wrapping_sub(self.first);
            let up = |address| page_end(address, self.page).unwrap_or(address);
            let file_pages_end = if segment.file_end > segment.address { up(file_end) } else { at };
            let end = up(segment.memory_end).wrapping_sub(self.first);
            let file = Source::File(page_start(segment.offset, self.page));
            map(done, at, 0, Source::Hole)?;
            if !self.is_reserved(at, file, segment.flags) {
                map(at, file_pages_end, segment.flags, file)?;
            }
            map(file_pages_end, end, segment.flags, Source::Zeros)?;
            // Where the segment cannot be written, neither can the kernel's loader zero the rest of its page.
            let has_zeros = segment.memory_end > segment.file_end && segment.flags & PF_W != 0;
            if has_zeros && file_pages_end > file_end {
                each(Step::Clear(Tail { at: file_end, len: file_pages_end - file_end }))?;
            }
            done = end;
        }
        Ok(())
    }

    /// Whether the reserving map has put this part of the file there already.
    fn is_reserved(&self, at: usize, file: Source, flags: u32) -> bool {
        let (Source::File(offset), Source::File(reserved)) = (file, self.reserve.source) else {
            return false;
        };
        flags == self.reserve.flags && reserved.checked_add(at) == Some(offset)
    }
}

/// Whether a program header is of a segment that has anything to map.
fn is_mapped(header: &[u8; PROGRAM_HEADER_LEN]) -> bool {
    word(header, 0) == PT_LOAD && address(header, 40) > 0
}

/// Reads one program header; nothing where its numbers cannot be.
fn read_segment(header: &[u8; PROGRAM_HEADER_LEN], page: usize) -> Option<Segment> {
    let (offset, start) = (address(header, 8), address(header, 16));
    let (file_len, memory_len, align) = (address(header, 32), address(header, 40), address(header, 48));
    let file_end = start.checked_add(file_len)?;
    let memory_end = start.checked_add(memory_len)?;
    let in_file = offset.checked_add(file_len)?;
    let fits = file_len <= memory_len
        // A power of two, or none.
        && (align == 0 || align.is_power_of_two())
        // gABI: "p_vaddr should equal p_offset, modulo p_align"; for the kernel, modulo the page.
        && (offset ^ start) & (page - 1) == 0
        // What the kernel's calls take has a sign.
        && i64::try_from(in_file).is_ok()
        && i64::try_from(memory_end).is_ok();
    fits.then_some(Segment { flags: word(header, 4) & 7, offset, address: start, file_end, memory_end })
}

fn page_start(address: usize, page: usize) -> usize {
    address & !(page - 1)
}

fn page_end(address: usize, page: usize) -> Option<usize> {
    Some(page_start(address.checked_add(page - 1)?, page))
}

/// `N` bytes at an offset; zeros outside, which no caller asks for.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

/// A 64-bit number; the machines that the shim is for have 64-bit addresses.
fn address(bytes: &[u8], at: usize) -> usize {
    usize::from_le_bytes(field(bytes, at))
}
