//! A file system written as text, so that tests of the loader's rules need neither a compiler nor a disk.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bstr::BString;
use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64};

use crate::elf::{
    Class, DlopenNote, DlopenPriority, Elf, Encoding, Kind, NeededVersion, Target, VersionNeed,
};
use crate::files::{FileId, Files, Opened};

/// How many links a path may pass before Linux answers `ELOOP` (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A file system made from a fixture, one entry a line; parent folders come by themselves.
///
/// ```text
/// # a comment
/// /usr/lib/libz.so.1.3 soname=libz.so.1 needed=libc.so.6 defines=ZLIB_1.2.0,ZLIB_1.2.9
/// /app/a.so needed=libz.so.1,libm.so.6 runpath=$ORIGIN/libs:/opt wants=libz.so.1:ZLIB_1.2.9
/// link /usr/lib/libz.so.1 -> libz.so.1.3
/// hardlink /app/copy.so -> /app/a.so
/// folder /opt
/// unusable /opt/libz.so.1 not an ELF file
/// ```
///
/// A file is a little-endian x86-64 shared object unless its words say otherwise:
///
/// | word | meaning |
/// | --- | --- |
/// | `soname=` `rpath=` `runpath=` `loader=` | the string |
/// | `needed=A,B` | `DT_NEEDED`, in order; may be repeated |
/// | `wants=FILE:V1,V2` | versions needed of FILE; may be repeated |
/// | `weak=FILE:V` | the same, with `VER_FLG_WEAK` |
/// | `defines=V1,V2` | versions defined; `defines=` is a file with versions, but none beside its base name |
/// | `dlopen=A,B` or `dlopen=A,B:required` | a dlopen note; may be repeated |
/// | `machine=` | `x86_64`, `i386`, `aarch64`, `arm`, `riscv64`, or a number |
/// | `flags_1=0x800` | `DT_FLAGS_1` |
/// | `exec` | `ET_EXEC` |
/// | `static` | no `PT_DYNAMIC` |
#[derive(Clone, Debug, Default)]
pub struct FakeFiles {
    entries: BTreeMap<PathBuf, Entry>,
    last_inode: u64,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    Link(PathBuf),
    File(Opened),
}

impl FakeFiles {
    /// Reads a fixture.
    ///
    /// # Panics
    ///
    /// Where a line cannot be understood: a test with a wrong fixture tests nothing.
    #[must_use]
    pub fn new(fixture: &str) -> Self {
        let mut files = Self::default();
        for line in fixture.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                files.add(line);
            }
        }
        files
    }

    /// Adds one line of a fixture; an entry of the same path is replaced.
    ///
    /// # Panics
    ///
    /// Where the line cannot be understood.
    pub fn add(&mut self, line: &str) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let (path, entry) = match first {
            "folder" => (rest, Entry::Folder),
            "link" => {
                let (path, target) = arrow(line, rest);
                (path, Entry::Link(PathBuf::from(target)))
            }
            "hardlink" => {
                let (path, target) = arrow(line, rest);
                let opened = self.open(Path::new(target));
                assert!(!matches!(opened, Opened::Absent), "no such file yet: {line}");
                (path, Entry::File(opened))
            }
            "unusable" => {
                let (path, why) = rest.split_once(' ').unwrap_or((rest, "damaged"));
                (path, Entry::File(Opened::Unusable(why.into())))
            }
            path => {
                self.last_inode += 1;
                let id = FileId { device: 1, inode: self.last_inode };
                (path, Entry::File(Opened::Elf(id, Arc::new(facts(line, rest)))))
            }
        };
        assert!(path.starts_with('/'), "not an absolute path: {line}");
        let path = PathBuf::from(path);
        for parent in path.ancestors().skip(1) {
            self.entries.entry(parent.to_path_buf()).or_insert(Entry::Folder);
        }
        self.entries.insert(path, entry);
    }

    /// The path with links followed and `.` and `..` taken out, as the kernel does it; `None` where it leads nowhere.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut links = 0;
        let mut pending: Vec<PathBuf> = parts(path);
        let mut here = PathBuf::from("/");
        while let Some(part) = pending.pop() {
            if !matches!(self.entries.get(&here), Some(Entry::Folder)) {
                return None;
            }
            if part.as_os_str() == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            match self.entries.get(&next)? {
                Entry::Folder | Entry::File(_) => here = next,
                Entry::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    pending.extend(parts(target));
                }
            }
        }
        Some(here)
    }
}

impl Files for FakeFiles {
    fn open(&self, path: &Path) -> Opened {
        match self.resolve(path).and_then(|path| self.entries.get(&path)) {
            Some(Entry::File(opened)) => opened.clone(),
            _ => Opened::Absent,
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        let entry = self.resolve(path).and_then(|path| self.entries.get(&path));
        matches!(entry, Some(Entry::Folder))
    }
}

/// The names of a path, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let wanted = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(wanted).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn arrow<'a>(line: &str, rest: &'a str) -> (&'a str, &'a str) {
    match rest.split_once("->") {
        Some((from, to)) => (from.trim(), to.trim()),
        None => panic!("no `->` in: {line}"),
    }
}

