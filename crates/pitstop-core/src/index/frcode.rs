//! Front-coded lines: each says how much of its path it shares with the path before it, and only the rest.
//!
//! The format is that of nix-index (`src/frcode.rs` there). A line is its metadata, a NUL byte, the change of the
//! shared length against the line before, the rest of the path, and a newline. A change of less than 127 either way is
//! one byte in two's complement; any other is the byte 0x80 and two bytes, the higher first.

use memchr::memchr;

/// The longest line that is read, in bytes, and the longest path: 16 MiB. No file system has a path of that length; what
/// claims to is broken, and is refused before it takes the machine's memory.
pub const LINE_MAX: usize = 16 << 20;

/// The most of a path that a line can share: the change is written with 16 bits.
const SHARED_MAX: usize = 0x7fff;

/// A longer change follows this byte.
const LONG: u8 = 0x80;

/// What is wrong with front-coded lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line shares more than there is, or less than nothing.
    #[error("a line shares {shared} bytes with a path of {length}")]
    Shared {
        /// What it claims to share, in bytes.
        shared: i64,
        /// The length of the path before it, in bytes.
        length: usize,
    },
    /// A line has no end within [`LINE_MAX`] bytes.
    #[error("a line has no end within {LINE_MAX} bytes")]
    TooLong,
    /// The input ends inside a line.
    #[error("the last line is cut off")]
    CutOff,
    /// A NUL byte or a newline in metadata or a path, which the format cannot express.
    #[error("a name with a NUL byte or a newline cannot be written")]
    Unwritable,
}

/// A line as it stands in the input.
#[derive(Clone, Copy, Debug)]
pub struct RawLine<'a> {
    /// What stands before the NUL byte.
    pub meta: &'a [u8],
    /// The change of the shared length against the line before.
    pub change: i16,
    /// The path without what it shares.
    pub rest: &'a [u8],
    /// The length of the line in the input, with its newline.
    pub length: usize,
}

impl<'a> RawLine<'a> {
    /// The line at the start of `input`. `None` where the input ends before the line does.
    ///
    /// The change may be any byte, a newline too: lines can only be told apart from the first on.
    #[inline]
    #[must_use]
    pub fn split(input: &'a [u8]) -> Option<RawLine<'a>> {
        let nul = find(0, input)?;
        let first = *input.get(nul + 1)?;
        let (change, start) = if first == LONG {
            let bytes = input.get(nul + 2..nul + 4)?;
            (i16::from_be_bytes([bytes[0], bytes[1]]), nul + 4)
        } else {
            (i16::from(first.cast_signed()), nul + 2)
        };
        let rest = &input[start..];
        let end = find(b'\n', rest)?;
        Some(RawLine { meta: &input[..nul], change, rest: &rest[..end], length: start + end + 1 })
    }
}

/// Where a byte stands first. Most fields are shorter than what [`memchr`] is made for, so the first 32 bytes are looked at
/// eight at a time.
#[inline]
fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const SHORT: usize = 32;
    let Some(short) = bytes.get(..SHORT) else { return memchr(byte, bytes) };
    let (words, _) = short.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        // The lowest bit that is set marks the lowest byte that is zero; those above it may be false.
        let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if zeros != 0 {
            return Some(number * 8 + (zeros.trailing_zeros() / 8) as usize);
        }
    }
    memchr(byte, &bytes[SHORT..]).map(|at| SHORT + at)
}

/// How much a line shares, from what the line before shared.
///
/// # Errors
///
/// [`Error::Shared`] where that is less than nothing, or more than the path before it has.
#[inline]
pub(crate) fn shared(before: usize, change: i16, length: usize) -> Result<usize, Error> {
    match before.checked_add_signed(isize::from(change)) {
        Some(shared) if shared <= length => Ok(shared),
        // Exact: lengths are below 2^25, and changes 16 bits.
        _ => Err(Error::Shared {
            shared: i64::try_from(before).unwrap_or(i64::MAX).saturating_add(i64::from(change)),
            length,
        }),
    }
}

