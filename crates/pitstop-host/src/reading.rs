//! Opening a file so that it can neither block nor be swapped for something else, and reading its facts.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use pitstop_core::elf::{Elf, ElfError, FIRST_WINDOW_BYTES, Source};
use pitstop_core::files::FileId;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};

/// How a file is opened whose nature is not known: a FIFO without a writer does not block, a terminal does not become
/// ours, a child does not inherit it.
pub(crate) const READ_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The longest file that is read whole. The longest `RECORD` that is known has some 3 MiB; a hostile one may claim to have
/// any length and take no room on the disk.
const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// The magic number of an ELF file (gABI chapter 4, `EI_MAG0` to `EI_MAG3`).
const MAGIC: &[u8] = b"\x7fELF";

/// The beginning of a file; kept by a thread, so that looking at a file that is not ELF allocates nothing.
pub(crate) struct First {
    bytes: Box<[u8; FIRST_WINDOW_BYTES]>,
    length: usize,
}

impl First {
    pub(crate) fn new() -> Self {
        Self { bytes: Box::new([0; FIRST_WINDOW_BYTES]), length: 0 }
    }

    /// Reads the beginning of `file` and says whether it is that of an ELF file.
    pub(crate) fn read(&mut self, file: &File) -> io::Result<bool> {
        self.length = 0;
        // A read that comes up short before the end is not wrong: the facts are then read from the file.
        self.length = match file.read_at(&mut self.bytes[..], 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                file.read_at(&mut self.bytes[..], 0)?
            }
            result => result?,
        };
        Ok(self.bytes[..self.length].starts_with(MAGIC))
    }

    /// What was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// An open file whose beginning has been read already.
pub(crate) struct Begun<'f> {
    file: &'f File,
    first: &'f [u8],
    size_bytes: u64,
}

impl<'f> Begun<'f> {
    pub(crate) fn new(file: &'f File, first: &'f First, stat: &Stat) -> Self {
        // The length is negative for no regular file.
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        Self { file, first: &first.bytes[..first.length], size_bytes }
    }

    pub(crate) fn facts(&self) -> Result<Elf, ElfError> {
        Elf::read(self)
    }
}

impl Source for Begun<'_> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let known =
            usize::try_from(offset).ok().and_then(|start| self.first.get(start..)?.get(..buffer.len()));
        if let Some(known) = known {
            buffer.copy_from_slice(known);
            return Ok(());
        }
        self.file.read_exact_at(buffer, offset)
    }
}

/// All of a regular file. Anything else is refused: reading a pipe could take for ever, and what is longer than 64 MiB all
/// memory.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::from(openat(CWD, path, READ_FLAGS, Mode::empty())?);
    match kind(&fstat(&file)?) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        _ => return Err(io::Error::other("not a regular file")),
    }
    let mut bytes = Vec::new();
    file.take(WHOLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > WHOLE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than any such file has need of"));
    }
    Ok(bytes)
}

pub(crate) fn id(stat: &Stat) -> FileId {
    FileId { device: stat.st_dev, inode: stat.st_ino }
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
