//! Any path in a nix-index database, with nix-locate's options and in its words.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bstr::ByteSlice;
use pitstop_core::index::search::{Kind, Options, Query};
use pitstop_core::index::{Entry, Node, Package};
use pitstop_core::report::SCHEMA;
use pitstop_host::index::database::{Error, Reader};
use pitstop_host::index::places;
use serde::Serialize;

use super::super::Done;
use crate::args::{FileKind, Locate};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Stream, shown};

/// One answer, as other programs read it.
#[derive(Serialize)]
struct EntryReport<'a> {
    attribute: &'a str,
    output: &'a str,
    /// Whether the store path is that output, rather than somewhere in its closure.
    toplevel: bool,
    system: Option<&'a str>,
    #[serde(flatten)]
    file: Option<FileReport>,
}

/// The file of an answer; `--minimal` leaves it out.
#[derive(Serialize)]
struct FileReport {
    store_path: String,
    /// Below the store path, with a leading slash.
    path: String,
    /// `r`, `x`, `d` or `s`, as nix-locate writes it.
    #[serde(rename = "type")]
    kind: char,
    /// Bytes of a file, entries of a folder; 0 for a link.
    size: u64,
    /// What a link says.
    target: Option<String>,
}

/// Searches, and writes as it finds.
pub(super) fn run(arguments: &Locate, json: bool, output: &Output) -> Done {
    let query = Query::new(options(arguments)).map_err(|error| {
        let error = CommandError::new(ExitStatus::Usage, error);
        error.hint("without --regex, the pattern is taken as text")
    })?;
    let path = places::find(arguments.database.as_deref()).map_err(|looked| none(&looked))?;
    let reader = Reader::open(&path).map_err(unreadable)?;
    let mut printer = Printer {
        query: &query,
        minimal: arguments.minimal,
        json,
        stream: output.stream(),
        line: Vec::new(),
        attributes: HashSet::new(),
        found: 0,
    };
    if json {
        let name = serde_json::Value::from(path.to_string_lossy());
        printer.head(&format!("{{\n  \"schema\": {SCHEMA},\n  \"database\": {name},\n  \"entries\": ["));
    }
    let searched = reader.search(&query, |package, entry| printer.print(package, entry));
    if json {
        let end = if printer.found == 0 { "" } else { "\n  " };
        printer.head(&format!("{end}],\n  \"complete\": {}\n}}\n", searched.is_ok()));
    }
    printer.stream.flush();
    match searched {
        Ok(()) if printer.found == 0 => Ok(ExitStatus::Missing),
        Ok(()) => Ok(ExitStatus::Success),
        Err(error) => Err(unreadable(error)),
    }
}

fn options(arguments: &Locate) -> Options {
    let kind = |kind: &FileKind| match kind {
        FileKind::Regular => Kind::Regular,
        FileKind::Executable => Kind::Executable,
        FileKind::Directory => Kind::Directory,
        FileKind::Symlink => Kind::Symlink,
    };
    Options {
        patterns: arguments.patterns.clone(),
        regex: arguments.regex,
        whole_name: arguments.whole_name,
        at_root: arguments.at_root,
        package: arguments.package.clone(),
        hash: arguments.hash.clone(),
        kinds: arguments.kinds.iter().map(kind).collect(),
        no_group: arguments.no_group,
        all: arguments.all,
    }
}

fn none(looked: &[PathBuf]) -> CommandError {
    let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    let text = format!("there is no nix-index database (looked at {})", looked.join(", "));
    CommandError::new(ExitStatus::Provider, text)
        .hint("`pitstop index update` fetches one, `pitstop index build` makes one, --db names one")
}

fn unreadable(error: Error) -> CommandError {
    let (status, hint) = match &error {
        Error::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            (ExitStatus::Usage, "name a nix-index database, or the folder that it is in, with --db")
        }
        Error::Packed { .. } | Error::Content { .. } => (
            ExitStatus::Incomplete,
            "the answer is partial: it ends where the damage begins; fetch or build the database again",
        ),
        _ => (ExitStatus::Incomplete, "fetch the database again, or build it"),
    };
    CommandError::new(status, error).hint(hint)
}

struct Printer<'q> {
    query: &'q Query,
    minimal: bool,
    json: bool,
    stream: Stream,
    line: Vec<u8>,
    attributes: HashSet<String>,
    found: u64,
}

impl Printer<'_> {
    fn head(&mut self, text: &str) {
        let _ = self.stream.write(text.as_bytes());
    }

    fn print(&mut self, package: &Package, entry: &Entry) -> ControlFlow<()> {
        let origin = &package.origin;
        let attribute = format!("{}.{}", origin.attribute, origin.output);
        let attribute = if origin.toplevel { attribute } else { format!("({attribute})") };
        if self.minimal && self.attributes.contains(&attribute) {
            return ControlFlow::Continue(());
        }
        self.line.clear();
        if self.json {
            self.document(package, entry);
        } else if self.minimal {
            self.line.extend_from_slice(attribute.as_bytes());
            self.line.push(b'\n');
        } else {
            self.row(&attribute, package, entry);
        }
        if self.minimal {
            self.attributes.insert(attribute);
        }
        self.found += 1;
        // Whoever read this is gone: nobody wants the rest.
        if self.stream.write(&self.line).is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn row(&mut self, attribute: &str, package: &Package, entry: &Entry) {
        let (kind, size) = (Kind::of(&entry.node).letter(), grouped(size(&entry.node)));
        let row = format!("{attribute:<40} {size:>14} {kind} {}", package.path);
        let terminal = self.stream.is_terminal();
        // File names may hold anything; a terminal must not obey them, and a program wants them as they are.
        let name = |bytes: &[u8]| if terminal { shown(bytes) } else { bytes.to_str_lossy().into_owned() };
        self.line.extend_from_slice(if terminal { shown(&row) } else { row }.as_bytes());
        let mut end = 0;
        if self.stream.is_coloured() {
            for found in self.query.matches(&entry.path).filter(|found| !found.is_empty()) {
                let (before, word) = (name(&entry.path[end..found.start]), name(&entry.path[found.clone()]));
                self.line.extend_from_slice(format!("{before}\x1b[31m{word}\x1b[39m").as_bytes());
                end = found.end;
            }
        }
        self.line.extend_from_slice(name(&entry.path[end..]).as_bytes());
        self.line.push(b'\n');
    }

    fn document(&mut self, package: &Package, entry: &Entry) {
        let file = (!self.minimal).then(|| FileReport {
            store_path: package.path.to_string(),
            path: entry.path.to_string(),
            kind: Kind::of(&entry.node).letter(),
            size: size(&entry.node),
            target: match &entry.node {
                Node::Symlink { target } => Some(target.to_string()),
                _ => None,
            },
        });
        let report = EntryReport {
            attribute: &package.origin.attribute,
            output: &package.origin.output,
            toplevel: package.origin.toplevel,
            system: package.origin.system.as_deref(),
            file,
        };
        self.line.extend_from_slice(if self.found == 0 { b"\n    " } else { b",\n    " });
        // Strings, numbers and truth values: JSON has them all.
        let _ = serde_json::to_writer(&mut self.line, &report);
    }
}

const fn size(node: &Node) -> u64 {
    match node {
        Node::Regular { size, .. } | Node::Directory { size } => *size,
        Node::Symlink { .. } => 0,
    }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 7, 999, 1000, 104_984, 1_000_000, u64::MAX];
        let expected = ["0", "7", "999", "1,000", "104,984", "1,000,000", "18,446,744,073,709,551,615"];
        assert_eq!(numbers.map(grouped), expected);
    }
}