/// A line with its whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What stands before the NUL byte.
    pub meta: &'a [u8],
    /// The whole path.
    pub path: &'a [u8],
    /// How many bytes at the start of the path are those of the line before.
    pub shared: usize,
    /// The length of the line in the input, with its newline.
    pub length: usize,
}

/// Reads lines one after another. It copies of each path only what the line before did not have.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    path: Vec<u8>,
    shared: usize,
}

impl Decoder {
    /// The line at the start of `input`. `None` where the input ends before the line does: nothing has changed then, and
    /// the same line may be asked for again with more input.
    ///
    /// # Errors
    ///
    /// [`Error::Shared`] and [`Error::TooLong`]; what follows cannot be read then.
    #[inline]
    pub fn line<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Line<'a>>, Error> {
        let Some(raw) = RawLine::split(input) else {
            return if input.len() > LINE_MAX { Err(Error::TooLong) } else { Ok(None) };
        };
        let shared = shared(self.shared, raw.change, self.path.len())?;
        if shared + raw.rest.len() > LINE_MAX {
            return Err(Error::TooLong);
        }
        self.shared = shared;
        self.path.truncate(shared);
        self.path.extend_from_slice(raw.rest);
        Ok(Some(Line { meta: raw.meta, path: &self.path, shared, length: raw.length }))
    }
}

/// Writes lines one after another.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    path: Vec<u8>,
    shared: usize,
}

impl Encoder {
    /// Appends a line to `to`.
    ///
    /// # Errors
    ///
    /// [`Error::Unwritable`] and [`Error::TooLong`]; nothing was appended then, and other lines may follow.
    pub fn line(&mut self, meta: &[u8], path: &[u8], to: &mut Vec<u8>) -> Result<(), Error> {
        let same = self.path.iter().zip(path).take(SHARED_MAX).take_while(|(a, b)| a == b).count();
        self.write(meta, same, path, to)
    }

    /// Appends a line that shares nothing, so that a new encoder may go on behind it.
    ///
    /// # Errors
    ///
    /// As [`Encoder::line`].
    pub fn last_line(mut self, meta: &[u8], path: &[u8], to: &mut Vec<u8>) -> Result<(), Error> {
        self.write(meta, 0, path, to)
    }

    fn write(&mut self, meta: &[u8], shared: usize, path: &[u8], to: &mut Vec<u8>) -> Result<(), Error> {
        if [meta, path].iter().any(|bytes| memchr::memchr2(0, b'\n', bytes).is_some()) {
            return Err(Error::Unwritable);
        }
        // Its change takes four bytes with the NUL byte, its end one.
        if meta.len() + path.len() + 5 > LINE_MAX {
            return Err(Error::TooLong);
        }
        to.extend_from_slice(meta);
        to.push(0);
        // Both are at most `SHARED_MAX`.
        let wide = |length: usize| i16::try_from(length).unwrap_or(i16::MAX);
        let change = wide(shared) - wide(self.shared);
        match i8::try_from(change) {
            Ok(short) if short.unsigned_abs() < 127 => to.push(short.cast_unsigned()),
            _ => {
                to.push(LONG);
                to.extend_from_slice(&change.to_be_bytes());
            }
        }
        to.extend_from_slice(&path[shared..]);
        to.push(b'\n');
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);
        self.shared = shared;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata and paths.
    type Lines = Vec<(Vec<u8>, Vec<u8>)>;

    /// All lines of an input.
    fn read(mut input: &[u8]) -> Result<Lines, Error> {
        let mut decoder = Decoder::default();
        let mut lines = Vec::new();
        while let Some(line) = decoder.line(input)? {
            lines.push((line.meta.to_vec(), line.path.to_vec()));
            input = &input[line.length..];
        }
        if input.is_empty() { Ok(lines) } else { Err(Error::CutOff) }
    }

