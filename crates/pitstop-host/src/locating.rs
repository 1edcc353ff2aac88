//! Who has a soname, of all that this machine can tell without a network: the embedded table first, then the soname index
//! of the nix-index database or of Debian's lists.
//!
//! An index is opened only for a soname of which the table knows no package, and a nix-index database is made into one
//! when it is first needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::files::{Files, Opened};
use pitstop_core::index::sonames::{Holder, Kind};
use pitstop_core::locate::rank::{Question, Ranked, candidates, rank};
use pitstop_core::locate::{Class, Located, Suite, Witness, locate};

use crate::index::sonames::{self, Error, Freshness, Index, Input};
use crate::index::{own, places};

/// Said where a soname is unknown and there is no index that may know it.
pub const NO_DATABASE_HINT: &str = "No index of packages (nix-index) is on this machine: `pitstop index update` \
    fetches one, and lets this be asked again";
/// The same, where packages are Debian's.
pub const NO_CONTENTS_HINT: &str =
    "`pitstop index build --debian` reads which package has which library, and lets this be asked again";

/// Answers who has a soname, and keeps what it was asked.
pub struct Locator<'a> {
    kind: Kind,
    suite: Suite,
    files: &'a dyn Files,
    progress: Box<dyn FnMut(usize) + 'a>,
    index: Opening,
    known: HashMap<String, Located>,
    problems: Vec<String>,
    asked_in_vain: bool,
    update: Option<Box<Update<'a>>>,
}

/// Fetches a nix-index database, and says where it is, or what went wrong.
pub type Update<'a> = dyn FnMut() -> Result<PathBuf, String> + 'a;

/// An index that is opened when it is first needed.
enum Opening {
    Unasked,
    Absent,
    Open(Box<Index>),
}

impl<'a> Locator<'a> {
    /// A locator for packages of a kind. `progress` is told how many libraries were found while an index is built.
    pub fn new(kind: Kind, suite: Suite, files: &'a dyn Files, progress: Box<dyn FnMut(usize) + 'a>) -> Self {
        Self {
            kind,
            suite,
            files,
            progress,
            index: Opening::Unasked,
            known: HashMap::new(),
            problems: Vec::new(),
            asked_in_vain: false,
            update: None,
        }
    }

    /// Lets a database be fetched, once, where what is here does not know a soname.
    #[must_use]
    pub fn with_update(mut self, update: Box<Update<'a>>) -> Self {
        self.update = Some(update);
        self
    }

    /// Who has a soname. `versions` are those that its file must define.
    pub fn locate(&mut self, soname: &str, versions: &[BString]) -> Located {
        if let Some(known) = self.known.get(soname) {
            return known.clone();
        }
        let mut located = locate(soname);
        let in_table = match self.kind {
            Kind::Nix => located.nix().any(|(_, candidate)| candidate.exact),
            Kind::Debian => located.debian(self.suite).any(|(_, candidate)| candidate.exact),
        };
        if !in_table && !matches!(located.class, Class::Driver | Class::Libc) {
            let mut found = self.ranked(soname, versions);
            let unknown =
                found.as_ref().is_ok_and(|found| found.as_ref().is_none_or(|(all, _)| all.is_empty()));
            if unknown && self.fetch() {
                found = self.ranked(soname, versions);
            }
            match found {
                Ok(Some((ranked, told_by))) => {
                    let found = candidates(soname, self.kind, self.suite, &ranked, &told_by);
                    let exact = located.candidates.partition_point(|candidate| candidate.exact);
                    located.candidates.splice(exact..exact, found);
                }
                Ok(None) => self.asked_in_vain = true,
                Err(error) => self.problem(&error),
            }
        }
        self.known.insert(soname.to_owned(), located.clone());
        located
    }

