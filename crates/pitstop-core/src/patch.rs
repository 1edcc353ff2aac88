//! Changing which loader a program names, where it looks for libraries and which it needs, as a handful of small edits.
//!
//! Nothing is written here: [`plan`] reads a file and gives the edits, each to be undone from the bytes that it replaces.
//! Of a program of a few hundred megabytes only its headers, its dynamic section and, at worst, its dynamic strings are
//! read. Three manners, the gentlest first:
//!
//! 1. **in place**: the new loader's path is no longer than the old one's;
//! 2. **in padding**: the strings fit into zeros between the end of a segment and the end of its page, which are mapped
//!    with it anyway. The file keeps its length, so that what is appended to a program (a zip file, a file system) stays
//!    where the program looks for it;
//! 3. **appended**: a segment of its own after the end of the file, with the program headers in it.
//!
//! Section headers that describe what was moved follow, so that other tools read what the loader reads; there need be
//! none. Structures follow the System V gABI, chapters 4 and 5. Only little-endian ELF64 is changed.

mod appended;
mod image;
mod padding;

use bstr::{BStr, BString, ByteSlice};
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH};

use crate::elf::{Elf, ElfError, Source};
use image::Image;

/// The longest path that the kernel takes for a loader, or that a search path may hold here.
const STRING_BYTES_MAX: usize = 4096;

const NEEDED: u64 = DT_NEEDED.0.cast_unsigned();

/// `DT_RPATH` or `DT_RUNPATH`. They differ: what a library needs in turn is searched in the first, not in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// `DT_RPATH`: searched before `LD_LIBRARY_PATH`, for all that the program's libraries need, too.
    Rpath,
    /// `DT_RUNPATH`: searched after it, for the program's own needs only.
    Runpath,
}

impl PathKind {
    /// The one that a loader acts on in this file: a `DT_RUNPATH` silences a `DT_RPATH` beside it.
    #[must_use]
    pub fn of(elf: &Elf) -> Option<Self> {
        match (&elf.runpath, &elf.rpath) {
            (Some(_), _) => Some(Self::Runpath),
            (None, Some(_)) => Some(Self::Rpath),
            (None, None) => None,
        }
    }

    fn tag(self) -> u64 {
        match self {
            Self::Rpath => DT_RPATH.0.cast_unsigned(),
            Self::Runpath => DT_RUNPATH.0.cast_unsigned(),
        }
    }
}

/// What a program is to say of itself. `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Change {
    /// `PT_INTERP`, without its terminator.
    pub loader: Option<BString>,
    /// The whole search path, of the kind that the file has, if it has one.
    pub path: Option<(PathKind, BString)>,
    /// `DT_NEEDED`s behind those that it has. What a program needs itself is loaded before what its libraries need, and
    /// found again by its soname whatever search paths those have.
    pub needed: Vec<BString>,
}

impl Change {
    /// Adds a folder behind those that a file searches already. The kind stays what it is; a file without a search path
    /// gets one of the kind given.
    #[must_use]
    pub fn with_folder(mut self, elf: &Elf, folder: &BStr, otherwise: PathKind) -> Self {
        let kind = PathKind::of(elf).unwrap_or(otherwise);
        let old = match kind {
            PathKind::Rpath => elf.rpath.as_ref(),
            PathKind::Runpath => elf.runpath.as_ref(),
        };
        let mut path = old.cloned().unwrap_or_default();
        if !path.split_str(":").any(|one| one == folder.as_bytes()) {
            if !path.is_empty() {
                path.push(b':');
            }
            path.extend_from_slice(folder);
        }
        if old != Some(&path) {
            self.path = Some((kind, path));
        }
        self
    }

    /// Whether it leaves everything as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.loader.is_none() && self.path.is_none() && self.needed.is_empty()
    }

    /// The facts of a file once it is changed.
    #[must_use]
    pub fn applied_to(&self, elf: &Elf) -> Elf {
        let mut elf = elf.clone();
        if let Some(loader) = &self.loader {
            elf.loader = Some(loader.clone());
        }
        match &self.path {
            Some((PathKind::Rpath, path)) => elf.rpath = Some(path.clone()),
            Some((PathKind::Runpath, path)) => elf.runpath = Some(path.clone()),
            None => {}
        }
        elf.needed.extend(self.needed.iter().cloned());
        elf
    }
}

/// Bytes to be written at an offset of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

impl Edit {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// How a file is changed: see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Over the old string.
    InPlace,
    /// In the padding of a segment.
    Padding,
    /// In a new segment at the end.
    Appended,
}

/// The edits that change a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// In ascending order, without overlap. Between them nothing changes; what lies between the old end of the file and an
    /// edit behind it is zero.
    pub edits: Vec<Edit>,
    /// The length of the file before.
    pub old_length: u64,
    /// And after.
    pub new_length: u64,
    /// How.
    pub manner: Manner,
}

/// Why a file cannot be changed. Nothing is wrong with the program for that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// It cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A read failed, or the file is shorter than its own headers say.
    #[error("{0} lies beyond the end of the file")]
    CutShort(&'static str),
    /// Not the kind of file that is changed here.
    #[error("only 64-bit little-endian programs and libraries can be patched")]
    Unsupported,
    /// It is to get a loader or a search path, and has no place for one.
    #[error("it has no {0}, so it is linked statically")]
    Static(&'static str),
    /// Its structure is not what a linker makes.
    #[error("{0}")]
    Odd(&'static str),
    /// A new string that no file could hold.
    #[error("{0:?} cannot be written into a program")]
    String(BString),
    /// Data follows after the program, which may look for it from the end of the file, and nothing fits without growing.
    #[error(
        "{0} bytes are appended to the program, which may look for them at its end, and it has no room inside"
    )]
    Tail(u64),
    /// The edits did not come out as meant. A bug, or a file made to mislead.
    #[error("the patched program would not say what it should")]
    Misread,
}

