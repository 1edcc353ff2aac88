//! A mount namespace of one's own, in a user namespace of its own where that is what it takes: this process goes in, and
//! whatever it executes then sees a file system that differs in a few places.
//!
//! Nobody else sees the mounts, and they go with the last process that is inside, however it ends. No process stays
//! behind to wait. It is no security boundary: whoever is inside can do to files what he could do outside.
//!
//! Only what there was no need to change is shown by bind mounts: a folder in which a name must appear that is not there
//! is covered by a tmpfs, in which everything that it had is shown again.

mod mirror;
mod overlay;

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, getegid, geteuid, pivot_root};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// What is to be seen at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A symbolic link that leads there.
    Link(PathBuf),
    /// Another file or folder of this machine, read-only.
    Show(PathBuf),
    /// Another folder of this machine with all that is mounted in it, as it is.
    Same(PathBuf),
    /// The folder as it is, its entries being links into this folder that shows it. For folders of very many entries.
    Linked(PathBuf),
    /// The folder as it is, with what this folder of the same layout has laid over it: where both have a file of one name,
    /// this one's is seen.
    Over(PathBuf),
}

/// A change to the file system: at this path there shall be that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute. Whatever is there is covered.
    pub path: PathBuf,
    /// What is to be there.
    pub node: Node,
}

/// Why no namespace could be made, or not what was asked for in it.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel makes none for this user.
    #[error("this machine makes no user namespaces for you: {0}")]
    Refused(#[source] io::Error),
    /// The user's own identity could not be kept.
    #[error("{}: {cause}", .file.display())]
    Map {
        /// The file that would map it.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Something could not be mounted.
    #[error("{} cannot be shown: {cause}", .path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The working folder is not to be had in there.
    #[error("the working folder {} cannot be entered: {cause}", .path.display())]
    WorkingFolder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Threads that are still there; the kernel takes only a process of one thread into a user namespace.
    #[error("a process of several threads cannot enter a user namespace")]
    Threads,
}

impl NamespaceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused(_) => {
                "let users have them: `sysctl user.max_user_namespaces`, `kernel.unprivileged_userns_clone`, `kernel.apparmor_restrict_unprivileged_userns`; \
                 in a container, allow the system call `unshare`"
            }
            Self::WorkingFolder { .. } => "start from a folder that you can enter",
            _ => "",
        }
    }
}

/// Whether this process has one thread, as it must to enter a user namespace.
#[must_use]
pub fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Takes this process into a namespace with these changes. After an error it may be inside already: it is fit for nothing
/// but to say so, unless the error is [`NamespaceError::Refused`], which leaves all as it was.
pub fn enter(changes: &[Change]) -> Result<(), NamespaceError> {
    let folder = working_folder()?;
    unshare()?;
    let (roots, rest) = mirror::group(changes);
    if let Some(root) = roots {
        new_root(&root)?;
    }
    for covered in rest {
        mirror::apply(&covered)?;
    }
    // By its path again: the one that this process still stands in is outside.
    chdir(&folder).map_err(|cause| NamespaceError::WorkingFolder { path: folder, cause: cause.into() })
}

fn working_folder() -> Result<PathBuf, NamespaceError> {
    let failed = |cause| NamespaceError::WorkingFolder {
        path: std::env::var_os("PWD").unwrap_or_default().into(),
        cause,
    };
    std::env::current_dir().map_err(failed)
}

/// As root, a mount namespace alone: all users and set-user programs stay what they are. Else with a user namespace, in
/// which this user is who he is outside, and which knows nobody else.
fn unshare() -> Result<(), NamespaceError> {
    let (user, group) = (geteuid(), getegid());
    let alone = user.is_root() && try_unshare(UnshareFlags::NEWNS).is_ok();
    if !alone {
        match try_unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) {
            Ok(()) => {}
            Err(Errno::INVAL) if !is_single_threaded() => return Err(NamespaceError::Threads),
            Err(refusal) => return Err(NamespaceError::Refused(refusal.into())),
        }
        // user_namespaces(7): without this, no group map may be written by those without privileges.
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("{0} {0} 1\n", user.as_raw()))?;
        write("/proc/self/gid_map", &format!("{0} {0} 1\n", group.as_raw()))?;
    }
    // What is mounted outside later is seen inside, and never the other way round.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(at(Path::new("/")))
}

#[expect(unsafe_code, reason = "rustix has no safe unshare")]
fn try_unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: unsafe for the flags that part this thread's descriptors from its process's, which others may rely on
    // being one; neither of ours does that.
    unsafe { unshare_unsafe(flags) }
}

fn write(file: &str, text: &str) -> Result<(), NamespaceError> {
    match std::fs::write(file, text) {
        Ok(()) => Ok(()),
        // Kernels before 3.19 have no such file, and no such rule.
        Err(error) if file.ends_with("setgroups") && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(NamespaceError::Map { file: file.into(), cause }),
    }
}

fn at(path: &Path) -> impl Fn(Errno) -> NamespaceError + '_ {
    move |cause| NamespaceError::Mount { path: path.to_owned(), cause: cause.into() }
}

/// Makes a root with these changes, and goes there.
fn new_root(root: &mirror::Covered) -> Result<(), NamespaceError> {
    // Any folder will do to mount it on; what that one has is shown in the new root from a descriptor.
    let place = ["/tmp", "/run", "/dev", "/proc"].into_iter().find(|path| Path::new(path).is_dir());
    let place = Path::new(place.unwrap_or("/proc"));
    mirror::build(root, place)?;
    chdir(place).map_err(at(place))?;
    // pivot_root(2), "pivot_root(".", ".")": the old root comes to lie upon the new one, and is taken away.
    pivot_root(".", ".").map_err(at(Path::new("/")))?;
    unmount(".", UnmountFlags::DETACH).map_err(at(Path::new("/")))?;
    chdir("/").map_err(at(Path::new("/")))
}

/// Shows a file or folder elsewhere, read-only.
fn show(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    mount_bind(source, target).map_err(at(source))?;
    make_read_only(target)
}

/// `mount_setattr` would do this in one step and for all that is mounted below, but rustix has it not. So the other flags of
/// the mount are asked for and given again, for a user namespace may not take any of them away.
fn make_read_only(target: &Path) -> Result<(), NamespaceError> {
    let has = statvfs(target).map_err(at(target))?.f_flag;
    if has.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    let kept = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    for (is, flag) in kept {
        if has.contains(is) {
            flags |= flag;
        }
    }
    mount_remount(target, flags, "").map_err(at(target))
}
