//! `ld.so.cache`: which file ldconfig found for each soname.
//!
//! All numbers are in the byte order of the machine that the cache is for. Two layouts are in use:
//!
//! ```text
//! new (glibc 2.2 and later)               old, with the new one in it (ldconfig -c compat)
//!  0  magic "glibc-ld.so.cache1.1"          0  magic "ld.so-1.7.0", one byte of padding
//! 20  u32 number of entries                12  u32 number of entries
//! 24  u32 length of the string table       16  entries of 12 bytes: i32 flags, u32 key, u32 value
//! 28  u8  byte order: 0 unset, 2 little,   ..  the new layout, from the next multiple of 8;
//!         3 big; 3 bytes of padding            strings of the old one follow its entries
//! 32  u32 offset of the extensions
//! 36  3 × u32 unused
//! 48  entries of 24 bytes: i32 flags, u32 key, u32 value, u32 unused, u64 hwcap
//! ..  strings, each ended by a zero byte; key and value are offsets from the new magic
//! ..  extensions: u32 magic 0xEAA42174, u32 count, sections of 4 × u32: tag, flags, offset, length;
//!     their offsets, and those inside, count from the start of the file
//! ```
//!
//! Entries are sorted downwards by key as `_dl_cache_libcmp` compares. An extension with tag 0 names the generator,
//! with tag 1 it is an array of u32 offsets of strings, the names of the glibc-hwcaps subdirectories in use. An entry
//! whose hwcap has bit 62 set belongs to the subdirectory numbered by the low 32 bits; bits 32 to 41 then give the
//! lowest x86 ISA level that its file asks for.
//!
//! Source: `sysdeps/generic/dl-cache.h`, `elf/dl-cache.c` and `elf/cache.c` of glibc.

mod write;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::{BStr, ByteSlice};

use crate::elf::{Class, Encoding, Target};

pub use write::{Capability, NewEntry, TooLarge, write};

/// Start of the new layout, its version included.
pub const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Start of the old layout.
pub const MAGIC_OLD: &[u8] = b"ld.so-1.7.0";
/// Size in bytes of the head of the new layout.
pub const HEAD_BYTES: usize = 48;
/// Size in bytes of an entry of the new layout.
pub const ENTRY_BYTES: usize = 24;
/// Size in bytes of the head of the old layout.
pub const HEAD_OLD_BYTES: usize = 16;
/// Size in bytes of an entry of the old layout.
pub const ENTRY_OLD_BYTES: usize = 12;
/// Start of the extensions.
pub const EXTENSIONS_MAGIC: u32 = 0xEAA4_2174;
/// Tag of the extension that names the program which wrote the cache.
pub const EXTENSION_GENERATOR: u32 = 0;
/// Tag of the extension that lists the glibc-hwcaps subdirectories.
pub const EXTENSION_HWCAPS: u32 = 1;
/// `DL_CACHE_HWCAP_EXTENSION`: the entry belongs to a glibc-hwcaps subdirectory.
pub const HWCAP_EXTENSION: u64 = 1 << 62;
/// `DL_CACHE_HWCAP_ISA_LEVEL_MASK`, of the upper half of hwcap.
pub const HWCAP_ISA_LEVEL_MASK: u32 = (1 << 10) - 1;
/// `FLAG_ELF_LIBC6`: what every entry of a living system has in its low byte.
pub const FLAG_ELF_LIBC6: u32 = 3;

/// A cache that cannot be used; the loader then goes on without one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Neither magic.
    #[error("no ld.so.cache: unknown magic at offset 0")]
    Magic,
    /// More entries than the file can hold.
    #[error("ld.so.cache cut short: {entries} entries at offset {offset} of {size_bytes} bytes")]
    Short {
        /// Where the number stands.
        offset: usize,
        /// The number.
        entries: u32,
        /// Size of the file.
        size_bytes: usize,
    },
    /// Written for the other byte order.
    #[error("ld.so.cache has the other byte order, says its byte at offset {offset}")]
    Encoding {
        /// Where it is said.
        offset: usize,
    },
}

/// What the loader can use, which decides between entries of one name.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities<'a> {
    /// Active glibc-hwcaps subdirectories, best first.
    pub hwcaps: &'a [String],
    /// glibc before 2.37: `dl_hwcap`, and the bit of `dl_platform`, for entries of the legacy subdirectories.
    pub legacy: Option<LegacyCapabilities>,
}

