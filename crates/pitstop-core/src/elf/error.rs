//! Why the facts of a file could not be read, and where in the file.

use std::fmt;
use std::io;

/// Why a file's facts could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The file does not begin with the magic number: it never was an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// It began as an ELF file, and then one of its structures was wrong or out of reach.
    #[error("{what} at offset {offset:#x}: {fault}")]
    Damaged {
        /// The structure being read.
        what: Structure,
        /// Where in the file it is, or was looked for; of a file cut short, where that ends.
        offset: u64,
        /// What is the matter with it.
        fault: Fault,
    },
}

impl ElfError {
    pub(super) fn new(what: Structure, offset: u64, fault: Fault) -> Self {
        Self::Damaged { what, offset, fault }
    }

    /// Where in the file the trouble is; 0 for a file that is no ELF file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::NotElf => 0,
            Self::Damaged { offset, .. } => *offset,
        }
    }
}

/// A part of an ELF file, as an error names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Structure {
    /// `e_ident` and the rest of `Elf_Ehdr`.
    FileHeader,
    /// The table of `Elf_Phdr`.
    ProgramHeaders,
    /// The segment `PT_INTERP`.
    Interp,
    /// The segment `PT_DYNAMIC`, a table of `Elf_Dyn`.
    Dynamic,
    /// A string of the table at `DT_STRTAB`.
    String,
    /// `Elf_Verneed` and `Elf_Vernaux`, at `DT_VERNEED`.
    Verneed,
    /// `Elf_Verdef` and `Elf_Verdaux`, at `DT_VERDEF`.
    Verdef,
    /// A note in a `PT_NOTE` segment.
    Note,
    /// The table at `DT_GNU_HASH` or `DT_HASH`.
    Hash,
    /// The table of `Elf_Sym` at `DT_SYMTAB`.
    Symbols,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileHeader => "file header",
            Self::ProgramHeaders => "program headers",
            Self::Interp => "PT_INTERP",
            Self::Dynamic => "dynamic section",
            Self::String => "dynamic string",
            Self::Verneed => "version needs",
            Self::Verdef => "version definitions",
            Self::Note => "note",
            Self::Hash => "symbol hash table",
            Self::Symbols => "dynamic symbols",
        })
    }
}

/// What is the matter with a [`Structure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file ends before it does.
    Truncated,
    /// The read failed.
    Unreadable(io::ErrorKind),
    /// It refers to an address that no `PT_LOAD` segment brings from the file.
    Unmapped(u64),
    /// It lies outside what holds it, or has no end within.
    OutOfBounds,
    /// A field has a value of no known meaning.
    Unsupported(u64),
    /// More of them than the limit.
    TooMany(usize),
    /// Longer than the limit, in bytes.
    TooLong(usize),
    /// It refers to a table that the file does not have.
    NoTable(&'static str),
    /// It is no JSON array of the expected shape.
    Json,
    /// Reading the file's facts took more than the limit, in bytes: they are scattered as no linker scatters them.
    Scattered(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the file is cut short"),
            Self::Unreadable(kind) => write!(f, "cannot be read: {kind}"),
            Self::Unmapped(address) => write!(f, "refers to address {address:#x}, which no segment loads"),
            Self::OutOfBounds => write!(f, "leaves the bounds of what holds it"),
            Self::Unsupported(value) => write!(f, "unknown value {value:#x}"),
            Self::TooMany(limit) => write!(f, "more than {limit} entries"),
            Self::TooLong(limit) => write!(f, "longer than {limit} bytes"),
            Self::NoTable(tag) => write!(f, "refers to a table, but there is no {tag}"),
            Self::Json => write!(f, "not the JSON array that its type promises"),
            Self::Scattered(limit) => write!(f, "more than {limit} bytes read, and not done"),
        }
    }
}
