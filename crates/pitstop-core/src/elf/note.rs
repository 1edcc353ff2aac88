//! Dlopen notes: libraries that code loads by itself (UAPI group, "ELF dlopen metadata").

use bstr::BString;
use object::Endianness;
use object::elf::{NoteType, PT_NOTE};
use object::read::elf::{FileHeader, NoteHeader, ProgramHeader};
use serde::Deserialize;

use super::error::{ElfError, Fault, Structure};
use super::image::Image;
use super::limits::{MAX_DLOPEN_NOTE_BYTES, MAX_NOTES};
use super::{DlopenNote, DlopenPriority, Source};

/// The owner of the note, as its name field has it.
const OWNER: &[u8; 4] = b"FDO\0";

/// `NT_FDO_DLOPEN_METADATA`; `object` 0.40 does not know it.
const DLOPEN_METADATA: NoteType = NoteType(0x407c_0c0a);

/// One object of the array, as written. Unknown keys may come with later versions of the specification.
#[derive(Deserialize)]
struct Written {
    soname: Vec<String>,
    feature: Option<String>,
    description: Option<String>,
    priority: Option<String>,
}

impl<S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'_, S, H> {
    /// Reads the dlopen notes of all `PT_NOTE` segments, and the first reason why one could not be read: a loader never
    /// looks at notes, so a damaged one says nothing against the file.
    pub(super) fn dlopen_notes(&mut self) -> (Vec<DlopenNote>, Option<ElfError>) {
        let (mut notes, mut damage) = (Vec::new(), None);
        let mut allowance = MAX_NOTES;
        for index in 0..self.segments.len() {
            let segment = &self.segments[index];
            if segment.p_type(self.endian) != PT_NOTE {
                continue;
            }
            let (start, length) = segment.file_range(self.endian);
            // As in binutils: 8 is kept, all else is 4.
            let align = if segment.p_align(self.endian).into() == 8 { 8 } else { 4 };
            let mut at = start;
            let end = start.saturating_add(length);
            while at < end {
                let Some(left) = allowance.checked_sub(1) else {
                    let error = ElfError::new(Structure::Note, at, Fault::TooMany(MAX_NOTES));
                    return (notes, damage.or(Some(error)));
                };
                allowance = left;
                match self.note(at, start, end, align, &mut notes) {
                    Ok(next) => at = next,
                    Err((error, next)) => {
                        damage.get_or_insert(error);
                        at = next.unwrap_or(end);
                    }
                }
            }
        }
        (notes, damage)
    }

    /// Reads the note at `at` and gives the place of the next, which an error may also know.
    fn note(
        &mut self,
        at: u64,
        start: u64,
        end: u64,
        align: u64,
        notes: &mut Vec<DlopenNote>,
    ) -> Result<u64, (ElfError, Option<u64>)> {
        let what = Structure::Note;
        let fail = |fault| ElfError::new(what, at, fault);
        let out_of_bounds = || (fail(Fault::OutOfBounds), None);
        let header: H::NoteHeader = self.bytes.read(at, what).map_err(|error| (error, None))?;
        let (name_size, text_size) = (header.n_namesz(self.endian), header.n_descsz(self.endian));
        // Distances from the start of the segment, within which positions are aligned.
        let name = (at - start).checked_add(size_of::<H::NoteHeader>() as u64).ok_or_else(out_of_bounds)?;
        let text = name.checked_add(name_size.into()).and_then(|after| after.checked_next_multiple_of(align));
        let text = text.ok_or_else(out_of_bounds)?;
        let after = text.checked_add(text_size.into()).ok_or_else(out_of_bounds)?;
        if after > end - start {
            return Err(out_of_bounds());
        }
        let (name_at, text_at) = (start + name, start + text);
        let next = start.saturating_add(after.checked_next_multiple_of(align).unwrap_or(after));
        if header.n_type(self.endian) != DLOPEN_METADATA || name_size as usize != OWNER.len() {
            return Ok(next);
        }
        let mut owner = [0; OWNER.len()];
        self.bytes.copy(name_at, &mut owner, what).map_err(|error| (error, None))?;
        if &owner != OWNER {
            return Ok(next);
        }
        let size = usize::try_from(text_size).unwrap_or(usize::MAX);
        if size > MAX_DLOPEN_NOTE_BYTES {
            return Err((fail(Fault::TooLong(MAX_DLOPEN_NOTE_BYTES)), Some(next)));
        }
        let mut text = vec![0; size];
        self.bytes.copy(text_at, &mut text, what).map_err(|error| (error, None))?;
        notes.extend(parse(&text).ok_or((fail(Fault::Json), Some(next)))?);
        Ok(next)
    }
}

fn parse(text: &[u8]) -> Option<impl Iterator<Item = DlopenNote>> {
    let text = bstr::ByteSlice::trim_end_with(text, |character| character == '\0');
    let objects: Vec<Written> = serde_json::from_slice(text).ok()?;
    Some(objects.into_iter().map(|written| DlopenNote {
        sonames: written.soname.into_iter().map(BString::from).collect(),
        feature: written.feature,
        description: written.description,
        priority: match written.priority.as_deref() {
            Some("required") => DlopenPriority::Required,
            Some("suggested") => DlopenPriority::Suggested,
            // The default of the specification, and the middle for words it may learn later.
            _ => DlopenPriority::Recommended,
        },
    }))
}
