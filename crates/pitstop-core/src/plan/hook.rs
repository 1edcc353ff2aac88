//! The start-up hook: the files that make it, and the data that it reads.
//!
//! # The data file, `_pitstop.1.data`
//!
//! Lines, each ended by a newline, of fields separated by one tab. In a field, a backslash is written `\\`, a tab `\t`
//! and a newline `\n`; all else stands as the bytes that the file system has, UTF-8 or not.
//!
//! ```text
//! pitstop 1
//! python    3.11    /usr                              the Python it was made for: version, sys.base_prefix
//! library   0       /nix/store/…-zlib-1.3/lib/libz.so.1
//! library   1       ../../../.pitstop/lib/libgomp.so.1
//! file      numpy/core/_multiarray_umath.so    0 1    load library 0, then 1, before this file
//! name      libmagic.so.1    2 3                asked for by that name, load 2, then 3: the one that is meant
//! name      libm.so.6                           the loader finds it; find_library may not
//! end
//! ```
//!
//! (The columns above are tabs; the remarks are not part of it.) Libraries are numbered from 0 in order. A library that is
//! not absolute is relative to the site-packages folder, as the files are, so that a venv can be moved or copied with
//! what lies in it. The last line tells a whole file from one cut short. A reader that finds anything else ignores all of
//! it. The version stands in the file's name, too: a hook never sees data of another version, even half way through an
//! update.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{Inside, InsideError, Operation};

/// The hook itself, the same for every venv.
pub const SOURCE: &str = include_str!("../../../../python/_pitstop.py");
/// Its file name in site-packages.
pub const SOURCE_NAME: &str = "_pitstop.py";
/// The file name of the data.
pub const DATA_NAME: &str = "_pitstop.1.data";
/// What makes Python to 3.17 run the hook at start.
pub const PTH_NAME: &str = "pitstop.pth";
/// What makes Python from 3.15 run it (PEP 829); its presence turns off the import line of the `.pth`.
pub const START_NAME: &str = "pitstop.start";

const PTH: &str = "import _pitstop\n";
const START: &str = "_pitstop:install\n";
/// The first Python that reads `.start` files.
const START_SINCE: (u32, u32) = (3, 15);
const MODE: u32 = 0o644;

/// The Python that a venv has. The hook compares it with the one that it finds itself in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonId {
    /// `sys.version_info[:2]`.
    pub version: (u32, u32),
    /// `sys.base_prefix`, word for word.
    pub base_prefix: PathBuf,
}

/// Which libraries to load before which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookData {
    /// The Python that it is made for.
    pub python: PythonId,
    /// The libraries: absolute, or relative to the site-packages folder (see [`seen_from`]).
    pub libraries: Vec<PathBuf>,
    /// For each file, by its path relative to the site-packages folder, the indexes into `libraries` of what to load
    /// before it. The caller has put them in dependency order: what another needs stands before it.
    pub files: BTreeMap<PathBuf, Vec<usize>>,
    /// For each soname that Python code asks for, the indexes into `libraries` of what to load for it, itself last. Empty
    /// where the loader finds it by that name: `ctypes.util.find_library` finds nothing without ldconfig.
    pub names: BTreeMap<String, Vec<usize>>,
}

impl HookData {
    /// The content of the data file. The same value always gives the same bytes.
    ///
    /// Files without libraries are left out.
    ///
    /// # Panics
    ///
    /// If a file names a library that is not there: a bug of the caller.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"pitstop 1\n".to_vec();
        let (major, minor) = self.python.version;
        line(&mut out, "python", format!("{major}.{minor}").as_bytes(), &escaped(&self.python.base_prefix));
        for (index, library) in self.libraries.iter().enumerate() {
            line(&mut out, "library", index.to_string().as_bytes(), &escaped(library));
        }
        for (file, wanted) in self.files.iter().filter(|(_, wanted)| !wanted.is_empty()) {
            line(&mut out, "file", &escaped(file), self.indexes(file, wanted).as_bytes());
        }
        for (name, wanted) in &self.names {
            let name = Path::new(name);
            line(&mut out, "name", &escaped(name), self.indexes(name, wanted).as_bytes());
        }
        out.extend_from_slice(b"end\n");
        out
    }

    fn indexes(&self, of: &Path, wanted: &[usize]) -> String {
        let known = wanted.iter().all(|&index| index < self.libraries.len());
        assert!(known, "{} names no library", of.display());
        wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

fn line(out: &mut Vec<u8>, kind: &str, first: &[u8], second: &[u8]) {
    for (field, end) in [(kind.as_bytes(), b'\t'), (first, b'\t'), (second, b'\n')] {
        out.extend_from_slice(field);
        out.push(end);
    }
}

fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.as_os_str().len());
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
    out
}

