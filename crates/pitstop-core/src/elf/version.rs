//! Versions needed and versions defined: the GNU symbol versioning extension (LSB Core, "Symbol Versioning").
//!
//! Both tables are chains of relative offsets. Like glibc (`_dl_check_map_versions` in elf/dl-version.c) this follows
//! each chain until an offset is zero, and does not ask `DT_VERNEEDNUM`, `vn_cnt` and the like.

use bstr::BString;
use object::Endianness;
use object::elf::{self, VER_FLG_BASE, VER_FLG_WEAK};
use object::read::elf::FileHeader;

use super::dynamic::Strings;
use super::error::{ElfError, Fault, Structure};
use super::image::Image;
use super::limits::MAX_VERSIONS;
use super::{NeededVersion, Source, VersionNeed};

/// How many more entries a file may have.
pub(super) struct Allowance(usize);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(MAX_VERSIONS)
    }

    fn spend(&mut self, what: Structure, offset: u64) -> Result<(), ElfError> {
        self.0 = self.0.checked_sub(1).ok_or(ElfError::new(what, offset, Fault::TooMany(MAX_VERSIONS)))?;
        Ok(())
    }
}

impl<S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'_, S, H> {
    /// Reads the chain of `Elf_Verneed` at `address`.
    pub(super) fn version_needs(
        &mut self,
        mut address: u64,
        mut from: u64,
        strings: &Strings,
        allowance: &mut Allowance,
    ) -> Result<Vec<VersionNeed>, ElfError> {
        let (endian, what) = (self.endian, Structure::Verneed);
        let mut needs = Vec::new();
        loop {
            let (need, offset): (elf::Verneed<Endianness>, u64) = self.read_at(address, from, what)?;
            from = offset;
            allowance.spend(what, offset)?;
            let version = need.vn_version.get(endian);
            if version != elf::VER_NEED_CURRENT {
                return Err(ElfError::new(what, offset, Fault::Unsupported(version.into())));
            }
            let file = self.string(strings, need.vn_file.get(endian).into())?;
            let entries = step(address, need.vn_aux.get(endian), what, offset)?;
            let versions = self.needed_versions(entries, offset, strings, allowance)?;
            needs.push(VersionNeed { file, versions });
            match need.vn_next.get(endian) {
                0 => return Ok(needs),
                next => address = step(address, next, what, offset)?,
            }
        }
    }

    fn needed_versions(
        &mut self,
        mut address: u64,
        mut from: u64,
        strings: &Strings,
        allowance: &mut Allowance,
    ) -> Result<Vec<NeededVersion>, ElfError> {
        let (endian, what) = (self.endian, Structure::Verneed);
        let mut versions = Vec::new();
        loop {
            let (entry, offset): (elf::Vernaux<Endianness>, u64) = self.read_at(address, from, what)?;
            from = offset;
            allowance.spend(what, offset)?;
            let name = self.string(strings, entry.vna_name.get(endian).into())?;
            let weak = entry.vna_flags.get(endian).contains(VER_FLG_WEAK);
            versions.push(NeededVersion { name, weak });
            match entry.vna_next.get(endian) {
                0 => return Ok(versions),
                next => address = step(address, next, what, offset)?,
            }
        }
    }

    /// Reads the chain of `Elf_Verdef` at `address`: of each definition its own name, not those of its parents.
    pub(super) fn version_definitions(
        &mut self,
        mut address: u64,
        mut from: u64,
        strings: &Strings,
        allowance: &mut Allowance,
    ) -> Result<Vec<BString>, ElfError> {
        let (endian, what) = (self.endian, Structure::Verdef);
        let mut names = Vec::new();
        loop {
            let (definition, offset): (elf::Verdef<Endianness>, u64) = self.read_at(address, from, what)?;
            from = offset;
            allowance.spend(what, offset)?;
            let version = definition.vd_version.get(endian);
            if version != elf::VER_DEF_CURRENT {
                return Err(ElfError::new(what, offset, Fault::Unsupported(version.into())));
            }
            if !definition.vd_flags.get(endian).contains(VER_FLG_BASE) {
                let first = step(address, definition.vd_aux.get(endian), what, offset)?;
                let (name, _): (elf::Verdaux<Endianness>, u64) = self.read_at(first, offset, what)?;
                names.push(self.string(strings, name.vda_name.get(endian).into())?);
            }
            match definition.vd_next.get(endian) {
                0 => return Ok(names),
                next => address = step(address, next, what, offset)?,
            }
        }
    }
}

fn step(address: u64, by: u32, what: Structure, offset: u64) -> Result<u64, ElfError> {
    address.checked_add(by.into()).ok_or(ElfError::new(what, offset, Fault::OutOfBounds))
}
