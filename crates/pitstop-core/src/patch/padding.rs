//! New strings in the zeros between the end of a segment and the end of its page.
//!
//! The kernel maps whole pages, so these bytes are in memory already; the segment is only made to say so. Linkers leave
//! such padding where code has pages of its own (`-z separate-code`, binutils 2.31 and later on x86).

use object::elf;

use super::image::{Image, PAGE, Segment, read};
use super::{Edit, PatchError, Wish};
use crate::elf::Source;

/// The edits, if everything fits.
pub(super) fn edits(
    source: &(impl Source + ?Sized),
    image: &Image,
    wish: &Wish,
) -> Result<Option<Vec<Edit>>, PatchError> {
    let new = wish.loader.iter().chain(wish.strings.iter().map(|(_, string)| string));
    let needed = new.map(|bytes| bytes.len() as u64).sum();
    // A dynamic string is named by its distance from the others, so it must lie in their segment.
    let strings = match &image.dynamic {
        Some(dynamic) if !wish.strings.is_empty() => {
            let has_room = dynamic.has_room_for(&dynamic.positions(wish.tags()));
            match image.load_of(dynamic.strtab) {
                Some((index, _)) if has_room => Some(index),
                _ => return Ok(None),
            }
        }
        _ => None,
    };
    for (index, load) in image.loads() {
        if strings.is_some_and(|strings| strings != index) || room(image, load) < needed {
            continue;
        }
        if read(source, load.file_end(), needed, "padding")?.iter().all(|byte| *byte == 0) {
            return Ok(Some(fill(image, wish, index, needed)));
        }
    }
    Ok(None)
}

/// How many bytes after a segment are nobody's.
fn room(image: &Image, load: &Segment) -> u64 {
    if load.filesz == 0 || load.filesz != load.memsz {
        return 0;
    }
    let page_end = load.memory_end().next_multiple_of(PAGE);
    // On a machine with larger pages a neighbour may share this one; then the file's bytes are its.
    let shares = |other: &Segment| other.vaddr >= load.memory_end() && other.vaddr & !(PAGE - 1) < page_end;
    if image.loads().any(|(_, other)| shares(other)) {
        return 0;
    }
    let end = load.file_end();
    let segments = image.segments.iter().filter(|other| other.filesz > 0).map(|other| other.offset);
    let sections = image.sections.iter().filter(|section| !section.is_empty()).map(|section| section.offset);
    let headers = [image.phoff, image.section_table.0];
    let next = segments.chain(sections).chain(headers).filter(|start| *start >= end).min();
    (page_end - load.memory_end()).min(next.unwrap_or(image.length) - end)
}

fn fill(image: &Image, wish: &Wish, index: usize, needed: u64) -> Vec<Edit> {
    let load = image.segments[index];
    let (mut offset, mut address) = (load.file_end(), load.memory_end());
    let grown = Segment { filesz: load.filesz + needed, memsz: load.memsz + needed, ..load };
    let mut edits = vec![Edit { offset: image.segment_place(index), bytes: grown.to_bytes() }];
    if let Some(dynamic) = image.dynamic.as_ref().filter(|_| !wish.strings.is_empty()) {
        let longs = |values: [u64; 2]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for ((tag, string), position) in wish.strings.iter().zip(dynamic.positions(wish.tags())) {
            let bytes = longs([*tag, address - dynamic.strtab]);
            edits.push(Edit { offset: dynamic.place(position), bytes });
            edits.push(Edit { offset, bytes: string.clone() });
            offset += string.len() as u64;
            address += string.len() as u64;
        }
        let size = (address - dynamic.strtab).max(dynamic.strsz);
        let strsz = elf::DT_STRSZ.0.cast_unsigned();
        if let Some(position) = dynamic.position(strsz) {
            edits.push(Edit { offset: dynamic.place(position), bytes: longs([strsz, size]) });
        }
        // Some tools go by the section. That it now reaches over its neighbours matters to none that only reads.
        let strings = load.offset + (dynamic.strtab - load.vaddr);
        edits.extend(image.section_moved(dynamic.strtab, (dynamic.strtab, strings, size)));
    }
    if let (Some(loader), Some(interp)) = (&wish.loader, image.interp()) {
        let old = image.segments[interp];
        let size = loader.len() as u64;
        let moved = old.moved(offset, address, size).to_bytes();
        edits.push(Edit { offset: image.segment_place(interp), bytes: moved });
        edits.extend(image.section_moved(old.vaddr, (address, offset, size)));
        edits.push(Edit { offset, bytes: loader.clone() });
    }
    edits
}
