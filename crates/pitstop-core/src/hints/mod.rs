//! Libraries that a package loads by name: what its Python code says, and what is known of packages.
//!
//! `DT_NEEDED` is half of the story. weasyprint links nothing and opens pango, harfbuzz and fontconfig through cffi. What
//! such code asks for becomes an [`Ask`], which a diagnosis treats as it treats a file that needs a library.

mod depth;
mod eval;
mod known;
mod names;
mod python;

use std::path::{Path, PathBuf};

pub use known::{Hint, hints, is_known, needs_nothing};
pub use names::sonames;
pub use python::{Unparsed, scan, worth_scanning};

/// How code asks for a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// `ctypes.CDLL`, `PyDLL`, `cdll.LoadLibrary`, `cdll[…]`.
    Ctypes,
    /// `ctypes.util.find_library`.
    FindLibrary,
    /// `dlopen` of a cffi `FFI`.
    Dlopen,
    /// A function of the package's own that leads to one of these, as far as its name and its text tell.
    Wrapper,
    /// A native file's note (`.note.dlopen`).
    Note,
    /// `data/hints.tsv`.
    Known,
    /// The settings of the project.
    Settings,
}

impl How {
    /// The word for it, in reports and in what is kept.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ctypes => "ctypes",
            Self::FindLibrary => "find_library",
            Self::Dlopen => "dlopen",
            Self::Wrapper => "wrapper",
            Self::Note => "note",
            Self::Known => "known",
            Self::Settings => "settings",
        }
    }

    /// The way of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Ctypes,
            Self::FindLibrary,
            Self::Dlopen,
            Self::Wrapper,
            Self::Note,
            Self::Known,
            Self::Settings,
        ]
        .into_iter()
        .find(|how| how.name() == name)
    }
}

/// One call in a Python file that loads a library by name, or looks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The line of the call, from 1.
    pub line: usize,
    /// How.
    pub how: How,
    /// The names it may come to on Linux, in the order of the code: one of them is enough.
    pub names: Vec<String>,
    /// Whether the file cannot be imported without: the call is made at import, and nothing catches its failure.
    pub certain: bool,
}

/// A library that a package asks for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The package, as an index into the list of packages; `None` where no `RECORD` lists who asks.
    pub package: Option<usize>,
    /// Sonames of which one is enough, best first. Never empty.
    pub sonames: Vec<String>,
    /// Whether the package works without.
    pub optional: bool,
    /// How it asks.
    pub how: How,
    /// The file that asks, below the environment's site-packages folder; `None` where only the table of hints says so.
    pub file: Option<PathBuf>,
    /// The line in that file, from 1; 0 where it has none.
    pub line: usize,
    /// Native files (indexes into the natives) before which the library must be loaded: they open it by name
    /// themselves, from C. Empty where Python code asks.
    pub before: Vec<usize>,
}

/// Brings together what one package asks for: its code, and what is known of it.
///
/// `requests` come with the file they were found in. Where the table of hints knows the package, the table says what it
/// cannot do without, and the rest of what its code names is optional. `files` gives the natives whose path, below
/// site-packages, contains a text.
#[must_use]
pub fn asks(
    package: Option<usize>,
    name: &str,
    requests: &[(PathBuf, Request)],
    files: &dyn Fn(&str) -> Vec<usize>,
) -> Vec<Ask> {
    let known = is_known(name);
    let mut asks: Vec<Ask> = Vec::new();
    for hint in hints(name) {
        let (only_with, only_without) = match hint.when {
            Some(when) => (when.strip_prefix('!').is_none().then_some(when), when.strip_prefix('!')),
            None => (None, None),
        };
        // psycopg_binary brings the library that psycopg alone asks the machine for.
        if only_without.is_some_and(|file| !files(file).is_empty()) {
            continue;
        }
        let before = only_with.map(files);
        // A wheel of another version may not have the file that asks.
        if before.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        asks.push(Ask {
            package,
            sonames: hint.libraries().map(str::to_owned).collect(),
            optional: hint.optional,
            how: How::Known,
            file: None,
            line: 0,
            before: before.unwrap_or_default(),
        });
    }
    for (file, request) in requests {
        let found = sonames(&request.names);
        if found.sonames.is_empty() {
            continue;
        }
        let same = |ask: &&mut Ask| ask.sonames.iter().any(|soname| found.sonames.contains(soname));
        if let Some(ask) = asks.iter_mut().find(same) {
            if ask.file.is_none() && ask.before.is_empty() {
                (ask.file, ask.line, ask.how) = (Some(file.clone()), request.line, request.how);
            }
            if !known {
                ask.optional &= !request.certain || !is_of_the_package(file);
                ask.sonames.extend(
                    found.sonames.into_iter().filter(|new| !ask.sonames.contains(new)).collect::<Vec<_>>(),
                );
            }
            continue;
        }
        asks.push(Ask {
            package,
            optional: known || !request.certain || !found.known || !is_of_the_package(file),
            sonames: found.sonames,
            how: request.how,
            file: Some(file.clone()),
            line: request.line,
            before: Vec::new(),
        });
    }
    asks
}

