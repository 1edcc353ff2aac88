//! Reading an index: the head when it is opened, and then only the blocks that a question needs.

use std::ops::Range;

use bstr::BString;

use super::code::{Bytes, HASH_BYTES, Malformed, checksum, unpack_hash};
use super::write::{HAS_CLOSURE, HAS_SYSTEM, HASH_PACKED, TOPLEVEL, last_part};
use super::{
    CHECKSUM_BYTES, Counts, FOLDERS_IN_BLOCK, Form, Holder, Kind, MAGIC, Made, PACKAGES_IN_BLOCK,
    PREAMBLE_BYTES, SonamesError, SourceFile, Stamp, VERSION,
};
use crate::elf::Source;
use crate::index::{Origin, Package, StorePath};

/// Bytes of the first read: mostly the whole head.
const FIRST_BYTES: usize = 32 << 10;

/// An open index.
#[derive(Debug)]
pub struct Sonames<S> {
    source: S,
    pub(super) head: Head,
}

#[derive(Debug)]
pub(super) struct Head {
    made: Made,
    counts: Counts,
    words: Vec<String>,
    folders: usize,
    /// Where each block lies, its checksum included.
    pub(super) blocks: Vec<Range<u64>>,
    /// Which blocks hold packages, folders, names.
    pub(super) of_packages: Range<usize>,
    pub(super) of_folders: Range<usize>,
    pub(super) of_names: Range<usize>,
    /// The first name of each block of names, one behind the other, and where each ends.
    firsts: Vec<u8>,
    first_ends: Vec<usize>,
}

impl<S: Source> Sonames<S> {
    /// Reads the head of an index.
    pub fn open(source: S) -> Result<Self, SonamesError> {
        let size = source.size_bytes();
        let mut first = vec![0; usize::try_from(size).unwrap_or(FIRST_BYTES).min(FIRST_BYTES)];
        source.read_exact_at(0, &mut first)?;
        let Some(preamble) = first.first_chunk::<PREAMBLE_BYTES>() else {
            let known = first.len().min(MAGIC.len());
            return Err(if first[..known] == MAGIC[..known] && known > 0 {
                SonamesError::Length { expected: PREAMBLE_BYTES as u64, found: size }
            } else {
                SonamesError::Foreign
            });
        };
        let (head_length, head_checksum) = preamble_says(preamble, size)?;
        let end = (PREAMBLE_BYTES as u64) + u64::from(head_length);
        if end > size {
            return Err(damaged(0, "its head is longer than it is"));
        }
        let end = usize::try_from(end).map_err(|_| damaged(0, "its head is too long"))?;
        let read = first.len().min(end);
        first.resize(end, 0);
        source.read_exact_at(read as u64, &mut first[read..])?;
        let bytes = &first[PREAMBLE_BYTES..];
        if crc32fast::hash(bytes) != head_checksum {
            return Err(damaged(
                PREAMBLE_BYTES as u64,
                "its head does not have the checksum that was written",
            ));
        }
        let head = Head::parse(bytes, end as u64, size)
            .map_err(|Malformed(what)| damaged(PREAMBLE_BYTES as u64, what))?;
        Ok(Self { source, head })
    }

    /// What the index was made from.
    pub const fn made(&self) -> &Made {
        &self.head.made
    }

    /// How much is in it.
    pub const fn counts(&self) -> Counts {
        self.head.counts
    }

    /// The packages that hold a file of exactly this name, in the order of their attributes.
    pub fn holders(&self, soname: &[u8]) -> Result<Vec<Holder>, SonamesError> {
        let Some(number) = self.head.names_block(soname) else { return Ok(Vec::new()) };
        let block = self.block(number)?;
        let held = find(&block, soname).map_err(|malformed| self.at(number, malformed))?;
        let mut holders = Vec::with_capacity(held.len());
        let mut packages = self.reader();
        let mut folders = self.reader();
        for Held { package, folder, form } in held {
            let (package, closure) = packages.package(package)?;
            holders.push(Holder { package, folder: folders.folder(folder)?, form, closure });
        }
        Ok(holders)
    }

