//! Words for people: put together in a small buffer, without `core::fmt`, which can panic.

/// How much is said. `Off` still lets an error through that ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What goes wrong.
    Error,
    /// And what looks wrong.
    Warn,
    /// And what is chosen.
    Info,
    /// And where things come to lie.
    Debug,
    /// And each mapping.
    Trace,
}

impl Level {
    /// What is said where nobody asks for more or less.
    pub const DEFAULT: Level = Level::Warn;

    /// Reads `NIX_LD_LOG`, in small or capital letters.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Level> {
        let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
        Some(if is(b"off") {
            Level::Off
        } else if is(b"error") {
            Level::Error
        } else if is(b"warn") {
            Level::Warn
        } else if is(b"info") {
            Level::Info
        } else if is(b"debug") {
            Level::Debug
        } else if is(b"trace") {
            Level::Trace
        } else {
            return None;
        })
    }
}

/// Bytes that go out in one piece.
const LINE_MAX: usize = 1024;

/// A text under way to `out`, which gets it in one piece where it is no longer than a kilobyte.
pub struct Message<W: FnMut(&[u8])> {
    buffer: [u8; LINE_MAX],
    len: usize,
    out: W,
}

impl<W: FnMut(&[u8])> core::fmt::Debug for Message<W> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Message").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<W: FnMut(&[u8])> Message<W> {
    /// An empty text.
    pub fn new(out: W) -> Message<W> {
        Message { buffer: [0; LINE_MAX], len: 0, out }
    }

    /// Adds words of ours.
    #[inline(never)]
    pub fn say(&mut self, words: &str) -> &mut Self {
        for byte in words.bytes() {
            self.push(byte);
        }
        self
    }

    /// Adds what others have named. Control characters, which could steer a terminal, become `?`.
    #[inline(never)]
    pub fn name(&mut self, name: &[u8]) -> &mut Self {
        for byte in name {
            self.push(if byte.is_ascii_control() { b'?' } else { *byte });
        }
        self
    }

    /// Adds a number, as a person writes it.
    pub fn number(&mut self, number: usize) -> &mut Self {
        self.digits::<10>(number)
    }

    /// Adds an address.
    pub fn address(&mut self, number: usize) -> &mut Self {
        self.say("0x").digits::<16>(number)
    }

    /// Ends the line.
    #[inline(never)]
    pub fn end(&mut self) {
        self.push(b'\n');
        self.flush();
    }

    fn digits<const BASE: usize>(&mut self, mut number: usize) -> &mut Self {
        let mut digits = [0_u8; 20];
        let mut from = digits.len();
        for place in digits.iter_mut().rev() {
            *place = b"0123456789abcdef".get(number % BASE).copied().unwrap_or_default();
            number /= BASE;
            from -= 1;
            if number == 0 {
                break;
            }
        }
        for digit in digits.iter().skip(from) {
            self.push(*digit);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        if self.len >= LINE_MAX {
            self.flush();
        }
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn flush(&mut self) {
        if let Some(text) = self.buffer.get(..self.len) {
            (self.out)(text);
        }
        self.len = 0;
    }
}

/// The name and the words for an error number; nothing for one that is not in the table, which has those that opening,
/// reading and mapping a file can give (Linux, asm-generic/errno-base.h and errno.h).
#[must_use]
pub fn error_text(number: usize) -> Option<(&'static str, &'static str)> {
    Some(match number {
        1 => ("EPERM", "operation not permitted"),
        2 => ("ENOENT", "no such file or directory"),
        4 => ("EINTR", "interrupted"),
        5 => ("EIO", "input or output error"),
        6 => ("ENXIO", "no such device"),
        7 => ("E2BIG", "too many arguments"),
        8 => ("ENOEXEC", "not a program that the kernel can start"),
        11 => ("EAGAIN", "try again"),
        12 => ("ENOMEM", "out of memory"),
        13 => ("EACCES", "permission denied"),
        16 => ("EBUSY", "busy"),
        19 => ("ENODEV", "no such device, or it cannot be mapped"),
        20 => ("ENOTDIR", "a part of the path is not a folder"),
        21 => ("EISDIR", "it is a folder"),
        22 => ("EINVAL", "invalid argument"),
        23 => ("ENFILE", "too many open files on this machine"),
        24 => ("EMFILE", "too many open files"),
        26 => ("ETXTBSY", "it is being written"),
        29 => ("ESPIPE", "it is a pipe, not a file"),
        36 => ("ENAMETOOLONG", "the path is too long"),
        40 => ("ELOOP", "too many links, or a link loop"),
        75 => ("EOVERFLOW", "value too large"),
        116 => ("ESTALE", "stale file handle"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{string::String, vec::Vec};

    fn said(speak: impl FnOnce(&mut Message<&mut dyn FnMut(&[u8])>)) -> String {
        let mut all = Vec::new();
        let mut out = |text: &[u8]| all.extend_from_slice(text);
        speak(&mut Message::new(&mut out));
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn numbers_and_names_are_written_as_people_write_them() {
        assert_eq!(
            said(|line| line.number(0).say(" ").number(1207).say(" ").address(0xbeef).end()),
            "0 1207 0xbeef\n"
        );
        assert_eq!(said(|line| line.address(usize::MAX).end()), "0xffffffffffffffff\n");
        assert_eq!(said(|line| line.number(usize::MAX).end()), "18446744073709551615\n");
        assert_eq!(said(|line| line.name("/é/\x1b[31m\n".as_bytes()).end()), "/é/?[31m?\n");
    }

    #[test]
    fn a_long_name_is_not_cut() {
        let name = "n".repeat(5000);
        assert_eq!(
            said(|line| line.say("a ").name(name.as_bytes()).say(" z").end()),
            std::format!("a {name} z\n")
        );
    }

    #[test]
    fn errors_have_their_name_and_words() {
        assert_eq!(error_text(2), Some(("ENOENT", "no such file or directory")));
        assert_eq!(error_text(40), Some(("ELOOP", "too many links, or a link loop")));
        assert_eq!(error_text(116), Some(("ESTALE", "stale file handle")));
        assert_eq!((error_text(0), error_text(3), error_text(9999)), (None, None, None));
    }

    #[test]
    fn levels_are_read_in_any_case() {
        assert_eq!(Level::read(b"TRACE"), Some(Level::Trace));
        assert_eq!(Level::read(b"off"), Some(Level::Off));
        assert_eq!(Level::read(b"loud"), None);
        assert!(Level::Error < Level::DEFAULT && Level::DEFAULT < Level::Info);
    }
}
