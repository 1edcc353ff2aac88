//! What one ELF file says about itself: the facts that a loader acts on, and nothing of where they lead.
//!
//! The dynamic section is reached through the program headers, as a loader reaches it; section headers may be
//! stripped or stale and are never read. Structures follow the System V gABI (chapters 4 and 5) and, for versions,
//! the GNU symbol versioning extension (LSB Core, "Symbol Versioning").

use bstr::BString;

mod dynamic;
mod error;
mod image;
mod limits;
mod note;
mod read;
mod symbol;
mod version;
mod window;

pub use error::{ElfError, Fault, Structure};
pub use read::defines_symbol;

/// Bytes that [`Elf::read`] reads first, or all of a shorter file: who has them already saves a read by handing them out
/// again.
pub const FIRST_WINDOW_BYTES: usize = 4096;

/// Bytes at offsets: a file, or a buffer that holds one.
///
/// Reading may fail or come up short at any moment, because files change under their readers.
pub trait Source {
    /// The size in bytes when it was last asked for.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` from `offset`, or fails without saying how much was read.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl Source for [u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// `EI_CLASS`: the width of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`.
    Bits32,
    /// `ELFCLASS64`.
    Bits64,
}

/// `EI_DATA`: the byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `ELFDATA2LSB`.
    Little,
    /// `ELFDATA2MSB`.
    Big,
}

/// `e_type`, as far as a loader tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ET_EXEC`: a program at a fixed address.
    Executable,
    /// `ET_DYN`: a shared object, or a position-independent program.
    SharedObject,
    /// Anything else, such as `ET_REL` (an object file) or `ET_CORE`.
    Other(u16),
}

/// What must match between a program and the libraries it loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Width of an address.
    pub class: Class,
    /// Byte order.
    pub encoding: Encoding,
    /// `e_machine`, one of the `EM_*` values.
    pub machine: u16,
}

/// The versions that an object asks of one of its needed libraries (`SHT_GNU_verneed`, one `Elf_Verneed`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNeed {
    /// `vn_file`: the soname of the library that must define them.
    pub file: BString,
    /// The versions, in the order of the file.
    pub versions: Vec<NeededVersion>,
}

/// One version asked for (`Elf_Vernaux`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededVersion {
    /// `vna_name`, such as `GLIBC_2.38`.
    pub name: BString,
    /// `VER_FLG_WEAK`: the loader warns where it is absent, and goes on.
    pub weak: bool,
}

/// The facts of one ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// Class, byte order and machine.
    pub target: Target,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// `e_type`.
    pub kind: Kind,
    /// Whether there is a `PT_DYNAMIC` segment; a static program has none.
    pub dynamic: bool,
    /// `PT_INTERP` without its terminator. Empty segments occur (opencv's `libQt5Core`), and count as none.
    pub loader: Option<BString>,
    /// `DT_SONAME`.
    pub soname: Option<BString>,
    /// `DT_NEEDED`, in order: the loader searches them in this order.
    pub needed: Vec<BString>,
    /// `DT_RPATH`, not expanded. As written: that a `DT_RUNPATH` beside it silences it is the loader's rule.
    pub rpath: Option<BString>,
    /// `DT_RUNPATH`, not expanded.
    pub runpath: Option<BString>,
    /// `DT_FLAGS_1`, 0 where absent.
    pub flags_1: u64,
    /// Versions asked of needed libraries.
    pub version_needs: Vec<VersionNeed>,
    /// Versions that this file defines (`SHT_GNU_verdef`), its own base name (`VER_FLG_BASE`) left out.
    /// `None` where the file defines no versions at all, which the loader treats as "any version will do".
    pub version_definitions: Option<Vec<BString>>,
    /// Libraries that its code may load by itself with `dlopen`, as far as its notes tell.
    pub dlopen_notes: Vec<DlopenNote>,
    /// Why a note could not be read, the first of them: a loader loads the file all the same.
    pub damaged_note: Option<ElfError>,
}

impl Elf {
    /// A shared object of which nothing else is known: no `PT_DYNAMIC`, no names.
    #[must_use]
    pub fn bare(target: Target) -> Self {
        Self {
            target,
            os_abi: 0,
            kind: Kind::SharedObject,
            dynamic: false,
            loader: None,
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            flags_1: 0,
            version_needs: Vec::new(),
            version_definitions: None,
            dlopen_notes: Vec::new(),
            damaged_note: None,
        }
    }
}

/// Alternatives of one library that code loads with `dlopen`: one object of the JSON array in a note of owner `FDO`
/// and type `0x407c0c0a` (UAPI group, "ELF dlopen metadata").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DlopenNote {
    /// `soname`: names tried in this order; the first that loads is used.
    pub sonames: Vec<BString>,
    /// `feature`: what it is for, in a word.
    pub feature: Option<String>,
    /// `description`: what it is for, in a sentence.
    pub description: Option<String>,
    /// `priority`: what is lost without it.
    pub priority: DlopenPriority,
}

/// `priority` of a [`DlopenNote`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DlopenPriority {
    /// `required`: the core of the program does not work without it.
    Required,
    /// `recommended`: an important feature is lost without it. Also where the note names no priority.
    #[default]
    Recommended,
    /// `suggested`: a secondary feature is lost without it.
    Suggested,
}
