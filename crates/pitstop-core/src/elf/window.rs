//! Reading a few scattered structures of a file through a handful of windows.
//!
//! A memory map would be less code, but a file that shrinks under a map kills the process (SIGBUS); a read that comes
//! up short is a value. It is not slower either: see `examples/reading.rs` of pitstop-host.

use bstr::BString;
use object::pod::{self, Pod};

use super::error::{ElfError, Fault, Structure};
use super::limits::{MAX_READ_BYTES, MAX_STRING_BYTES, MAX_STRINGS_BYTES};
use super::{FIRST_WINDOW_BYTES, Source};

/// Bytes of a window, aligned in the file like a page. Larger windows copy more than they save in calls.
const WINDOW_BYTES: u64 = 4096;

/// Windows kept. Walking the version tables alternates between three places: needs, their entries, and strings.
const MAX_WINDOWS: usize = 8;

/// The largest structure read: `Elf64_Ehdr`.
const MAX_STRUCTURE_BYTES: usize = 64;

/// A source, and the windows of it that were read last.
pub(super) struct Windows<'s, S: ?Sized> {
    source: &'s S,
    size_bytes: u64,
    kept: Vec<Window>,
    /// The window used last, where the next read most likely falls.
    latest: usize,
    /// The window to give up next, once all are in use.
    oldest: usize,
    read_bytes: u64,
    strings_bytes: usize,
}

struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn from(&self, offset: u64) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|rest| !rest.is_empty())
    }
}

impl<'s, S: Source + ?Sized> Windows<'s, S> {
    pub(super) fn new(source: &'s S) -> Self {
        Self {
            source,
            size_bytes: source.size_bytes(),
            kept: Vec::with_capacity(MAX_WINDOWS),
            latest: 0,
            oldest: 0,
            read_bytes: 0,
            strings_bytes: 0,
        }
    }

    /// The bytes from `offset` to the end of the window that it falls into, at least one.
    fn bytes_from(&mut self, offset: u64, what: Structure) -> Result<&[u8], ElfError> {
        let hit = |window: &Window| window.from(offset).is_some();
        if !self.kept.get(self.latest).is_some_and(hit) {
            self.latest = match self.kept.iter().position(hit) {
                Some(index) => index,
                None => self.load(offset, what)?,
            };
        }
        let found = self.kept.get(self.latest).and_then(|window| window.from(offset));
        found.ok_or(ElfError::new(what, offset, Fault::Truncated))
    }

    /// Reads the window around `offset`, and says where it is kept.
    fn load(&mut self, offset: u64, what: Structure) -> Result<usize, ElfError> {
        let fail = |fault| ElfError::new(what, offset, fault);
        let (start, end) = if offset < FIRST_WINDOW_BYTES as u64 {
            (0, FIRST_WINDOW_BYTES as u64)
        } else {
            let start = offset - offset % WINDOW_BYTES;
            (start, start.saturating_add(WINDOW_BYTES))
        };
        let length = end.min(self.size_bytes).saturating_sub(start);
        if offset >= self.size_bytes {
            return Err(fail(Fault::Truncated));
        }
        self.read_bytes += length;
        if self.read_bytes > MAX_READ_BYTES {
            return Err(fail(Fault::Scattered(MAX_READ_BYTES)));
        }
        // A length of at most a window's; and a source is never asked for more than it said it has.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.source
            .read_exact_at(start, &mut bytes)
            .map_err(|error| fail(Fault::Unreadable(error.kind())))?;
        let window = Window { start, bytes };
        if self.kept.len() < MAX_WINDOWS {
            self.kept.push(window);
            return Ok(self.kept.len() - 1);
        }
        let index = self.oldest;
        self.oldest = (index + 1) % MAX_WINDOWS;
        self.kept[index] = window;
        Ok(index)
    }

    /// Reads one of `object`'s raw structures.
    pub(super) fn read<T: Pod>(&mut self, offset: u64, what: Structure) -> Result<T, ElfError> {
        let wanted = const {
            assert!(size_of::<T>() <= MAX_STRUCTURE_BYTES);
            size_of::<T>()
        };
        let short = ElfError::new(what, offset, Fault::Truncated);
        let bytes = self.bytes_from(offset, what)?;
        if let Ok((value, _)) = pod::from_bytes::<T>(bytes) {
            return Ok(*value);
        }
        // It spans two windows, or the file ends within.
        let mut buffer = [0; MAX_STRUCTURE_BYTES];
        self.copy(offset, &mut buffer[..wanted], what)?;
        pod::from_bytes::<T>(&buffer).map(|(value, _)| *value).map_err(|()| short)
    }

    /// Fills `buffer` from `offset`.
    pub(super) fn copy(&mut self, offset: u64, buffer: &mut [u8], what: Structure) -> Result<(), ElfError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let from = offset.saturating_add(filled as u64);
            let bytes = self.bytes_from(from, what)?;
            let length = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + length].copy_from_slice(&bytes[..length]);
            filled += length;
        }
        Ok(())
    }

    /// Reads a string that ends with a zero byte before `end`.
    pub(super) fn string(&mut self, offset: u64, end: u64, what: Structure) -> Result<BString, ElfError> {
        let fail = |fault| ElfError::new(what, offset, fault);
        let mut string = Vec::new();
        loop {
            let from = offset.saturating_add(string.len() as u64);
            let within = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
            if within == 0 {
                return Err(fail(Fault::OutOfBounds));
            }
            let bytes = self.bytes_from(from, what)?;
            let bytes = &bytes[..bytes.len().min(within)];
            let terminator = memchr(bytes);
            string.extend_from_slice(&bytes[..terminator.unwrap_or(bytes.len())]);
            if string.len() > MAX_STRING_BYTES {
                return Err(fail(Fault::TooLong(MAX_STRING_BYTES)));
            }
            if terminator.is_some() {
                break;
            }
        }
        self.strings_bytes += string.len();
        if self.strings_bytes > MAX_STRINGS_BYTES {
            return Err(fail(Fault::TooLong(MAX_STRINGS_BYTES)));
        }
        Ok(string.into())
    }

    /// Whether the string at `offset` is `name`; reads no further than it must.
    pub(super) fn string_is(&mut self, offset: u64, name: &[u8], what: Structure) -> Result<bool, ElfError> {
        let mut compared = 0;
        loop {
            let from = offset.saturating_add(compared as u64);
            let bytes = self.bytes_from(from, what)?;
            let rest = &name[compared..];
            if bytes.len() > rest.len() {
                return Ok(bytes.starts_with(rest) && bytes[rest.len()] == 0);
            }
            if !rest.starts_with(bytes) {
                return Ok(false);
            }
            compared += bytes.len();
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bstr::ByteSlice::find_byte(bytes, 0)
}
