//! Writing an index.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bstr::BString;
use foldhash::fast::RandomState;

use super::code::{checksum, pack_hash, put_after, put_number, put_string};
use super::{
    Counts, FOLDERS_IN_BLOCK, Form, Kind, Library, MAGIC, Made, NAMES_BLOCK_BYTES, PACKAGES_IN_BLOCK,
    PREAMBLE_BYTES, VERSION,
};
use crate::index::Package;

/// An index would need more than its numbers can say: 4 GiB, where real ones have a few megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are too many libraries for one index")]
pub struct TooLarge;

/// Numbers for strings, in the order in which they were first seen.
#[derive(Default)]
struct Numbers {
    numbers: HashMap<BString, u32, RandomState>,
}

impl Numbers {
    fn of(&mut self, string: &[u8]) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        if let Some(&number) = self.numbers.get(bstr::BStr::new(string)) {
            return number;
        }
        match self.numbers.entry(string.into()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => *free.insert(next),
        }
    }

    /// The strings in another order, and for each old number the new one.
    fn sorted(self, order: impl FnOnce(&mut Vec<(BString, u32)>)) -> (Vec<BString>, Vec<u32>) {
        let mut strings: Vec<(BString, u32)> = self.numbers.into_iter().collect();
        order(&mut strings);
        let mut places = vec![0; strings.len()];
        for (new, (_, old)) in (0..).zip(&strings) {
            places[*old as usize] = new;
        }
        (strings.into_iter().map(|(string, _)| string).collect(), places)
    }
}

#[derive(Clone, Copy)]
struct Held {
    name: u32,
    package: u32,
    folder: u32,
    form: Form,
}

/// A package, and the size of its closure in bytes, where that is known.
type Known = (Package, Option<u64>);

/// A package of a [`Builder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageNumber(u32);

/// Gathers the libraries of packages, and makes an index of them.
#[derive(Default)]
pub struct Builder {
    names: Numbers,
    folders: Numbers,
    packages: Vec<Known>,
    held: Vec<Held>,
}

impl Builder {
    /// Adds a package, with the size in bytes of all that it needs, where that is known. One that holds no library need not
    /// be added.
    pub fn package(&mut self, package: Package, closure: Option<u64>) -> PackageNumber {
        self.packages.push((package, closure));
        PackageNumber(u32::try_from(self.packages.len() - 1).unwrap_or(u32::MAX))
    }

    /// Says that a package has a library.
    pub fn holds(&mut self, package: PackageNumber, library: Library<'_>, form: Form) {
        let (name, folder) = (self.names.of(library.name), self.folders.of(library.folder));
        self.held.push(Held { name, package: package.0, folder, form });
    }

    /// How many libraries there are so far.
    #[must_use]
    pub const fn libraries(&self) -> usize {
        self.held.len()
    }

    /// The index, as the bytes of its file.
    pub fn finish(mut self, made: &Made) -> Result<Vec<u8>, TooLarge> {
        let (names, name_places) = self.names.sorted(|names| names.sort_unstable());
        let mut often = vec![0_u32; self.folders.numbers.len()];
        for held in &self.held {
            often[held.folder as usize] += 1;
        }
        let often = |folder: u32| std::cmp::Reverse(often[folder as usize]);
        let (folders, folder_places) = self
            .folders
            .sorted(|folders| folders.sort_unstable_by(|a, b| (often(a.1), &a.0).cmp(&(often(b.1), &b.0))));
        let (packages, package_places) = sorted(self.packages);
        for held in &mut self.held {
            held.name = name_places[held.name as usize];
            held.folder = folder_places[held.folder as usize];
            held.package = package_places[held.package as usize];
        }
        self.held.sort_unstable_by_key(|held| (held.name, held.package, held.folder));
        self.held.dedup_by_key(|held| (held.name, held.package, held.folder));

        let mut words = Numbers::default();
        let mut blocks = Blocks::default();
        let package_blocks = blocks.packages(&packages, &mut words);
        let folder_blocks = blocks.folders(&folders);
        let name_blocks = blocks.names(&names, &self.held);

        let counts = Counts {
            names: blocks.names_written,
            libraries: self.held.len() as u64,
            packages: packages.len() as u64,
        };
        let mut head = head(made, counts);
        let (words, _) = words.sorted(|words| words.sort_unstable_by_key(|(_, number)| *number));
        put_number(&mut head, words.len() as u64);
        for word in &words {
            put_string(&mut head, word);
        }
        put_number(&mut head, folders.len() as u64);
        for lengths in [package_blocks, folder_blocks] {
            put_number(&mut head, lengths.len() as u64);
            for length in lengths {
                put_number(&mut head, length);
            }
        }
        put_number(&mut head, name_blocks.len() as u64);
        let mut before: &[u8] = b"";
        for (length, first) in &name_blocks {
            put_number(&mut head, *length);
            put_after(&mut head, before, first);
            before = first;
        }
        whole(&head, &blocks.bytes)
    }
}

/// Packages by attribute, and for each old place the new one.
fn sorted(packages: Vec<Known>) -> (Vec<Known>, Vec<u32>) {
    let mut packages: Vec<(Known, usize)> = packages.into_iter().zip(0..).collect();
    packages.sort_unstable_by(|((a, _), _), ((b, _), _)| {
        (&a.origin.attribute, &a.origin.output, &a.path).cmp(&(
            &b.origin.attribute,
            &b.origin.output,
            &b.path,
        ))
    });
    let mut places = vec![0; packages.len()];
    for (new, (_, old)) in (0..).zip(&packages) {
        places[*old] = new;
    }
    (packages.into_iter().map(|(package, _)| package).collect(), places)
}

