//! What was lent, in bytes: kept between runs, and handed over when this program starts itself again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Lent;
use crate::answers::Question;
use crate::namespace::{Change, Node};

const LINK: &[u8] = b"link";
const SHOW: &[u8] = b"show";
const LINKED: &[u8] = b"linked";
const SAME: &[u8] = b"same";
const OVER: &[u8] = b"over";

/// The fields of what was lent.
#[must_use]
pub fn encode(lent: &Lent) -> Vec<Vec<u8>> {
    let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let optional = |some: &Option<PathBuf>| some.as_deref().map(path).unwrap_or_default();
    let mut fields = vec![optional(&lent.farm), optional(&lent.loader), vec![u8::from(lent.is_stranded)]];
    for change in &lent.changes {
        let (kind, to) = match &change.node {
            Node::Link(to) => (LINK, to),
            Node::Show(source) => (SHOW, source),
            Node::Linked(seen_at) => (LINKED, seen_at),
            Node::Same(source) => (SAME, source),
            Node::Over(layer) => (OVER, layer),
        };
        fields.extend([kind.to_vec(), path(&change.path), path(to)]);
    }
    fields
}

/// The same, back; `None` where it is not what [`encode`] writes.
#[must_use]
pub fn decode(fields: &[Vec<u8>]) -> Option<Lent> {
    let path = |field: &[u8]| PathBuf::from(OsStr::from_bytes(field));
    let optional = |field: &Vec<u8>| (!field.is_empty()).then(|| path(field));
    let [farm, loader, stranded, changes @ ..] = fields else { return None };
    let changes = changes.chunks(3).map(|change| {
        let [kind, at, to] = change else { return None };
        let to = path(to);
        let node = match kind.as_slice() {
            LINK => Node::Link(to),
            SHOW => Node::Show(to),
            LINKED => Node::Linked(to),
            SAME => Node::Same(to),
            OVER => Node::Over(to),
            _ => return None,
        };
        Some(Change { path: path(at), node })
    });
    Some(Lent {
        farm: optional(farm),
        loader: optional(loader),
        is_stranded: stranded.first() == Some(&1),
        changes: changes.collect::<Option<_>>()?,
    })
}

/// What was lent the last time for the same question, if all that it rests on is as it was.
#[must_use]
pub fn recall(question: &Question) -> Option<Lent> {
    let lent = decode(&question.recall()?)?;
    // A package may have a link that leads nowhere; that the link is there is enough.
    let whole = lent.sources().all(|path| path.symlink_metadata().is_ok());
    whole.then_some(lent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_what_is_cut_short_is_not() {
        let change = |path: &str, node| Change { path: path.into(), node };
        let lent = Lent {
            changes: vec![
                change("/lib64/ld.so", Node::Link("/a".into())),
                change("/b", Node::Show("/c".into())),
                change("/etc", Node::Linked("/.e".into())),
                change("/.e", Node::Same("/etc".into())),
                change("/usr", Node::Over("/u".into())),
            ],
            farm: Some("/f".into()),
            loader: None,
            is_stranded: true,
        };
        let fields = encode(&lent);
        assert_eq!(decode(&fields), Some(lent));
        assert_eq!(decode(&fields[..fields.len() - 1]), None);
        assert_eq!(decode(&fields[..2]), None);
    }
}