/// The bits by which glibc before 2.37 chose among legacy subdirectories such as `haswell`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyCapabilities {
    /// `dl_hwcap`.
    pub hwcap: u64,
    /// `_dl_string_platform (dl_platform)`, where there is one.
    pub platform_bit: Option<u8>,
}

/// One name and file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The soname.
    pub name: &'a BStr,
    /// The path.
    pub path: &'a BStr,
    /// Kind of library, see [`flags`].
    pub flags: u32,
    /// Capabilities asked for.
    pub hwcap: u64,
}

/// A parsed cache. It keeps the bytes and reads entries from them as they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    bytes: Vec<u8>,
    encoding: Encoding,
    /// Where the strings are counted from.
    strings: usize,
    /// Where the entries start, and their size.
    entries: usize,
    entry_bytes: usize,
    count: usize,
    /// Names of the subdirectories, as offsets into `bytes`.
    hwcaps: Vec<u32>,
}

impl Cache {
    /// Reads a cache as `_dl_load_cache_lookup` does, for a machine of the given byte order.
    pub fn parse(bytes: &[u8], encoding: Encoding) -> Result<Cache, CacheError> {
        if bytes.starts_with(MAGIC) && bytes.len() > HEAD_BYTES {
            return Self::parse_new(bytes, 0, encoding);
        }
        if !bytes.starts_with(MAGIC_OLD) || bytes.len() <= HEAD_OLD_BYTES {
            return Err(CacheError::Magic);
        }
        let count = checked_count(bytes, 12, HEAD_OLD_BYTES, ENTRY_OLD_BYTES, encoding)?;
        let end = HEAD_OLD_BYTES + count * ENTRY_OLD_BYTES;
        let inner = end.next_multiple_of(8);
        if bytes.get(inner..).is_some_and(|rest| rest.starts_with(MAGIC) && rest.len() >= HEAD_BYTES) {
            return Self::parse_new(bytes, inner, encoding);
        }
        Ok(Cache {
            bytes: bytes.to_vec(),
            encoding,
            strings: end,
            entries: HEAD_OLD_BYTES,
            entry_bytes: ENTRY_OLD_BYTES,
            count,
            hwcaps: Vec::new(),
        })
    }

    fn parse_new(bytes: &[u8], base: usize, encoding: Encoding) -> Result<Cache, CacheError> {
        let order = bytes.get(base + 28).copied().unwrap_or(0);
        let expected = match encoding {
            Encoding::Little => 2,
            Encoding::Big => 3,
        };
        if order != 0 && order & 3 != expected {
            return Err(CacheError::Encoding { offset: base + 28 });
        }
        let count = checked_count(bytes, base + 20, base + HEAD_BYTES, ENTRY_BYTES, encoding)?;
        Ok(Cache {
            hwcaps: hwcap_names(bytes, base, encoding),
            bytes: bytes.to_vec(),
            encoding,
            strings: base,
            entries: base + HEAD_BYTES,
            entry_bytes: ENTRY_BYTES,
            count,
        })
    }

