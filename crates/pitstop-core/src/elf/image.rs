//! An ELF file as a loader meets it: its header, its segments, and where addresses lie in the file.

use object::Endianness;
use object::elf::{self, PT_LOAD};
use object::pod::Pod;
use object::read::elf::{FileHeader, ProgramHeader};

use super::error::{ElfError, Fault, Structure};
use super::limits::MAX_PROGRAM_HEADERS_BYTES;
use super::window::Windows;
use super::{Class, Encoding, Kind, Source, Target};

/// `e_ident`, checked: what must be known before the rest can be read.
pub(super) struct Ident {
    pub(super) class: Class,
    pub(super) encoding: Encoding,
    pub(super) os_abi: u8,
}

impl Ident {
    pub(super) fn read<S: Source + ?Sized>(bytes: &mut Windows<'_, S>) -> Result<Self, ElfError> {
        let what = Structure::FileHeader;
        match bytes.read::<[u8; 4]>(0, what) {
            Ok(magic) if magic == elf::ELFMAG => {}
            Ok(_) | Err(ElfError::Damaged { fault: Fault::Truncated, .. }) => return Err(ElfError::NotElf),
            Err(error) => return Err(error),
        }
        // `e_ident` is the same in both classes, and no header is shorter than this one.
        let ident = bytes.read::<elf::FileHeader32<Endianness>>(0, what)?.e_ident;
        let fail =
            |field: usize, value: u8| ElfError::new(what, field as u64, Fault::Unsupported(value.into()));
        if ident.version != elf::EV_CURRENT {
            return Err(fail(std::mem::offset_of!(elf::Ident, version), ident.version.0));
        }
        Ok(Self {
            class: match ident.class {
                elf::ELFCLASS32 => Class::Bits32,
                elf::ELFCLASS64 => Class::Bits64,
                other => return Err(fail(std::mem::offset_of!(elf::Ident, class), other.0)),
            },
            encoding: match ident.data {
                elf::ELFDATA2LSB => Encoding::Little,
                elf::ELFDATA2MSB => Encoding::Big,
                other => return Err(fail(std::mem::offset_of!(elf::Ident, data), other.0)),
            },
            os_abi: ident.os_abi.0,
        })
    }
}

/// A file whose header and program headers have been read. `H` is the header of its class.
pub(super) struct Image<'s, S: ?Sized, H: FileHeader> {
    pub(super) bytes: Windows<'s, S>,
    pub(super) endian: Endianness,
    pub(super) target: Target,
    pub(super) kind: Kind,
    pub(super) segments: Vec<H::ProgramHeader>,
}

impl<'s, S: Source + ?Sized, H: FileHeader<Endian = Endianness>> Image<'s, S, H> {
    pub(super) fn read(mut bytes: Windows<'s, S>, ident: &Ident) -> Result<Self, ElfError> {
        let endian = match ident.encoding {
            Encoding::Little => Endianness::Little,
            Encoding::Big => Endianness::Big,
        };
        let header: H = bytes.read(0, Structure::FileHeader)?;
        let segments = Self::read_segments(&mut bytes, endian, &header)?;
        let kind = match header.e_type(endian) {
            elf::ET_EXEC => Kind::Executable,
            elf::ET_DYN => Kind::SharedObject,
            other => Kind::Other(other.0),
        };
        let machine = header.e_machine(endian).0;
        let target = Target { class: ident.class, encoding: ident.encoding, machine };
        Ok(Self { bytes, endian, target, kind, segments })
    }

    fn read_segments(
        bytes: &mut Windows<'s, S>,
        endian: Endianness,
        header: &H,
    ) -> Result<Vec<H::ProgramHeader>, ElfError> {
        let offset = header.e_phoff(endian).into();
        let fail = |fault| ElfError::new(Structure::ProgramHeaders, offset, fault);
        let count = usize::from(header.e_phnum(endian));
        let size = size_of::<H::ProgramHeader>();
        // An object file has none, and no size for them.
        if count > 0 && usize::from(header.e_phentsize(endian)) != size {
            return Err(fail(Fault::Unsupported(header.e_phentsize(endian).into())));
        }
        if count * size > MAX_PROGRAM_HEADERS_BYTES {
            return Err(fail(Fault::TooMany(MAX_PROGRAM_HEADERS_BYTES / size)));
        }
        let mut segments = Vec::with_capacity(count);
        for index in 0..count {
            let at = offset.checked_add((index * size) as u64).ok_or(fail(Fault::Truncated))?;
            segments.push(bytes.read(at, Structure::ProgramHeaders)?);
        }
        Ok(segments)
    }

    /// The first segment of a type.
    pub(super) fn segment(&self, kind: elf::ProgramType) -> Option<&H::ProgramHeader> {
        self.segments.iter().find(|segment| segment.p_type(self.endian) == kind)
    }

    /// Where in the file the bytes lie that a loader maps at `address`, and where they end.
    ///
    /// Bytes that a loader fills with zeros (`p_memsz` beyond `p_filesz`) lie nowhere. What follows in memory from another
    /// segment follows here where it does in the file: patchelf cuts a program's string table in two that way.
    pub(super) fn locate(&self, address: u64) -> Option<(u64, u64)> {
        let endian = self.endian;
        let loads = || self.segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
        let (start, mut end) = loads().find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr(endian).into())?;
            let (offset, length) = segment.file_range(endian);
            let rest = length.checked_sub(within).filter(|rest| *rest > 0)?;
            let start = offset.checked_add(within)?;
            Some((start, start.saturating_add(rest)))
        })?;
        // Each round takes in one more segment, so there are no more rounds than segments.
        for _ in &self.segments {
            let next = loads().find_map(|segment| {
                let (offset, length) = segment.file_range(endian);
                let stays =
                    address.wrapping_sub(start) == segment.p_vaddr(endian).into().wrapping_sub(offset);
                let beyond = offset.saturating_add(length);
                (stays && offset <= end && end < beyond).then_some(beyond)
            });
            match next {
                Some(beyond) => end = beyond,
                None => break,
            }
        }
        Some((start, end))
    }

    /// Reads a structure at `address`, and says where it was; `from` is where the address was found.
    pub(super) fn read_at<T: Pod>(
        &mut self,
        address: u64,
        from: u64,
        what: Structure,
    ) -> Result<(T, u64), ElfError> {
        let unmapped = ElfError::new(what, from, Fault::Unmapped(address));
        let (offset, end) = self.locate(address).ok_or(unmapped)?;
        if end - offset < size_of::<T>() as u64 {
            return Err(ElfError::new(what, offset, Fault::OutOfBounds));
        }
        Ok((self.bytes.read(offset, what)?, offset))
    }
}
