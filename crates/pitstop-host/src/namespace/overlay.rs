//! One folder laid over another of the same layout, as a package manager would have unpacked it there.
//!
//! The kernel's overlay does it in one mount. Where it refuses (before 5.11 in a user namespace; where overlays already lie
//! upon each other, as in a container in a container), each folder in which something new appears is covered instead.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};

use super::{Change, NamespaceError, Node, at, mirror};

/// What is the administrator's own in `/usr`: no package has anything in it, and it stays writable.
const LOCAL: &str = "local";

/// Lays `layer` over `folder`. What is mounted below `folder` is seen again.
pub(super) fn lay(layer: &Path, folder: &Path) -> Result<(), NamespaceError> {
    let (upper, lower) = (open(layer)?, open(folder)?);
    let mut kept: BTreeSet<PathBuf> = mounted_below(folder);
    kept.insert(folder.join(LOCAL));
    let kept = kept.into_iter().filter_map(|path| Some((open(&path).ok()?, path)));
    let kept: Vec<(OwnedFd, PathBuf)> = kept.collect();
    // By descriptors, so that no path can have a character that means something here.
    let options = format!("lowerdir={}:{}", by_descriptor(&upper), by_descriptor(&lower));
    let options = CString::new(options).unwrap_or_default();
    if mount("overlay", folder, "overlay", MountFlags::empty(), Some(options.as_c_str())).is_err() {
        return cover(layer, folder);
    }
    for (descriptor, path) in kept {
        if path.exists() {
            mount_bind_recursive(by_descriptor(&descriptor), &path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// The same without an overlay.
fn cover(layer: &Path, folder: &Path) -> Result<(), NamespaceError> {
    let mut changes = Vec::new();
    differences(layer, folder, &mut changes)?;
    let (_, covered) = mirror::group(&changes);
    covered.iter().try_for_each(mirror::apply)
}

/// What `layer` has: whole folders where `folder` has none of that name, else entries.
fn differences(layer: &Path, folder: &Path, changes: &mut Vec<Change>) -> Result<(), NamespaceError> {
    let failed = |cause| NamespaceError::Mount { path: layer.to_owned(), cause };
    for entry in std::fs::read_dir(layer).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (source, path) = (entry.path(), folder.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && path.is_dir() {
            differences(&source, &path, changes)?;
        } else if kind.is_symlink() {
            let to = std::fs::read_link(&source).map_err(failed)?;
            changes.push(Change { path, node: Node::Link(to) });
        } else {
            changes.push(Change { path, node: Node::Show(source) });
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<OwnedFd, NamespaceError> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(at(path))
}

fn by_descriptor(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// Where something is mounted below a folder; not what is mounted in turn below that.
fn mounted_below(folder: &Path) -> BTreeSet<PathBuf> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut points: BTreeSet<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|point| PathBuf::from(OsStr::from_bytes(&unescaped(point))))
        .filter(|point| point.starts_with(folder) && point != folder)
        .collect();
    let all = points.clone();
    points.retain(|point| !point.ancestors().skip(1).any(|above| all.contains(above)));
    points
}

/// proc_pid_mountinfo(5): blanks and backslashes are written in octal.
fn unescaped(point: &[u8]) -> Vec<u8> {
    let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
    let (mut bytes, mut rest) = (Vec::new(), point);
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| after.get(..3).and_then(octal)).flatten();
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_blanks_is_read() {
        assert_eq!(unescaped(br"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescaped(br"/a\04"), br"/a\04");
    }

    #[test]
    fn whole_folders_are_shown_where_there_was_none() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, below) = (folder.path().join("layer"), folder.path().join("below"));
        for path in ["layer/lib/new", "layer/lib/old", "below/lib/old"] {
            fs_err::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs_err::write(layer.join("lib/old/libx.so.1.2"), "").unwrap();
        fs_err::os::unix::fs::symlink("libx.so.1.2", layer.join("lib/old/libx.so.1")).unwrap();
        let mut changes = Vec::new();
        differences(&layer, &below, &mut changes).unwrap();
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        let change = |path: &str, node| Change { path: below.join(path), node };
        assert_eq!(
            changes,
            [
                change("lib/new", Node::Show(layer.join("lib/new"))),
                change("lib/old/libx.so.1", Node::Link("libx.so.1.2".into())),
                change("lib/old/libx.so.1.2", Node::Show(layer.join("lib/old/libx.so.1.2"))),
            ]
        );
    }
}