    /// All entries that can be read, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.count).filter_map(|index| self.entry(index))
    }

    /// The glibc-hwcaps subdirectories that entries refer to.
    pub fn hwcaps(&self) -> impl Iterator<Item = &BStr> {
        self.hwcaps.iter().map(|&offset| string_at(&self.bytes, offset as usize).unwrap_or_default())
    }

    /// The file for `name`, chosen as `search_cache` chooses.
    #[must_use]
    pub fn lookup(&self, name: &BStr, target: Target, capabilities: Capabilities<'_>) -> Option<&Path> {
        let (mut left, mut right) = (0, self.count);
        while left < right {
            let middle = left.midpoint(right - 1);
            match compare_names(name, self.key(middle)?) {
                // The table is sorted downwards.
                std::cmp::Ordering::Less => left = middle + 1,
                std::cmp::Ordering::Greater => right = middle,
                std::cmp::Ordering::Equal => {
                    let best = self.best(self.first_of(name, middle), name, target, capabilities)?;
                    return Some(Path::new(OsStr::from_bytes(best)));
                }
            }
        }
        None
    }

    /// The first entry of the run of entries for `name` that holds `index`.
    fn first_of(&self, name: &BStr, mut index: usize) -> usize {
        while index > 0
            && self.key(index - 1).is_some_and(|key| compare_names(name, key) == std::cmp::Ordering::Equal)
        {
            index -= 1;
        }
        index
    }

    fn best(
        &self,
        first: usize,
        name: &BStr,
        target: Target,
        capabilities: Capabilities<'_>,
    ) -> Option<&BStr> {
        let mut best: Option<&BStr> = None;
        let mut best_rank = usize::MAX;
        for index in first..self.count {
            if self.key(index).is_none_or(|key| compare_names(name, key) != std::cmp::Ordering::Equal) {
                break;
            }
            let Some(entry) = self.entry(index) else { continue };
            if !flags::usable(entry.flags, target) {
                continue;
            }
            if is_named_hwcap(entry.hwcap) {
                let Some(rank) = self.rank(entry.hwcap, capabilities) else { continue };
                if best.is_none() || rank < best_rank {
                    (best, best_rank) = (Some(entry.path), rank);
                }
                continue;
            }
            // Entries of subdirectories come first in the table, so what was found in them is the best there is.
            if best.is_some() && best_rank != usize::MAX {
                break;
            }
            if !legacy_usable(entry.hwcap, capabilities.legacy) {
                continue;
            }
            best = Some(entry.path);
            if entry.flags == flags::default(target) {
                break;
            }
        }
        best
    }

    /// The place of an entry's subdirectory in the loader's order of preference; `None` where it is not in use.
    fn rank(&self, hwcap: u64, capabilities: Capabilities<'_>) -> Option<usize> {
        let level = u32::try_from(hwcap >> 32).unwrap_or(0) & HWCAP_ISA_LEVEL_MASK;
        if level > 0 && !capabilities.hwcaps.iter().any(|name| *name == format!("x86-64-v{}", level + 1)) {
            return None;
        }
        let index = usize::try_from(hwcap & u64::from(u32::MAX)).ok()?;
        let name = string_at(&self.bytes, *self.hwcaps.get(index)? as usize)?;
        capabilities.hwcaps.iter().position(|active| active.as_bytes() == name.as_bytes())
    }

    fn key(&self, index: usize) -> Option<&BStr> {
        let offset = self.entries + index * self.entry_bytes + 4;
        self.string(number(&self.bytes, offset, self.encoding)?)
    }

    fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let offset = self.entries + index * self.entry_bytes;
        let field = |at: usize| number(&self.bytes, offset + at, self.encoding);
        let hwcap = if self.entry_bytes == ENTRY_BYTES {
            let (first, second) = (u64::from(field(16)?), u64::from(field(20)?));
            match self.encoding {
                Encoding::Little => first | second << 32,
                Encoding::Big => first << 32 | second,
            }
        } else {
            0
        };
        Some(Entry { name: self.string(field(4)?)?, path: self.string(field(8)?)?, flags: field(0)?, hwcap })
    }

    fn string(&self, offset: u32) -> Option<&BStr> {
        string_at(&self.bytes, self.strings.checked_add(offset as usize)?)
    }
}

fn number(bytes: &[u8], offset: usize, encoding: Encoding) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(match encoding {
        Encoding::Little => u32::from_le_bytes(*field),
        Encoding::Big => u32::from_be_bytes(*field),
    })
}

fn string_at(bytes: &[u8], offset: usize) -> Option<&BStr> {
    let rest = bytes.get(offset..)?;
    Some(rest[..rest.find_byte(0)?].as_bstr())
}

fn checked_count(
    bytes: &[u8],
    offset: usize,
    entries: usize,
    entry_bytes: usize,
    encoding: Encoding,
) -> Result<usize, CacheError> {
    let count = number(bytes, offset, encoding).unwrap_or(u32::MAX);
    if bytes.len().saturating_sub(entries) / entry_bytes < count as usize {
        return Err(CacheError::Short { offset, entries: count, size_bytes: bytes.len() });
    }
    Ok(count as usize)
}

/// `cache_extension_load`: anything odd about the extensions means that there are none.
fn hwcap_names(bytes: &[u8], base: usize, encoding: Encoding) -> Vec<u32> {
    let at = |offset: usize| number(bytes, offset, encoding);
    let Some(directory) = at(base + 32).map(|offset| offset as usize) else { return Vec::new() };
    if directory == 0 || !directory.is_multiple_of(4) || at(directory) != Some(EXTENSIONS_MAGIC) {
        return Vec::new();
    }
    let count = at(directory + 4).unwrap_or(0) as usize;
    if bytes.len().saturating_sub(directory + 8) / 16 < count {
        return Vec::new();
    }
    let mut names = Vec::new();
    for section in (0..count).map(|index| directory + 8 + index * 16) {
        let (Some(tag), Some(offset), Some(length)) = (at(section), at(section + 8), at(section + 12)) else {
            return Vec::new();
        };
        let Some(data) =
            (offset as usize).checked_add(length as usize).and_then(|end| bytes.get(offset as usize..end))
        else {
            return Vec::new();
        };
        if tag == EXTENSION_HWCAPS && length.is_multiple_of(4) && offset.is_multiple_of(4) {
            names = (0..data.len()).step_by(4).filter_map(|index| number(data, index, encoding)).collect();
        }
    }
    names
}

