//! Who has a soname, of all that this machine can tell without a network: the embedded table first, then the soname index
//! of the nix-index database or of Debian's lists.
//!
//! An index is opened only for a soname of which the table knows no package, and a nix-index database is made into one
//! when it is first needed.

use std::collections::HashMap;
use std::path::Path;

use bstr::{BString, ByteSlice};
use pitstop_core::files::{Files, Opened};
use pitstop_core::index::sonames::{Holder, Kind};
use pitstop_core::locate::rank::{Question, Ranked, candidates, rank};
use pitstop_core::locate::{Class, Located, Suite, Witness, locate};

use crate::index::sonames::{self, Error, Freshness, Index, Input};
use crate::index::{contents, places};

/// Said where a soname is unknown and there is no index that may know it.
pub const NO_DATABASE_HINT: &str = "No index of packages is on this machine: put a nix-index database where \
    NIX_INDEX_DATABASE or ~/.cache/nix-index says, and run this again";
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
}

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
        }
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
            match self.ranked(soname, versions) {
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
            closure: &|_| None,
        };
        Ok(Some((rank(&question, holders), Witness::Index(described(index)))))
    }

    fn open(&mut self) -> Result<Option<Index>, Error> {
        let Some(folder) = sonames::folder() else { return Ok(None) };
        match self.kind {
            Kind::Debian => Index::at(&sonames::debian_place(&folder)),
            Kind::Nix => match places::find(None) {
                Ok(database) => Index::of(&Input::Nix(database), &folder, &mut self.progress).map(Some),
                Err(_) => Ok(None),
            },
        }
    }

    fn problem(&mut self, error: &Error) {
        let mut words = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            words.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        self.problems.push(words);
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

/// Debian's lists of files that are on this machine already.
#[must_use]
pub fn debians_lists() -> Option<Input> {
    let architecture = contents::architecture();
    let lists = contents::apts_own(architecture);
    (!lists.is_empty()).then(|| Input::Debian { lists, architecture: architecture.to_owned() })
}
