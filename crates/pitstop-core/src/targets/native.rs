//! What a native file is for: which of them a process opens by itself, and which only come along.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::elf::{Elf, Kind};
use crate::files::FileId;

/// `DF_1_PIE`: a position-independent program. Linkers set it since binutils 2.26 (2016).
const DF_1_PIE: u64 = 0x0800_0000;

/// Why a native file is in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A module that this Python imports.
    Extension,
    /// A module of the same kind made for another version of Python: never imported by this one.
    OtherPython,
    /// A program of its own, with a loader of its own.
    Executable,
    /// A program that needs no loader.
    StaticExecutable,
    /// A shared library: it comes along with what needs it, or is loaded by name.
    Library,
    /// A module or a library whose package the project's settings exclude: nobody asks what it lacks, and it comes along
    /// with what needs it.
    Passenger,
    /// An ELF file that no loader is given, such as an object file.
    Other,
}

/// One native file of a tree.
#[derive(Clone, Debug)]
pub struct Native {
    /// Where it lies.
    pub path: PathBuf,
    /// Which file that is: one file may lie under several names.
    pub id: FileId,
    /// Its facts.
    pub elf: Arc<Elf>,
    /// What it is for.
    pub role: Role,
    /// The package that brought it, as an index into the list of packages; `None` where no `RECORD` lists it.
    pub package: Option<usize>,
}

/// The name under which a file would be imported, and whether the suffix alone proves that it is a module.
///
/// Returns `None` where the file is no module of this Python by its name. A bare `.so` proves nothing: libraries are
/// called so too.
#[must_use]
pub fn module_stem<'a>(file_name: &'a str, suffixes: &[String]) -> Option<(&'a str, bool)> {
    suffixes.iter().find_map(|suffix| {
        let stem = file_name.strip_suffix(suffix.as_str())?;
        (!stem.is_empty() && !stem.contains('.')).then_some((stem, suffix != ".so"))
    })
}

/// Says what a file is for. `exports_init` is asked, at most once, whether the file defines `PyInit_` of the stem given:
/// it means reading the symbol table, which most files do not need.
pub fn classify(
    path: &Path,
    elf: &Elf,
    suffixes: &[String],
    exports_init: impl FnOnce(&str) -> bool,
) -> Role {
    let pie = elf.flags_1 & DF_1_PIE != 0;
    match elf.kind {
        Kind::Other(_) => return Role::Other,
        Kind::Executable | Kind::SharedObject if elf.loader.is_none() && (pie || !elf.dynamic) => {
            return Role::StaticExecutable;
        }
        Kind::Executable => return Role::Executable,
        // Libraries may name a loader too (Qt's do, so that they can print their version); they have a soname.
        Kind::SharedObject if pie || (elf.loader.is_some() && elf.soname.is_none()) => {
            return Role::Executable;
        }
        Kind::SharedObject => {}
    }
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Role::Library };
    match module_stem(name, suffixes) {
        Some((_, true)) => Role::Extension,
        Some((stem, false)) if exports_init(stem) => Role::Extension,
        None if is_tagged(name) => Role::OtherPython,
        _ => Role::Library,
    }
}

/// Whether a name carries a tag of some Python's extension modules (PEP 3149; `pypy311-pp73-` for PyPy).
fn is_tagged(name: &str) -> bool {
    let Some((_, tag)) = name.strip_suffix(".so").and_then(|stem| stem.split_once('.')) else { return false };
    ["cpython-", "pypy", "abi3", "graalpy"].iter().any(|prefix| tag.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Class, Encoding, Target};

    fn suffixes() -> Vec<String> {
        [".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so"].map(str::to_owned).to_vec()
    }

    fn library() -> Elf {
        let target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };
        Elf { dynamic: true, ..Elf::bare(target) }
    }

    fn role(name: &str, elf: &Elf, exports: bool) -> Role {
        classify(Path::new(name), elf, &suffixes(), |_| exports)
    }

    #[test]
    fn a_tagged_name_is_a_module_and_a_bare_one_is_asked() {
        assert_eq!(role("a/_x.cpython-311-x86_64-linux-gnu.so", &library(), false), Role::Extension);
        assert_eq!(role("a/_x.abi3.so", &library(), false), Role::Extension);
        assert_eq!(role("a/_x.so", &library(), true), Role::Extension);
        assert_eq!(role("a/lib_lightgbm.so", &library(), false), Role::Library);
        assert_eq!(role("a/libz.so.1", &library(), true), Role::Library);
    }

    #[test]
    fn a_module_of_another_python_is_told_apart() {
        assert_eq!(role("a/_x.cpython-310-x86_64-linux-gnu.so", &library(), true), Role::OtherPython);
        assert_eq!(role("a/_x.pypy311-pp73-x86_64-linux-gnu.so", &library(), true), Role::OtherPython);
        assert_eq!(role("a/libfoo.1.so", &library(), true), Role::Library);
    }

    #[test]
    fn programs_are_known_by_what_they_are_and_not_by_their_names() {
        let pie = Elf { flags_1: DF_1_PIE, loader: Some("/lib64/ld-linux-x86-64.so.2".into()), ..library() };
        assert_eq!(role("bin/ruff", &pie, false), Role::Executable);
        let old_pie = Elf { loader: Some("/lib64/ld-linux-x86-64.so.2".into()), ..library() };
        assert_eq!(role("bin/node", &old_pie, false), Role::Executable);
        let qt = Elf { soname: Some("libQt6Core.so.6".into()), ..old_pie };
        assert_eq!(role("lib/libQt6Core.so.6", &qt, false), Role::Library);
        let fixed = Elf { kind: Kind::Executable, dynamic: false, ..library() };
        assert_eq!(role("bin/esbuild", &fixed, false), Role::StaticExecutable);
        let static_pie = Elf { flags_1: DF_1_PIE, ..library() };
        assert_eq!(role("bin/uv", &static_pie, false), Role::StaticExecutable);
        assert_eq!(role("x.o", &Elf { kind: Kind::Other(1), ..library() }, false), Role::Other);
    }
}