/// How to write `library` in the data of a venv: relative to `site_packages` when it lies in the venv, so that it moves
/// with it; as it is when it lies elsewhere. All three are absolute and free of symbolic links.
#[must_use]
pub fn seen_from(site_packages: &Path, venv: &Path, library: &Path) -> PathBuf {
    let (Ok(library_in), Ok(site_in)) = (library.strip_prefix(venv), site_packages.strip_prefix(venv)) else {
        return library.to_owned();
    };
    let up = site_in.components().map(|_| Component::ParentDir);
    up.chain(library_in.components()).collect()
}

/// The hook's bytecode, compiled by the venv's own Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytecode {
    /// Its file name in `__pycache__`, such as `_pitstop.cpython-311.pyc`.
    pub name: String,
    /// All of the file.
    pub bytes: Vec<u8>,
}

/// The operations that put the hook into `site_packages` (relative to the root that they will be applied to; nothing
/// when it is that root). The data comes first and the activation last, so that whoever starts Python in between sees
/// the venv as it was.
pub fn operations(
    site_packages: Option<&Inside>,
    data: &HookData,
    bytecode: Option<Bytecode>,
) -> Result<Vec<Operation>, InsideError> {
    let at = |name: &str| match site_packages {
        Some(folder) => folder.join(name),
        None => Inside::new(name),
    };
    let write = |name: &str, bytes: Vec<u8>| Ok(Operation::WriteFile { path: at(name)?, bytes, mode: MODE });
    let cache = at("__pycache__")?;
    let mut operations = vec![
        write(DATA_NAME, data.to_bytes())?,
        Operation::MakeFolder { path: cache.clone() },
        Operation::Claim {
            folder: cache.clone(),
            starts_with: "_pitstop.".to_owned(),
            ends_with: ".pyc".to_owned(),
        },
    ];
    if let Some(Bytecode { name, bytes }) = bytecode {
        operations.push(Operation::WriteFile { path: cache.join(name)?, bytes, mode: MODE });
    }
    operations.push(write(SOURCE_NAME, SOURCE.as_bytes().to_vec())?);
    if data.python.version >= START_SINCE {
        operations.push(write(START_NAME, START.as_bytes().to_vec())?);
    }
    operations.push(write(PTH_NAME, PTH.as_bytes().to_vec())?);
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn data(version: (u32, u32)) -> HookData {
        HookData {
            python: PythonId { version, base_prefix: "/usr".into() },
            libraries: vec!["/lib/liba.so.1".into(), PathBuf::from(OsStr::from_bytes(b"b\\t\t\n\xff"))],
            files: BTreeMap::from([
                ("p/x.so".into(), vec![1, 0]),
                ("p/none.so".into(), vec![]),
                ("a\tb.so".into(), vec![0]),
            ]),
            names: BTreeMap::from([("libb.so.1".to_owned(), vec![0, 1]), ("libm.so.6".to_owned(), vec![])]),
        }
    }

    #[test]
    fn the_data_file_is_as_documented() {
        let expected = b"pitstop 1\npython\t3.11\t/usr\nlibrary\t0\t/lib/liba.so.1\n\
            library\t1\tb\\\\t\\t\\n\xff\nfile\ta\\tb.so\t0\nfile\tp/x.so\t1 0\n\
            name\tlibb.so.1\t0 1\nname\tlibm.so.6\t\nend\n";
        assert_eq!(data((3, 11)).to_bytes(), expected);
    }

    #[test]
    #[should_panic(expected = "names no library")]
    fn an_index_without_library_is_a_bug() {
        let mut data = data((3, 11));
        data.files.insert("y.so".into(), vec![2]);
        let _ = data.to_bytes();
    }

    #[test]
    fn a_library_in_the_venv_moves_with_it() {
        let seen = |library: &str| seen_from(Path::new("/v/lib/p/s"), Path::new("/v"), Path::new(library));
        assert_eq!(seen("/v/.pitstop/lib/x.so"), Path::new("../../../.pitstop/lib/x.so"));
        assert_eq!(seen("/vv/x.so"), Path::new("/vv/x.so"));
        assert_eq!(seen_from(Path::new("/s"), Path::new("/s"), Path::new("/s/x.so")), Path::new("x.so"));
    }

    #[test]
    fn activation_comes_last_and_start_files_from_3_15() {
        let site = Inside::new("lib/python3.11/site-packages").unwrap();
        let bytecode = Some(Bytecode { name: "_pitstop.cpython-311.pyc".to_owned(), bytes: vec![1] });
        let names = |operations: Vec<Operation>| {
            operations.iter().map(|operation| operation.path().name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(operations(Some(&site), &data((3, 14)), bytecode).unwrap()),
            [DATA_NAME, "__pycache__", "__pycache__", "_pitstop.cpython-311.pyc", SOURCE_NAME, PTH_NAME]
        );
        assert_eq!(
            names(operations(None, &data((3, 15)), None).unwrap()),
            [DATA_NAME, "__pycache__", "__pycache__", SOURCE_NAME, START_NAME, PTH_NAME]
        );
    }

    #[test]
    fn the_hook_reads_the_data_file_of_this_version() {
        assert!(SOURCE.contains(&format!("_DATA = \"{DATA_NAME}\"")));
    }
}
