//! Hashes as `nix-store` prints them, and as locks hold them.

/// Nix's digits in base 32, see `src/libutil/hash.cc` of Nix: no `e`, `o`, `t` and `u`.
const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes of a SHA-256.
const BYTES: usize = 32;

/// `sha256:` and base 32 as `sha256-` and base 64 (W3C's Subresource Integrity).
pub(super) fn to_sri(printed: &str) -> Option<String> {
    let text = printed.strip_prefix("sha256:")?.as_bytes();
    if text.len() != (BYTES * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = [0u8; BYTES];
    // The last digit stands for the lowest bits.
    for (place, digit) in text.iter().rev().enumerate() {
        let value = u16::try_from(DIGITS.iter().position(|known| known == digit)?).ok()?;
        let (byte, shift) = (place * 5 / 8, place * 5 % 8);
        let [low, high] = (value << shift).to_le_bytes();
        bytes[byte] |= low;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return None,
            None => {}
        }
    }
    let mut sri = String::from("sha256-");
    for part in bytes.chunks(3) {
        let bits =
            part.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            sri.push(if digit > part.len() { '=' } else { char::from(BASE64[value as usize]) });
        }
    }
    Some(sri)
}

#[cfg(test)]
mod tests {
    use super::to_sri;

    #[test]
    fn a_hash_in_base_32_is_written_in_base_64() {
        // Of the empty text, as `nix-hash --flat --base32` and `nix hash to-sri` print it.
        let printed = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        assert_eq!(to_sri(printed).unwrap(), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        for odd in ["", "sha256:", "md5:0", "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7e"] {
            assert_eq!(to_sri(odd), None, "{odd}");
        }
        assert_eq!(to_sri(&format!("sha256:{}", "z".repeat(52))), None);
    }
}
