//! The few ways in which pitstop touches an environment, each safe on its own.
//!
//! Every path is walked from the root's descriptor, component by component, without following symbolic links, so that
//! no link inside leads a write outside. No existing file is ever opened for writing: another name may share it. What
//! is written is written beside under a temporary name, synced, and renamed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pitstop_core::plan::Inside;
use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::ApplyError;
use super::patching::Contents;

/// A modification time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds.
    pub nanoseconds: i64,
}

/// What stands at a path, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Folder,
    /// A regular file and its permission bits.
    File(u32),
    Link,
    Other,
}

/// Called before each change with what it is; an error stands in for the system's. For tests.
pub(super) type Fault = Box<dyn Fn(&'static str) -> Result<(), Errno> + Send + Sync>;

/// The root of an environment.
pub(super) struct Tree {
    root: OwnedFd,
    path: PathBuf,
    pub(super) fault: Option<Fault>,
    pub(super) contents: Contents,
}

/// The longest file that is read whole: what pitstop writes itself is far shorter, but may have been replaced.
const READ_BYTES_MAX: u64 = 64 << 20;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self, ApplyError> {
        let root = fs::open(path, FOLDER, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ApplyError::NoFolder { path: path.to_owned() },
            _ => ApplyError::io("open", path.to_owned(), errno),
        })?;
        Ok(Self { root, path: path.to_owned(), fault: None, contents: Contents::default() })
    }

    /// The root's descriptor.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn root(&self) -> &Path {
        &self.path
    }

    /// The absolute path, for messages.
    pub(super) fn full(&self, path: Option<&Inside>) -> PathBuf {
        path.map_or_else(|| self.path.clone(), |path| self.path.join(path.as_path()))
    }

    fn failed(&self, action: &'static str, path: &Inside) -> impl FnOnce(Errno) -> ApplyError {
        let path = self.full(Some(path));
        move |errno| ApplyError::io(action, path, errno)
    }

    pub(super) fn change(&self, what: &'static str) -> Result<(), Errno> {
        self.fault.as_ref().map_or(Ok(()), |fault| fault(what))
    }

    /// The folder at `path`, or nothing where there is none.
    pub(super) fn folder(&self, path: Option<&Inside>) -> Result<Option<OwnedFd>, ApplyError> {
        let mut here =
            self.root.try_clone().map_err(|error| ApplyError::io("open", self.path.clone(), error))?;
        let mut walked = self.path.clone();
        for name in path.iter().flat_map(|path| path.as_path()) {
            walked.push(name);
            here = match fs::openat(&here, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let link = fs::readlinkat(&here, name, Vec::new()).is_ok();
                    return Err(if link {
                        ApplyError::Symlink { path: walked }
                    } else {
                        ApplyError::Occupied { path: walked }
                    });
                }
                Err(errno) => return Err(ApplyError::io("open", walked, errno)),
            };
        }
        Ok(Some(here))
    }

    pub(super) fn folder_of(&self, path: &Inside) -> Result<OwnedFd, ApplyError> {
        let folder = path.folder();
        self.folder(folder.as_ref())?.ok_or_else(|| ApplyError::NoFolder { path: self.full(folder.as_ref()) })
    }

    pub(super) fn look(&self, path: &Inside) -> Result<Seen, ApplyError> {
        let Some(folder) = self.folder(path.folder().as_ref())? else { return Ok(Seen::Nothing) };
        match fs::statat(&folder, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Seen::Folder,
                FileType::RegularFile => Seen::File(stat.st_mode & 0o7777),
                FileType::Symlink => Seen::Link,
                _ => Seen::Other,
            }),
            Err(Errno::NOENT) => Ok(Seen::Nothing),
            Err(errno) => Err(self.failed("look at", path)(errno)),
        }
    }

    /// All of a regular file; nothing if there is no such thing.
    pub(super) fn read(&self, path: &Inside) -> Result<Option<Vec<u8>>, ApplyError> {
        if !matches!(self.look(path)?, Seen::File(_)) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::openat(self.folder_of(path)?, path.name(), flags, Mode::empty())
            .map_err(self.failed("read", path))?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(READ_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| ApplyError::io("read", self.full(Some(path)), error))?;
        if bytes.len() as u64 > READ_BYTES_MAX {
            return Err(ApplyError::io("read", self.full(Some(path)), Errno::FBIG));
        }
        Ok(Some(bytes))
    }

    /// What a symbolic link says; nothing if there is none, or if it says something that is not UTF-8.
    pub(super) fn read_link(&self, path: &Inside) -> Result<Option<String>, ApplyError> {
        if self.look(path)? != Seen::Link {
            return Ok(None);
        }
        let target = fs::readlinkat(self.folder_of(path)?, path.name(), Vec::new());
        Ok(target.map_err(self.failed("read", path))?.into_string().ok())
    }

    /// Whether entries of a folder may be made and removed; only asked, not tried.
    pub(super) fn check_writable(&self, path: Option<&Inside>) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(path)? else { return Ok(()) };
        fs::accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|errno| ApplyError::NotWritable { path: self.full(path), source: errno.into() })
    }

    pub(super) fn time(&self, path: Option<&Inside>) -> Result<Option<Moment>, ApplyError> {
        let Some(folder) = self.folder(path)? else { return Ok(None) };
        let metadata = File::from(folder).metadata();
        let metadata = metadata.map_err(|error| ApplyError::io("look at", self.full(path), error))?;
        Ok(Some(Moment { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() }))
    }

    /// Sets the modification time of a folder, and leaves its access time alone.
    pub(super) fn set_time(&self, path: Option<&Inside>, moment: Moment) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(path)? else { return Ok(()) };
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
            last_modification: Timespec { tv_sec: moment.seconds, tv_nsec: moment.nanoseconds },
        };
        self.change("set time")
            .and_then(|()| fs::futimens(&folder, &times))
            .map_err(|errno| ApplyError::io("set the time of", self.full(path), errno))
    }

    /// Writes `bytes` beside and renames them to `path`. With `replace`, over what is there; else only onto nothing.
    pub(super) fn write(
        &self,
        path: &Inside,
        bytes: &[u8],
        mode: u32,
        replace: bool,
    ) -> Result<(), ApplyError> {
        let folder = self.folder_of(path)?;
        let temporary = temporary_name(path.name());
        let done = self.write_beside(&folder, &temporary, bytes, mode).and_then(|()| {
            self.change("rename")?;
            rename(&folder, &temporary, path.name(), replace)
        });
        done.map_err(|error| {
            // Best effort: whoever heals knows the name, too.
            if self.change("remove").is_ok() {
                let _ = fs::unlinkat(&folder, &temporary, AtFlags::empty());
            }
            match error {
                Errno::EXIST => ApplyError::Occupied { path: self.full(Some(path)) },
                errno => ApplyError::io("write", self.full(Some(path)), errno),
            }
        })
    }

    fn write_beside(&self, folder: &OwnedFd, name: &str, bytes: &[u8], mode: u32) -> Result<(), Errno> {
        // A leftover of a killed run; never anything else, by its name.
        match self.change("remove").and_then(|()| fs::unlinkat(folder, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        self.change("create")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
        give_to_owner_of(folder, &file)?;
        self.change("write")?;
        let mut file = File::from(file);
        file.write_all(bytes).map_err(|error| errno_of(&error))?;
        // After the owner was set: changing the owner may clear bits.
        fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        self.change("sync")?;
        fs::fsync(&file)
    }

    pub(super) fn make_folder(&self, path: &Inside) -> Result<(), ApplyError> {
        let above = self.folder_of(path)?;
        let make = || {
            self.change("make folder")?;
            fs::mkdirat(&above, path.name(), Mode::from_raw_mode(0o700))?;
            let folder = fs::openat(&above, path.name(), FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
            give_to_owner_of(&above, &folder)?;
            fs::fchmod(&folder, Mode::from_raw_mode(0o755))
        };
        make().map_err(self.failed("make", path))
    }

    pub(super) fn make_link(&self, path: &Inside, target: &str, replace: bool) -> Result<(), ApplyError> {
        let folder = self.folder_of(path)?;
        let temporary = temporary_name(path.name());
        let make = || {
            self.change("link")?;
            match fs::unlinkat(&folder, &temporary, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            fs::symlinkat(target, &folder, &temporary)?;
            self.change("rename")?;
            rename(&folder, &temporary, path.name(), replace)
        };
        make().map_err(|errno| {
            if self.change("remove").is_ok() {
                let _ = fs::unlinkat(&folder, &temporary, AtFlags::empty());
            }
            match errno {
                Errno::EXIST => ApplyError::Occupied { path: self.full(Some(path)) },
                errno => ApplyError::io("link", self.full(Some(path)), errno),
            }
        })
    }

    /// Removes a file or a link; it may be gone already.
    pub(super) fn remove(&self, path: &Inside) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(path.folder().as_ref())? else { return Ok(()) };
        match self.change("remove").and_then(|()| fs::unlinkat(&folder, path.name(), AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", path)(errno)),
        }
    }

    /// Removes what a killed run left beside `path`.
    pub(super) fn remove_temporary(&self, path: &Inside) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(path.folder().as_ref())? else { return Ok(()) };
        let name = temporary_name(path.name());
        if fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(());
        }
        self.change("remove")
            .and_then(|()| fs::unlinkat(&folder, &name, AtFlags::empty()))
            .map_err(self.failed("clean up beside", path))
    }

    /// Removes a folder if it is empty; says whether it is gone.
    pub(super) fn remove_folder(&self, path: &Inside) -> Result<bool, ApplyError> {
        let Some(above) = self.folder(path.folder().as_ref())? else { return Ok(true) };
        match self
            .change("remove folder")
            .and_then(|()| fs::unlinkat(&above, path.name(), AtFlags::REMOVEDIR))
        {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.failed("remove", path)(errno)),
        }
    }

    /// The names in a folder, sorted; those that are not UTF-8 are none of ours.
    pub(super) fn names(&self, path: &Inside) -> Result<Vec<String>, ApplyError> {
        let Some(folder) = self.folder(Some(path))? else { return Ok(Vec::new()) };
        let listed = fs::Dir::read_from(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = listed.map_err(self.failed("list", path))?;
        let mut names: Vec<String> =
            listed.iter().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned)).collect();
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all that is in a folder of ours but the entry named `but`, however deep. Links are not followed.
    pub(super) fn empty_folder(&self, path: &Inside, but: &str) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(Some(path))? else { return Ok(()) };
        self.empty(&folder, but).map_err(self.failed("empty", path))
    }

    fn empty(&self, folder: &OwnedFd, but: &str) -> Result<(), Errno> {
        // What was unpacked may be read-only, and its owner cannot empty such a folder.
        if let Ok(stat) = fs::fstat(folder)
            && stat.st_mode & 0o700 != 0o700
        {
            fs::fchmod(folder, Mode::from_raw_mode(0o700))?;
        }
        for entry in fs::Dir::read_from(folder)?.collect::<Result<Vec<_>, _>>()? {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || name.to_bytes() == but.as_bytes() {
                continue;
            }
            let inner = fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            if let Ok(inner) = inner {
                self.empty(&inner, "")?;
                self.change("remove folder")?;
                fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            } else {
                self.change("remove")?;
                fs::unlinkat(folder, name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Makes the entries of a folder survive a power cut.
    pub(super) fn sync(&self, path: Option<&Inside>) -> Result<(), ApplyError> {
        let Some(folder) = self.folder(path)? else { return Ok(()) };
        match self.change("sync").and_then(|()| fs::fsync(&folder)) {
            // Some network file systems cannot sync a folder.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(ApplyError::io("sync", self.full(path), errno)),
        }
    }
}

/// The name under which a file is written before it is renamed: recognisable, never seen by Python.
pub(super) fn temporary_name(name: &str) -> String {
    format!(".{name}.pitstop-new")
}

fn rename(folder: &OwnedFd, from: &str, to: &str, replace: bool) -> Result<(), Errno> {
    if replace {
        return fs::renameat(folder, from, folder, to);
    }
    match fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // File systems without the flag; what is there was looked at before.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::renameat(folder, from, folder, to),
        done => done,
    }
}

/// What root makes in another user's environment belongs to that user, who could not undo it otherwise.
fn give_to_owner_of(folder: &OwnedFd, made: impl AsFd) -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (wanted, is) = (fs::fstat(folder)?, fs::fstat(&made)?);
    if (wanted.st_uid, wanted.st_gid) == (is.st_uid, is.st_gid) || wanted.st_uid == 0 {
        return Ok(());
    }
    let (user, group) = (fs::Uid::from_raw(wanted.st_uid), fs::Gid::from_raw(wanted.st_gid));
    match fs::fchown(&made, Some(user), Some(group)) {
        // Root of a user namespace may meet users that it does not know.
        Err(Errno::INVAL | Errno::PERM) => Ok(()),
        done => done,
    }
}

pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
