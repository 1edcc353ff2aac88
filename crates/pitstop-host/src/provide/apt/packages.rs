//! Whole packages, for those who name them: unpacked, with those of their dependencies that the machine lacks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::{Apt, Cost, LISTS_LAST, Lists, is_useful, words};
use crate::provide::{Context, Error};

impl Apt {
    /// Unpacks packages and what they need, and gives the folders that stand for `/`, those of the named ones among them.
    /// What is installed already has none. A package that cannot be had is an error, in apt's own words: whoever names
    /// one means it.
    pub fn packages(&self, names: &[String], context: &mut Context<'_>) -> Result<Vec<PathBuf>, Error> {
        let names: BTreeSet<String> = names.iter().cloned().collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(unavailable(name, "is no name of a Debian package"));
        }
        fs_err::create_dir_all(&self.destination)?;
        let mut lists = if self.machine_has_lists(context)? { Lists::Machine } else { Lists::Own };
        if lists == Lists::Own {
            self.refresh(LISTS_LAST, context)?;
        }
        loop {
            let solution = match self.simulate(&names, lists, context)? {
                Ok(solution) => solution,
                Err(mut reasons) => {
                    if reasons.is_empty() {
                        reasons = self.blame(&names, lists, context)?;
                    }
                    let words = reasons.into_values().collect::<Vec<_>>().join("\n");
                    let hint = words::hint(&words);
                    return Err(Error::ToolFailed { program: "apt-get install".into(), words, hint });
                }
            };
            match self.fetch(&solution.installs, lists, &mut Cost::default(), context) {
                Ok(()) => {
                    let useful = solution.installs.iter().filter(|install| is_useful(install));
                    return Ok(useful.map(|install| self.folder(install)).collect());
                }
                Err(Error::ToolFailed { words, .. })
                    if lists == Lists::Machine && words::is_stale(&words) =>
                {
                    lists = Lists::Own;
                    self.refresh(Duration::ZERO, context)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Debian Policy 5.6.7, with an architecture or without. apt would take other words for an option, a pattern or a wish to
/// remove something.
fn is_name(word: &str) -> bool {
    let (name, architecture) = word.split_once(':').unwrap_or((word, "any"));
    let is_of = |text: &str, marks: &str| {
        text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || marks.contains(it))
    };
    name.len() > 1
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !name.ends_with('-')
        && is_of(name, "+-.")
        && !architecture.is_empty()
        && is_of(architecture, "-")
}

fn unavailable(name: &str, why: &str) -> Error {
    Error::ToolFailed { program: "apt-get install".into(), words: format!("{name} {why}"), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_reach_apt() {
        for name in ["libgl1", "g++", "libc6-dev", "libsqlite3-0", "gcc:amd64", "x11-apps"] {
            assert!(is_name(name), "{name}");
        }
        for word in ["", "-o", "gcc-", "unixODBC", "a b", "--yes", "gcc=1", "gcc:", "lib*", "x"] {
            assert!(!is_name(word), "{word}");
        }
    }
}
