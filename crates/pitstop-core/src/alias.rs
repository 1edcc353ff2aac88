//! A shared object without code that answers to one name and needs one file: a stand-in for a library whose own
//! `DT_SONAME` is not the name that a module asks for.
//!
//! The loader matches the module's `DT_NEEDED` against the stand-in's `DT_SONAME`; the stand-in's own `DT_NEEDED`
//! holds a slash, is opened as a path, and brings the real library into the module's scope. Laid out after the System
//! V gABI, chapter 5; the tests load it with the glibc of the machine they run on.
//!
//! # Versions
//!
//! Where the module asks for a version (`FOO_4` of `libfoo.so.4`), glibc looks twice, at different files:
//!
//! 1. The stand-in defines no versions (no `DT_VERDEF`), so any version asked of its name is granted. `dlopen` says
//!    nothing; only a program that has it among its own needs is told "no version information available".
//! 2. Each versioned reference is then looked up in the real library, whatever name the version was asked of:
//!    - a library without versions serves it;
//!    - one that defines the symbol in a version of the same name serves it;
//!    - one that has versions, but the symbol in none (`VER_NDX_GLOBAL`), serves it too;
//!    - one that defines the symbol in versions of other names only does **not**: the module fails to load with
//!      "undefined symbol: foo, version FOO_4", or, loaded lazily, the process dies at the first call.
//!
//! No stand-in can mend the last, so who offers another library must hold the versions asked for against those it
//! defines. A module that asks for no versions is served by a library that has them.
//!
//! # Limits
//!
//! - It has to be loaded before the module, by glibc. musl knows what is loaded by the names it found it under, and
//!   nothing by `DT_SONAME`.
//! - The real library comes after the module's own needs in its scope, as a need of a need does. Where two libraries
//!   define one symbol, that can make another the first.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};
use object::elf;

use crate::elf::{Class, Encoding, Target};

/// `PATH_MAX` and `NAME_MAX` of Linux; the first counts a terminator, the second does not.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// The largest page of any machine here (aarch64), so that the segment may be mapped on all of them.
const PAGE: u64 = 0x1_0000;

/// What glibc replaces in a `DT_NEEDED` after a `$`, with braces or without.
const TOKENS: [&str; 3] = ["ORIGIN", "PLATFORM", "LIB"];

/// Why there can be no stand-in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// The loader would not look for it among the names of libraries.
    #[error("{0:?} cannot stand for a library: it is not the name of a file")]
    NotName(BString),
    /// It would be searched for, or depend on the working folder.
    #[error("{0:?}: a library is loaded by absolute path only")]
    NotAbsolute(PathBuf),
    /// It is longer than `PATH_MAX`, or has a NUL in it.
    #[error("{0:?}: no path that can be opened")]
    NotPath(PathBuf),
    /// The loader would open another path, and knows no way to write this one.
    #[error("{file:?}: the loader replaces ${token} in a path; link to the library from a folder without it")]
    Token {
        /// The library.
        file: PathBuf,
        /// The token, without `$` and braces.
        token: &'static str,
    },
    /// Which flags its loader expects is not known here.
    #[error("no library can be made for e_machine {0}")]
    Machine(u16),
}

/// The bytes of a shared object with `DT_SONAME` `soname`, `DT_NEEDED` `file` and nothing to run.
///
/// The same arguments give the same bytes: 447 for 64 bits or 279 for 32, and those of both names.
pub fn library(soname: &BStr, file: &Path, target: Target) -> Result<Vec<u8>, AliasError> {
    let flags = match elf::Machine(target.machine) {
        elf::EM_X86_64 | elf::EM_386 | elf::EM_AARCH64 => 0,
        // Says nothing of floats: it passes none.
        elf::EM_ARM => elf::EF_ARM_EABI_VER5.0,
        // glibc loads nothing that disagrees with its own, which on every distribution is this one.
        elf::EM_RISCV => elf::EF_RISCV_FLOAT_ABI_DOUBLE.0,
        _ => return Err(AliasError::Machine(target.machine)),
    };
    check(soname, file)?;
    let path = file.as_os_str().as_bytes();
    let strings = [b"\0", soname.as_bytes(), b"\0", path, b"\0"].concat();
    let layout = Layout::of(target.class, strings.len() as u64);
    let mut out = Writer { bytes: Vec::new(), target };
    out.header(flags);
    // Writable, since glibc before 2.35 turns the addresses in its dynamic section into pointers; nowhere executable.
    out.segment(elf::PT_LOAD, elf::PF_R.0 | elf::PF_W.0, 0..layout.end, PAGE);
    out.segment(
        elf::PT_DYNAMIC,
        elf::PF_R.0 | elf::PF_W.0,
        layout.dynamic..layout.symbols,
        layout.long.into(),
    );
    // Without it glibc takes it that code will run on the stack, and makes every stack of the process executable.
    out.segment(elf::PT_GNU_STACK, elf::PF_R.0 | elf::PF_W.0, 0..0, 16);
    let entries = [
        (elf::DT_NEEDED, 2 + soname.len() as u64),
        (elf::DT_SONAME, 1),
        (elf::DT_GNU_HASH, layout.gnu_hash),
        (elf::DT_HASH, layout.hash),
        (elf::DT_STRTAB, layout.strings),
        (elf::DT_SYMTAB, layout.symbols),
        (elf::DT_STRSZ, strings.len() as u64),
        (elf::DT_SYMENT, layout.symbol.into()),
        (elf::DT_NULL, 0),
    ];
    for (tag, value) in entries {
        out.longs(&[tag.0.cast_unsigned(), value]);
    }
    // The symbol table holds the reserved entry alone.
    out.zeros(layout.symbol);
    // `DT_GNU_HASH`: one empty bucket, of symbols from index 1, behind a filter of one word that lets nothing pass.
    out.words(&[1, 1, 1, 0]);
    out.longs(&[0]);
    out.words(&[0]);
    // `DT_HASH`: one bucket and one chain, both at their end.
    out.words(&[1, 1, 0, 0]);
    out.bytes.extend(strings);
    Ok(out.bytes)
}

