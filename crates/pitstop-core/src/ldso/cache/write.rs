//! Writing a cache, as `save_cache` in glibc's `elf/cache.c` lays it out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice};

use super::{
    Cache, ENTRY_BYTES, EXTENSION_GENERATOR, EXTENSION_HWCAPS, EXTENSIONS_MAGIC, Encoding, HEAD_BYTES,
    HWCAP_EXTENSION, HWCAP_ISA_LEVEL_MASK, MAGIC, compare_names, is_named_hwcap, string_at,
};

/// What a processor must be able to do for an entry to count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// The file lies in this subdirectory of a `glibc-hwcaps` folder.
    Subdirectory {
        /// Its name, such as `x86-64-v3`.
        name: String,
        /// The lowest x86 ISA level that the file asks for, less one; 0 where it asks for none.
        isa_level: u16,
    },
    /// The bits that glibc before 2.37 wrote; 0 asks for nothing.
    Bits(u64),
}

/// One name and file, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The soname.
    pub name: BString,
    /// The path.
    pub path: BString,
    /// Kind of library, see [`flags`](super::flags).
    pub flags: u32,
    /// Capabilities asked for.
    pub capability: Capability,
}

/// A cache that cannot be written: its offsets have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names of an ld.so.cache take more than 4 GiB")]
pub struct TooLarge;

impl NewEntry {
    /// An entry for any processor.
    #[must_use]
    pub fn plain(name: &BStr, path: &BStr, flags: u32) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), flags, capability: Capability::Bits(0) }
    }
}

impl Cache {
    /// The entries as they would be written again, in the order of the file.
    pub fn to_new(&self) -> impl Iterator<Item = NewEntry> {
        self.entries().map(|entry| {
            let capability = self.capability(entry.hwcap).unwrap_or(Capability::Bits(entry.hwcap));
            NewEntry {
                name: entry.name.to_owned(),
                path: entry.path.to_owned(),
                flags: entry.flags,
                capability,
            }
        })
    }

    fn capability(&self, hwcap: u64) -> Option<Capability> {
        if !is_named_hwcap(hwcap) {
            return None;
        }
        let level = u32::try_from(hwcap >> 32).unwrap_or(0) & HWCAP_ISA_LEVEL_MASK;
        let index = usize::try_from(hwcap & u64::from(u32::MAX)).ok()?;
        let name = string_at(&self.bytes, *self.hwcaps.get(index)? as usize)?;
        Some(Capability::Subdirectory { name: name.to_string(), isa_level: u16::try_from(level).ok()? })
    }
}

/// The bytes of a cache in the layout of glibc 2.32 and later, without the old one before it.
///
/// Where two entries are alike but for their paths, the one that comes first here comes first there, and counts.
/// `generator` is the name of the program that writes it.
pub fn write(entries: &[NewEntry], encoding: Encoding, generator: &str) -> Result<Vec<u8>, TooLarge> {
    let mut sorted: Vec<&NewEntry> = entries.iter().collect();
    sorted.sort_by(|left, right| order(left, right));
    let subdirectories: BTreeSet<&str> = sorted.iter().filter_map(|entry| entry.subdirectory()).collect();

    let strings_at = HEAD_BYTES + sorted.len() * ENTRY_BYTES;
    let mut strings = Strings { start: strings_at, bytes: Vec::new(), known: BTreeMap::new() };
    let mut body = Numbers { bytes: Vec::new(), encoding };
    for entry in &sorted {
        body.u32(entry.flags);
        body.u32(strings.offset(&entry.name)?);
        body.u32(strings.offset(&entry.path)?);
        body.u32(0);
        body.u64(entry.hwcap(&subdirectories));
    }
    let names: Vec<u32> =
        subdirectories.iter().map(|name| strings.offset(name.as_bytes())).collect::<Result<_, _>>()?;

    let strings_end = strings_at + strings.bytes.len();
    let extensions_at = strings_end.next_multiple_of(4);
    let mut head = Numbers { bytes: MAGIC.to_vec(), encoding };
    head.u32(size(sorted.len())?);
    head.u32(size(strings.bytes.len())?);
    // `cache_file_new_flags_endian_current`.
    head.bytes.extend([if encoding == Encoding::Little { 2 } else { 3 }, 0, 0, 0]);
    head.u32(size(extensions_at)?);
    head.bytes.extend([0; 12]);

    let mut bytes = head.bytes;
    bytes.extend(body.bytes);
    bytes.extend(strings.bytes);
    bytes.resize(extensions_at, 0);
    bytes.extend(extensions(extensions_at, &names, encoding, generator)?);
    Ok(bytes)
}

