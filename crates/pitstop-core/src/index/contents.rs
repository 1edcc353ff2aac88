//! Debian's Contents: which package has which file, a line each.
//!
//! A line is a path without its leading slash, blanks, and the packages that have it, each with its section before it:
//! `usr/lib/x86_64-linux-gnu/libz.so.1  libs/zlib1g`, packages apart by commas (Debian's wiki, RepositoryFormat,
//! "Contents indices"). A path may have blanks in it; the packages may not. Older files begin with a header that ends in
//! a line of `FILE` and `LOCATION`. Folders are not listed, and neither is what a link leads to.

use bstr::{BString, ByteSlice};

use super::{Origin, Package, StorePath};

/// The longest line that is read. The longest of Debian's is some 40 KiB: a file that very many packages have.
pub const LINE_MAX: usize = 1 << 20;

/// A line: a path, and who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The path without its leading slash.
    pub path: &'a [u8],
    packages: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart, its end left off. `None` for what is none, as the text above the list.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let line = line.trim_ascii_end();
        let (rest, packages) = line.rsplit_once_str(b" ").or_else(|| line.rsplit_once_str(b"\t"))?;
        let packages = packages.rsplit_once_str(b"\t").map_or(packages, |(_, packages)| packages);
        let path = rest.trim_ascii_end();
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let is_header = path == b"FILE" && packages == b"LOCATION";
        // A package without a section is third parties' habit.
        let well = !path.is_empty() && !is_header && self::packages(packages).all(|one| one.is_some());
        well.then_some(Line { path, packages })
    }

    /// The packages: section (empty where none is told) and name.
    pub fn packages(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        packages(self.packages).flatten()
    }
}

fn packages(list: &[u8]) -> impl Iterator<Item = Option<(&str, &str)>> {
    list.split_str(b",").map(|item| {
        let item = item.to_str().ok()?;
        let (section, name) = item.rsplit_once('/').unwrap_or(("", item));
        // Debian Policy 5.6.1: at least two characters, an alphanumeric one first.
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        let well = name.len() > 1 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(letters);
        well.then_some((section, name))
    })
}

/// A binary package as an index of packages holds it: its name for the attribute, its section for the output, and its
/// architecture for the system. It has no store path.
#[must_use]
pub fn package(section: &str, name: &str, architecture: Option<&str>) -> Package {
    Package {
        path: StorePath { store_dir: String::new(), hash: String::new(), name: name.to_owned() },
        origin: Origin {
            attribute: name.to_owned(),
            output: section.to_owned(),
            toplevel: true,
            system: architecture.map(str::to_owned),
        },
    }
}

/// Cuts a stream into lines, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    begun: BString,
    /// Lines that were longer than [`LINE_MAX`], and were left out.
    pub too_long: u64,
}

impl Lines {
    /// Gives each whole line to `each`, and keeps what is left for the next piece.
    pub fn feed(&mut self, mut input: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some((head, rest)) = input.split_once_str(b"\n") {
            input = rest;
            if self.begun.is_empty() {
                self.line(head, &mut each);
            } else {
                let mut line = std::mem::take(&mut self.begun);
                line.extend_from_slice(head);
                self.line(&line, &mut each);
                line.clear();
                self.begun = line;
            }
        }
        // One byte more than allowed is kept, so that a line too long is known for one at its end.
        let room = (LINE_MAX + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&input[..input.len().min(room)]);
    }

    /// The last line, where no end of line follows it.
    pub fn finish(mut self, mut each: impl FnMut(Line<'_>)) -> u64 {
        let line = std::mem::take(&mut self.begun);
        self.line(&line, &mut each);
        self.too_long
    }

    fn line(&mut self, line: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if line.len() > LINE_MAX {
            self.too_long += 1;
        } else if let Some(line) = Line::parse(line) {
            each(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(line: &str, path: &str, expected: &[(&str, &str)]) {
        let line = Line::parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(line.path, path.as_bytes());
        assert_eq!(line.packages().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_is_a_path_and_its_packages() {
        reads(
            "bin/busybox                 shells/busybox,shells/busybox-static",
            "bin/busybox",
            &[("shells", "busybox"), ("shells", "busybox-static")],
        );
        reads(
            "usr/lib/libfoo.so.1\tnon-free/libs/libfoo1\n",
            "usr/lib/libfoo.so.1",
            &[("non-free/libs", "libfoo1")],
        );
        reads(
            "usr/share/a file with blanks.so  misc/a2",
            "usr/share/a file with blanks.so",
            &[("misc", "a2")],
        );
        reads("./opt/x.so  third-party", "opt/x.so", &[("", "third-party")]);
        reads("a/FILE LOCATION1", "a/FILE", &[("", "LOCATION1")]);
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        for line in
            ["", "FILE   LOCATION", "This file maps each file", "a", "a b/", "x y/z,", "x \u{7f}\u{80}"]
        {
            let told = Line::parse(line.as_bytes());
            // Free text above the list may look like one; its last word is no package with a section.
            assert!(told.is_none_or(|line| line.packages().all(|(section, _)| section.is_empty())), "{line}");
        }
        assert_eq!(Line::parse(b"FILE   LOCATION"), None);
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        let text = b"FILE LOCATION\na/b libs/one\n\nc/d libs/two,libs/three\ne/f libs/four";
        for size in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            let mut each = |line: Line<'_>| {
                found.extend(line.packages().map(|(_, name)| format!("{} {name}", line.path.as_bstr())));
            };
            for piece in text.chunks(size) {
                lines.feed(piece, &mut each);
            }
            assert_eq!(lines.finish(&mut each), 0);
            assert_eq!(found, ["a/b one", "c/d two", "c/d three", "e/f four"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_the_next_is_read() {
        let (mut lines, mut found) = (Lines::default(), 0);
        for _ in 0..40 {
            lines.feed(&vec![b'x'; 100_000], |_| found += 1);
        }
        assert!(lines.begun.len() <= LINE_MAX + 1);
        lines.feed(b"\na/b libs/one\n", |_| found += 1);
        assert_eq!((found, lines.finish(|_| {})), (1, 1));
    }
}
