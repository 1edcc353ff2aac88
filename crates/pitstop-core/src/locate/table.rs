//! The embedded table, bisected where it lies in the binary: nothing is parsed, allocated or relocated at start.

use super::Class;

/// Written by `build.rs`, which documents the format.
static SONAMES: &str = include_str!(concat!(env!("OUT_DIR"), "/sonames"));
static RENAMES: &str = include_str!(concat!(env!("OUT_DIR"), "/renames"));

/// One line of the table. Empty fields mean "none known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) soname: &'static str,
    pub(super) class: Class,
    pub(super) nix: &'static str,
    pub(super) debian12: &'static str,
    pub(super) debian13: &'static str,
    alternatives: &'static str,
    /// What nixpkgs calls the library that Debian calls `soname`.
    pub(super) nix_soname: &'static str,
    /// What Debian calls the library that nixpkgs calls `soname`.
    pub(super) debian_soname: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Self {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (soname, class, nix, debian12, debian13) = (next(), next(), next(), next(), next());
        Self {
            soname,
            class: match class {
                "c" => Class::Libc,
                "t" => Class::Toolchain,
                "d" => Class::Driver,
                _ => Class::Lib,
            },
            nix,
            debian12,
            debian13: if debian13 == "=" { debian12 } else { debian13 },
            alternatives: next(),
            nix_soname: next(),
            debian_soname: next(),
        }
    }

    /// Other Debian packages that hold the same file name.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.alternatives.split(',').filter(|name| !name.is_empty())
    }
}

/// The row of exactly this soname.
pub(super) fn find(soname: &str) -> Option<Row> {
    let rest = &SONAMES[lower_bound(SONAMES, soname)..];
    let row = Row::parse(rest.lines().next()?);
    (row.soname == soname).then_some(row)
}

/// The rows of all versions of one library: `stem` ends in `.so`, and is followed by nothing or by `.` and a version.
pub(super) fn versions(stem: &str) -> impl Iterator<Item = Row> {
    SONAMES[lower_bound(SONAMES, stem)..]
        .lines()
        .map(Row::parse)
        .take_while(move |row| row.soname.starts_with(stem))
        .filter(move |row| matches!(row.soname.as_bytes().get(stem.len()), None | Some(b'.')))
}

/// Other names of a nixpkgs attribute.
pub(super) fn renames(attribute: &str) -> impl Iterator<Item = &'static str> {
    others(attribute).map(|(other, _)| other)
}

/// The names that have taken the place of an attribute, which new releases still take, but warn of.
pub(super) fn new_names(attribute: &str) -> impl Iterator<Item = &'static str> {
    others(attribute).filter(|(_, warns)| *warns).map(|(other, _)| other)
}

fn others(attribute: &str) -> impl Iterator<Item = (&'static str, bool)> {
    RENAMES[lower_bound(RENAMES, attribute)..]
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .take_while(move |(name, _)| *name == attribute)
        .map(|(_, other)| other.split_once('\t').map_or((other, false), |(other, _)| (other, true)))
}

/// Every row, in order.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Row> {
    SONAMES.lines().map(Row::parse)
}

/// Where the first line starts whose key is not less than `key`.
fn lower_bound(table: &str, key: &str) -> usize {
    let bytes = table.as_bytes();
    // Both ends are always the start of a line, or the end of the table.
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle].iter().rposition(|&byte| byte == b'\n').map_or(low, |at| low + at + 1);
        let end =
            bytes[middle..high].iter().position(|&byte| byte == b'\n').map_or(high, |at| middle + at + 1);
        let line = &bytes[start..end];
        let found = line.split(|&byte| byte == b'\t').next().unwrap_or(line);
        if found < key.as_bytes() {
            low = end;
        } else {
            high = start;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_row_is_found() {
        let mut last = "";
        let mut count = 0;
        for row in all() {
            assert!(last < row.soname, "{last} before {}", row.soname);
            assert_eq!(find(row.soname), Some(row));
            last = row.soname;
            count += 1;
        }
        assert!(count > 13_000, "{count} rows");
    }

    #[test]
    fn every_row_of_the_source_table_is_found() {
        let source = include_str!("../../data/sonames.tsv");
        for line in source.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let row = find(fields[0]).unwrap_or_else(|| panic!("{} is absent", fields[0]));
            if row.class == Class::Driver {
                assert_eq!((row.nix, row.debian12, row.debian13), ("", "", ""), "{line}");
            } else {
                assert_eq!([row.nix, row.debian12, row.debian13], fields[1..4], "{line}");
            }
        }
    }

    #[test]
    fn absent_sonames_are_not_found() {
        for soname in ["", "a", "libz.so.", "libz.so.10", "zzzz", "libz.so.1\tl", "ÿ", "\n", "\u{0}"] {
            assert_eq!(find(soname), None, "{soname:?}");
        }
    }

    #[test]
    fn renames_are_found() {
        assert_eq!(renames("libGL").collect::<Vec<_>>(), ["libglvnd"]);
        assert_eq!(renames("xorg.libX11").collect::<Vec<_>>(), ["libx11"]);
        assert_eq!(new_names("xorg.libX11").collect::<Vec<_>>(), ["libx11"]);
        assert_eq!(renames("libxml2_13").collect::<Vec<_>>(), ["libxml2"]);
        assert_eq!(new_names("libxml2_13").count(), 0);
        assert_eq!(renames("zlib").count(), 0);
        assert_eq!(renames("").count(), 0);
    }
}