/// A file as it is with some bytes replaced: after a patch, or before one.
#[derive(Clone, Copy, Debug)]
pub struct Edited<'a, S: ?Sized> {
    source: &'a S,
    edits: &'a [Edit],
    length: u64,
}

impl<'a, S: Source + ?Sized> Edited<'a, S> {
    /// `source` with `edits` (ascending, without overlap) on it, cut or filled with zeros to `length` bytes.
    #[must_use]
    pub fn new(source: &'a S, edits: &'a [Edit], length: u64) -> Self {
        Self { source, edits, length }
    }
}

impl<S: Source + ?Sized> Source for Edited<'_, S> {
    fn size_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let kept = self.source.size_bytes().clamp(offset, end) - offset;
        // Not more than the buffer's length.
        let (from_file, zeros) = buffer.split_at_mut(usize::try_from(kept).unwrap_or(usize::MAX));
        if !from_file.is_empty() {
            self.source.read_exact_at(offset, from_file)?;
        }
        zeros.fill(0);
        let first = self.edits.partition_point(|edit| edit.end() <= offset);
        for edit in self.edits[first..].iter().take_while(|edit| edit.offset < end) {
            let (start, stop) = (edit.offset.max(offset), edit.end().min(end));
            let part = |from: u64| usize::try_from(start - from).unwrap_or(usize::MAX);
            let length = usize::try_from(stop - start).unwrap_or(usize::MAX);
            let bytes = &edit.bytes[part(edit.offset)..][..length];
            buffer[part(offset)..][..length].copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// The edits that change a file, in the gentlest manner that serves. The result has been read back.
pub fn plan(source: &(impl Source + ?Sized), change: &Change) -> Result<Patch, PatchError> {
    let before = Elf::read(source)?;
    let path = change.path.as_ref().map(|(_, path)| path);
    for string in change.loader.iter().chain(path).chain(&change.needed) {
        if string.is_empty() || string.contains(&0) || string.len() >= STRING_BYTES_MAX {
            return Err(PatchError::String(string.clone()));
        }
    }
    let image = Image::read(source)?;
    let loader = change.loader.as_ref().map(with_terminator);
    let path = change.path.as_ref().map(|(kind, path)| (kind.tag(), with_terminator(path)));
    let needed = change.needed.iter().map(|soname| (NEEDED, with_terminator(soname)));
    let wish = Wish { loader, strings: path.into_iter().chain(needed).collect() };
    if wish.loader.is_some() && image.interp().is_none() {
        return Err(PatchError::Static("PT_INTERP"));
    }
    if !wish.strings.is_empty() && image.dynamic.is_none() {
        return Err(PatchError::Static("PT_DYNAMIC"));
    }
    let (mut edits, manner) = match (in_place(&image, &wish), padding::edits(source, &image, &wish)?) {
        (Some(edits), _) => (edits, Manner::InPlace),
        (None, Some(edits)) => (edits, Manner::Padding),
        (None, None) => (appended::edits(source, &image, &wish)?, Manner::Appended),
    };
    edits.sort_by_key(|edit| edit.offset);
    let edits = joined(edits)?;
    let new_length = edits.last().map_or(image.length, |edit| edit.end().max(image.length));
    let made = Patch { edits, old_length: image.length, new_length, manner };
    let after = Elf::read(&Edited::new(source, &made.edits, new_length)).map_err(|_| PatchError::Misread)?;
    if after == change.applied_to(&before) { Ok(made) } else { Err(PatchError::Misread) }
}

/// What is wanted, in bytes as they stand in a file.
struct Wish {
    loader: Option<Vec<u8>>,
    /// Entries of the dynamic section that name a string: tag and string. `DT_NEEDED` is added, another takes the place of
    /// the one there is.
    strings: Vec<(u64, Vec<u8>)>,
}

impl Wish {
    fn tags(&self) -> impl Iterator<Item = u64> {
        self.strings.iter().map(|(tag, _)| *tag)
    }
}

fn with_terminator(string: &BString) -> Vec<u8> {
    let mut bytes = string.to_vec();
    bytes.push(0);
    bytes
}

/// The new loader over the old one.
fn in_place(image: &Image, wish: &Wish) -> Option<Vec<Edit>> {
    let (Some(loader), true) = (&wish.loader, wish.strings.is_empty()) else {
        return (wish.loader.is_none() && wish.strings.is_empty()).then(Vec::new);
    };
    let interp = image.segments[image.interp()?];
    let room = usize::try_from(interp.filesz).ok()?;
    let mut bytes = loader.clone();
    // The kernel wants the last byte of the segment to be the terminator.
    (bytes.len() <= room).then(|| bytes.resize(room, 0))?;
    Some(vec![Edit { offset: interp.offset, bytes }])
}

/// Makes one of edits that touch; two that overlap are a sign of headers that share bytes.
fn joined(edits: Vec<Edit>) -> Result<Vec<Edit>, PatchError> {
    let mut joined: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits.into_iter().filter(|edit| !edit.bytes.is_empty()) {
        match joined.last_mut() {
            Some(last) if edit.offset < last.end() => {
                return Err(PatchError::Odd("its headers overlap"));
            }
            Some(last) if edit.offset == last.end() => last.bytes.extend(edit.bytes),
            _ => joined.push(edit),
        }
    }
    Ok(joined)
}
