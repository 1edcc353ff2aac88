//! Room for large bodies: many threads may hold a small one each, but only one at a time a large one.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a thread may hold beside others, in bytes. Hardly any listing is as large.
const SMALL_BYTES_MAX: usize = 4 << 20;

/// A thread's right to memory. Goes back to what everybody has with [`Room::leave`].
#[derive(Debug)]
pub struct Room<'a> {
    large: &'a Mutex<()>,
    held: Option<MutexGuard<'a, ()>>,
}

impl<'a> Room<'a> {
    /// Room that shares `large` with all who were given the same.
    #[must_use]
    pub const fn new(large: &'a Mutex<()>) -> Self {
        Self { large, held: None }
    }

    /// Waits until so many bytes may be held.
    pub fn need(&mut self, bytes: usize) {
        if bytes > SMALL_BYTES_MAX && self.held.is_none() {
            self.held = Some(self.large.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Nothing large is held any more.
    pub fn leave(&mut self) {
        self.held = None;
    }

    /// Reads to the end.
    pub fn read(&mut self, reader: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            // Growing doubles what is there.
            self.need(bytes.len().saturating_mul(2));
            let step = bytes.len().clamp(16 << 10, 1 << 20) as u64;
            if reader.by_ref().take(step).read_to_end(&mut bytes)? == 0 {
                return Ok(bytes);
            }
        }
    }
}