/// Whether a module is one that the package is: `name.py`, `name/__init__.py`, `name/loader.py`. What lies deeper serves a
/// part of it, which may never be imported: pyglet keeps its macOS code in `pyglet/libs/darwin/cocoapy`.
fn is_of_the_package(file: &Path) -> bool {
    file.components().count() <= 2
}

/// Whether a module's path says that it is another system's.
#[must_use]
pub fn is_of_another_system(file: &Path) -> bool {
    let others = ["darwin", "macos", "osx", "cocoa", "win32", "windows", "win", "android", "ios"];
    file.iter().any(|part| {
        let part = part.to_str().unwrap_or_default().trim_end_matches(".py").trim_start_matches('_');
        let ends = |end: &&str| part == *end || part.ends_with(&format!("_{end}"));
        others.iter().any(ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: usize, names: &[&str], certain: bool) -> Request {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Request { line, how: How::FindLibrary, names, certain }
    }

    fn of(name: &str, requests: &[(&str, Request)], natives: &[&str]) -> Vec<Ask> {
        let requests: Vec<_> =
            requests.iter().map(|(file, request)| (PathBuf::from(file), request.clone())).collect();
        let files = |part: &str| (0..natives.len()).filter(|&index| natives[index].contains(part)).collect();
        asks(Some(0), name, &requests, &files)
    }

    #[test]
    fn the_table_says_what_a_package_needs_and_the_code_says_where() {
        let code = [
            ("weasyprint/text/ffi.py", request(506, &["pango-1.0", "libpango-1.0.so.0"], true)),
            ("weasyprint/other.py", request(1, &["magic"], true)),
        ];
        let asks = of("weasyprint", &code, &[]);
        let pango = asks.iter().find(|ask| ask.sonames == ["libpango-1.0.so.0"]).unwrap();
        assert_eq!((pango.optional, pango.line), (false, 506));
        assert!(asks.iter().find(|ask| ask.sonames == ["libmagic.so.1"]).unwrap().optional);
    }

    #[test]
    fn of_an_unknown_package_only_what_its_own_modules_load_at_import_is_needed() {
        let optional =
            |file: &str, certain: bool| of("x", &[(file, request(1, &["magic"], certain))], &[])[0].optional;
        assert!(!optional("x/__init__.py", true));
        assert!(optional("x/__init__.py", false));
        assert!(optional("x/libs/linux/y.py", true));
        assert!(of("x", &[("x.py", request(1, &["nobody-has-this"], true))], &[]).is_empty());
        assert!(
            of("x", &[("x.py", request(1, &["libvendor.so.7"], true))], &[])[0].optional,
            "nobody has it"
        );
    }

    #[test]
    fn a_native_file_that_asks_must_be_there_and_one_that_brings_it_must_not() {
        assert!(of("glfw", &[], &["glfw/x11/libglfw.so"]).iter().all(|ask| ask.before == [0]));
        assert!(of("glfw", &[], &[]).is_empty());
        assert_eq!(of("psycopg", &[], &[]).len(), 1);
        assert!(of("psycopg", &[], &["psycopg_binary/x.so"]).is_empty());
    }

    #[test]
    fn code_of_other_systems_is_known_by_where_it_lies() {
        for file in
            ["pyglet/libs/darwin/x.py", "a/_windows.py", "a/list_ports_osx.py", "pynput/_util/win32.py"]
        {
            assert!(is_of_another_system(Path::new(file)), "{file}");
        }
        assert!(!is_of_another_system(Path::new("darwinist/window.py")));
    }
}
