//! What is known of packages that no reading can tell: `data/hints.tsv`.
//!
//! A row is one library of which one of several sonames is enough, with the code that asks for it as evidence.

/// Written by `build.rs`: `package  libraries  need  when`, sorted by package, empty fields at the end left off.
static HINTS: &str = include_str!(concat!(env!("OUT_DIR"), "/hints"));

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    libraries: &'static str,
    /// Whether the package works without.
    pub optional: bool,
    /// Where a native file asks from C: part of its path below site-packages. With `!` in front, Python code asks, unless
    /// there is such a native file. `None` where Python code asks.
    pub when: Option<&'static str>,
}

impl Hint {
    /// Sonames of which one is enough, in the order in which the package tries them.
    pub fn libraries(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.libraries.split('|').filter(|soname| !soname.is_empty())
    }
}

/// Whether the table has rows for a package, or says that it needs none. `package` is normalised (PEP 503).
#[must_use]
pub fn is_known(package: &str) -> bool {
    rows(package).next().is_some()
}

/// Whether a package is known to ask for nothing by name that anybody could provide: its code need not be read.
#[must_use]
pub fn needs_nothing(package: &str) -> bool {
    let mut rows = rows(package).peekable();
    rows.peek().is_some() && rows.all(|hint| hint.libraries.is_empty())
}

/// What is known of a package.
pub fn hints(package: &str) -> impl Iterator<Item = Hint> {
    rows(package).filter(|hint| !hint.libraries.is_empty())
}

fn rows(package: &str) -> impl Iterator<Item = Hint> {
    // Some hundred rows: a scan takes less time than one system call.
    HINTS.lines().filter_map(move |line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        if next() != package {
            return None;
        }
        let (libraries, need, when) = (next(), next(), next());
        Some(Hint {
            libraries,
            optional: need == "optional",
            when: Some(when).filter(|when| !when.is_empty()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::locate;

    #[test]
    fn every_library_of_the_table_is_one_that_somebody_has() {
        let packages: std::collections::BTreeSet<&str> =
            HINTS.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(packages.len() > 20);
        for package in packages {
            for hint in hints(package).filter(|hint| !hint.optional) {
                let has = |soname: &str| !locate(soname).candidates.is_empty();
                assert!(hint.libraries().any(has), "{package}: {hint:?}");
            }
        }
    }

    #[test]
    fn a_package_without_libraries_of_its_own_is_known_too() {
        assert!(is_known("soundfile"));
        assert_eq!(hints("shapely").count(), 0);
        assert!(!is_known("no-such-package"));
    }
}
