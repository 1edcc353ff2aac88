//! Which soname a person means.

use std::collections::BTreeSet;

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match<'a> {
    /// This soname.
    One(&'a str),
    /// The beginning of several.
    Several(Vec<&'a str>),
    /// None; these look like it, the most similar first.
    None(Vec<&'a str>),
}

/// Finds a soname: itself, else what only it begins with. `libz` means `libz.so.1`, though `libzmq.so.5` is there too.
pub(super) fn find<'a>(asked: &str, known: &'a BTreeSet<String>) -> Match<'a> {
    if let Some(name) = known.get(asked) {
        return Match::One(name);
    }
    if !asked.is_empty() {
        // What comes next decides how close a beginning is: a version, the end of the stem, a hash, anything.
        let starts = [format!("{asked}.so"), format!("{asked}."), format!("{asked}-"), asked.to_owned()];
        for start in starts {
            let names: Vec<&str> =
                known.iter().map(String::as_str).filter(|name| name.starts_with(&start)).collect();
            match names.as_slice() {
                [] => {}
                [name] => return Match::One(name),
                _ => return Match::Several(names),
            }
        }
    }
    Match::None(similar(asked, known))
}

fn similar<'a>(asked: &str, known: &'a BTreeSet<String>) -> Vec<&'a str> {
    const OFFERED: usize = 3;
    let stem = |name: &str| name.split(".so").next().unwrap_or(name).to_lowercase();
    let wanted = stem(asked);
    let limit = (wanted.len() / 3).clamp(1, 4);
    let mut close: Vec<(usize, usize, &str)> = known
        .iter()
        .map(|name| (distance(&wanted, &stem(name)), distance(asked, name), name.as_str()))
        .filter(|(stems, ..)| *stems <= limit)
        .collect();
    close.sort_unstable();
    // Another version of the same library leaves no room for guesses.
    if close.first().is_some_and(|(stems, ..)| *stems == 0) {
        close.retain(|(stems, ..)| *stems == 0);
    }
    close.into_iter().take(OFFERED).map(|(.., name)| name).collect()
}

/// The number of letters to insert, drop or exchange to make one text the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, its) in other.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *its);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        let names = [
            "libz.so.1",
            "libzmq.so.5",
            "libssl.so.3",
            "libssl.so.1.1",
            "libgfortran-040039e1.so.5.0.0",
            "libc.so.6",
        ];
        names.map(str::to_owned).into()
    }

    #[test]
    fn a_name_is_found_by_itself_and_by_what_only_it_begins_with() {
        let known = known();
        for (asked, name) in [
            ("libz.so.1", "libz.so.1"),
            ("libz", "libz.so.1"),
            ("libz.so", "libz.so.1"),
            ("libzm", "libzmq.so.5"),
            ("libgfortran", "libgfortran-040039e1.so.5.0.0"),
        ] {
            assert_eq!(find(asked, &known), Match::One(name), "{asked}");
        }
    }

    #[test]
    fn a_beginning_of_several_is_no_answer() {
        let known = known();
        assert_eq!(find("libssl", &known), Match::Several(vec!["libssl.so.1.1", "libssl.so.3"]));
        assert_eq!(find("", &known), Match::None(vec![]));
    }

    #[test]
    fn what_is_not_there_is_compared_with_what_is() {
        let known = known();
        assert_eq!(find("libz.so.2", &known), Match::None(vec!["libz.so.1"]));
        assert_eq!(find("libsls.so.3", &known), Match::None(vec!["libssl.so.3", "libssl.so.1.1"]));
        assert_eq!(find("libcurl.so.4", &known), Match::None(vec![]));
    }

    #[test]
    fn the_distance_is_that_of_levenshtein() {
        for (one, other, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("größe", "grosse", 3)]
        {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
