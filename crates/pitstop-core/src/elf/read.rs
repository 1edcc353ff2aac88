//! From bytes to facts.

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

use bstr::{BString, ByteSlice};

use super::error::{ElfError, Fault, Structure};
use super::image::{Ident, Image};
use super::limits::MAX_INTERP_BYTES;
use super::version::Allowance;
use super::window::Windows;
use super::{Class, Elf, Source};

impl Elf {
    /// Reads the facts of a file.
    ///
    /// A handful of short reads; whatever the file holds, bounded time and memory.
    pub fn read(source: &(impl Source + ?Sized)) -> Result<Self, ElfError> {
        let mut bytes = Windows::new(source);
        let ident = Ident::read(&mut bytes)?;
        match ident.class {
            Class::Bits32 => Image::<_, FileHeader32<Endianness>>::read(bytes, &ident)?.facts(&ident),
            Class::Bits64 => Image::<_, FileHeader64<Endianness>>::read(bytes, &ident)?.facts(&ident),
        }
    }
}

/// Whether a file's dynamic symbol table defines `name`, in any version.
///
/// `foo.so` is an extension module of Python if it defines `PyInit_foo` (PEP 489).
pub fn defines_symbol(source: &(impl Source + ?Sized), name: &[u8]) -> Result<bool, ElfError> {
    let mut bytes = Windows::new(source);
    let ident = Ident::read(&mut bytes)?;
    match ident.class {
        Class::Bits32 => Image::<_, FileHeader32<Endianness>>::read(bytes, &ident)?.defines(name),
        Class::Bits64 => Image::<_, FileHeader64<Endianness>>::read(bytes, &ident)?.defines(name),
    }
}

impl<S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'_, S, H> {
    fn facts(mut self, ident: &Ident) -> Result<Elf, ElfError> {
        let mut elf = Elf::bare(self.target);
        elf.os_abi = ident.os_abi;
        elf.kind = self.kind;
        elf.loader = self.loader()?;
        (elf.dlopen_notes, elf.damaged_note) = self.dlopen_notes();
        let Some(dynamic) = self.dynamic()? else { return Ok(elf) };
        elf.dynamic = true;
        elf.flags_1 = dynamic.flags_1.unwrap_or(0);
        let others = [dynamic.soname, dynamic.rpath, dynamic.runpath, dynamic.verneed, dynamic.verdef];
        if dynamic.needed.is_empty() && others.iter().all(Option::is_none) {
            return Ok(elf);
        }
        let strings = self.strings(&dynamic)?;
        for index in &dynamic.needed {
            elf.needed.push(self.string(&strings, *index)?);
        }
        let mut string = |index: Option<u64>| index.map(|index| self.string(&strings, index)).transpose();
        elf.soname = string(dynamic.soname)?;
        elf.rpath = string(dynamic.rpath)?;
        elf.runpath = string(dynamic.runpath)?;
        let mut allowance = Allowance::new();
        if let Some(address) = dynamic.verneed {
            elf.version_needs = self.version_needs(address, dynamic.offset, &strings, &mut allowance)?;
        }
        if let Some(address) = dynamic.verdef {
            let names = self.version_definitions(address, dynamic.offset, &strings, &mut allowance)?;
            elf.version_definitions = Some(names);
        }
        Ok(elf)
    }

    /// `PT_INTERP` up to its terminator.
    fn loader(&mut self) -> Result<Option<BString>, ElfError> {
        let Some(segment) = self.segment(PT_INTERP) else { return Ok(None) };
        let (offset, length) = segment.file_range(self.endian);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_INTERP_BYTES {
            return Err(ElfError::new(Structure::Interp, offset, Fault::TooLong(MAX_INTERP_BYTES)));
        }
        let mut path = vec![0; length];
        self.bytes.copy(offset, &mut path, Structure::Interp)?;
        path.truncate(path.find_byte(0).unwrap_or(length));
        Ok((!path.is_empty()).then(|| path.into()))
    }
}
