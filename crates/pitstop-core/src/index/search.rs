//! Searching a nix-index database for paths, as nix-locate does: the same options, answers and order.
//!
//! Lines are written out in full into one text, a block at a time, and the text is searched as a whole, so that literals
//! are found with vector instructions and most lines never looked at by themselves.

mod order;
mod query;

use std::ops::ControlFlow;
use std::rc::Rc;

use memchr::{memchr, memrchr};
use regex_automata::Input;

pub use query::{Kind, Options, PatternError, Query};

use super::database::{Error, Fault, PACKAGE_META};
use super::frcode::{self, LINE_MAX, RawLine};
use super::{Entry, Node, Package};
use order::Order;

/// How long the text of a block may grow, in bytes, before it is searched.
const TEXT_MAX: usize = 32 << 10;

/// A line of the text.
struct Place {
    /// Where its path begins in the text.
    text: usize,
    /// Where its line begins in the input.
    input: usize,
}

/// An entry that was found, with its package.
struct Found {
    package: Rc<Package>,
    entry: Entry,
    /// The number of the package's line.
    line: u64,
}

/// Why a block ends where it does.
enum Ended {
    /// The text is as long as it may grow.
    Full,
    /// There is no other whole line.
    Input,
    /// The next line is none.
    Broken(frcode::Error),
}

/// A search under way.
pub struct Search<'q> {
    query: &'q Query,
    /// The last path of the block before, then the paths of this one, each with a newline.
    text: Vec<u8>,
    places: Vec<Place>,
    /// Which of the places are packages.
    packages: Vec<usize>,
    /// The start and length of the last path in the text.
    last: (usize, usize),
    shared: usize,
    order: Order,
    /// The number of the first line of this block, and where it begins, in bytes from the start of the stream.
    first_line: u64,
    offset: u64,
    /// Whether the last line was an entry, and where the first entry of its package began.
    open: Option<u64>,
    /// Entries whose package is still to come.
    pending: Vec<Entry>,
    found: Vec<Found>,
}