    /// The names that begin with `prefix`, in byte order; no more than `limit`.
    pub fn names(&self, prefix: &[u8], limit: usize) -> Result<Vec<BString>, SonamesError> {
        let mut found = Vec::new();
        let first = self.head.names_block(prefix).unwrap_or(self.head.of_names.start);
        for number in first..self.head.of_names.end {
            let block = self.block(number)?;
            let mut goes_on = true;
            each_name(&block, |name, _| {
                if name.starts_with(prefix) {
                    found.push(BString::from(name));
                }
                goes_on = found.len() < limit && (name.starts_with(prefix) || name < prefix);
                Ok(goes_on)
            })
            .map_err(|malformed| self.at(number, malformed))?;
            if !goes_on {
                break;
            }
        }
        Ok(found)
    }

    /// Reads every block and every record, and says what is wrong with the first that is damaged.
    pub fn verify(&self) -> Result<(), SonamesError> {
        let mut names = 0;
        let mut packages = self.reader();
        let mut folders = self.reader();
        for number in self.head.of_names.clone() {
            let block = self.block(number)?;
            let mut all = Vec::new();
            each_name(&block, |_, held| {
                names += 1;
                all.extend(held.read()?);
                Ok(true)
            })
            .map_err(|malformed| self.at(number, malformed))?;
            for held in all {
                packages.package(held.package)?;
                folders.folder(held.folder)?;
            }
        }
        if names == self.head.counts.names {
            Ok(())
        } else {
            Err(damaged(PREAMBLE_BYTES as u64, "it does not hold as many names as it says"))
        }
    }

    fn reader(&self) -> BlockReader<'_, S> {
        BlockReader { index: self, open: None }
    }

    /// The records of a block.
    fn block(&self, number: usize) -> Result<Vec<u8>, SonamesError> {
        let Some(range) = self.head.blocks.get(number) else {
            return Err(damaged(PREAMBLE_BYTES as u64, "a number leads to no block"));
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.source.read_exact_at(range.start, &mut bytes)?;
        let split = length.saturating_sub(CHECKSUM_BYTES);
        if checksum(number as u64, &bytes[..split]) != bytes[split..] {
            return Err(damaged(range.start, "a block does not have the checksum that was written"));
        }
        bytes.truncate(split);
        Ok(bytes)
    }

    fn at(&self, block: usize, malformed: Malformed) -> SonamesError {
        damaged(self.head.blocks.get(block).map_or(0, |range| range.start), malformed.0)
    }
}

const fn damaged(offset: u64, what: &'static str) -> SonamesError {
    SonamesError::Damaged { offset, what }
}

/// The length and the checksum of the head, once the preamble is found to be one.
fn preamble_says(preamble: &[u8; PREAMBLE_BYTES], size: u64) -> Result<(u32, u32), SonamesError> {
    let u32_at =
        |at: usize| u32::from_le_bytes([preamble[at], preamble[at + 1], preamble[at + 2], preamble[at + 3]]);
    if preamble[..MAGIC.len()] != MAGIC {
        return Err(SonamesError::Foreign);
    }
    // A later version may have another preamble; that it is another version is all that is said then.
    let version = u32_at(8);
    if version != VERSION {
        return Err(SonamesError::Version { found: version });
    }
    if crc32fast::hash(&preamble[..PREAMBLE_BYTES - 4]) != u32_at(28) {
        return Err(damaged(0, "its first bytes do not have the checksum that was written"));
    }
    let expected = u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32;
    if expected != size {
        return Err(SonamesError::Length { expected, found: size });
    }
    Ok((u32_at(12), u32_at(24)))
}