/// `dl_cache_hwcap_extension`.
fn is_named_hwcap(hwcap: u64) -> bool {
    (hwcap >> 32) & !u64::from(HWCAP_ISA_LEVEL_MASK) == HWCAP_EXTENSION >> 32
}

/// Whether an entry without a named subdirectory can be used: glibc 2.37 and later ignore capabilities by then never
/// written, older ones hold them against `dl_hwcap`, the platform (bits 48 to 51 on x86) and `tls` (bit 63).
fn legacy_usable(hwcap: u64, legacy: Option<LegacyCapabilities>) -> bool {
    const PLATFORMS: u64 = 0xF << 48;
    const TLS: u64 = 1 << 63;
    if hwcap == 0 {
        return true;
    }
    let Some(legacy) = legacy else { return false };
    let platform = legacy.platform_bit.and_then(|bit| 1u64.checked_shl(bit.into())).unwrap_or(0);
    hwcap & !(legacy.hwcap | PLATFORMS | TLS) == 0
        && (hwcap & PLATFORMS == 0 || hwcap & PLATFORMS == platform & PLATFORMS)
}

/// `_dl_cache_libcmp`: like `strcmp`, but runs of digits compare as numbers, so that `libx.so.10` is after `libx.so.9`.
#[must_use]
pub fn compare_names(left: &BStr, right: &BStr) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (mut left, mut right): (&[u8], &[u8]) = (left, right);
    loop {
        let Some(&first) = left.first() else {
            return if right.is_empty() { Ordering::Equal } else { Ordering::Less };
        };
        let second = right.first().copied().unwrap_or(0);
        match (first.is_ascii_digit(), second.is_ascii_digit()) {
            (true, true) => match leading_number(&mut left).cmp(&leading_number(&mut right)) {
                Ordering::Equal => {}
                different => return different,
            },
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if first != second => return first.cast_signed().cmp(&second.cast_signed()),
            (false, false) => (left, right) = (&left[1..], &right[1..]),
        }
    }
}

/// The C code adds up digits in an `int`, which wraps in practice.
fn leading_number(text: &mut &[u8]) -> i32 {
    let mut value: i32 = 0;
    while let Some((digit, rest)) = text.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
        *text = rest;
    }
    value
}

/// The flags by which an entry says for whom it is: `FLAG_*` in `sysdeps/generic/ldconfig.h`, and
/// `_dl_cache_check_flags` of each architecture.
pub mod flags {
    use super::{Class, Target};

    /// What the loader of `target` writes and prefers (`_DL_CACHE_DEFAULT_ID`).
    #[must_use]
    pub fn default(target: Target) -> u32 {
        use object::elf;
        let architecture = match (elf::Machine(target.machine), target.class) {
            (elf::EM_X86_64, Class::Bits64) => 0x0300,
            (elf::EM_X86_64, Class::Bits32) => 0x0800,
            (elf::EM_AARCH64, _) => 0x0A00,
            (elf::EM_ARM, _) => 0x0900,
            (elf::EM_PPC64, _) => 0x0500,
            (elf::EM_S390, Class::Bits64) => 0x0400,
            (elf::EM_SPARCV9, _) => 0x0100,
            (elf::EM_MIPS, Class::Bits64) => 0x0700,
            (elf::EM_RISCV, _) => 0x1000,
            (elf::EM_LOONGARCH, _) => 0x1200,
            _ => 0,
        };
        architecture | super::FLAG_ELF_LIBC6
    }

    /// Whether the loader of `target` looks at an entry with these flags.
    #[must_use]
    pub fn usable(flags: u32, target: Target) -> bool {
        let default = default(target);
        flags == default
            || match object::elf::Machine(target.machine) {
                object::elf::EM_ARM => flags == super::FLAG_ELF_LIBC6,
                // Architectures without a flag of their own also take the entries of libc5's time.
                _ => default == super::FLAG_ELF_LIBC6 && flags == 1,
            }
    }
}