/// `write_extensions`: the directory, then the array of names, then the generator, which need not be aligned.
fn extensions(at: usize, names: &[u32], encoding: Encoding, generator: &str) -> Result<Vec<u8>, TooLarge> {
    const HEAD: usize = 8;
    const SECTION: usize = 16;
    let sections = if names.is_empty() { 1 } else { 2 };
    let names_at = at + HEAD + sections * SECTION;
    let generator_at = names_at + names.len() * 4;
    let mut directory = Numbers { bytes: Vec::new(), encoding };
    directory.u32(EXTENSIONS_MAGIC);
    directory.u32(size(sections)?);
    let mut section = |tag: u32, at: usize, length: usize| {
        for number in [tag, 0, size(at)?, size(length)?] {
            directory.u32(number);
        }
        Ok(())
    };
    section(EXTENSION_GENERATOR, generator_at, generator.len())?;
    if !names.is_empty() {
        section(EXTENSION_HWCAPS, names_at, names.len() * 4)?;
    }
    for name in names {
        directory.u32(*name);
    }
    directory.bytes.extend(generator.bytes());
    Ok(directory.bytes)
}

impl NewEntry {
    fn subdirectory(&self) -> Option<&str> {
        match &self.capability {
            Capability::Subdirectory { name, .. } => Some(name),
            Capability::Bits(_) => None,
        }
    }

    fn hwcap(&self, subdirectories: &BTreeSet<&str>) -> u64 {
        match &self.capability {
            Capability::Bits(bits) => *bits,
            Capability::Subdirectory { name, isa_level } => {
                // Numbered in the order of their names (`glibc_hwcaps_subdirectories` after `assign_glibc_hwcaps_indices`).
                let index = subdirectories.iter().take_while(|other| **other != name).count();
                HWCAP_EXTENSION | u64::from(*isa_level) << 32 | index as u64
            }
        }
    }
}

/// `compare` of `elf/cache.c`: names downwards; of one name, entries of subdirectories first, for the loader stops at the
/// first one that is not.
fn order(left: &NewEntry, right: &NewEntry) -> Ordering {
    let names = compare_names(right.name.as_bstr(), left.name.as_bstr());
    names.then(right.flags.cmp(&left.flags)).then_with(|| match (&left.capability, &right.capability) {
        (Capability::Subdirectory { .. }, Capability::Bits(_)) => Ordering::Less,
        (Capability::Bits(_), Capability::Subdirectory { .. }) => Ordering::Greater,
        (Capability::Bits(left), Capability::Bits(right)) => right.cmp(left),
        (
            Capability::Subdirectory { name, isa_level },
            Capability::Subdirectory { name: other_name, isa_level: other_level },
        ) => name.cmp(other_name).then(other_level.cmp(isa_level)),
    })
}

fn size(number: usize) -> Result<u32, TooLarge> {
    u32::try_from(number).map_err(|_| TooLarge)
}

/// The string table: each string once.
struct Strings<'a> {
    start: usize,
    bytes: Vec<u8>,
    known: BTreeMap<&'a [u8], u32>,
}

