//! The system calls that the shim makes.

use core::ffi::CStr;

use crate::arch::{STAT_MODE_AND_OWNER, STAT_WORDS, number, syscall};

/// An error number of the kernel's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) usize);

/// No such file or directory.
pub(crate) const ENOENT: Errno = Errno(2);
/// Of `readlink`: not a link.
pub(crate) const EINVAL: Errno = Errno(22);
/// Interrupted by a signal.
const EINTR: Errno = Errno(4);

const O_NONBLOCK: usize = 0o4000;
const O_CLOEXEC: usize = 0o2_000_000;
const SEEK_END: usize = 2;
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_FIXED: usize = 0x10;
const MAP_ANONYMOUS: usize = 0x20;
/// The folder bit and the link bits of a file's mode, and the mask for all of its kind.
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;

/// Standard error.
pub(crate) const STDERR: usize = 2;

/// What the kernel gives, parted into values and errors.
fn result(value: usize) -> Result<usize, Errno> {
    if value > usize::MAX - 4095 { Err(Errno(value.wrapping_neg())) } else { Ok(value) }
}

/// Opens a file to read. A pipe does not hold it up.
pub(crate) fn open(path: &CStr) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL; the kernel writes nothing.
    let call =
        || unsafe { syscall(number::OPEN, [path.as_ptr() as usize, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0]) };
    loop {
        match result(call()) {
            Err(EINTR) => {}
            done => return done,
        }
    }
}

/// Reads from an offset, and gives what was read: of a regular file as much as the buffer holds, or as there is.
pub(crate) fn read_at(file: usize, buffer: &mut [u8], offset: usize) -> Result<&[u8], Errno> {
    let arguments = [file, buffer.as_mut_ptr() as usize, buffer.len(), offset, 0, 0];
    loop {
        // SAFETY: the kernel writes into the buffer, and no further than it is long.
        match result(unsafe { syscall(number::PREAD, arguments) }) {
            Ok(len) => return Ok(buffer.get(..len).unwrap_or_default()),
            Err(EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The length of a file, by the cheapest call that tells it.
pub(crate) fn length(file: usize) -> Result<usize, Errno> {
    // SAFETY: no memory is touched.
    result(unsafe { syscall(number::LSEEK, [file, 0, SEEK_END, 0, 0, 0]) })
}

/// Closes a file.
pub(crate) fn close(file: usize) {
    // SAFETY: no memory is touched. A failure leaves nothing to do.
    unsafe { syscall(number::CLOSE, [file, 0, 0, 0, 0, 0]) };
}

/// Maps a part of a file wherever the kernel likes.
pub(crate) fn map_file(file: usize, offset: usize, len: usize, protection: usize) -> Result<usize, Errno> {
    // SAFETY: a new range of addresses comes into being, over nothing that is there.
    result(unsafe { syscall(number::MMAP, [0, len, protection, MAP_PRIVATE, file, offset]) })
}

/// Maps a part of a file at an address.
///
/// # Safety
///
/// What lies there is lost: it must be the caller's.
pub(crate) unsafe fn map_file_at(
    at: usize,
    file: usize,
    offset: usize,
    len: usize,
    protection: usize,
) -> Result<(), Errno> {
    // SAFETY: as the caller says.
    result(unsafe { syscall(number::MMAP, [at, len, protection, MAP_PRIVATE | MAP_FIXED, file, offset]) })
        .map(|_| ())
}

/// Maps zeros at an address.
///
/// # Safety
///
/// What lies there is lost: it must be the caller's.
pub(crate) unsafe fn map_zeros_at(at: usize, len: usize, protection: usize) -> Result<(), Errno> {
    let flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
    // SAFETY: as the caller says.
    result(unsafe { syscall(number::MMAP, [at, len, protection, flags, usize::MAX, 0]) }).map(|_| ())
}

/// New memory, zeroed, for a text that the stack has no room for. It is never given back.
pub(crate) fn memory(len: usize) -> Result<&'static mut [u8], Errno> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // SAFETY: a new range of addresses comes into being, over nothing that is there.
    let at =
        result(unsafe { syscall(number::MMAP, [0, len, PROT_READ | PROT_WRITE, flags, usize::MAX, 0]) })?;
    // SAFETY: the kernel has just made these bytes, zeroed, for nobody else.
    Ok(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
}

/// What a link points to, as far as the buffer holds it.
pub(crate) fn read_link<'a>(path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let arguments = [path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    // SAFETY: the path ends with a NUL; the kernel writes into the buffer, and no further than it is long.
    let len = result(unsafe { syscall(number::READLINK, arguments) })?;
    Ok(buffer.get(..len).unwrap_or_default())
}

/// What a file is, and whose.
pub(crate) struct Status {
    mode: u32,
    /// The number of its owner.
    pub(crate) owner: u32,
}

impl Status {
    /// Whether it is a folder or a link.
    pub(crate) fn is_folder_or_link(&self) -> bool {
        matches!(self.mode & S_IFMT, S_IFDIR | S_IFLNK)
    }
}

/// What the file at a path is; a link is not followed.
pub(crate) fn link_status(path: &CStr) -> Result<Status, Errno> {
    status_by(number::LSTAT, path)
}

/// What the file at a path is; links are followed.
pub(crate) fn status(path: &CStr) -> Result<Status, Errno> {
    status_by(number::STAT, path)
}

fn status_by(call: usize, path: &CStr) -> Result<Status, Errno> {
    let mut words = [0_usize; STAT_WORDS];
    // SAFETY: the path ends with a NUL; the kernel writes one `struct stat`, which is as long as `words`.
    result(unsafe { syscall(call, [path.as_ptr() as usize, words.as_mut_ptr() as usize, 0, 0, 0, 0]) })?;
    let both = words.get(STAT_MODE_AND_OWNER).copied().unwrap_or_default();
    let [low, high] = *both.to_ne_bytes().as_chunks::<4>().0 else { return Err(ENOENT) };
    Ok(Status { mode: u32::from_ne_bytes(low), owner: u32::from_ne_bytes(high) })
}

/// Writes to standard error. A failure leaves nobody to tell.
pub(crate) fn write_error(text: &[u8]) {
    // SAFETY: the kernel reads `text`, and no further than it is long.
    unsafe { syscall(number::WRITE, [STDERR, text.as_ptr() as usize, text.len(), 0, 0, 0]) };
}

/// Becomes another program; comes back only with an error.
///
/// # Safety
///
/// Both lists end with a null, and each pointer before it leads to a text that ends with a NUL.
pub(crate) unsafe fn execute(path: &CStr, arguments: *const usize, variables: *const usize) -> Errno {
    let words = [path.as_ptr() as usize, arguments as usize, variables as usize, 0, 0, 0];
    // SAFETY: as the caller says.
    Errno(unsafe { syscall(number::EXECVE, words) }.wrapping_neg())
}

/// Ends the process.
pub(crate) fn exit(status: usize) -> ! {
    loop {
        // SAFETY: the process is over.
        unsafe { syscall(number::EXIT_GROUP, [status, 0, 0, 0, 0, 0]) };
    }
}
