//! A fix as data: what would be written where, before anything is.
//!
//! A plan is a list of [`Operation`]s. `--dry-run` prints it, `--json` serialises it, one loop in the host applies it in
//! order, and the manifest of the host remembers it for undo. Nothing here touches a file.

pub mod hook;
mod patched;

use std::fmt;
use std::path::{Component, Path};

pub use patched::{Content, PatchRecord, Piece, PieceError};

use crate::patch::Edit;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

/// A path inside what is fixed: relative, in plain components, never empty, never leading out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Inside(String);

/// Why a path cannot be used inside a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsideError {
    /// Absolute, empty, or with `.`, `..` or a doubled slash in it.
    #[error("`{0}` is not a plain relative path")]
    NotPlain(String),
    /// Not UTF-8, so that neither JSON nor a manifest could hold it faithfully.
    #[error("`{0}` is not UTF-8")]
    NotText(String),
}

impl Inside {
    /// Checks `path`, which is relative to the root of what is fixed.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, InsideError> {
        let path = path.as_ref();
        let text = path.to_str().ok_or_else(|| InsideError::NotText(path.display().to_string()))?;
        let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
        // `components` forgives `a//b` and `a/./b`; two spellings of one path would be two entries in a manifest.
        let exact = text.split('/').all(|name| !name.is_empty() && name != "." && !name.contains('\0'));
        if plain && exact { Ok(Self(text.to_owned())) } else { Err(InsideError::NotPlain(text.to_owned())) }
    }

    /// This path with one or more components appended.
    pub fn join(&self, more: impl AsRef<Path>) -> Result<Self, InsideError> {
        Self::new(Path::new(&self.0).join(more))
    }

    /// The path, relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder it is in; nothing when that is the root itself.
    #[must_use]
    pub fn folder(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(folder, _)| Self(folder.to_owned()))
    }

    /// Its last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Inside {
    type Error = InsideError;

    fn try_from(text: String) -> Result<Self, InsideError> {
        Self::new(text)
    }
}

impl From<Inside> for String {
    fn from(path: Inside) -> Self {
        path.0
    }
}

/// One thing to do. Each is undone from the small record that the manifest keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make a folder, unless there is one. Undo removes it if it was made here and nothing else is in it.
    MakeFolder {
        /// Where.
        path: Inside,
    },
    /// Write a file that does not exist yet, or that an earlier fix wrote.
    WriteFile {
        /// Where.
        path: Inside,
        /// All of its content.
        bytes: Vec<u8>,
        /// Its permission bits, exactly: the umask does not count.
        mode: u32,
    },
    /// Make a symbolic link.
    Link {
        /// Where.
        path: Inside,
        /// What it says, word for word.
        target: String,
    },
    /// Change some bytes of a file that is there. The changed file takes its place under its name; other names of the old
    /// one keep that.
    Patch {
        /// Which.
        path: Inside,
        /// What is changed, in ascending order.
        edits: Vec<Edit>,
        /// What it is for, and how it is undone.
        record: PatchRecord,
    },
    /// Files that others will make from ours and that go with them: the bytecode that Python caches.
    Claim {
        /// The folder they appear in; it need not exist.
        folder: Inside,
        /// How their names start.
        starts_with: String,
        /// How their names end.
        ends_with: String,
    },
}

impl Operation {
    /// What it makes, or the folder that it watches.
    #[must_use]
    pub fn path(&self) -> &Inside {
        match self {
            Self::MakeFolder { path }
            | Self::WriteFile { path, .. }
            | Self::Link { path, .. }
            | Self::Patch { path, .. } => path,
            Self::Claim { folder, .. } => folder,
        }
    }
}

/// As `--dry-run` prints it.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeFolder { path } => write!(formatter, "make folder {path}"),
            Self::WriteFile { path, bytes, mode } => {
                write!(formatter, "write {path} ({} bytes, mode {mode:04o})", bytes.len())
            }
            Self::Link { path, target } => write!(formatter, "link {path} -> {target}"),
            Self::Patch { path, record, .. } => write!(formatter, "patch {path}: {}", record.purpose),
            Self::Claim { folder, starts_with, ends_with } => {
                write!(formatter, "on undo, also remove {folder}/{starts_with}*{ends_with}")
            }
        }
    }
}

