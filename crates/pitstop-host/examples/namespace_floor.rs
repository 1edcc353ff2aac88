//! What no program can do without that starts another in a root of its own: `namespace_floor CMD…`.
//!
//! A user and a mount namespace, the maps of the two ids, ten bind mounts of folders of the root, pivot_root, exec.
#![expect(unsafe_code, reason = "rustix has no safe unshare")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};
use rustix::process::{chdir, getegid, geteuid, pivot_root};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const BINDS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: neither flag parts this thread's descriptors from its process's.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)? };
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1\n"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1\n"))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    let mut bound = 0;
    for entry in std::fs::read_dir("/")? {
        let name = entry?.file_name();
        let (from, to) = (std::path::Path::new("/").join(&name), std::path::Path::new("/tmp").join(&name));
        let kind = std::fs::symlink_metadata(&from)?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else if kind.is_dir() && name != "tmp" && bound < BINDS {
            std::fs::create_dir(&to)?;
            mount_bind_recursive(&from, &to)?;
            bound += 1;
        }
    }
    chdir("/tmp")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("no command was named")?;
    Err(Command::new(program).args(words).exec().into())
}
