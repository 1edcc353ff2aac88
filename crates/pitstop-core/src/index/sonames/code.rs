//! Numbers, strings, hashes and checksums as the index writes them.

use super::CHECKSUM_BYTES;

/// Bytes that are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Nix's alphabet for hashes (`src/libutil/hash.cc`, `nix32Chars`): without e, o, t and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
/// Letters in the hash of a store path, and bytes in what they stand for.
const HASH_LETTERS: usize = 32;
pub(super) const HASH_BYTES: usize = 20;

pub(super) fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

pub(super) fn put_string(to: &mut Vec<u8>, string: &[u8]) {
    put_number(to, string.len() as u64);
    to.extend_from_slice(string);
}

/// What `string` shares with `before`, then the rest of it.
pub(super) fn put_after(to: &mut Vec<u8>, before: &[u8], string: &[u8]) {
    let shared = shared(before, string);
    put_number(to, shared as u64);
    put_string(to, &string[shared..]);
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Five bits a letter, first letter first. `None` for what is no hash of Nix's.
pub(super) fn pack_hash(hash: &str) -> Option<[u8; HASH_BYTES]> {
    let letters = hash.as_bytes();
    if letters.len() != HASH_LETTERS {
        return None;
    }
    let mut packed = [0; HASH_BYTES];
    // Eight letters make five bytes.
    for (letters, packed) in letters.chunks(8).zip(packed.chunks_mut(5)) {
        let mut bits = 0_u64;
        for letter in letters {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            bits = bits << 5 | value as u64;
        }
        packed.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(packed)
}

pub(super) fn unpack_hash(packed: &[u8]) -> String {
    let mut hash = String::with_capacity(HASH_LETTERS);
    for group in packed.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let value = usize::try_from(bits >> (5 * place) & 0x1f).unwrap_or(0);
            hash.push(char::from(ALPHABET[value]));
        }
    }
    hash
}

/// The checksum of a block: of its number too, so that a block in another's place is found.
pub(super) fn checksum(number: u64, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().to_le_bytes()
}

/// Reads what was put, in order, and never past the end.
#[derive(Clone)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("a record ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number is too large"))
    }

    /// A number that counts or addresses what is in memory.
    pub(super) fn size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed("a number is too large"))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.take(length)
    }

    /// Makes `before` the front-coded string that comes next.
    pub(super) fn after(&mut self, before: &mut Vec<u8>) -> Result<(), Malformed> {
        let shared = self.size()?;
        if shared > before.len() {
            return Err(Malformed("a name shares more than the name before it has"));
        }
        before.truncate(shared);
        before.extend_from_slice(self.string()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put_number(&mut bytes, number);
        }
        let mut bytes = Bytes::new(&bytes);
        for number in numbers {
            assert_eq!(bytes.number(), Ok(number));
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_number_without_end_or_beyond_64_bits_is_refused() {
        assert!(Bytes::new(&[0x80; 3]).number().is_err());
        assert!(Bytes::new(&[0xff; 10]).number().is_err());
        assert!(Bytes::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number().is_err());
    }

    #[test]
    fn a_hash_takes_twenty_bytes() {
        for hash in ["0123456789abcdfghijklmnpqrsvwxyz", "zyxwvsrqpnmlkjihgfdcba9876543210"] {
            assert_eq!(unpack_hash(&pack_hash(hash).unwrap()), hash);
        }
        for other in ["", "short", "e123456789abcdfghijklmnpqrsvwxyz", "0123456789ABCDFGHIJKLMNPQRSVWXYZ"] {
            assert_eq!(pack_hash(other), None, "{other}");
        }
    }
}