/// As `--json` prints it. A file's content is given where it is text; its size always.
impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Operation", 5)?;
        match self {
            Self::MakeFolder { path } => {
                out.serialize_field("operation", "make-folder")?;
                out.serialize_field("path", path)?;
            }
            Self::WriteFile { path, bytes, mode } => {
                out.serialize_field("operation", "write-file")?;
                out.serialize_field("path", path)?;
                out.serialize_field("mode", &format!("{mode:04o}"))?;
                out.serialize_field("size", &bytes.len())?;
                if let Ok(text) = std::str::from_utf8(bytes) {
                    out.serialize_field("text", text)?;
                }
            }
            Self::Link { path, target } => {
                out.serialize_field("operation", "link")?;
                out.serialize_field("path", path)?;
                out.serialize_field("target", target)?;
            }
            Self::Patch { path, record, .. } => {
                out.serialize_field("operation", "patch")?;
                out.serialize_field("path", path)?;
                out.serialize_field("purpose", &record.purpose)?;
                out.serialize_field("size", &record.patched.length)?;
            }
            Self::Claim { folder, starts_with, ends_with } => {
                out.serialize_field("operation", "claim")?;
                out.serialize_field("folder", folder)?;
                out.serialize_field("starts_with", starts_with)?;
                out.serialize_field("ends_with", ends_with)?;
            }
        }
        out.end()
    }
}

/// Everything to do, in the order to do it: what makes the rest take effect comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The operations, first to last.
    pub operations: Vec<Operation>,
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.iter().try_for_each(|operation| writeln!(formatter, "{operation}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_inside_is_plain() {
        for good in ["a", "a/b", "lib/python3.11/site-packages/x.pth", "..a", "a b\t"] {
            assert_eq!(Inside::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "/", "/a", "a/", "a//b", "./a", "a/./b", "..", "a/../b", "a\0b"] {
            assert!(Inside::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_manifest_cannot_smuggle_a_path_out() {
        assert!(serde_json::from_str::<Inside>(r#""a/b""#).is_ok());
        assert!(serde_json::from_str::<Inside>(r#""../b""#).is_err());
    }

    #[test]
    fn folder_and_name() {
        let path = Inside::new("a/b/c").unwrap();
        assert_eq!((path.folder().unwrap().as_str(), path.name()), ("a/b", "c"));
        assert_eq!(Inside::new("a").unwrap().folder(), None);
        assert_eq!(Inside::new("a").unwrap().name(), "a");
    }

    #[test]
    fn a_plan_is_printed_and_serialised() {
        let path = |text: &str| Inside::new(text).unwrap();
        let plan = Plan {
            operations: vec![
                Operation::MakeFolder { path: path("d") },
                Operation::WriteFile { path: path("d/f"), bytes: b"hi\n".to_vec(), mode: 0o644 },
                Operation::WriteFile { path: path("d/g"), bytes: vec![0xff], mode: 0o600 },
                Operation::Link { path: path("l"), target: "/nix/store/x".to_owned() },
                Operation::Claim {
                    folder: path("d"),
                    starts_with: "x.".to_owned(),
                    ends_with: ".pyc".to_owned(),
                },
            ],
        };
        let lines = "make folder d\nwrite d/f (3 bytes, mode 0644)\nwrite d/g (1 bytes, mode 0600)\n\
                     link l -> /nix/store/x\non undo, also remove d/x.*.pyc\n";
        assert_eq!(plan.to_string(), lines);
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["operations"][1]["text"], "hi\n");
        assert_eq!(json["operations"][2].get("text"), None);
        assert_eq!(json["operations"][2]["size"], 1);
        assert_eq!(json["operations"][3]["target"], "/nix/store/x");
    }
}