impl<'a> Strings<'a> {
    fn offset(&mut self, text: &'a [u8]) -> Result<u32, TooLarge> {
        if let Some(offset) = self.known.get(text) {
            return Ok(*offset);
        }
        let offset = size(self.start + self.bytes.len())?;
        self.bytes.extend(text);
        self.bytes.push(0);
        self.known.insert(text, offset);
        Ok(offset)
    }
}

struct Numbers {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Numbers {
    fn u32(&mut self, number: u32) {
        self.bytes.extend(match self.encoding {
            Encoding::Little => number.to_le_bytes(),
            Encoding::Big => number.to_be_bytes(),
        });
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend(match self.encoding {
            Encoding::Little => number.to_le_bytes(),
            Encoding::Big => number.to_be_bytes(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capabilities, flags};
    use super::*;
    use crate::elf::{Class, Target};

    const X86_64: Target =
        Target { class: Class::Bits64, encoding: Encoding::Little, machine: object::elf::EM_X86_64.0 };

    fn entry(name: &str, path: &str, subdirectory: Option<&str>) -> NewEntry {
        let plain = NewEntry::plain(name.into(), path.into(), flags::default(X86_64));
        let capability = subdirectory.map_or(Capability::Bits(0), |name| Capability::Subdirectory {
            name: name.to_owned(),
            isa_level: 0,
        });
        NewEntry { capability, ..plain }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for encoding in [Encoding::Little, Encoding::Big] {
            let entries = [
                entry("libx.so.9", "/a/libx.so.9", None),
                entry("libx.so.10", "/a/libx.so.10", None),
                entry("liby.so.1", "/a/liby.so.1", None),
                entry("liby.so.1", "/a/glibc-hwcaps/x86-64-v3/liby.so.1", Some("x86-64-v3")),
                entry("liby.so.1", "/a/glibc-hwcaps/x86-64-v2/liby.so.1", Some("x86-64-v2")),
                entry("liby.so.1", "/later/liby.so.1", None),
            ];
            let bytes = write(&entries, encoding, "pitstop").unwrap();
            let cache = Cache::parse(&bytes, encoding).unwrap();
            let names: Vec<String> = cache.entries().map(|entry| entry.path.to_string()).collect();
            assert_eq!(
                names,
                [
                    "/a/glibc-hwcaps/x86-64-v2/liby.so.1",
                    "/a/glibc-hwcaps/x86-64-v3/liby.so.1",
                    "/a/liby.so.1",
                    "/later/liby.so.1",
                    "/a/libx.so.10",
                    "/a/libx.so.9"
                ]
            );
            let target = Target { encoding, ..X86_64 };
            let look = |name: &str, hwcaps: &[&str]| {
                let hwcaps: Vec<String> = hwcaps.iter().map(|&name| name.to_owned()).collect();
                let found = cache.lookup(name.into(), target, Capabilities { hwcaps: &hwcaps, legacy: None });
                found.map(|path| path.display().to_string())
            };
            assert_eq!(look("liby.so.1", &[]).as_deref(), Some("/a/liby.so.1"));
            let best = look("liby.so.1", &["x86-64-v3", "x86-64-v2"]);
            assert_eq!(best.as_deref(), Some("/a/glibc-hwcaps/x86-64-v3/liby.so.1"));
            assert_eq!(look("libx.so.9", &[]).as_deref(), Some("/a/libx.so.9"));
            assert_eq!(look("libz.so.1", &[]), None);
            // Written again it is the same, whatever the order of its entries.
            let again: Vec<NewEntry> = cache.to_new().collect();
            assert_eq!(write(&again, encoding, "pitstop").unwrap(), bytes);
        }
    }

    #[test]
    fn a_cache_of_nothing_is_one() {
        let bytes = write(&[], Encoding::Little, "pitstop").unwrap();
        assert_eq!(Cache::parse(&bytes, Encoding::Little).unwrap().entries().count(), 0);
    }
}