    /// What an index says of a soname, best first, and which index. `None` where there is none.
    pub fn ranked(
        &mut self,
        soname: &str,
        versions: &[BString],
    ) -> Result<Option<(Vec<Ranked>, Witness)>, Error> {
        if matches!(self.index, Opening::Unasked) {
            // A failure is told once; what is asked later meets no index.
            self.index = Opening::Absent;
            if let Some(index) = self.open()? {
                self.index = Opening::Open(Box::new(index));
            }
        }
        let Opening::Open(index) = &mut self.index else { return Ok(None) };
        let holders = index.holders(soname.as_bytes(), &mut self.progress)?;
        let files = self.files;
        let question = Question {
            soname,
            kind: self.kind,
            system: (self.kind == Kind::Nix).then_some(SYSTEM),
            table: true,
            defines: &|holder| defines(files, holder, soname, versions),
        };
        Ok(Some((rank(&question, holders), Witness::Index(described(index)))))
    }

    fn open(&mut self) -> Result<Option<Index>, Error> {
        let Some(folder) = own::folder() else { return Ok(None) };
        match self.kind {
            Kind::Debian => Index::at(&sonames::debian_place(&folder)),
            Kind::Nix => {
                let alone = folder.join(sonames::NIX);
                match places::find(None) {
                    Ok(database) if places::is_named() || !is_newer(&alone, &database) => {
                        Index::of(&Input::Nix(database), &folder, &mut self.progress).map(Some)
                    }
                    _ => Index::at(&alone),
                }
            }
        }
    }

    /// Fetches a database and takes its index from here on. It is done once, whatever comes of it.
    fn fetch(&mut self) -> bool {
        let Some(mut update) = self.update.take().filter(|_| self.kind == Kind::Nix) else { return false };
        let fetched = update().and_then(|database| {
            let folder = own::folder().ok_or("there is no home folder to keep an index in")?;
            Index::of(&Input::Nix(database), &folder, &mut self.progress).map_err(|error| words(&error))
        });
        match fetched {
            Ok(index) => self.index = Opening::Open(Box::new(index)),
            Err(problem) => self.problems.push(problem),
        }
        matches!(self.index, Opening::Open(_))
    }

    fn problem(&mut self, error: &Error) {
        self.problems.push(words(error));
    }

    /// What kept an index from being asked, in words.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What to do where a soname was asked for that the table does not know, and there was no index to ask.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let hint = match self.kind {
            Kind::Nix => NO_DATABASE_HINT,
            Kind::Debian => NO_CONTENTS_HINT,
        };
        self.asked_in_vain.then_some(hint)
    }
}

/// Whether a file is there, and changed after another.
fn is_newer(file: &Path, other: &Path) -> bool {
    let changed = |path: &Path| fs_err::metadata(path).and_then(|facts| facts.modified()).ok();
    changed(file) > changed(other)
}

/// An error with its causes, in one line.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}

/// nixpkgs' name for the system that this program runs on.
#[cfg(target_arch = "x86_64")]
const SYSTEM: &str = "x86_64-linux";
#[cfg(target_arch = "aarch64")]
const SYSTEM: &str = "aarch64-linux";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SYSTEM: &str = "unknown-linux";

/// Whether the file of a holder, where its store path is on this machine, defines all these versions.
fn defines(files: &dyn Files, holder: &Holder, soname: &str, versions: &[BString]) -> Option<bool> {
    let store = &holder.package.path;
    if versions.is_empty() || store.store_dir.is_empty() {
        return None;
    }
    let folder = holder.folder.to_str().ok()?;
    match files.open(Path::new(&format!("{store}{folder}/{soname}"))) {
        Opened::Elf(_, elf) => {
            let defined = elf.version_definitions.as_deref();
            Some(versions.iter().all(|version| defined.is_none_or(|defined| defined.contains(version))))
        }
        Opened::Absent | Opened::Unusable(_) => None,
    }
}

/// What an index was made from, in words.
#[must_use]
pub fn described(index: &Index) -> String {
    let made = index.sonames().made();
    let place = made.sources.first().map(|source| source.place.to_string()).unwrap_or_default();
    match (made.kind, index.freshness()) {
        (Kind::Debian, _) => format!("the soname index of Debian's lists of files ({place})"),
        // It went through memory: what answered is the database itself.
        (Kind::Nix, Freshness::Passing) => format!("the nix-index database {place}"),
        (Kind::Nix, _) => format!("the soname index of {place}"),
    }
}