/// The part of the head that says what the index is.
fn head(made: &Made, counts: Counts) -> Vec<u8> {
    let mut head = vec![match made.kind {
        Kind::Nix => 0,
        Kind::Debian => 1,
    }];
    put_number(&mut head, made.built);
    head.extend_from_slice(&made.digest);
    for count in [counts.names, counts.libraries, counts.packages] {
        put_number(&mut head, count);
    }
    put_number(&mut head, made.sources.len() as u64);
    for source in &made.sources {
        put_string(&mut head, &source.place);
        head.push(u8::from(source.stamp.is_some()));
        if let Some(stamp) = source.stamp {
            for number in [stamp.size, stamp.modified, stamp.inode, stamp.device] {
                put_number(&mut head, number);
            }
        }
    }
    head
}

fn whole(head: &[u8], blocks: &[u8]) -> Result<Vec<u8>, TooLarge> {
    let length = PREAMBLE_BYTES + head.len() + blocks.len();
    let mut file = Vec::with_capacity(length);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&u32::try_from(head.len()).map_err(|_| TooLarge)?.to_le_bytes());
    file.extend_from_slice(&u64::from(u32::try_from(length).map_err(|_| TooLarge)?).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(head).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(head);
    file.extend_from_slice(blocks);
    Ok(file)
}

/// The blocks as they are written one behind the other.
#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
    written: u64,
    names_written: u64,
}

impl Blocks {
    /// Adds a block; gives its length with its checksum.
    fn add(&mut self, records: &[u8]) -> u64 {
        self.bytes.extend_from_slice(records);
        self.bytes.extend_from_slice(&checksum(self.written, records));
        self.written += 1;
        (records.len() + super::CHECKSUM_BYTES) as u64
    }

    fn packages(&mut self, packages: &[Known], words: &mut Numbers) -> Vec<u64> {
        let blocks = packages.chunks(PACKAGES_IN_BLOCK).map(|chunk| {
            let mut records = Vec::new();
            let mut before: &[u8] = b"";
            for package in chunk {
                put_package(&mut records, before, package, words);
                before = package.0.origin.attribute.as_bytes();
            }
            self.add(&records)
        });
        blocks.collect()
    }

    fn folders(&mut self, folders: &[BString]) -> Vec<u64> {
        let blocks = folders.chunks(FOLDERS_IN_BLOCK).map(|chunk| {
            let mut records = Vec::new();
            for folder in chunk {
                put_string(&mut records, folder);
            }
            self.add(&records)
        });
        blocks.collect()
    }

    /// Names and who holds them; gives each block's length and first name. `held` is in the order of names.
    fn names(&mut self, names: &[BString], held: &[Held]) -> Vec<(u64, BString)> {
        let mut blocks = Vec::new();
        let mut records = Vec::new();
        let mut first: Option<&BString> = None;
        let mut before: &[u8] = b"";
        for holders in held.chunk_by(|a, b| a.name == b.name) {
            let name = &names[holders[0].name as usize];
            if records.len() >= NAMES_BLOCK_BYTES
                && let Some(first) = first.take()
            {
                blocks.push((self.add(&records), first.clone()));
                records.clear();
                before = b"";
            }
            first.get_or_insert(name);
            put_after(&mut records, before, name);
            before = name;
            self.names_written += 1;
            put_number(&mut records, holders.len() as u64);
            let mut last = 0;
            for holder in holders {
                put_number(&mut records, u64::from(holder.package - last));
                let form = match holder.form {
                    Form::File => 0,
                    Form::Link => 1,
                    Form::LinkOutside => 2,
                };
                put_number(&mut records, u64::from(holder.folder) << 2 | form);
                last = holder.package;
            }
        }
        if let Some(first) = first {
            blocks.push((self.add(&records), first.clone()));
        }
        blocks
    }
}

pub(super) const TOPLEVEL: u64 = 1;
pub(super) const HASH_PACKED: u64 = 2;
pub(super) const HAS_SYSTEM: u64 = 4;
pub(super) const HAS_CLOSURE: u64 = 8;

fn put_package(to: &mut Vec<u8>, before: &[u8], package: &Known, words: &mut Numbers) {
    let (Package { path, origin }, closure) = package;
    let hash = pack_hash(&path.hash);
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    put_number(
        to,
        flag(origin.toplevel, TOPLEVEL)
            | flag(hash.is_some(), HASH_PACKED)
            | flag(origin.system.is_some(), HAS_SYSTEM)
            | flag(closure.is_some(), HAS_CLOSURE),
    );
    put_number(to, u64::from(words.of(path.store_dir.as_bytes())));
    match hash {
        Some(packed) => to.extend_from_slice(&packed),
        None => put_string(to, path.hash.as_bytes()),
    }
    put_after(to, before, origin.attribute.as_bytes());
    put_number(to, u64::from(words.of(origin.output.as_bytes())));
    if let Some(system) = &origin.system {
        put_number(to, u64::from(words.of(system.as_bytes())));
    }
    put_after(to, last_part(origin.attribute.as_bytes()), path.name.as_bytes());
    if let Some(closure) = closure {
        put_number(to, *closure);
    }
}

/// What stands behind the last dot of an attribute, with which a package's name mostly begins.
pub(super) fn last_part(attribute: &[u8]) -> &[u8] {
    attribute.rsplit(|&letter| letter == b'.').next().unwrap_or_default()
}
