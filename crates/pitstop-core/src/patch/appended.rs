//! New strings, and what refers to them, in a segment of their own after the end of the file.
//!
//! The table of program headers grows by one entry, so it moves there too. Kernels before 5.18 tell a program where that
//! table is by its offset alone (`AT_PHDR` is the first segment's address plus `e_phoff`, `create_elf_tables` in
//! fs/binfmt_elf.c), so the new segment lies as far behind the first one in memory as in the file.

use object::elf;

use super::image::{DYNAMIC_BYTES, Dynamic, Entry, Image, SEGMENT_BYTES, Segment, read};
use super::{Edit, PatchError, Wish};
use crate::elf::Source;

/// The largest page of any machine here but x86, which has no other.
const LARGE_PAGE: u64 = 0x1_0000;
const X86_PAGE: u64 = 0x1000;

/// The largest table of strings that is copied. Node's, which exports all of itself, has 5 MB.
const STRINGS_BYTES_MAX: u64 = 64 << 20;

/// The most zeros that may come between the file and the new segment, where a program has that much uninitialised data.
const GAP_BYTES_MAX: u64 = 1 << 30;

/// How far from its end a zip file's directory is still found (`APPNOTE` 4.3.16: its record and the longest comment).
const ZIP_END_BYTES_MAX: u64 = 22 + 0xffff;

/// The edits that append a segment.
pub(super) fn edits(
    source: &(impl Source + ?Sized),
    image: &Image,
    wish: &Wish,
) -> Result<Vec<Edit>, PatchError> {
    let page = if image.machine == elf::EM_X86_64.0 { X86_PAGE } else { LARGE_PAGE };
    let (offset, address) = place(image, page)?;
    let mut segments = image.segments.clone();
    let table_bytes = (segments.len() as u64 + 1) * SEGMENT_BYTES;
    let mut content = Content { offset, address, bytes: vec![0; as_length(table_bytes)?] };
    let mut edits = Vec::new();

    if let (Some(loader), Some(interp)) = (&wish.loader, image.interp()) {
        let old = segments[interp];
        let (at, vaddr) = content.add(loader, 1);
        let size = loader.len() as u64;
        segments[interp] = old.moved(at, vaddr, size);
        edits.extend(image.section_moved(old.vaddr, (vaddr, at, size)));
    }
    let mut flags = elf::PF_R.0;
    if let Some(dynamic) = image.dynamic.as_ref().filter(|_| !wish.strings.is_empty()) {
        let strings = strings(source, image, dynamic)?;
        let moved = add_strings(image, dynamic, (wish, strings), &mut content, &mut edits);
        if let Some(moved) = moved {
            segments[dynamic.segment] = moved;
            // The loader writes into it (`DT_DEBUG`).
            flags |= elf::PF_W.0;
        }
    }
    for segment in segments.iter_mut().filter(|segment| segment.kind == elf::PT_PHDR.0) {
        *segment = segment.moved(offset, address, table_bytes);
    }
    let added = Segment {
        kind: elf::PT_LOAD.0,
        flags,
        offset,
        vaddr: address,
        paddr: address,
        filesz: content.bytes.len() as u64,
        memsz: content.bytes.len() as u64,
        align: page,
    };
    let after_last = image.loads().map(|(index, _)| index + 1).max().unwrap_or(segments.len());
    segments.insert(after_last, added);
    let table: Vec<u8> = segments.iter().flat_map(|segment| segment.to_bytes()).collect();
    content.bytes[..table.len()].copy_from_slice(&table);
    check_tail(source, image, offset + content.bytes.len() as u64)?;
    edits.push(Edit { offset, bytes: content.bytes });
    // `e_phoff` and `e_phnum`.
    edits.push(Edit { offset: 32, bytes: offset.to_le_bytes().to_vec() });
    let count = u16::try_from(segments.len()).map_err(|_| PatchError::Odd("it has too many segments"))?;
    edits.push(Edit { offset: 56, bytes: count.to_le_bytes().to_vec() });
    Ok(edits)
}