impl<'q> Search<'q> {
    /// A search that begins.
    #[must_use]
    pub fn new(query: &'q Query) -> Self {
        Self {
            query,
            text: Vec::new(),
            places: Vec::new(),
            packages: Vec::new(),
            last: (0, 0),
            shared: 0,
            order: Order::default(),
            first_line: 0,
            offset: 0,
            open: None,
            pending: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Searches the whole lines at the start of `input`, and says how many bytes they take: the rest is to be given
    /// again, with what follows it. `reads` are the ends of the pieces in which the stream was read, in bytes from its
    /// start; where they are those of nix-locate, the answers come in its order.
    ///
    /// # Errors
    ///
    /// The first fault that was met: what says nothing about the question is not looked at. [`Search::give_up`] gives what
    /// was found before it.
    pub fn feed(
        &mut self,
        input: &[u8],
        reads: &[u64],
        each: &mut impl FnMut(&Package, &Entry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), usize>, Error> {
        let mut done = 0;
        loop {
            let (taken, ended) = self.write_out(&input[done..], reads);
            self.look(&input[done..])?;
            for boundary in std::mem::take(&mut self.order.boundaries) {
                if self.give(boundary, each).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            done += taken;
            self.offset += taken as u64;
            self.first_line += self.places.len() as u64;
            match ended {
                Ended::Full => {}
                Ended::Input => return Ok(ControlFlow::Continue(done)),
                Ended::Broken(fault) => return Err(Error { offset: self.offset, fault: fault.into() }),
            }
        }
    }

    /// Ends the search, `left` being what [`Search::feed`] did not take.
    ///
    /// # Errors
    ///
    /// A line that is cut off, and entries without a package.
    pub fn finish(
        mut self,
        left: &[u8],
        each: &mut impl FnMut(&Package, &Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let _ = self.give(u64::MAX, each);
        if !left.is_empty() {
            return Err(Error { offset: self.offset, fault: frcode::Error::CutOff.into() });
        }
        match self.open {
            Some(offset) => Err(Error { offset, fault: Fault::NoPackage }),
            None => Ok(()),
        }
    }

    /// Gives what was found before a fault.
    pub fn give_up(mut self, each: &mut impl FnMut(&Package, &Entry) -> ControlFlow<()>) {
        let _ = self.give(u64::MAX, each);
    }

    /// Writes out as many lines as there are whole ones and the text has room for. Gives the bytes that they took.
    fn write_out(&mut self, input: &[u8], reads: &[u64]) -> (usize, Ended) {
        self.places.clear();
        self.packages.clear();
        // The last path stays, for the next shares with it.
        let (start, length) = self.last;
        self.text.copy_within(start..start + length, 0);
        self.text.truncate(length);
        self.text.push(b'\n');
        let text_max = self.text.len() + TEXT_MAX;
        let (mut start, mut length, mut at) = (0, length, 0);
        let ended = loop {
            if self.text.len() > text_max {
                break Ended::Full;
            }
            let Some(line) = RawLine::split(&input[at..]) else {
                break if input.len() - at > LINE_MAX {
                    Ended::Broken(frcode::Error::TooLong)
                } else {
                    Ended::Input
                };
            };
            let shared = match frcode::shared(self.shared, line.change, length) {
                Ok(shared) if shared + line.rest.len() <= LINE_MAX => shared,
                Ok(_) => break Ended::Broken(frcode::Error::TooLong),
                Err(error) => break Ended::Broken(error),
            };
            if line.meta == PACKAGE_META {
                self.packages.push(self.places.len());
                self.open = None;
            } else if self.open.is_none() {
                self.open = Some(self.offset + at as u64);
            }
            self.order.line(self.offset + at as u64, &line, shared, reads);
            let path = self.text.len();
            self.text.extend_from_within(start..start + shared);
            // The newline stands behind the rest of the path there, too.
            let end = at + line.length;
            self.text.extend_from_slice(&input[end - line.rest.len() - 1..end]);
            self.places.push(Place { text: path, input: at });
            (start, length, self.shared) = (path, shared + line.rest.len(), shared);
            at = end;
        };
        self.last = (start, length);
        (at, ended)
    }

    /// Looks for the query in what was written out.
    fn look(&mut self, input: &[u8]) -> Result<(), Error> {
        let Some(first) = self.places.first() else { return Ok(()) };
        let (mut at, mut line, mut package) = (first.text, 0, 0);
        // Without the last newline, which would begin one more path.
        let text_end = self.text.len() - 1;
        while at <= text_end
            && let Some(hit) = self.query.next(&Input::new(&self.text[..text_end]).range(at..))
        {
            line += self.places[line + 1..].iter().take_while(|place| place.text <= hit.start()).count();
            while self.packages.get(package).is_some_and(|&place| place < line) {
                self.settle(package)?;
                package += 1;
            }
            let place = &self.places[line];
            let end = memchr(b'\n', &self.text[hit.end()..]).map_or(text_end, |end| hit.end() + end);
            at = end + 1;
            if self.packages.get(package) == Some(&line) {
                continue;
            }
            if self.query.asks_for_packages()
                && let Some(&next) = self.packages.get(package)
                && !self.query.likes(&self.package(next)?)
            {
                // Nor is any other entry of it wanted.
                at = self.places.get(next + 1).map_or(self.text.len(), |place| place.text);
                continue;
            }
            let path = &self.text[place.text..end];
            if self.query.is_wanted(path, hit.end() - place.text) {
                let offset = self.offset + place.input as u64;
                let meta = memchr(0, &input[place.input..]).map(|nul| &input[place.input..place.input + nul]);
                let node = meta.and_then(Node::from_meta).ok_or(Error { offset, fault: Fault::Entry })?;
                if self.query.is_of_kind(&node) {
                    self.pending.push(Entry { path: path.into(), node });
                }
            }
        }
        for package in package..self.packages.len() {
            self.settle(package)?;
        }
        Ok(())
    }

    /// The package at one of the places.
    fn package(&self, place: usize) -> Result<Package, Error> {
        let Place { text, input } = self.places[place];
        let end = self.places.get(place + 1).map_or(self.text.len(), |next| next.text) - 1;
        let offset = self.offset + input as u64;
        serde_json::from_slice(&self.text[text..end]).map_err(|_| Error { offset, fault: Fault::Package })
    }

    /// Gives what waits for a package to it.
    fn settle(&mut self, package: usize) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let place = self.packages[package];
        let package = self.package(place)?;
        if self.query.likes(&package) {
            let (package, line) = (Rc::new(package), self.first_line + place as u64);
            let found = |entry| Found { package: Rc::clone(&package), entry, line };
            self.found.extend(self.pending.drain(..).map(found));
        } else {
            self.pending.clear();
        }
        Ok(())
    }

    /// Gives what was found of packages whose line is before this one, the last first, as nix-locate takes it from its
    /// stack.
    fn give(
        &mut self,
        line: u64,
        each: &mut impl FnMut(&Package, &Entry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let ready = self.found.partition_point(|found| found.line < line);
        self.found.drain(..ready).rev().try_for_each(|found| each(&found.package, &found.entry))
    }
}

/// Whether a path goes on into another folder behind `end`.
fn goes_deeper(path: &[u8], end: usize) -> bool {
    memrchr(b'/', path).is_some_and(|slash| slash >= end)
}

#[cfg(test)]
mod tests;
