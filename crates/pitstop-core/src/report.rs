//! What `check` found, as other programs read it: the only types here that are serialised, and kept stable.
//!
//! Schema 1. A reader accepts fields that it does not know; a field that is here stays, and keeps its meaning.

use std::collections::BTreeMap;
use std::path::Path;

use bstr::{BString, ByteSlice};
use serde::Serialize;

use crate::diagnose::{Asker, Diagnosis};
use crate::hints::Ask;
use crate::locate::{Class, Located, Source, Suite};
use crate::targets::{Native, Owner};

/// The version of everything serialised here.
pub const SCHEMA: u32 = 1;

/// One environment, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The environment, as it was named.
    pub environment: String,
    /// Its Python.
    pub python: PythonReport,
    /// Packages that have native files.
    pub packages: usize,
    /// Native files.
    pub files: usize,
    /// What is missing: the packages need it.
    pub missing: Vec<MissingReport>,
    /// What is missing and can be done without: only plugins ask for it.
    pub optional: Vec<MissingReport>,
    /// Versions that a library which is there does not define.
    pub mismatched: Vec<MismatchReport>,
    /// Files that end a search because they cannot be loaded.
    pub unusable: Vec<UnusableReport>,
    /// Programs that cannot start.
    pub programs: Vec<ProgramReport>,
    /// Scripts whose first line names a program that is not there.
    pub scripts: Vec<ScriptReport>,
    /// What could not be read.
    pub unread: Vec<UnreadReport>,
    /// Wheels that this Python cannot take, where wheels were checked.
    pub misfits: Vec<MisfitReport>,
    /// Packages that must be built, where packages were checked that are not installed.
    pub to_build: Vec<BuildReport>,
    /// What else a reader should know, in words.
    pub notes: Vec<String>,
}

/// A wheel that an installer would not take.
#[derive(Clone, Debug, Serialize)]
pub struct MisfitReport {
    /// Its file, or the locked package that has no wheel that fits.
    pub file: String,
    /// Why, in words; what is about the machine stands first.
    pub why: Vec<String>,
}

/// A package without a wheel.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// Its file, or its name and version in a lock.
    pub file: String,
    /// Python packages that its build system asks for.
    pub packages: Vec<String>,
    /// Programs that its sources ask for: `a C compiler`, `cargo`.
    pub programs: Vec<String>,
}

/// A script that cannot start.
#[derive(Clone, Debug, Serialize)]
pub struct ScriptReport {
    /// Its path.
    pub path: String,
    /// The package that brought it.
    pub package: Option<String>,
    /// What its first line names.
    pub names: String,
}

/// The Python of an environment.
#[derive(Clone, Debug, Serialize)]
pub struct PythonReport {
    /// Its version, as far as it is known.
    pub version: String,
    /// Its executable, links resolved.
    pub executable: String,
    /// Its loader.
    pub loader: String,
    /// Whether it was asked; otherwise its files were read.
    pub asked: bool,
}

/// A missing library.
#[derive(Clone, Debug, Serialize)]
pub struct MissingReport {
    /// The name.
    pub soname: String,
    /// Versions that it must define.
    pub versions: Vec<String>,
    /// Who needs it.
    pub needed_by: Vec<NeederReport>,
    /// What kind of library it is: `libc`, `toolchain`, `driver` or `library`.
    pub class: &'static str,
    /// A file that this machine has it in already, and that `fix` would take.
    pub here: Option<HereReport>,
    /// Who has it, best first.
    pub candidates: Vec<CandidateReport>,
}

/// A file on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct HereReport {
    /// Where.
    pub path: String,
    /// Whose: `python`, `wheel` or `host`.
    pub from: &'static str,
}

/// A package that needs something.
#[derive(Clone, Debug, Serialize)]
pub struct NeederReport {
    /// Its name; `None` for files that no `RECORD` lists.
    pub package: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The files that Python opens, below the environment.
    pub files: Vec<String>,
    /// Where it asks for it by name.
    pub asks: Vec<AskReport>,
}

/// A library asked for by name.
#[derive(Clone, Debug, Serialize)]
pub struct AskReport {
    /// How: `ctypes`, `find_library`, `dlopen`, `wrapper`, `note` or `known`.
    pub how: &'static str,
    /// The file that asks, below site-packages; `None` where only what is known of the package says so.
    pub file: Option<String>,
    /// The line in it; `None` for a native file.
    pub line: Option<usize>,
    /// Sonames of which one is enough, best first.
    pub alternatives: Vec<String>,
}

/// A package that has a library.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateReport {
    /// `nix`, `debian12` or `debian13`.
    pub source: String,
    /// The attribute or package.
    pub name: String,
    /// The soname that it has.
    pub soname: String,
    /// Whether that is the soname asked for.
    pub exact: bool,
    /// Who says so: the embedded table, or which index.
    pub told_by: String,
}

/// A version that is not defined.
#[derive(Clone, Debug, Serialize)]
pub struct MismatchReport {
    /// The library, as it is asked for.
    pub soname: String,
    /// The version that it lacks.
    pub version: String,
    /// The file that is found.
    pub found: Option<String>,
    /// The package that brought that file.
    pub found_package: Option<String>,
    /// Whether it is Python's own, so that no other can be loaded in its place.
    pub is_pythons_own: bool,
    /// Who asks.
    pub needed_by: Vec<NeederReport>,
}

