//! The variables that the shim honours, found among all of them.

use core::ffi::CStr;

/// The variable that the real loader reads.
pub const SEARCH: &[u8] = b"LD_LIBRARY_PATH=";

/// The values that count. Empty counts as unset, except for the caller's own `LD_LIBRARY_PATH`, which has to be
/// given back as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variables<'a> {
    /// `LD_LIBRARY_PATH`: its index in the environment, and its value. Where there are several, the last: that is the
    /// one that glibc's loader takes.
    pub search: Option<(usize, &'a CStr)>,
    /// `NIX_LD_LOG`.
    pub log: Option<&'a CStr>,
    loader: Option<&'a CStr>,
    loader_of_system: Option<&'a CStr>,
    path: Option<&'a CStr>,
    path_of_system: Option<&'a CStr>,
}

impl<'a> Variables<'a> {
    /// Whether a variable whose text begins with this byte can be one that counts.
    #[must_use]
    pub fn may_begin_with(byte: u8) -> bool {
        matches!(byte, b'N' | b'L')
    }

    /// Looks at one variable, `NAME=VALUE`. `system` is the ending of the names that hold for one system only, such as
    /// `x86_64_linux`.
    pub fn note(&mut self, index: usize, variable: &'a CStr, system: &[u8]) {
        let text = variable.to_bytes_with_nul();
        if let Some(value) = text.strip_prefix(SEARCH) {
            self.search = string(value).map(|value| (index, value));
        } else if let Some(rest) = text.strip_prefix(b"NIX_LD") {
            if let Some(rest) = rest.strip_prefix(b"_LIBRARY_PATH") {
                note_either(rest, system, &mut self.path, &mut self.path_of_system);
            } else if let Some(value) = rest.strip_prefix(b"_LOG=") {
                note_first(value, &mut self.log);
            } else {
                note_either(rest, system, &mut self.loader, &mut self.loader_of_system);
            }
        }
    }

    /// The loader that the variables name, and whether it is the system's own variable that does.
    #[must_use]
    pub fn loader(&self) -> Option<(&'a CStr, bool)> {
        self.loader_of_system.map(|value| (value, true)).or(self.loader.map(|value| (value, false)))
    }

    /// The search path that the variables name.
    #[must_use]
    pub fn path(&self) -> Option<&'a CStr> {
        self.path_of_system.or(self.path)
    }
}

/// `=VALUE` goes to one place, `_SYSTEM=VALUE` to another.
fn note_either<'a>(
    rest: &'a [u8],
    system: &[u8],
    general: &mut Option<&'a CStr>,
    special: &mut Option<&'a CStr>,
) {
    if let Some(value) = rest.strip_prefix(b"=") {
        note_first(value, general);
    } else if let Some(rest) = rest.strip_prefix(b"_")
        && let Some(rest) = rest.strip_prefix(system)
        && let Some(value) = rest.strip_prefix(b"=")
    {
        note_first(value, special);
    }
}

/// As with `getenv`, the first of several counts.
fn note_first<'a>(value: &'a [u8], place: &mut Option<&'a CStr>) {
    if place.is_none() {
        *place = string(value).filter(|value| !value.is_empty());
    }
}

/// The text up to its NUL.
fn string(text: &[u8]) -> Option<&CStr> {
    CStr::from_bytes_until_nul(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables<'a>(all: &[&'a CStr]) -> Variables<'a> {
        let mut found = Variables::default();
        for (index, variable) in all.iter().enumerate() {
            assert!(
                found == {
                    let mut after = found;
                    after.note(index, variable, b"x86_64_linux");
                    after
                } || Variables::may_begin_with(variable.to_bytes()[0])
            );
            found.note(index, variable, b"x86_64_linux");
        }
        found
    }

    #[test]
    fn the_systems_own_variable_wins_wherever_it_stands() {
        for all in [[c"NIX_LD=a", c"NIX_LD_x86_64_linux=b"], [c"NIX_LD_x86_64_linux=b", c"NIX_LD=a"]] {
            assert_eq!(variables(&all).loader(), Some((c"b", true)));
        }
        let both = [c"NIX_LD_LIBRARY_PATH_x86_64_linux=b", c"NIX_LD_LIBRARY_PATH=a"];
        assert_eq!(variables(&both).path(), Some(c"b"));
    }

    #[test]
    fn empty_counts_as_unset() {
        let found =
            variables(&[c"NIX_LD_x86_64_linux=", c"NIX_LD=a", c"NIX_LD_LIBRARY_PATH=", c"NIX_LD_LOG="]);
        assert_eq!(found.loader(), Some((c"a", false)));
        assert_eq!((found.path(), found.log), (None, None));
    }

    #[test]
    fn names_that_only_look_alike_are_left_alone() {
        let all = [
            c"NIX_LD_aarch64_linux=a",
            c"NIX_LD_LIBRARY_PATHS=b",
            c"NIX_LDX=c",
            c"NIX_LD",
            c"LD_LIBRARY_PATH",
            c"LD_LIBRARY_PATH_64=d",
            c"NIX_LD_LOGS=e",
            c"",
        ];
        let mut found = Variables::default();
        for variable in all {
            found.note(0, variable, b"x86_64_linux");
        }
        assert_eq!(found, Variables::default());
    }

    #[test]
    fn of_several_search_paths_the_last_is_taken_and_an_empty_one_is_still_the_callers() {
        let found = variables(&[c"LD_LIBRARY_PATH=a", c"HOME=/", c"LD_LIBRARY_PATH="]);
        assert_eq!(found.search, Some((2, c"")));
    }
}
