//! `.ls` files: the listing of a store path's files that a binary cache keeps beside its `.narinfo`.
//!
//! Follows `listNar` in `src/libstore/nar-accessor.cc` of Nix: one JSON object with `version` 1 and `root`, a tree of
//! objects of `type` `regular` (`size`, `executable`), `symlink` (`target`) and `directory` (`entries`). A name may
//! be any bytes, for that is what Linux takes; so this reads JSON whose strings need not be UTF-8. It does not
//! recurse, so no nesting can exhaust the stack, and bounds what a small hostile file can unfold to.

use std::borrow::Cow;

use bstr::BString;

use super::{Entry, Node};

/// How long a path below a store path may be, in bytes. Linux takes no longer one in a system call (`PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;

/// How often longer the paths of a listing may be than the listing itself. Real ones are three times as long.
const UNFOLDING_MAX: usize = 16;
/// What the paths of any listing may take, in bytes.
const UNFOLDED_BYTES_FREE: usize = 64 << 10;

/// Why a listing cannot be read, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub struct LsError {
    /// Where, in the decompressed listing.
    pub offset: usize,
    /// What is wrong.
    pub reason: LsReason,
}

/// What is wrong with a listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LsReason {
    /// The file ends in the middle.
    #[error("it ends too early")]
    End,
    /// It is not JSON.
    #[error("it is not JSON: {0} is expected")]
    Expected(&'static str),
    /// A string of the JSON is broken.
    #[error("a string has {0}")]
    Text(&'static str),
    /// The listing is of another version.
    #[error("its version is {0}, and only version 1 is known")]
    Version(u64),
    /// A field that must be there is not.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A field stands twice in one object.
    #[error("`{0}` stands there twice")]
    Twice(&'static str),
    /// A type that no store path can hold.
    #[error("a file cannot be of type `{0}`")]
    Type(BString),
    /// A name that no file can have.
    #[error("a file cannot be called `{0}`")]
    Name(BString),
    /// Two files of one folder have the same name.
    #[error("`{0}` is listed twice")]
    Duplicate(BString),
    /// A path is longer than Linux takes.
    #[error("a path is longer than {PATH_BYTES_MAX} bytes")]
    Long,
    /// A few bytes stand for many paths.
    #[error("its paths are more than {UNFOLDING_MAX} times as long as itself")]
    Unfolds,
}

/// Reads a listing. Entries come in the order of their paths, the store path itself (an empty path) first.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, LsError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut entries = None;
    let mut version = None;
    let mut fresh = true;
    reader.expect(b'{', "an object")?;
    while let Some(key) = reader.member(&mut fresh)? {
        match &*key {
            b"version" => reader.once(&mut version, "version", Reader::number)?,
            b"root" => reader.once(&mut entries, "root", |reader| Tree::default().read(reader))?,
            _ => reader.skip()?,
        }
    }
    reader.space();
    if reader.at < bytes.len() {
        return Err(reader.wrong(LsReason::Expected("the end")));
    }
    match version {
        Some(1) => {}
        Some(other) => return Err(reader.wrong(LsReason::Version(other))),
        None => return Err(reader.wrong(LsReason::Missing("version"))),
    }
    let mut entries: Vec<Entry> = entries.ok_or_else(|| reader.wrong(LsReason::Missing("root")))?;
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(reader.wrong(LsReason::Duplicate(pair[0].path.clone())));
    }
    Ok(entries)
}

/// An object of the tree whose end has not come yet.
#[derive(Default)]
struct Frame {
    /// The length of its folder's path.
    parent: usize,
    /// No member of the object that is being read has come yet.
    fresh: bool,
    /// Reading the members of `entries`, not its own.
    inside: bool,
    kind: Option<Vec<u8>>,
    size: Option<u64>,
    executable: Option<bool>,
    target: Option<Vec<u8>>,
    children: Option<u64>,
}

/// The tree so far.
#[derive(Default)]
struct Tree {
    path: Vec<u8>,
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    /// The bytes of all paths so far.
    unfolded: usize,
}

impl Tree {
    fn read(mut self, reader: &mut Reader<'_>) -> Result<Vec<Entry>, LsError> {
        self.open(reader, 0)?;
        while let Some(frame) = self.frames.last_mut() {
            match (reader.member(&mut frame.fresh)?, frame.inside) {
                (Some(name), true) => {
                    frame.children = frame.children.map(|count| count + 1);
                    let parent = self.path.len();
                    self.enter(reader, &name)?;
                    self.open(reader, parent)?;
                }
                (None, true) => (frame.inside, frame.fresh) = (false, false),
                (Some(key), false) => frame.field(reader, &key)?,
                (None, false) => self.close(reader)?,
            }
        }
        Ok(self.entries)
    }

    fn open(&mut self, reader: &mut Reader<'_>, parent: usize) -> Result<(), LsError> {
        reader.expect(b'{', "an object")?;
        self.frames.push(Frame { parent, fresh: true, ..Frame::default() });
        Ok(())
    }

