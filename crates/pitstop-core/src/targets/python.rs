//! The Python of an environment: what it says about itself, and what can be known without asking.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is asked of a Python, as the argument of `-c`. It imports nothing that is not built in, so that it costs hardly
/// more than starting; fields are separated by NUL, lists by newlines.
pub const QUESTION: &str = "\
import sys,_imp,posix
maps=posix.open('/proc/self/maps',posix.O_RDONLY)
text=b''
while True:
 part=posix.read(maps,65536)
 if not part:break
 text+=part
loaded=[]
for line in text.split(b'\\n'):
 path=line[line.find(b'/'):] if b'/' in line else b''
 if path and path not in loaded:loaded.append(path)
name=lambda s:s.encode(sys.getfilesystemencoding(),'surrogateescape')
posix.write(1,b'\\0'.join([
 b'%d.%d.%d'%sys.version_info[:3],
 name(sys.implementation.name),
 name(posix.readlink('/proc/self/exe')),
 name(sys.base_prefix),
 b'\\n'.join(map(name,sys.path)),
 b'\\n'.join(map(name,_imp.extension_suffixes())),
 b'\\n'.join(loaded),
]))
";

/// The answer to [`QUESTION`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonAnswer {
    /// `sys.base_prefix`.
    pub base_prefix: PathBuf,
    /// `sys.path` without site-packages: where the standard library lies.
    pub path: Vec<PathBuf>,
    /// Files that the kernel shows as mapped into the running Python, in the order of their addresses.
    pub mapped: Vec<PathBuf>,
}

/// A Python: the program whose process the extension modules are loaded into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// `3.11.7`, or less where nothing more is known.
    pub version: String,
    /// The executable itself, links resolved.
    pub executable: PathBuf,
    /// Suffixes of files that it imports as extension modules, longest first.
    pub extension_suffixes: Vec<String>,
    /// What it said; `None` where it was not asked, or could not start.
    pub answer: Option<PythonAnswer>,
}

impl Python {
    /// Reads the answer to [`QUESTION`]. `None` where it is no answer, for example because something else ran.
    #[must_use]
    pub fn from_answer(bytes: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        let [version, _implementation, executable, base_prefix, path, suffixes, mapped, ..] =
            fields.as_slice()
        else {
            return None;
        };
        let version = std::str::from_utf8(version).ok()?;
        // Other programs talk too, and one in so many begins with a digit.
        let numbers: Vec<&str> = version.split('.').collect();
        if numbers.len() < 2 || numbers.iter().any(|number| number.parse::<u16>().is_err()) {
            return None;
        }
        Some(Self {
            version: version.to_owned(),
            executable: path_of(executable),
            extension_suffixes: lines(suffixes)
                .map(|suffix| String::from_utf8_lossy(suffix).into_owned())
                .collect(),
            answer: Some(PythonAnswer {
                base_prefix: path_of(base_prefix),
                path: lines(path).map(path_of).collect(),
                mapped: lines(mapped).map(path_of).collect(),
            }),
        })
    }

    /// What can be said of a Python that is not asked: CPython's suffixes for that version on this kind of machine.
    ///
    /// `triplet` is what CPython puts into the names of extension modules, such as `x86_64-linux-gnu` (PEP 3149).
    #[must_use]
    pub fn unasked(executable: PathBuf, version: &str, triplet: &str) -> Self {
        let digits: String = version.split('.').take(2).collect();
        let mut extension_suffixes = vec![".abi3.so".to_owned(), ".so".to_owned()];
        if !digits.is_empty() {
            extension_suffixes.insert(0, format!(".cpython-{digits}-{triplet}.so"));
        }
        Self { version: version.to_owned(), executable, extension_suffixes, answer: None }
    }

    /// `3.11`: the part of the version that names folders.
    #[must_use]
    pub fn minor_version(&self) -> &str {
        match self.version.match_indices('.').nth(1) {
            Some((end, _)) => &self.version[..end],
            None => &self.version,
        }
    }

    /// Folders that hold the extension modules of the standard library.
    #[must_use]
    pub fn library_folders(&self) -> Vec<PathBuf> {
        if let Some(answer) = &self.answer {
            return answer.path.iter().filter(|path| path.ends_with("lib-dynload")).cloned().collect();
        }
        let prefix = self.executable.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let folder = format!("python{}", self.minor_version());
        vec![prefix.join("lib").join(folder).join("lib-dynload")]
    }
}

fn lines(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_field_by_field() {
        let answer = b"3.11.7\0cpython\0/p/bin/python3.11\0/p\0/p/lib/python311.zip\n/p/lib/python3.11\n/p/lib/python3.11/lib-dynload\0.cpython-311-x86_64-linux-gnu.so\n.abi3.so\n.so\0/p/bin/python3.11\n/lib/libc.so.6";
        let python = Python::from_answer(answer).unwrap();
        assert_eq!(python.minor_version(), "3.11");
        assert_eq!(python.executable, Path::new("/p/bin/python3.11"));
        assert_eq!(python.extension_suffixes.len(), 3);
        assert_eq!(python.library_folders(), [Path::new("/p/lib/python3.11/lib-dynload")]);
        assert_eq!(python.answer.unwrap().mapped.len(), 2);
    }

    #[test]
    fn something_that_is_no_answer_is_refused() {
        let noise = b"3\x16A\0\0\0\0\0\0\0";
        for bytes in
            [&b""[..], b"hello\n", b"pyenv: no such command\0\0\0\0\0\0\0", b"3.11.7\0cpython", noise]
        {
            assert_eq!(Python::from_answer(bytes), None);
        }
    }

    #[test]
    fn an_unasked_python_has_the_suffixes_of_its_version() {
        let python = Python::unasked(PathBuf::from("/opt/bin/python3"), "3.12.1", "x86_64-linux-gnu");
        assert_eq!(python.extension_suffixes[0], ".cpython-312-x86_64-linux-gnu.so");
        assert_eq!(python.library_folders(), [Path::new("/opt/lib/python3.12/lib-dynload")]);
        assert_eq!(Python::unasked(PathBuf::new(), "3", "").minor_version(), "3");
    }
}
