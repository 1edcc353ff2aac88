//! What is remembered of a file that was changed: enough to put back every byte, and to tell whose bytes they are.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::patch::Edit;

/// All of a file, told apart from any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// In bytes.
    pub length: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// Bytes that stood at an offset, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: String,
}

/// A [`Piece`] that was damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes kept for offset {0} are not hexadecimal")]
pub struct PieceError(pub u64);

/// A change of a file, as the manifest keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRecord {
    /// What it is for, in a phrase.
    pub purpose: String,
    /// The file before.
    pub original: Content,
    /// The file after.
    pub patched: Content,
    /// What the change replaced; what lies beyond the original's length is cut off.
    pub pieces: Vec<Piece>,
}

impl Piece {
    /// Keeps bytes.
    #[must_use]
    pub fn of(edit: &Edit) -> Self {
        let bytes = edit.bytes.iter().fold(String::with_capacity(edit.bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { offset: edit.offset, bytes }
    }

    /// The bytes again.
    pub fn edit(&self) -> Result<Edit, PieceError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = self.bytes.as_bytes().chunks(2);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        Ok(Edit { offset: self.offset, bytes: bytes.ok_or(PieceError(self.offset))? })
    }
}

impl PatchRecord {
    /// The edits that undo it.
    pub fn undo(&self) -> Result<Vec<Edit>, PieceError> {
        self.pieces.iter().map(Piece::edit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_given_back() {
        let edit = Edit { offset: 7, bytes: (0..=255).collect() };
        assert_eq!(Piece::of(&edit).edit(), Ok(edit));
        for bad in ["0", "0g", "+1", "é"] {
            assert_eq!(Piece { offset: 3, bytes: bad.to_owned() }.edit(), Err(PieceError(3)), "{bad}");
        }
    }
}
