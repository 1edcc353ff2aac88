//! Which package brought a file, as the `RECORD` of each installed wheel tells it.
//!
//! Format: <https://packaging.python.org/en/latest/specifications/recording-installed-packages/>. Nothing that a
//! `RECORD` says is trusted further than as a name for a file that was found by other means: entries that climb out
//! of the folder, absolute ones and ones for files that are not there are passed over.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use bstr::ByteSlice;
use foldhash::HashMap;

/// An installed package: a distribution in the words of Python packaging.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The name as the folder `NAME-VERSION.dist-info` spells it, `_` given back as `-`.
    pub name: String,
    /// The version as the folder spells it.
    pub version: String,
}

impl Owner {
    /// Takes name and version from the name of a `.dist-info` folder, which is normative for wheels (PEP 427).
    #[must_use]
    pub fn from_dist_info(folder: &str) -> Option<Self> {
        let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
        (!name.is_empty() && !version.is_empty())
            .then(|| Self { name: name.replace('_', "-"), version: version.to_owned() })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A `RECORD` that could not be read to its end; what came before still counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProblem {
    /// The line where reading stopped, from 1.
    pub line: u64,
    /// What the reader said.
    pub cause: String,
}

/// The packages of one site-packages folder, and which of the files asked about belongs to which.
#[derive(Debug)]
pub struct Owners<'a> {
    packages: Vec<Owner>,
    /// By the bytes of a path: hashing one part by part costs more than reading its line.
    by_file: HashMap<&'a [u8], Option<usize>>,
    unowned: usize,
}

impl<'a> Owners<'a> {
    /// Starts with the files whose owner is wanted, as paths below site-packages. Only these are remembered, so that the
    /// tens of thousands of other lines cost no memory.
    pub fn of(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let by_file: HashMap<_, _> =
            files.into_iter().map(|file| (file.as_os_str().as_bytes(), None)).collect();
        Self { packages: Vec::new(), unowned: by_file.len(), by_file }
    }

    /// Whether every file has found its owner, so that reading further changes nothing.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.unowned == 0
    }

    /// Reads one package's `RECORD`. Where two packages claim a file, the first one read keeps it.
    pub fn read(&mut self, owner: Owner, record: &[u8]) -> Result<(), RecordProblem> {
        let index = self.packages.len();
        self.packages.push(owner);
        if record.contains(&b'"') {
            return self.read_quoted(index, record);
        }
        for line in record.lines() {
            let end = line.find_byte(b',').unwrap_or(line.len());
            self.claim(&line[..end], index);
        }
        Ok(())
    }

    /// The same where fields may be quoted, which takes ten times as long and which hardly any `RECORD` needs.
    fn read_quoted(&mut self, index: usize, record: &[u8]) -> Result<(), RecordProblem> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
        let mut row = csv::ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut row) {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    return Err(RecordProblem { line, cause: error.to_string() });
                }
            }
            self.claim(row.get(0).unwrap_or_default(), index);
        }
    }

    fn claim(&mut self, path: &[u8], index: usize) {
        let owned = |slot: &mut Option<usize>| slot.is_none() && slot.replace(index).is_none();
        let newly = match self.by_file.get_mut(path) {
            Some(slot) => owned(slot),
            // The common spelling is looked up as it stands; `./a` and `a//b` only where it was not found.
            None => plain(path)
                .and_then(|path| self.by_file.get_mut(path.as_os_str().as_bytes()))
                .is_some_and(owned),
        };
        self.unowned -= usize::from(newly);
    }

    /// The package that a file belongs to, if any `RECORD` lists it.
    #[must_use]
    pub fn owner_of(&self, file: &Path) -> Option<&Owner> {
        self.by_file.get(file.as_os_str().as_bytes()).copied().flatten().map(|index| &self.packages[index])
    }
}

/// A relative path without `.` and doubled separators; `None` where it needs no change, is absolute or climbs.
fn plain(path: &[u8]) -> Option<PathBuf> {
    // Nearly every line ends here.
    let is_odd = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    let odd = path.starts_with(b".") || path.ends_with(b"/") || path.windows(2).any(is_odd);
    if !odd {
        return None;
    }
    let path = path.to_path().ok()?;
    let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let climbs = plain.components().any(|part| !matches!(part, Component::Normal(_)));
    (!climbs && plain.as_os_str() != path.as_os_str()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { name: name.to_owned(), version: "1".to_owned() }
    }

    #[test]
    fn a_dist_info_folder_names_its_package() {
        let owner = Owner::from_dist_info("opencv_python-5.0.0.93.dist-info").unwrap();
        assert_eq!(owner.to_string(), "opencv-python 5.0.0.93");
        assert_eq!(Owner::from_dist_info("numpy.dist-info"), None);
        assert_eq!(Owner::from_dist_info("-1.dist-info"), None);
    }

    #[test]
    fn files_are_found_under_the_package_that_lists_them_first() {
        let files = ["a/x.so", "a,b.so", "c.so"].map(Path::new);
        let mut owners = Owners::of(files);
        owners.read(owner("one"), b"a/x.so,sha256=abc,12\n\"a,b.so\",,\n").unwrap();
        owners.read(owner("two"), b"./a//x.so,,\n").unwrap();
        assert_eq!(owners.owner_of(files[0]), Some(&owner("one")));
        assert_eq!(owners.owner_of(files[1]), Some(&owner("one")));
        assert_eq!(owners.owner_of(files[2]), None);
        assert!(!owners.complete());
        owners.read(owner("two"), b"./c.so,,\r\n").unwrap();
        assert!(owners.complete());
    }

    #[test]
    fn entries_that_climb_out_or_are_absolute_own_nothing() {
        let files = ["x.so", "../x.so", "/x.so"].map(Path::new);
        let mut owners = Owners::of([files[0]]);
        owners.read(owner("one"), b"../x.so,,\n/x.so,,\n../site-packages/x.so,,\n\n,,\n\xff.so,,\n").unwrap();
        assert_eq!(owners.owner_of(files[0]), None);
    }
}