impl Head {
    fn parse(bytes: &[u8], end: u64, size: u64) -> Result<Self, Malformed> {
        let mut bytes = Bytes::new(bytes);
        let kind = match bytes.byte()? {
            0 => Kind::Nix,
            1 => Kind::Debian,
            _ => return Err(Malformed("its kind is none that is known")),
        };
        let built = bytes.number()?;
        let mut digest = [0; 32];
        digest.copy_from_slice(bytes.take(32)?);
        let counts = Counts { names: bytes.number()?, libraries: bytes.number()?, packages: bytes.number()? };
        let sources = list(&mut bytes, source)?;
        let words = list(&mut bytes, |bytes| text(bytes.string()?))?;
        let folders = bytes.size()?;
        let mut lengths = list(&mut bytes, Bytes::number)?;
        let of_packages = 0..lengths.len();
        lengths.extend(list(&mut bytes, Bytes::number)?);
        let of_folders = of_packages.end..lengths.len();
        let (mut firsts, mut first_ends, mut first) = (Vec::new(), Vec::new(), Vec::new());
        lengths.extend(list(&mut bytes, |bytes| {
            let length = bytes.number()?;
            bytes.after(&mut first)?;
            firsts.extend_from_slice(&first);
            first_ends.push(firsts.len());
            Ok(length)
        })?);
        let of_names = of_folders.end..lengths.len();
        let mut start = end;
        let mut blocks = Vec::with_capacity(lengths.len());
        for length in lengths {
            let end = start.checked_add(length).filter(|end| *end <= size);
            let end = end.ok_or(Malformed("its blocks are longer than it is"))?;
            blocks.push(start..end);
            start = end;
        }
        if start != size || !bytes.is_empty() {
            return Err(Malformed("its parts do not make up the whole"));
        }
        let made = Made { kind, sources, digest, built };
        Ok(Self {
            made,
            counts,
            words,
            folders,
            blocks,
            of_packages,
            of_folders,
            of_names,
            firsts,
            first_ends,
        })
    }

    fn first(&self, block: usize) -> &[u8] {
        let start = block.checked_sub(1).map_or(0, |before| self.first_ends[before]);
        &self.firsts[start..self.first_ends[block]]
    }

    /// The block in which a name stands if it stands anywhere.
    fn names_block(&self, name: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.first_ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first(middle) <= name { low = middle + 1 } else { high = middle }
        }
        Some(self.of_names.start + low.checked_sub(1)?)
    }

    fn word(&self, bytes: &mut Bytes<'_>) -> Result<&str, Malformed> {
        let word = self.words.get(bytes.size()?);
        word.map(String::as_str).ok_or(Malformed("a number leads to no word"))
    }
}

/// A number of things, and those.
fn list<'a, T>(
    bytes: &mut Bytes<'a>,
    mut one: impl FnMut(&mut Bytes<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = bytes.size()?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(one(bytes)?);
    }
    Ok(all)
}

fn source(bytes: &mut Bytes<'_>) -> Result<SourceFile, Malformed> {
    let place = bytes.string()?.into();
    let stamp = match bytes.byte()? {
        0 => None,
        _ => Some(Stamp {
            size: bytes.number()?,
            modified: bytes.number()?,
            inode: bytes.number()?,
            device: bytes.number()?,
        }),
    };
    Ok(SourceFile { place, stamp })
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_owned()).map_err(|_| Malformed("a word is not UTF-8"))
}

/// A library of a package, by numbers.
struct Held {
    package: usize,
    folder: usize,
    form: Form,
}

/// The holders of a name, not yet read.
struct Holders<'b, 'a> {
    count: usize,
    bytes: &'b mut Bytes<'a>,
}

impl Holders<'_, '_> {
    fn read(self) -> Result<Vec<Held>, Malformed> {
        let mut all = Vec::new();
        let mut package = 0_usize;
        for _ in 0..self.count {
            package = package.checked_add(self.bytes.size()?).ok_or(Malformed("a number is too large"))?;
            let folder = self.bytes.size()?;
            let form = match folder & 3 {
                0 => Form::File,
                1 => Form::Link,
                2 => Form::LinkOutside,
                _ => return Err(Malformed("a library is neither a file nor a link")),
            };
            all.push(Held { package, folder: folder >> 2, form });
        }
        Ok(all)
    }

    fn skip(self) -> Result<(), Malformed> {
        for _ in 0..self.count {
            self.bytes.number()?;
            self.bytes.number()?;
        }
        Ok(())
    }
}