fn facts(line: &str, words: &str) -> Elf {
    let target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: EM_X86_64.0 };
    let mut elf = Elf::bare(target);
    elf.dynamic = true;
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "soname" => elf.soname = Some(value.into()),
            "rpath" => elf.rpath = Some(value.into()),
            "runpath" => elf.runpath = Some(value.into()),
            "loader" => elf.loader = Some(value.into()),
            "needed" => elf.needed.extend(list(value)),
            "wants" => elf.version_needs.push(versions(line, value, false)),
            "weak" => elf.version_needs.push(versions(line, value, true)),
            "defines" => elf.version_definitions.get_or_insert_default().extend(list(value)),
            "dlopen" => elf.dlopen_notes.push(dlopen(line, value)),
            "machine" => elf.target = machine(line, value),
            "flags_1" => elf.flags_1 = number(line, value),
            "exec" => elf.kind = Kind::Executable,
            "static" => elf.dynamic = false,
            _ => panic!("unknown word `{word}` in: {line}"),
        }
    }
    elf
}

fn list(value: &str) -> impl Iterator<Item = BString> {
    value.split(',').filter(|name| !name.is_empty()).map(BString::from)
}

fn versions(line: &str, value: &str, weak: bool) -> VersionNeed {
    let Some((file, names)) = value.split_once(':') else { panic!("no `:` in `{value}` of: {line}") };
    VersionNeed {
        file: file.into(),
        versions: list(names).map(|name| NeededVersion { name, weak }).collect(),
    }
}

fn dlopen(line: &str, value: &str) -> DlopenNote {
    let (sonames, priority) = value.split_once(':').unwrap_or((value, "recommended"));
    let priority = match priority {
        "required" => DlopenPriority::Required,
        "recommended" => DlopenPriority::Recommended,
        "suggested" => DlopenPriority::Suggested,
        _ => panic!("unknown priority in: {line}"),
    };
    DlopenNote { sonames: list(sonames).collect(), feature: None, description: None, priority }
}

fn machine(line: &str, value: &str) -> Target {
    let (class, machine) = match value {
        "x86_64" => (Class::Bits64, EM_X86_64.0),
        "i386" => (Class::Bits32, EM_386.0),
        "aarch64" => (Class::Bits64, EM_AARCH64.0),
        "arm" => (Class::Bits32, EM_ARM.0),
        "riscv64" => (Class::Bits64, EM_RISCV.0),
        _ => (Class::Bits64, u16::try_from(number(line, value)).unwrap_or(u16::MAX)),
    };
    Target { class, encoding: Encoding::Little, machine }
}

fn number(line: &str, value: &str) -> u64 {
    let parsed = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("`{value}` is no number in: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> FakeFiles {
        FakeFiles::new(
            "
            # zlib, as Debian lays it out
            /usr/lib/libz.so.1.3 soname=libz.so.1 needed=libc.so.6 defines=ZLIB_1.2.0,ZLIB_1.2.9
            link /usr/lib/libz.so.1 -> libz.so.1.3
            link /lib -> usr/lib
            link /loop -> loop
            /app/a.so needed=libz.so.1 needed=libm.so.6 runpath=$ORIGIN/libs wants=libz.so.1:ZLIB_1.2.9
            hardlink /app/b.so -> /app/a.so
            unusable /app/text.so not an ELF file
            folder /opt/empty
            ",
        )
    }

    #[test]
    fn one_file_by_every_path() {
        let files = world();
        let id = |path: &str| match files.open(Path::new(path)) {
            Opened::Elf(id, _) => id,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(id("/lib/libz.so.1"), id("/usr/lib/libz.so.1.3"));
        assert_eq!(id("/app/../lib/./libz.so.1"), id("/usr/lib/libz.so.1.3"));
        assert_eq!(id("/app/a.so"), id("/app/b.so"));
        assert_ne!(id("/app/a.so"), id("/lib/libz.so.1"));
    }

    #[test]
    fn facts_are_read() {
        let Opened::Elf(_, elf) = world().open(Path::new("/app/a.so")) else { panic!() };
        assert_eq!(elf.needed, ["libz.so.1", "libm.so.6"]);
        assert_eq!(elf.runpath, Some("$ORIGIN/libs".into()));
        assert_eq!(elf.version_needs[0].versions[0].name, "ZLIB_1.2.9");
        assert_eq!(elf.version_definitions, None);
    }

    #[test]
    fn what_is_no_library() {
        let files = world();
        for path in ["/app", "/app/none.so", "/loop", "/app/a.so/x", "/app/a.so/.."] {
            assert!(matches!(files.open(Path::new(path)), Opened::Absent), "{path}");
        }
        assert!(matches!(files.open(Path::new("/app/text.so")), Opened::Unusable(_)));
        assert!(files.is_folder(Path::new("/lib")) && files.is_folder(Path::new("/opt/empty/..")));
        assert!(!files.is_folder(Path::new("/app/a.so")) && !files.is_folder(Path::new("/nowhere")));
    }
}
