//! The files of one store path, packed: what a journal keeps of a listing.
//!
//! Zstandard over, for each entry: the length of its path and the path; a letter (`r`, `x`, `d`, `s`); a number, which is
//! the size, the number of entries, or the length of the link's target; the target. Numbers are 8 bytes, little-endian.

use std::io;

use bstr::BString;
use pitstop_core::index::{Entry, Node};

/// The level that is as fast as the network.
const LEVEL: i32 = 3;
/// The most that packed entries may unfold to, in bytes.
const UNPACKED_BYTES_MAX: usize = 4 << 30;

/// Packs entries.
pub(super) fn pack(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(entries.len() * 64);
    for Entry { path, node } in entries {
        number(&mut plain, path.len() as u64);
        plain.extend_from_slice(path);
        match node {
            Node::Regular { size, executable } => {
                plain.push(if *executable { b'x' } else { b'r' });
                number(&mut plain, *size);
            }
            Node::Directory { size } => {
                plain.push(b'd');
                number(&mut plain, *size);
            }
            Node::Symlink { target } => {
                plain.push(b's');
                number(&mut plain, target.len() as u64);
                plain.extend_from_slice(target);
            }
        }
    }
    let mut packed = (plain.len() as u64).to_le_bytes().to_vec();
    packed.extend(zstd::bulk::compress(&plain, LEVEL)?);
    Ok(packed)
}

fn number(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

/// Unpacks what [`pack`] packed.
pub(super) fn unpack(packed: &[u8]) -> io::Result<Vec<Entry>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "packed entries are broken");
    let mut head = packed;
    let length = usize::try_from(take_number(&mut head).ok_or_else(broken)?).map_err(|_| broken())?;
    if length > UNPACKED_BYTES_MAX {
        return Err(broken());
    }
    let plain = zstd::bulk::decompress(head, length)?;
    if plain.len() != length {
        return Err(broken());
    }
    let mut rest = plain.as_slice();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(entry(&mut rest).ok_or_else(broken)?);
    }
    Ok(entries)
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let path = take_bytes(rest)?;
    let kind = *rest.split_off_first()?;
    let node = match kind {
        b'r' | b'x' => Node::Regular { size: take_number(rest)?, executable: kind == b'x' },
        b'd' => Node::Directory { size: take_number(rest)? },
        b's' => Node::Symlink { target: take_bytes(rest)? },
        _ => return None,
    };
    Some(Entry { path, node })
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let bytes = rest.split_off(..8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn take_bytes(rest: &mut &[u8]) -> Option<BString> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    rest.split_off(..length).map(BString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let entries = [
            ("", Node::Directory { size: 2 }),
            ("/a", Node::Symlink { target: b"\xff".as_slice().into() }),
            ("/b", Node::Regular { size: u64::MAX, executable: true }),
        ];
        let entries = entries.map(|(path, node)| Entry { path: path.into(), node });
        let packed = pack(&entries).unwrap();
        assert_eq!(unpack(&packed).unwrap(), entries);
        assert_eq!(unpack(&pack(&[]).unwrap()).unwrap(), []);
        for length in 0..packed.len() {
            assert!(unpack(&packed[..length]).is_err(), "{length}");
        }
    }
}
