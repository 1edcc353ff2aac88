//! Whether a file defines a symbol, found as a loader finds it: through the hash tables.

use object::elf;
use object::endian::{Endianness, U32, U64};
use object::pod::Pod;
use object::read::elf::{FileHeader, Sym};

use super::dynamic::{Dynamic, Strings};
use super::error::{ElfError, Fault, Structure};
use super::image::Image;
use super::limits::MAX_CHAIN;
use super::{Class, Source};

impl<S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'_, S, H> {
    /// Looks `name` up in `DT_GNU_HASH`, else in `DT_HASH`; a file with neither offers no symbol to a loader.
    pub(super) fn defines(&mut self, name: &[u8]) -> Result<bool, ElfError> {
        let Some(dynamic) = self.dynamic()? else { return Ok(false) };
        if let Some(address) = dynamic.gnu_hash {
            self.defines_by_gnu_hash(address, &dynamic, name)
        } else if let Some(address) = dynamic.hash {
            self.defines_by_hash(address, &dynamic, name)
        } else {
            Ok(false)
        }
    }

    /// The GNU hash table: a header, a Bloom filter, buckets, and chains of hash values whose lowest bit ends a chain.
    fn defines_by_gnu_hash(&mut self, at: u64, dynamic: &Dynamic, name: &[u8]) -> Result<bool, ElfError> {
        let endian = self.endian;
        let hash = elf::gnu_hash(name);
        let (header, offset): (elf::GnuHashHeader<Endianness>, u64) =
            self.read_at(at, dynamic.offset, Structure::Hash)?;
        let bucket_count = header.bucket_count.get(endian);
        let symbol_base = header.symbol_base.get(endian);
        let bloom_count = header.bloom_count.get(endian);
        if bucket_count == 0 {
            return Ok(false);
        }
        let word_bytes = match self.target.class {
            Class::Bits32 => 4,
            Class::Bits64 => 8,
        };
        let fail = |fault| ElfError::new(Structure::Hash, offset, fault);
        let start = at.checked_add(size_of_val(&header) as u64).ok_or(fail(Fault::OutOfBounds))?;
        let buckets =
            start.checked_add(u64::from(bloom_count) * word_bytes).ok_or(fail(Fault::OutOfBounds))?;
        if bloom_count > 0 && !self.may_have(start, offset, bloom_count, hash, &header)? {
            return Ok(false);
        }
        let values = buckets.checked_add(u64::from(bucket_count) * 4).ok_or(fail(Fault::OutOfBounds))?;
        let bucket: u32 = self.word(buckets, u64::from(hash % bucket_count), offset)?;
        if bucket < symbol_base || bucket == 0 {
            return Ok(false);
        }
        let strings = self.strings(dynamic)?;
        for step in 0..MAX_CHAIN as u64 {
            let index = u64::from(bucket) + step;
            let value = self.word(values, index - u64::from(symbol_base), offset)?;
            if value | 1 == hash | 1 && self.is_definition(dynamic, &strings, index, name)? {
                return Ok(true);
            }
            if value & 1 == 1 {
                return Ok(false);
            }
        }
        Err(fail(Fault::TooMany(MAX_CHAIN)))
    }

    /// Asks the Bloom filter; its number of words is a power of two.
    fn may_have(
        &mut self,
        start: u64,
        offset: u64,
        count: u32,
        hash: u32,
        header: &elf::GnuHashHeader<Endianness>,
    ) -> Result<bool, ElfError> {
        let endian = self.endian;
        let second = hash.checked_shr(header.bloom_shift.get(endian)).unwrap_or(0);
        let (bits, filter) = match self.target.class {
            Class::Bits32 => {
                let index = (hash / 32) & (count - 1);
                (32, u64::from(self.word(start, index.into(), offset)?))
            }
            Class::Bits64 => {
                let index = (hash / 64) & (count - 1);
                (64, self.entry::<U64<Endianness>>(start, index.into(), offset)?.get(endian))
            }
        };
        Ok(filter >> (hash % bits) & 1 == 1 && filter >> (second % bits) & 1 == 1)
    }

    /// The System V hash table (gABI chapter 5, "Hash Table"): counts, buckets, chains of symbol indexes.
    fn defines_by_hash(&mut self, at: u64, dynamic: &Dynamic, name: &[u8]) -> Result<bool, ElfError> {
        // On these two machines the table has 64-bit words.
        let machine = elf::Machine(self.target.machine);
        let wide = self.target.class == Class::Bits64 && matches!(machine, elf::EM_ALPHA | elf::EM_S390);
        let from = dynamic.offset;
        let word = |image: &mut Self, index: u64| -> Result<u64, ElfError> {
            if wide {
                Ok(image.entry::<U64<Endianness>>(at, index, from)?.get(image.endian))
            } else {
                Ok(image.word(at, index, from)?.into())
            }
        };
        let bucket_count = word(self, 0)?;
        if bucket_count == 0 {
            return Ok(false);
        }
        let strings = self.strings(dynamic)?;
        let fail = |fault| ElfError::new(Structure::Hash, from, fault);
        let mut index = word(self, 2 + u64::from(elf::hash(name)) % bucket_count)?;
        for _ in 0..MAX_CHAIN {
            if index == 0 {
                return Ok(false);
            }
            if self.is_definition(dynamic, &strings, index, name)? {
                return Ok(true);
            }
            let place = index.checked_add(bucket_count).and_then(|sum| sum.checked_add(2));
            index = word(self, place.ok_or(fail(Fault::OutOfBounds))?)?;
        }
        Err(fail(Fault::TooMany(MAX_CHAIN)))
    }

    /// Whether the symbol has this name and is defined here.
    fn is_definition(
        &mut self,
        dynamic: &Dynamic,
        strings: &Strings,
        index: u64,
        name: &[u8],
    ) -> Result<bool, ElfError> {
        let what = Structure::Symbols;
        let fail = |fault| ElfError::new(what, dynamic.offset, fault);
        let table = dynamic.symtab.ok_or(fail(Fault::NoTable("DT_SYMTAB")))?;
        let address = index
            .checked_mul(size_of::<H::Sym>() as u64)
            .and_then(|distance| table.checked_add(distance))
            .ok_or(fail(Fault::OutOfBounds))?;
        let (symbol, offset): (H::Sym, u64) = self.read_at(address, dynamic.offset, what)?;
        if symbol.is_undefined(self.endian) {
            return Ok(false);
        }
        let at = strings.start.saturating_add(symbol.st_name(self.endian).into());
        if strings.end.saturating_sub(at) <= name.len() as u64 {
            // Too close to the end of the table to be the name, or out of it.
            let outside = ElfError::new(what, offset, Fault::OutOfBounds);
            return if at < strings.end { Ok(false) } else { Err(outside) };
        }
        self.bytes.string_is(at, name, Structure::String)
    }

    fn word(&mut self, table: u64, index: u64, from: u64) -> Result<u32, ElfError> {
        Ok(self.entry::<U32<Endianness>>(table, index, from)?.get(self.endian))
    }

    fn entry<T: Pod>(&mut self, table: u64, index: u64, from: u64) -> Result<T, ElfError> {
        let address = index
            .checked_mul(size_of::<T>() as u64)
            .and_then(|distance| table.checked_add(distance))
            .ok_or(ElfError::new(Structure::Hash, from, Fault::OutOfBounds))?;
        Ok(self.read_at(address, from, Structure::Hash)?.0)
    }
}
