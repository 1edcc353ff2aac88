//! One pitstop at a time for each environment, without a lock file that would have to be cleaned up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{major, minor};
use rustix::io::Errno;

use super::ApplyError;
use super::tree::Tree;

/// An advisory lock on the root folder; the kernel drops it with the process.
pub(super) struct Lock {
    file: Option<File>,
}

impl Lock {
    pub(super) fn take(tree: &Tree) -> Result<Self, ApplyError> {
        let failed = |error| ApplyError::io("lock", tree.root().to_owned(), error);
        let root = File::from(tree.descriptor().try_clone().map_err(failed)?);
        let file = match attempt(&root) {
            // NFS emulates this lock by one that needs a file open for writing; a venv has one that nobody renames.
            Ok(false) => {
                let file = OpenOptions::new().read(true).write(true).open(tree.root().join("pyvenv.cfg"));
                let locked = file.as_ref().is_ok_and(|file| matches!(attempt(file), Ok(true)));
                file.ok().filter(|_| locked)
            }
            Ok(true) => Some(root),
            Err(TryLockError::WouldBlock) => {
                return Err(ApplyError::Busy { root: tree.root().to_owned(), process: holder(&root) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        };
        // Where nothing can be locked, working without is better than not at all.
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Gives the lock up for every copy of the descriptor: a child that another thread has just forked, and that has not
    /// come to its `exec`, holds one too.
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = file.unlock();
        }
    }
}

/// Whether the lock was taken; false where the file system has no such locks.
fn attempt(file: &File) -> Result<bool, TryLockError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::Error(error)) if unsupported(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::BADF | Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL))
}

/// The process that holds the lock, from `/proc/locks`: `1: FLOCK ADVISORY WRITE 4711 fe:01:12345 0 EOF`.
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    let wanted = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = fs_err::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str()))
            .then(|| fields.get(4)?.parse().ok())
            .flatten()
    })
}
