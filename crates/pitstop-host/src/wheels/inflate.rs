//! A member of a zip file, read at any offset: unpacked as far as was asked, and no further.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};

use pitstop_core::elf::{FIRST_WINDOW_BYTES, Source};
use tempfile::SpooledTempFile;
use zip::read::ZipFile;

/// What is kept in memory of one member; a longer one goes to a file without a name.
const IN_MEMORY_BYTES: usize = 64 << 20;

/// A native file that is being unpacked.
pub(super) struct Inflating<'a> {
    size_bytes: u64,
    state: RefCell<State<'a>>,
}

struct State<'a> {
    from: ZipFile<'a, std::fs::File>,
    done: SpooledTempFile,
    done_bytes: u64,
}

impl<'a> Inflating<'a> {
    /// Begins with a member; `None` where it does not begin as an ELF file does.
    ///
    /// `size_bytes` is what the archive says of its size: what a member holds beyond that is never read.
    pub(super) fn begin(mut from: ZipFile<'a, std::fs::File>, size_bytes: u64) -> io::Result<Option<Self>> {
        let mut first = Vec::with_capacity(FIRST_WINDOW_BYTES);
        from.by_ref().take(4).read_to_end(&mut first)?;
        if first != b"\x7fELF" {
            return Ok(None);
        }
        let mut done = SpooledTempFile::new(IN_MEMORY_BYTES);
        done.write_all(&first)?;
        let state = RefCell::new(State { from, done, done_bytes: first.len() as u64 });
        Ok(Some(Self { size_bytes, state }))
    }
}

impl Source for Inflating<'_> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.size_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let state = &mut *self.state.borrow_mut();
        if end > state.done_bytes {
            state.done.seek(SeekFrom::Start(state.done_bytes))?;
            let wanted = end - state.done_bytes;
            let got = io::copy(&mut state.from.by_ref().take(wanted), &mut state.done)?;
            state.done_bytes += got;
            if got < wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        state.done.seek(SeekFrom::Start(offset))?;
        state.done.read_exact(buffer)
    }
}
