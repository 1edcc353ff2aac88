//! The control: a Debian in which everything that wheels expect is in its usual place.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{output_of, run};

/// What is installed in it: Python, and the libraries that desktops and servers have. None of it was chosen by pitstop.
const PACKAGES: &str = include_str!("../../../corpus/control.txt");

/// A Debian in a folder.
pub(super) struct Control {
    root: PathBuf,
}

impl Control {
    /// Opens the control below `folder`, and makes it where it is not there or has other packages than it should.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let root = folder.join("control");
        let packages = packages();
        let mark = root.join("etc/pitstop-control");
        if std::fs::read_to_string(&mark).ok().as_ref() != Some(&packages) {
            let new = folder.join("control.new");
            for old in [&root, &new] {
                if old.exists() {
                    std::fs::remove_dir_all(old)?;
                }
            }
            let include = format!("--include={packages}");
            run(Command::new("debootstrap")
                .args(["--variant=minbase", &include, "bookworm"])
                .arg(&new)
                .args(mirror()))?;
            std::fs::write(new.join("etc/pitstop-control"), packages)?;
            std::fs::rename(&new, &root)?;
        }
        Ok(Self { root })
    }

    /// Runs a script in it as an ordinary user, without a network, with `home` as its home and `wheels` at `/wheels`.
    pub(super) fn sh(&self, home: &Path, wheels: &Path, script: &str) -> Result<std::process::Output> {
        let mut bwrap = Command::new("bwrap");
        bwrap
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", "/home/user")
            .env("LANG", "C.UTF-8");
        bwrap.args(["--unshare-all", "--uid", "1000", "--gid", "1000", "--die-with-parent"]);
        bwrap.arg("--ro-bind").arg(&self.root).arg("/");
        bwrap.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home"]);
        bwrap.arg("--bind").arg(home).arg("/home/user");
        // A folder for it is in every Debian.
        bwrap.args(["--tmpfs", "/mnt"]).arg("--ro-bind").arg(wheels).arg("/mnt/wheels");
        bwrap.args(["--chdir", "/home/user", "--", "/bin/sh", "-e", "-c", script]);
        bwrap.output().context("bwrap could not be started")
    }
}

fn packages() -> String {
    let named: Vec<&str> =
        PACKAGES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    named.join(",")
}

/// Where this machine's apt gets Debian from; nothing where it gets none, and debootstrap knows by itself.
fn mirror() -> Option<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: bookworm"]);
    output_of(&mut apt).ok()?.lines().next().map(str::to_owned)
}
