//! The auxiliary vector: what the kernel tells a new process, as pairs of words (gABI, "Process Initialization";
//! `getauxval(3)`).

/// Ends the vector.
pub const AT_NULL: usize = 0;
/// A pair that its reader passes over.
pub const AT_IGNORE: usize = 1;
/// The size of a page, in bytes.
pub const AT_PAGESZ: usize = 6;
/// Where the program's loader lies; 0 when the program has none.
pub const AT_BASE: usize = 7;
/// Where the program begins.
pub const AT_ENTRY: usize = 9;
/// Not 0 when the program has rights that its caller has not.
pub const AT_SECURE: usize = 23;
/// Where the name lies under which the program was started.
pub const AT_EXECFN: usize = 31;

/// What the shim takes from the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// `AT_BASE`.
    pub base: usize,
    /// The index, in words, of the value of `AT_BASE`.
    pub base_at: Option<usize>,
    /// The index, in words, of the value of `AT_ENTRY`.
    pub entry_at: Option<usize>,
    /// `AT_PAGESZ`; 0 where the kernel does not say.
    pub page_size: usize,
    /// `AT_EXECFN`, an address; 0 where the kernel does not say.
    pub name: usize,
    /// Whether `AT_SECURE` is set. A kernel that does not say is taken to say yes.
    pub secure: bool,
}

impl Facts {
    /// Reads the pairs up to `AT_NULL`, or to the end of `words`.
    #[must_use]
    pub fn read(words: &[usize]) -> Facts {
        let mut facts =
            Facts { base: 0, base_at: None, entry_at: None, page_size: 0, name: 0, secure: false };
        let mut secure_said = false;
        for (index, pair) in words.as_chunks::<2>().0.iter().enumerate() {
            let [kind, value] = *pair;
            let at = index * 2 + 1;
            match kind {
                AT_NULL => break,
                AT_PAGESZ => facts.page_size = value,
                AT_BASE => (facts.base, facts.base_at) = (value, Some(at)),
                AT_ENTRY => facts.entry_at = Some(at),
                AT_EXECFN => facts.name = value,
                AT_SECURE => {
                    secure_said = true;
                    facts.secure |= value != 0;
                }
                _ => {}
            }
        }
        facts.secure |= !secure_said;
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_read_up_to_its_end() {
        let words = [AT_PAGESZ, 4096, AT_BASE, 0x7000, AT_SECURE, 0, AT_ENTRY, 5, AT_NULL, 0, AT_SECURE, 1];
        let facts = Facts::read(&words);
        let (base_at, entry_at) = (Some(3), Some(7));
        assert_eq!(facts, Facts { base: 0x7000, base_at, entry_at, page_size: 4096, name: 0, secure: false });
    }

    #[test]
    fn who_does_not_say_is_not_trusted() {
        assert!(Facts::read(&[AT_PAGESZ, 4096, AT_NULL, 0]).secure);
        assert!(Facts::read(&[AT_SECURE, 1, AT_SECURE, 0, AT_NULL, 0]).secure);
        assert!(Facts::read(&[AT_SECURE]).secure);
    }
}