/// A file that cannot be loaded.
#[derive(Clone, Debug, Serialize)]
pub struct UnusableReport {
    /// Which.
    pub path: String,
    /// The loader's reason.
    pub why: String,
    /// Who asks.
    pub needed_by: Vec<NeederReport>,
}

/// A program of the environment that cannot start.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramReport {
    /// Where it is, below the environment.
    pub path: String,
    /// Its package.
    pub package: Option<String>,
    /// The loader that it names.
    pub loader: String,
    /// Whether that loader exists here.
    pub loader_exists: bool,
    /// Sonames that it lacks.
    pub missing: Vec<String>,
}

/// What could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct UnreadReport {
    /// The path.
    pub path: String,
    /// Why.
    pub cause: String,
}

/// Names for what a diagnosis refers to by index.
pub struct Names<'a> {
    /// The native files.
    pub natives: &'a [Native],
    /// Their packages.
    pub packages: &'a [Owner],
    /// What packages ask for by name.
    pub asks: &'a [Ask],
    /// A path as a person would write it.
    pub short: &'a dyn Fn(&Path) -> String,
    /// Where this machine has a soname already.
    pub here: &'a dyn Fn(&str) -> Option<HereReport>,
    /// Who has a soname with these versions.
    pub locate: &'a dyn Fn(&str, &[BString]) -> Located,
}

impl Names<'_> {
    /// Fills the parts of a report that come from a diagnosis.
    pub fn describe(&self, diagnosis: &Diagnosis, report: &mut Report) {
        for missing in &diagnosis.missing {
            let soname = missing.soname.to_str_lossy().into_owned();
            let versions: Vec<BString> = missing.versions.iter().cloned().collect();
            let located = (self.locate)(&soname, &versions);
            let in_wheel = missing
                .in_wheels
                .first()
                .map(|&native| HereReport { path: (self.short)(&self.natives[native].path), from: "wheel" });
            let described = MissingReport {
                versions: missing
                    .versions
                    .iter()
                    .map(|version| version.to_str_lossy().into_owned())
                    .collect(),
                needed_by: self.needers(&missing.askers, &missing.named_by),
                class: class_name(located.class),
                here: in_wheel.or_else(|| (self.here)(&soname)),
                candidates: candidates(&located),
                soname,
            };
            let list = if missing.optional { &mut report.optional } else { &mut report.missing };
            list.push(described);
        }
        report.mismatched.extend(diagnosis.mismatched.iter().map(|mismatch| MismatchReport {
            soname: mismatch.soname.to_str_lossy().into_owned(),
            version: mismatch.version.to_str_lossy().into_owned(),
            found: mismatch.found.as_ref().map(|path| (self.short)(path)),
            found_package:
                mismatch.found.as_ref().and_then(|path| self.package_of(path)).map(ToString::to_string),
            is_pythons_own: mismatch.is_pythons_own,
            needed_by: self.needers(&mismatch.askers, &[]),
        }));
        report.unusable.extend(diagnosis.unusable.iter().map(|unusable| UnusableReport {
            path: (self.short)(&unusable.path),
            why: unusable.why.to_string(),
            needed_by: self.needers(&unusable.askers, &[]),
        }));
    }

    fn package_of(&self, path: &Path) -> Option<&Owner> {
        let native = self.natives.iter().find(|native| native.path == path)?;
        Some(&self.packages[native.package?])
    }

    fn needers(&self, askers: &[Asker], named_by: &[usize]) -> Vec<NeederReport> {
        let mut by_package: BTreeMap<Option<&Owner>, (Vec<String>, Vec<AskReport>)> = BTreeMap::new();
        for asker in askers {
            let native = &self.natives[asker.root];
            let package = native.package.map(|package| &self.packages[package]);
            by_package.entry(package).or_default().0.push((self.short)(&native.path));
        }
        for ask in named_by.iter().map(|&index| &self.asks[index]) {
            let package = ask.package.map(|package| &self.packages[package]);
            let native = ask.before.first().map(|&native| (self.short)(&self.natives[native].path));
            by_package.entry(package).or_default().1.push(AskReport {
                how: ask.how.name(),
                file: ask.file.as_ref().map(|file| file.to_string_lossy().into_owned()).or(native),
                line: Some(ask.line).filter(|&line| line > 0),
                alternatives: ask.sonames.clone(),
            });
        }
        let mut needers: Vec<NeederReport> = by_package
            .into_iter()
            .map(|(package, (files, asks))| NeederReport {
                package: package.map(|package| package.name.clone()),
                version: package.map(|package| package.version.clone()),
                files,
                asks,
            })
            .collect();
        needers.sort_by_key(|needer| std::cmp::Reverse(needer.files.len()));
        needers
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Libc => "libc",
        Class::Toolchain => "toolchain",
        Class::Driver => "driver",
        Class::Lib => "library",
    }
}

const fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Debian12 => "debian12",
        Suite::Debian13 => "debian13",
    }
}

fn candidates(located: &Located) -> Vec<CandidateReport> {
    let candidates = located.candidates.iter().map(|candidate| {
        let (source, name) = match &candidate.source {
            Source::Nix { attribute, .. } => ("nix".to_owned(), attribute.clone()),
            Source::Debian { suite, package } => (suite_name(*suite).to_owned(), package.clone()),
        };
        CandidateReport {
            source,
            name,
            soname: candidate.soname.clone(),
            exact: candidate.exact,
            told_by: candidate.told_by.to_string(),
        }
    });
    candidates.collect()
}