    fn written(lines: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::default();
        for (meta, path) in lines {
            encoder.line(meta, path, &mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for length in [0, 1, 7, 8, 31, 32, 33, 64, 100] {
            for at in 0..=length {
                for (byte, other) in [(0, 1), (b'\n', b'\x0b'), (b'\n', 0x8a), (0, 0x80), (b'\n', 0)] {
                    let mut bytes = vec![other; length];
                    bytes[at..].fill(byte);
                    assert_eq!(find(byte, &bytes), (at < length).then_some(at), "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn lines_are_written_as_nix_index_documents_them() {
        // The example of nix-index's own documentation of the format.
        let lines: [(&[u8], &[u8]); 6] = [
            (b"d", b"/"),
            (b"d", b"/foo"),
            (b"d", b"/foo/bar"),
            (b"f", b"/foo/bar/test.txt"),
            (b"f", b"/foo/bar/text.txt"),
            (b"d", b"/foo/baz"),
        ];
        let bytes = b"d\0\0/\nd\0\x01foo\nd\0\x03/bar\nf\0\x04/test.txt\nf\0\x03xt.txt\nd\0\xfcz\n";
        assert_eq!(written(&lines), bytes);
        let read = read(bytes).unwrap();
        assert!(read.iter().map(|(meta, path)| (&meta[..], &path[..])).eq(lines));
    }

    #[test]
    fn every_length_that_can_be_shared_comes_back() {
        for shared in
            [0, 1, 9, 10, 11, 125, 126, 127, 128, 129, 255, 256, 2570, 0x7ffe, 0x7fff, 0x8000, 70_000]
        {
            let long = "a".repeat(shared);
            let (one, other) = (format!("{long}b"), format!("{long}c"));
            let lines: [(&[u8], &[u8]); 4] =
                [(b"1r", one.as_bytes()), (b"2r", other.as_bytes()), (b"3r", b"c"), (b"", b"")];
            let read = read(&written(&lines)).unwrap();
            assert!(read.iter().map(|(meta, path)| (&meta[..], &path[..])).eq(lines), "{shared}");
        }
    }

    #[test]
    fn a_line_that_is_not_whole_is_asked_for_again() {
        let bytes = written(&[(b"1r", b"/a"), (b"2r", &[b'/'; 300]), (b"3r", &[b'/'; 200])]);
        let mut decoder = Decoder::default();
        let (mut start, mut paths) = (0, Vec::new());
        for end in 0..=bytes.len() {
            if let Some(line) = decoder.line(&bytes[start..end]).unwrap() {
                paths.push(line.path.to_vec());
                start += line.length;
            }
        }
        assert_eq!(paths, [b"/a".to_vec(), vec![b'/'; 300], vec![b'/'; 200]]);
    }

    #[test]
    fn a_line_that_shares_what_is_not_there_is_an_error() {
        assert_eq!(read(b"d\0\x01/\n"), Err(Error::Shared { shared: 1, length: 0 }));
        assert_eq!(read(b"d\0\0/\nd\0\xff\n"), Err(Error::Shared { shared: -1, length: 1 }));
        assert_eq!(read(b"d\0\0/\nd\0\x80\x7f\xff\n"), Err(Error::Shared { shared: 0x7fff, length: 1 }));
        assert_eq!(read(b"d\0\x80\x80\0\n"), Err(Error::Shared { shared: -0x8000, length: 0 }));
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_a_limit() {
        let mut endless = b"1r\0\0/".to_vec();
        endless.resize(LINE_MAX, b'a');
        assert_eq!(Decoder::default().line(&endless), Ok(None));
        endless.push(b'a');
        assert_eq!(Decoder::default().line(&endless), Err(Error::TooLong));
    }

    #[test]
    fn names_that_the_format_cannot_express_are_refused_and_leave_no_trace() {
        let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
        for (meta, path) in [(&b"a\nbs"[..], &b"/x"[..]), (b"\0s", b"/x"), (b"1r", b"/x\n"), (b"1r", b"/\0")]
        {
            assert_eq!(encoder.line(meta, path, &mut bytes), Err(Error::Unwritable));
        }
        assert!(bytes.is_empty());
        encoder.line(b"1r", b"/x", &mut bytes).unwrap();
        assert_eq!(bytes, b"1r\0\0/x\n");
    }
}