/// Adds the dynamic strings with the new ones behind them, and edits the dynamic section to name them; where that has no
/// room, it is added too, and its segment is given as it is then.
fn add_strings(
    image: &Image,
    dynamic: &Dynamic,
    (wish, mut strings): (&Wish, Vec<u8>),
    content: &mut Content,
    edits: &mut Vec<Edit>,
) -> Option<Segment> {
    let mut entries = dynamic.entries.clone();
    let mut changed = dynamic.positions(wish.tags());
    let has_room = dynamic.has_room_for(&changed);
    for ((tag, string), position) in wish.strings.iter().zip(&changed) {
        let entry = Entry { tag: *tag, value: strings.len() as u64 };
        entries.resize(entries.len().max(position + 1), entry);
        entries[*position] = entry;
        strings.extend_from_slice(string);
    }
    let size = strings.len() as u64;
    let (at, vaddr) = content.add(&strings, 8);
    edits.extend(image.section_moved(dynamic.strtab, (vaddr, at, size)));
    for (tag, value) in [(elf::DT_STRTAB, vaddr), (elf::DT_STRSZ, size)] {
        // Both are there, or the section would not have been read.
        if let Some(position) = dynamic.position(tag.0.cast_unsigned()) {
            entries[position].value = value;
            changed.push(position);
        }
    }
    let longs = |entry: &Entry| [entry.tag.to_le_bytes(), entry.value.to_le_bytes()].concat();
    if has_room {
        let edit =
            |position: usize| Edit { offset: dynamic.place(position), bytes: longs(&entries[position]) };
        edits.extend(changed.into_iter().map(edit));
        return None;
    }
    let mut table: Vec<u8> = entries.iter().flat_map(longs).collect();
    table.extend([0; size_of::<elf::Dyn64<object::LittleEndian>>()]);
    let (at, vaddr) = content.add(&table, DYNAMIC_BYTES);
    let old = image.segments[dynamic.segment];
    edits.extend(image.section_moved(old.vaddr, (vaddr, at, table.len() as u64)));
    Some(old.moved(at, vaddr, table.len() as u64))
}

/// What the new segment holds so far.
struct Content {
    offset: u64,
    address: u64,
    bytes: Vec<u8>,
}

impl Content {
    /// Adds bytes, and says at which offset and address they are.
    fn add(&mut self, bytes: &[u8], align: u64) -> (u64, u64) {
        let align = usize::try_from(align).unwrap_or(1);
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        (self.offset + at, self.address + at)
    }
}

/// Where the new segment goes, in the file and in memory.
fn place(image: &Image, page: u64) -> Result<(u64, u64), PatchError> {
    let Some((_, first)) = image.loads().next() else {
        return Err(PatchError::Odd("it has nothing to load"));
    };
    let base = first.vaddr.checked_sub(first.offset).filter(|base| base.is_multiple_of(page));
    let base = base.ok_or(PatchError::Odd("its first segment is not aligned to a page"))?;
    let memory_end = image.loads().map(|(_, load)| load.memory_end()).max().unwrap_or(0);
    let rounded = |value: u64| {
        value.checked_next_multiple_of(page).ok_or(PatchError::Odd("a segment leaves the address space"))
    };
    let offset = rounded(image.length)?.max(rounded(memory_end)?.saturating_sub(base));
    if offset - image.length > GAP_BYTES_MAX {
        return Err(PatchError::Odd("it has too much uninitialised data for a new segment behind it"));
    }
    let address = base.checked_add(offset).filter(|address| address.checked_add(GAP_BYTES_MAX).is_some());
    Ok((offset, address.ok_or(PatchError::Odd("a segment leaves the address space"))?))
}

/// The dynamic strings. patchelf lets them begin in a segment of its own and go on in the next.
fn strings(source: &(impl Source + ?Sized), image: &Image, dynamic: &Dynamic) -> Result<Vec<u8>, PatchError> {
    let what = "the table of strings";
    if dynamic.strsz > STRINGS_BYTES_MAX {
        return Err(PatchError::Odd("its table of strings is larger than any"));
    }
    let mut strings = Vec::new();
    while (strings.len() as u64) < dynamic.strsz {
        let address = dynamic.strtab.checked_add(strings.len() as u64).ok_or(PatchError::CutShort(what))?;
        let (_, load) = image.load_of(address).ok_or(PatchError::CutShort(what))?;
        let within = address - load.vaddr;
        let length = (load.filesz - within).min(dynamic.strsz - strings.len() as u64);
        strings.extend(read(source, load.offset + within, length, what)?);
    }
    if strings.last().is_some_and(|last| *last != 0) {
        strings.push(0);
    }
    Ok(strings)
}

/// That what is appended to a program will still be found: an AppImage counts from its section headers, a reader of zip
/// files searches the last 64 KiB; how others find theirs is not known.
fn check_tail(source: &(impl Source + ?Sized), image: &Image, new_length: u64) -> Result<(), PatchError> {
    let end = image.end();
    let tail = image.length.saturating_sub(end);
    if tail == 0 || image.is_appimage {
        return Ok(());
    }
    let last = tail.min(ZIP_END_BYTES_MAX);
    let start = image.length - last;
    let bytes = read(source, start, last, "what is appended")?;
    if tail == last && bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let directory = bytes.windows(4).rposition(|window| window == b"PK\x05\x06");
    let found = directory.is_some_and(|at| new_length - (start + at as u64) <= ZIP_END_BYTES_MAX);
    if found { Ok(()) } else { Err(PatchError::Tail(tail)) }
}

fn as_length(bytes: u64) -> Result<usize, PatchError> {
    usize::try_from(bytes).map_err(|_| PatchError::Odd("it is too large for this machine"))
}