/// Goes through the names of a block for as long as `visit` says; what it does not read of a name is passed over.
fn each_name(
    block: &[u8],
    mut visit: impl FnMut(&[u8], Holders<'_, '_>) -> Result<bool, Malformed>,
) -> Result<(), Malformed> {
    let mut bytes = Bytes::new(block);
    let mut name = Vec::new();
    while !bytes.is_empty() {
        bytes.after(&mut name)?;
        let count = bytes.size()?;
        let mut ahead = bytes.clone();
        let goes_on = visit(&name, Holders { count, bytes: &mut ahead })?;
        if !goes_on {
            break;
        }
        Holders { count, bytes: &mut bytes }.skip()?;
    }
    Ok(())
}

/// The holders of one name in a block.
fn find(block: &[u8], soname: &[u8]) -> Result<Vec<Held>, Malformed> {
    let mut found = Vec::new();
    each_name(block, |name, holders| {
        if name == soname {
            found = holders.read()?;
        }
        Ok(name < soname)
    })?;
    Ok(found)
}

/// Reads records of blocks, and keeps the last block at hand: what is asked for comes mostly in order.
struct BlockReader<'i, S> {
    index: &'i Sonames<S>,
    open: Option<(usize, Vec<u8>)>,
}

impl<'i, S: Source> BlockReader<'i, S> {
    fn open(&mut self, number: usize) -> Result<&[u8], SonamesError> {
        if !matches!(&self.open, Some((open, _)) if *open == number) {
            self.open = Some((number, self.index.block(number)?));
        }
        Ok(self.open.as_ref().map_or(&[], |(_, bytes)| bytes.as_slice()))
    }

    fn package(&mut self, package: usize) -> Result<(Package, Option<u64>), SonamesError> {
        let index: &'i Sonames<S> = self.index;
        let number = package / PACKAGES_IN_BLOCK;
        if !index.head.of_packages.contains(&number) {
            return Err(damaged(PREAMBLE_BYTES as u64, "a number leads to no package"));
        }
        let bytes = self.open(number)?;
        package_in(bytes, package % PACKAGES_IN_BLOCK, &index.head)
            .map_err(|malformed| index.at(number, malformed))
    }

    fn folder(&mut self, folder: usize) -> Result<BString, SonamesError> {
        let index: &'i Sonames<S> = self.index;
        let number = index.head.of_folders.start + folder / FOLDERS_IN_BLOCK;
        if folder >= index.head.folders || !index.head.of_folders.contains(&number) {
            return Err(damaged(PREAMBLE_BYTES as u64, "a number leads to no folder"));
        }
        let mut bytes = Bytes::new(self.open(number)?);
        let mut read = || {
            for _ in 0..folder % FOLDERS_IN_BLOCK {
                bytes.string()?;
            }
            bytes.string()
        };
        read().map(BString::from).map_err(|malformed| index.at(number, malformed))
    }
}

/// The package at a place in its block, and the size of its closure.
fn package_in(block: &[u8], place: usize, head: &Head) -> Result<(Package, Option<u64>), Malformed> {
    let mut bytes = Bytes::new(block);
    let mut attribute = Vec::new();
    for at in 0..=place {
        let flags = bytes.number()?;
        let store_dir = head.word(&mut bytes)?;
        let hash = if flags & HASH_PACKED == 0 { bytes.string()? } else { bytes.take(HASH_BYTES)? };
        bytes.after(&mut attribute)?;
        let output = head.word(&mut bytes)?;
        let system = if flags & HAS_SYSTEM == 0 { None } else { Some(head.word(&mut bytes)?) };
        let (shared, rest) = (bytes.size()?, bytes.string()?);
        let closure = if flags & HAS_CLOSURE == 0 { None } else { Some(bytes.number()?) };
        if at < place {
            continue;
        }
        let start =
            last_part(&attribute).get(..shared).ok_or(Malformed("a name shares more than there is"))?;
        let package = Package {
            path: StorePath {
                store_dir: store_dir.to_owned(),
                hash: if flags & HASH_PACKED == 0 { text(hash)? } else { unpack_hash(hash) },
                name: text(&[start, rest].concat())?,
            },
            origin: Origin {
                attribute: text(&attribute)?,
                output: output.to_owned(),
                toplevel: flags & TOPLEVEL != 0,
                system: system.map(str::to_owned),
            },
        };
        return Ok((package, closure));
    }
    Err(Malformed("a block has no such package"))
}
