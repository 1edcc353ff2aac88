//! The outcome of starting a program, or of opening one more file in it.

use std::path::Path;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use crate::elf::Elf;
use crate::files::FileId;

/// Which object: those of the process come first, then those of the loading in which the index was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectIndex(pub u32);

/// One entry of the link map.
#[derive(Clone, Debug)]
pub struct Object {
    /// The path by which it was opened; its folder is `$ORIGIN`.
    pub path: Arc<Path>,
    /// Which file that is.
    pub id: FileId,
    /// What the file says of itself.
    pub elf: Arc<Elf>,
    /// The first object that asked for it (`l_loader`). `None` for a program, and for what a process opens itself.
    pub loaded_by: Option<ObjectIndex>,
    /// How it was found.
    pub rule: Rule,
}

/// How an object was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// By a name or soname in the link map, or because the path leads to a file that is in it.
    AlreadyLoaded,
    /// In a folder of the `DT_RPATH` of an object: the asker, one of those through which it was loaded, or the program.
    /// In musl also of its `DT_RUNPATH`.
    Rpath {
        /// Whose path it was.
        of: ObjectIndex,
        /// The folder, as expanded.
        folder: Arc<Path>,
    },
    /// In a folder of `LD_LIBRARY_PATH`.
    LibraryPath {
        /// The folder.
        folder: Arc<Path>,
    },
    /// In a folder of the asker's own `DT_RUNPATH`.
    Runpath {
        /// The folder, as expanded.
        folder: Arc<Path>,
    },
    /// In `ld.so.cache`.
    Cache,
    /// In one of the loader's own folders.
    Default {
        /// The folder.
        folder: Arc<Path>,
    },
    /// The name has a slash, so it is a path.
    Path,
    /// The loader finds nothing; the caller of the walk named a file that will be there.
    Fallback,
    /// The program itself, its loader, or an object that was said to be loaded.
    Given,
    /// musl: the name is one of those that the loader serves itself.
    Reserved,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is such an object.
    Found {
        /// Which.
        object: ObjectIndex,
        /// By which rule this need was met; the object itself may have come in by another.
        rule: Rule,
    },
    /// Searched for in vain: "cannot open shared object file: No such file or directory".
    Missing,
    /// Only files for another class of machine: "wrong ELF class". It is as good as missing.
    WrongClass,
    /// The search ended at a file that cannot be loaded.
    Unusable {
        /// Which.
        path: Arc<Path>,
        /// The loader's reason.
        why: Arc<str>,
    },
    /// A token in the name has no value here; the loader passes over such a need in silence.
    Skipped,
}

impl Outcome {
    /// The object, if there is one.
    #[must_use]
    pub fn object(&self) -> Option<ObjectIndex> {
        match self {
            Outcome::Found { object, .. } => Some(*object),
            _ => None,
        }
    }

    /// Whether the loader would give up here.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Outcome::Missing | Outcome::WrongClass | Outcome::Unusable { .. })
    }
}

/// One `DT_NEEDED` of one object, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Who has it.
    pub by: ObjectIndex,
    /// Which it is of [`Elf::needed`].
    pub position: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// A version that a file asks of another and does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionProblem {
    /// Who asks.
    pub by: ObjectIndex,
    /// `vn_file`: the name of the library that should define it.
    pub file: BString,
    /// The version.
    pub version: BString,
    /// The object that goes by that name, if there is one.
    pub found_in: Option<ObjectIndex>,
    /// What is wrong.
    pub shortfall: Shortfall,
}

/// What is wrong with a version (`match_symbol` in `elf/dl-version.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortfall {
    /// The library defines versions, but not this one: "version `…' not found (required by …)". Fatal.
    Undefined,
    /// The same, but the need is weak. At most a warning.
    WeakUndefined,
    /// The library defines no versions at all: "no version information available". At most a warning.
    Unversioned,
    /// No object has that name; glibc stops with a failed assertion. Fatal.
    NotLoaded,
}

impl Shortfall {
    /// Whether the loader would give up.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(self, Shortfall::Undefined | Shortfall::NotLoaded)
    }
}

/// What opening one file comes to. The walk goes on past what is missing, so that all of it is known.
#[derive(Clone, Debug)]
pub struct Loading {
    /// What became of the file that was asked for.
    pub root: Outcome,
    /// What the process had loaded before.
    pub before: Arc<[Object]>,
    /// What came in, in the order of loading, which is breadth first.
    pub objects: Vec<Object>,
    /// The needs of those objects, in the order in which they were met.
    pub needs: Vec<Need>,
    /// The version needs of those objects that are not met.
    pub version_problems: Vec<VersionProblem>,
}

impl Loading {
    /// Nothing was opened and nothing came of it.
    pub(super) fn empty(before: Arc<[Object]>) -> Loading {
        Loading {
            root: Outcome::Missing,
            before,
            objects: Vec::new(),
            needs: Vec::new(),
            version_problems: Vec::new(),
        }
    }

    /// The object with this index.
    ///
    /// # Panics
    ///
    /// When the index is of another loading.
    #[must_use]
    pub fn object(&self, index: ObjectIndex) -> &Object {
        let index = index.0 as usize;
        self.before.get(index).unwrap_or_else(|| &self.objects[index - self.before.len()])
    }

    /// The index of the first object that came in.
    #[must_use]
    pub fn first_index(&self) -> ObjectIndex {
        ObjectIndex(u32::try_from(self.before.len()).unwrap_or(u32::MAX))
    }

    /// The objects that came in, with their indices.
    pub fn indexed(&self) -> impl Iterator<Item = (ObjectIndex, &Object)> {
        (self.first_index().0..).map(ObjectIndex).zip(&self.objects)
    }

    /// The name that a need is for, as written.
    ///
    /// # Panics
    ///
    /// When the need is of another loading.
    #[must_use]
    pub fn soname(&self, need: &Need) -> &BStr {
        self.object(need.by).elf.needed[need.position as usize].as_bstr()
    }

    /// The needs that are not met.
    pub fn unmet(&self) -> impl Iterator<Item = &Need> {
        self.needs.iter().filter(|need| need.outcome.is_fatal())
    }

    /// Whether the loader would succeed. Symbols are not looked at.
    #[must_use]
    pub fn succeeds(&self) -> bool {
        !self.root.is_fatal()
            && self.unmet().next().is_none()
            && !self.version_problems.iter().any(|problem| problem.shortfall.is_fatal())
    }

    /// From what was asked for down to `index`: who brought in whom, the object itself last.
    #[must_use]
    pub fn chain(&self, index: ObjectIndex) -> Vec<ObjectIndex> {
        let mut chain = vec![index];
        let mut at = index;
        while let Some(by) = self.object(at).loaded_by {
            chain.push(by);
            at = by;
        }
        chain.reverse();
        chain
    }
}
