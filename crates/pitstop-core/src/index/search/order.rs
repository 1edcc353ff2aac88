//! The order in which nix-locate gives its answers.
//!
//! It unpacks into a buffer of a million bytes (`src/frcode.rs`, `Decoder::decode`), searches that, and gives what it found
//! from a stack, the last first (`src/database.rs`, `ReaderIter::next_match`). So the order follows from where its buffers
//! end, and that from the pieces in which zstd's output was read. Here that buffer is played through without its bytes.

use super::super::frcode::RawLine;

/// The length of its buffer, until a longer line makes it grow.
const CAPACITY: u64 = 1_000_000;

/// Its buffer. Places in it are told in bytes from where the first one began, as if none had ever been emptied.
pub(super) struct Order {
    /// Numbers of the lines before which a buffer ended.
    pub(super) boundaries: Vec<u64>,
    /// Where what is in the buffer begins.
    base: u64,
    capacity: u64,
    /// Where what is in the buffer ends.
    end: u64,
    /// The number of the line that comes.
    line: u64,
    /// The line before it, and its path.
    line_start: u64,
    path_start: u64,
    /// Where what it does not share begins, in bytes from the start of the stream.
    rest: u64,
    /// The first line whose NUL byte was read into this buffer, or will be.
    first: u64,
    /// Whether the buffer began just behind a NUL byte.
    after_nul: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            boundaries: Vec::new(),
            base: 0,
            capacity: CAPACITY,
            end: 0,
            line: 0,
            line_start: 0,
            path_start: 0,
            rest: 0,
            first: 0,
            after_nul: false,
        }
    }
}

impl Order {
    /// Takes the next line, which begins at `start` in the stream.
    #[inline]
    pub(super) fn line(&mut self, start: u64, line: &RawLine<'_>, shared: usize, reads: &[u64]) {
        let (meta, shared) = (line.meta.len() as u64 + 1, shared as u64);
        // It reads up to a NUL byte at a time: the rest of a path, and the metadata of the next.
        let length = start + meta - self.rest;
        if self.end + length + shared <= self.base + self.capacity {
            self.end += length + shared;
        } else {
            self.read_pieces(start, start + meta, reads);
            self.copy_shared(shared);
        }
        self.path_start = self.end - shared;
        self.line_start = self.path_start - meta;
        self.rest = start + (line.length - line.rest.len() - 1) as u64;
        self.line += 1;
    }

    /// Plays through `read_to_nul`: each piece fits as a whole, or begins the next buffer.
    fn read_pieces(&mut self, start: u64, end: u64, reads: &[u64]) {
        let mut at = self.rest;
        while at < end {
            let read = reads.partition_point(|&read| read <= at);
            let next = reads.get(read).map_or(end, |&read| read.min(end));
            let read = self.line - self.first;
            if !self.fits(next - at, read == 0 || read == 1 && !self.after_nul) {
                let after_nul = at == self.rest && self.end == self.path_start;
                if at >= start {
                    // The line before is whole.
                    self.begin_buffer(self.line, self.path_start);
                } else {
                    self.begin_buffer(self.line - 1, self.line_start);
                }
                (self.first, self.after_nul) = (self.line, after_nul);
                self.fits(next - at, true);
            }
            self.end += next - at;
            at = next;
        }
    }

    /// Plays through `copy_shared`.
    fn copy_shared(&mut self, shared: u64) {
        let read = self.line + 1 - self.first;
        if !self.fits(shared, read == 1 && !self.after_nul) {
            self.begin_buffer(self.line, self.path_start);
            (self.first, self.after_nul) = (self.line + 1, true);
            self.fits(shared, true);
        }
        self.end += shared;
    }

    /// Whether so many bytes have room. Until the buffer holds a whole line, it may grow to make it so.
    fn fits(&mut self, length: u64, may_grow: bool) -> bool {
        let needed = self.end + length - self.base;
        if needed > self.capacity && may_grow {
            self.capacity = needed;
        }
        needed <= self.capacity
    }

    fn begin_buffer(&mut self, line: u64, base: u64) {
        self.boundaries.push(line);
        self.base = base;
    }
}