fn check(soname: &BStr, file: &Path) -> Result<(), AliasError> {
    let path = file.as_os_str().as_bytes();
    if soname.is_empty() || soname.len() > NAME_MAX || soname.find_byteset(b"/\0").is_some() {
        return Err(AliasError::NotName(soname.to_owned()));
    }
    if !file.is_absolute() {
        return Err(AliasError::NotAbsolute(file.to_owned()));
    }
    if path.len() >= PATH_MAX || path.contains(&0) {
        return Err(AliasError::NotPath(file.to_owned()));
    }
    match path.find_iter(b"$").find_map(|at| token(&path[at + 1..])) {
        Some(token) => Err(AliasError::Token { file: file.to_owned(), token }),
        None => Ok(()),
    }
}

/// The token at the start of what follows a `$`, as glibc's `is_dst` in `elf/dl-load.c` finds it. Older releases took
/// a bare token only where a component ends; what those left alone is refused all the same.
fn token(rest: &[u8]) -> Option<&'static str> {
    TOKENS.into_iter().find(|token| match rest.strip_prefix(b"{") {
        Some(rest) => rest.strip_prefix(token.as_bytes()).is_some_and(|rest| rest.starts_with(b"}")),
        None => rest.strip_prefix(token.as_bytes()).is_some_and(|rest| {
            !rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        }),
    })
}

/// Sizes and offsets of the parts, in bytes. Offsets are addresses too: the file is loaded at 0, in one piece.
struct Layout {
    long: u16,
    symbol: u16,
    dynamic: u64,
    symbols: u64,
    gnu_hash: u64,
    hash: u64,
    strings: u64,
    end: u64,
}

impl Layout {
    const SEGMENTS: u16 = 3;
    const ENTRIES: u64 = 9;

    fn of(class: Class, strings_bytes: u64) -> Self {
        let (header, segment, symbol, long) = sizes(class);
        let dynamic = u64::from(header) + u64::from(Self::SEGMENTS * segment);
        let symbols = dynamic + Self::ENTRIES * 2 * u64::from(long);
        let gnu_hash = symbols + u64::from(symbol);
        let hash = gnu_hash + 4 * 4 + u64::from(long) + 4;
        let strings = hash + 4 * 4;
        Self { long, symbol, dynamic, symbols, gnu_hash, hash, strings, end: strings + strings_bytes }
    }
}

/// Bytes of a file header, of a program header, of a symbol and of an address.
fn sizes(class: Class) -> (u16, u16, u16, u16) {
    match class {
        Class::Bits32 => (52, 32, 16, 4),
        Class::Bits64 => (64, 56, 24, 8),
    }
}

/// Appends numbers of the target's width and order.
struct Writer {
    bytes: Vec<u8>,
    target: Target,
}

impl Writer {
    fn halves(&mut self, values: &[u16]) {
        for value in values {
            self.number((*value).into(), 2);
        }
    }

    fn words(&mut self, values: &[u32]) {
        for value in values {
            self.number((*value).into(), 4);
        }
    }

    /// Addresses, offsets or sizes: as wide as the class.
    fn longs(&mut self, values: &[u64]) {
        let (_, _, _, width) = sizes(self.target.class);
        for value in values {
            self.number(*value, width);
        }
    }

    /// The low `width` bytes of `value`. Nothing here comes near 4 GiB: a path is no longer than `PATH_MAX`.
    fn number(&mut self, value: u64, width: u16) {
        let bytes = value.to_le_bytes().into_iter().take(width.into());
        match self.target.encoding {
            Encoding::Little => self.bytes.extend(bytes),
            Encoding::Big => self.bytes.extend(bytes.rev()),
        }
    }

    fn zeros(&mut self, count: u16) {
        self.bytes.extend(std::iter::repeat_n(0, count.into()));
    }

    /// `Elf_Ehdr`, without section headers.
    fn header(&mut self, flags: u32) {
        let (header, segment, _, _) = sizes(self.target.class);
        let class = match self.target.class {
            Class::Bits32 => elf::ELFCLASS32,
            Class::Bits64 => elf::ELFCLASS64,
        };
        let data = match self.target.encoding {
            Encoding::Little => elf::ELFDATA2LSB,
            Encoding::Big => elf::ELFDATA2MSB,
        };
        self.bytes.extend(elf::ELFMAG);
        self.bytes.extend([class.0, data.0, elf::EV_CURRENT.0, elf::ELFOSABI_NONE.0]);
        self.zeros(8);
        self.halves(&[elf::ET_DYN.0, self.target.machine]);
        self.words(&[elf::EV_CURRENT.0.into()]);
        // Entry point, program headers, section headers.
        self.longs(&[0, header.into(), 0]);
        self.words(&[flags]);
        self.halves(&[header, segment, Layout::SEGMENTS, 0, 0, 0]);
    }

    /// `Elf_Phdr`, whose flags have their place by class.
    fn segment(&mut self, kind: elf::ProgramType, flags: u32, range: std::ops::Range<u64>, align: u64) {
        let length = range.end - range.start;
        self.words(&[kind.0]);
        if self.target.class == Class::Bits64 {
            self.words(&[flags]);
        }
        // Offset, virtual and physical address, and the size in the file and in memory.
        self.longs(&[range.start, range.start, range.start, length, length]);
        if self.target.class == Class::Bits32 {
            self.words(&[flags]);
        }
        self.longs(&[align]);
    }
}
