//! Changing a file that is there, as a new file that takes its name.
//!
//! Another name may share the old one (uv hardlinks its cache into environments), and somebody may be running it: it is
//! never opened for writing. The new one shares its unchanged blocks where the file system can do that.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use pitstop_core::elf::Source;
use pitstop_core::patch::{Edit, Edited};
use pitstop_core::plan::{Content, Inside};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ApplyError;
use super::manifest::hexadecimal;
use super::tree::{Tree, errno_of, temporary_name};

/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The most that one extended attribute may hold (`XATTR_SIZE_MAX` of linux/limits.h), and their names together.
const ATTRIBUTE_BYTES_MAX: usize = 1 << 16;

/// What changes whenever a file does: with it unchanged, its content is taken for what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    inode: u64,
    length: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        // The kernel's nanoseconds are below 10⁹.
        let nanoseconds = |value: u64| value.cast_signed();
        Self {
            inode: stat.st_ino,
            length: stat.st_size,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

/// A file whose content is known, while its stamp holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    path: Inside,
    stamp: Stamp,
    content: Content,
}

/// What is known of files without reading them.
#[derive(Default)]
pub(super) struct Contents(Mutex<HashMap<Inside, Known>>);

impl Contents {
    pub(super) fn learn(&self, known: &[Known]) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for known in known {
            map.entry(known.path.clone()).or_insert_with(|| known.clone());
        }
    }

    pub(super) fn of(&self, path: &Inside) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn set(&self, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(known.path.clone(), known);
    }
}

/// Edits, and the length that a file has after them.
pub(super) type Step<'a> = (&'a [Edit], u64);

impl Tree {
    /// What a regular file holds, or nothing if there is no such thing. Read only where it may have changed.
    pub(super) fn content(&self, path: &Inside) -> Result<Option<Content>, ApplyError> {
        if !matches!(self.look(path)?, super::tree::Seen::File(_)) {
            return Ok(None);
        }
        let failed = |errno: Errno| ApplyError::io("read", self.full(Some(path)), errno);
        let file = self.open_file(path)?;
        let stamp = Stamp::of(&fs::fstat(&file).map_err(failed)?);
        if let Some(known) = self.contents.of(path)
            && known.stamp == stamp
        {
            return Ok(Some(known.content));
        }
        let content =
            digest_of(&file).map_err(|error| ApplyError::io("read", self.full(Some(path)), error))?;
        self.contents.set(Known { path: path.clone(), stamp, content: content.clone() });
        Ok(Some(content))
    }

