//! The search path that the real loader is given.

use crate::variables::SEARCH;

/// What the path is put together from, in this order. What is empty is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Search<'a> {
    /// The caller's own `LD_LIBRARY_PATH`. An empty element in it means the current folder, and goes on meaning it.
    pub callers: &'a [u8],
    /// The farm that lies beside the program.
    pub farm: &'a [u8],
    /// `NIX_LD_LIBRARY_PATH`, or the default.
    pub ours: &'a [u8],
}

impl Search<'_> {
    /// Bytes of the whole text: the variable's name, the path, a NUL.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut len = SEARCH.len() + 1;
        self.parts(|part| len += part.len());
        len
    }

    /// Whether the path has no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == SEARCH.len() + 1
    }

    /// Writes the text. The buffer has [`Search::len`] bytes at least; what is over stays as it is.
    pub fn write(&self, buffer: &mut [u8]) {
        let mut places = buffer.iter_mut();
        let mut put = |bytes: &[u8]| {
            // The places first: a byte without a place must not be lost, nor a place without a byte.
            for (byte, place) in bytes.iter().zip(&mut places) {
                *place = *byte;
            }
        };
        put(SEARCH);
        self.parts(&mut put);
        put(b"\0");
    }

    fn parts(&self, mut each: impl FnMut(&[u8])) {
        let mut is_first = true;
        for part in [self.callers, self.farm, self.ours] {
            if part.is_empty() {
                continue;
            }
            if !is_first {
                each(b":");
            }
            each(part);
            is_first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{string::String, vec};

    fn text(callers: &str, farm: &str, ours: &str) -> String {
        let search = Search { callers: callers.as_bytes(), farm: farm.as_bytes(), ours: ours.as_bytes() };
        let mut buffer = vec![b'x'; search.len() + 1];
        search.write(&mut buffer);
        assert_eq!(buffer.pop(), Some(b'x'), "written past the end");
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_callers_path_comes_first_then_the_farm_then_ours() {
        assert_eq!(text("a:b", "/f", "/o"), "LD_LIBRARY_PATH=a:b:/f:/o\0");
        assert_eq!(text("", "/f", "/o"), "LD_LIBRARY_PATH=/f:/o\0");
        assert_eq!(text("", "", "/o"), "LD_LIBRARY_PATH=/o\0");
    }

    #[test]
    fn an_empty_element_stays_one_and_none_is_made() {
        assert_eq!(text("a:", "", "/o"), "LD_LIBRARY_PATH=a::/o\0");
        assert_eq!(text(":", "", "/o"), "LD_LIBRARY_PATH=::/o\0");
        assert_eq!(text("a", "", ""), "LD_LIBRARY_PATH=a\0");
    }
}
