//! Bounds on what one file may ask of its reader. Each is far beyond what real files need, and low enough that a
//! hostile file costs milliseconds and a few megabytes.

/// Bytes of a program header table: Linux refuses to run a file that has more (`load_elf_phdrs` in fs/binfmt_elf.c).
pub(super) const MAX_PROGRAM_HEADERS_BYTES: usize = 64 * 1024;

/// Bytes of `PT_INTERP`: Linux refuses more than `PATH_MAX`.
pub(super) const MAX_INTERP_BYTES: usize = 4096;

/// Entries before `DT_NULL`. Tags are few and occur once, except `DT_NEEDED`.
pub(super) const MAX_DYNAMIC_ENTRIES: usize = 8192;

/// `DT_NEEDED` entries. The most among 829 files of large wheels is 33.
pub(super) const MAX_NEEDED: usize = 4096;

/// Version needs and definitions together: a version index has 15 bits (`VERSYM_VERSION`), so no symbol could refer to
/// more.
pub(super) const MAX_VERSIONS: usize = 0x7fff;

/// Bytes of one string. Linux passes no argument and no variable longer than this (`MAX_ARG_STRLEN`); the longest found
/// in real files is a search path of 20 KB in tensorflow.
pub(super) const MAX_STRING_BYTES: usize = 128 * 1024;

/// Bytes of all strings of one file together.
pub(super) const MAX_STRINGS_BYTES: usize = 1024 * 1024;

/// Notes in one segment.
pub(super) const MAX_NOTES: usize = 1024;

/// Bytes of JSON in one dlopen note: a few hundred suffice for one library and its description.
pub(super) const MAX_DLOPEN_NOTE_BYTES: usize = 64 * 1024;

/// Entries of one chain of a symbol hash table; linkers aim at a handful.
pub(super) const MAX_CHAIN: usize = 16 * 1024;

/// Bytes read from one file. A file's facts lie in a handful of pages.
pub(super) const MAX_READ_BYTES: u64 = 4 * 1024 * 1024;