    fn enter(&mut self, reader: &Reader<'_>, name: &[u8]) -> Result<(), LsError> {
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(reader.wrong(LsReason::Name(name.into())));
        }
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        if self.path.len() > PATH_BYTES_MAX {
            return Err(reader.wrong(LsReason::Long));
        }
        Ok(())
    }

    fn close(&mut self, reader: &Reader<'_>) -> Result<(), LsError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let missing = |name| reader.wrong(LsReason::Missing(name));
        let node = match frame.kind.as_deref() {
            Some(b"regular") => Node::Regular {
                size: frame.size.ok_or_else(|| missing("size"))?,
                executable: frame.executable.unwrap_or(false),
            },
            Some(b"symlink") => {
                Node::Symlink { target: frame.target.ok_or_else(|| missing("target"))?.into() }
            }
            Some(b"directory") => Node::Directory { size: frame.children.ok_or_else(|| missing("entries"))? },
            Some(other) => return Err(reader.wrong(LsReason::Type(other.into()))),
            None => return Err(missing("type")),
        };
        if frame.children.is_some() && !matches!(node, Node::Directory { .. }) {
            return Err(reader.wrong(LsReason::Expected("a directory for these entries")));
        }
        self.unfolded += self.path.len();
        if self.unfolded > UNFOLDED_BYTES_FREE + UNFOLDING_MAX.saturating_mul(reader.bytes.len()) {
            return Err(reader.wrong(LsReason::Unfolds));
        }
        self.entries.push(Entry { path: self.path.as_slice().into(), node });
        self.path.truncate(frame.parent);
        Ok(())
    }
}

impl Frame {
    fn field(&mut self, reader: &mut Reader<'_>, key: &[u8]) -> Result<(), LsError> {
        match key {
            b"type" => reader.once(&mut self.kind, "type", |reader| Ok(reader.string()?.into_owned())),
            b"size" => reader.once(&mut self.size, "size", Reader::number),
            b"executable" => reader.once(&mut self.executable, "executable", Reader::boolean),
            b"target" => reader.once(&mut self.target, "target", |reader| Ok(reader.string()?.into_owned())),
            b"entries" => {
                reader.once(&mut self.children, "entries", |reader| {
                    reader.expect(b'{', "an object").map(|()| 0)
                })?;
                (self.inside, self.fresh) = (true, true);
                Ok(())
            }
            _ => reader.skip(),
        }
    }
}

/// JSON, token by token.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, reason: LsReason) -> LsError {
        let reason = if self.at >= self.bytes.len() && matches!(reason, LsReason::Expected(_)) {
            LsReason::End
        } else {
            reason
        };
        LsError { offset: self.at, reason }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space, not taken.
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), LsError> {
        if self.peek() != Some(byte) {
            return Err(self.wrong(LsReason::Expected(name)));
        }
        self.at += 1;
        Ok(())
    }

    fn once<T>(
        &mut self,
        slot: &mut Option<T>,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, LsError>,
    ) -> Result<(), LsError> {
        if slot.is_some() {
            return Err(self.wrong(LsReason::Twice(name)));
        }
        *slot = Some(read(self)?);
        Ok(())
    }

    /// The key of the object's next member, its colon taken too; `None` at the object's end.
    fn member(&mut self, fresh: &mut bool) -> Result<Option<Cow<'a, [u8]>>, LsError> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::take(fresh) {
            self.expect(b',', "a comma or the object's end")?;
        }
        let key = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(Some(key))
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>, LsError> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                self.at = self.bytes.len();
                return Err(self.wrong(LsReason::End));
            };
            if let Some(text) = &mut unescaped {
                text.extend_from_slice(&rest[..plain]);
            }
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    let whole = &self.bytes[start..self.at - 1];
                    return Ok(unescaped.map_or(Cow::Borrowed(whole), Cow::Owned));
                }
                b'\\' => {
                    let text = unescaped.get_or_insert_with(|| self.bytes[start..self.at].to_vec());
                    self.at += 1;
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.wrong(LsReason::Text("a control character"))),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, LsError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.wrong(LsReason::End))?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let second = self.hex()?;
                    0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(|| self.wrong(LsReason::Text("half a surrogate pair")))?
            }
            _ => return Err(self.wrong(LsReason::Text("an unknown escape"))),
        })
    }

    fn hex(&mut self) -> Result<u32, LsError> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.ok_or_else(|| self.wrong(LsReason::Text("an unknown escape")))?;
        self.at += 4;
        Ok(number)
    }

    fn number(&mut self) -> Result<u64, LsError> {
        self.space();
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        let number = text.parse().map_err(|_| self.wrong(LsReason::Expected("a whole number")))?;
        self.at += length;
        Ok(number)
    }

    fn boolean(&mut self) -> Result<bool, LsError> {
        self.space();
        let rest = &self.bytes[self.at..];
        let (value, length) = match rest {
            [b't', b'r', b'u', b'e', ..] => (true, 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (false, 5),
            _ => return Err(self.wrong(LsReason::Expected("true or false"))),
        };
        self.at += length;
        Ok(value)
    }

    /// Passes over a value of whatever shape. Brackets are counted, not followed by recursion.
    fn skip(&mut self) -> Result<(), LsError> {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'{' | b'[') => {
                    self.at += 1;
                    open += 1;
                    continue;
                }
                Some(b'}' | b']' | b',' | b':') if open > 0 => {
                    open -= usize::from(matches!(self.bytes[self.at], b'}' | b']'));
                    self.at += 1;
                }
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') => {
                    let rest = &self.bytes[self.at..];
                    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                    self.at += rest.iter().position(|byte| !word(byte)).unwrap_or(rest.len());
                }
                _ => return Err(self.wrong(LsReason::Expected("a value"))),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