    pub(super) fn open_file(&self, path: &Inside) -> Result<File, ApplyError> {
        let folder = self.folder_of(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = fs::openat(folder, path.name(), flags, Mode::empty());
        opened.map(File::from).map_err(|errno| ApplyError::io("read", self.full(Some(path)), errno))
    }

    /// Refuses what a changed copy could not stand for.
    pub(super) fn check_patchable(&self, path: &Inside) -> Result<(), ApplyError> {
        let stat = fs::fstat(self.open_file(path)?)
            .map_err(|errno| ApplyError::io("look at", self.full(Some(path)), errno))?;
        let user = rustix::process::geteuid();
        if stat.st_mode & 0o6000 != 0 {
            return Err(ApplyError::Privileged { path: self.full(Some(path)) });
        }
        if !user.is_root() && stat.st_uid != user.as_raw() {
            let source = io::Error::from(Errno::PERM);
            return Err(ApplyError::NotWritable { path: self.full(Some(path)), source });
        }
        Ok(())
    }

    /// Replaces a file by one with `steps` done to its content, which must then be `wanted`. All else about it stays.
    pub(super) fn rewrite(
        &self,
        path: &Inside,
        steps: &[Step<'_>],
        wanted: &Content,
    ) -> Result<(), ApplyError> {
        let folder = self.folder_of(path)?;
        let old = self.open_file(path)?;
        let temporary = temporary_name(path.name());
        let done = self.rewrite_beside(&folder, &temporary, &old, steps).and_then(|new| {
            let content = digest_of(&new).map_err(|error| errno_of(&error))?;
            if content != *wanted {
                return Ok(false);
            }
            self.change("rename")?;
            fs::renameat(&folder, &temporary, &folder, path.name())?;
            let stamp = Stamp::of(&fs::fstat(&new)?);
            self.contents.set(Known { path: path.clone(), stamp, content });
            Ok(true)
        });
        if matches!(done, Ok(true)) {
            return Ok(());
        }
        if self.change("remove").is_ok() {
            let _ = fs::unlinkat(&folder, &temporary, AtFlags::empty());
        }
        match done {
            Err(errno) => Err(ApplyError::io("write", self.full(Some(path)), errno)),
            Ok(_) => Err(ApplyError::Changed { path: self.full(Some(path)) }),
        }
    }

    fn rewrite_beside(
        &self,
        folder: &OwnedFd,
        name: &str,
        old: &File,
        steps: &[Step<'_>],
    ) -> Result<File, Errno> {
        match self.change("remove").and_then(|()| fs::unlinkat(folder, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        self.change("create")?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = File::from(fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?);
        self.change("write")?;
        copy(old, &new).map_err(|error| errno_of(&error))?;
        for (edits, length) in steps {
            for edit in *edits {
                new.write_all_at(&edit.bytes, edit.offset).map_err(|error| errno_of(&error))?;
            }
            fs::ftruncate(&new, *length)?;
        }
        let stat = fs::fstat(old)?;
        let made = fs::fstat(&new)?;
        if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
            let group = Some(fs::Gid::from_raw(stat.st_gid));
            match fs::fchown(&new, Some(fs::Uid::from_raw(stat.st_uid)), group) {
                // A group that this user is not in, or a user that a namespace does not know.
                Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        fs::fchmod(&new, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        copy_attributes(old, &new)?;
        let moment =
            |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
        let times = Timestamps {
            last_access: moment(stat.st_atime, stat.st_atime_nsec),
            last_modification: moment(stat.st_mtime, stat.st_mtime_nsec),
        };
        fs::futimens(&new, &times)?;
        self.change("sync")?;
        fs::fsync(&new)?;
        Ok(new)
    }
}

/// Copies all of a file: its blocks are shared where possible, its holes kept.
fn copy(old: &File, new: &File) -> io::Result<()> {
    if fs::ioctl_ficlone(new, old).is_ok() {
        return Ok(());
    }
    let length = old.metadata()?.len();
    let mut at = 0;
    while at < length {
        let (start, end) = match fs::seek(old, fs::SeekFrom::Data(at)) {
            Ok(start) => (start, fs::seek(old, fs::SeekFrom::Hole(start))?),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // No such question here.
            Err(_) => (at, length),
        };
        let (mut from, mut to) = (old, new);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        // `copy_file_range` where there is such a thing.
        let copied = io::copy(&mut from.take(end - start), &mut to)?;
        if copied < end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = end;
    }
    to_length(new, length)
}

fn to_length(file: &File, length: u64) -> io::Result<()> {
    let mut file = file;
    file.set_len(length)?;
    file.flush()
}

/// What a file has besides its content: capabilities, labels, a user's own.
fn copy_attributes(old: &File, new: &File) -> Result<(), Errno> {
    let mut names = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    let length = match fs::flistxattr(old, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let size = fs::fgetxattr(old, name, &mut value[..])?;
        match fs::fsetxattr(new, name, &value[..size], XattrFlags::empty()) {
            // The system labels new files by itself. Without its capabilities a program would not be the same.
            Err(_) if !name.starts_with(b"user.") && name != b"security.capability" => {}
            done => done?,
        }
    }
    Ok(())
}

fn digest_of(file: &File) -> io::Result<Content> {
    let mut hash = Sha256::new();
    let (mut buffer, mut at) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let read = match file.read_at(&mut buffer, at) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(Content { length: at, sha256: hexadecimal(&hash.finalize()) })
}

/// What some bytes are, read in one pass.
pub(crate) fn content_of(source: &(impl Source + ?Sized)) -> io::Result<Content> {
    let (length, mut at) = (source.size_bytes(), 0);
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        source.read_exact_at(at, &mut buffer[..part])?;
        hash.update(&buffer[..part]);
        at += part as u64;
    }
    Ok(Content { length, sha256: hexadecimal(&hash.finalize()) })
}

/// The same once it is edited.
pub(crate) fn content_after(
    source: &(impl Source + ?Sized),
    edits: &[Edit],
    length: u64,
) -> io::Result<Content> {
    content_of(&Edited::new(source, edits, length))
}
