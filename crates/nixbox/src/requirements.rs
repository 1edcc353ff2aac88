//! What must be installed on the machine.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::search_path;

/// Programs that nixbox runs, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("nix-store", "nix-bin"),
    ("nix-daemon", "nix-bin"),
    ("bwrap", "bubblewrap"),
    ("patchelf", "patchelf"),
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("dpkg-deb", "dpkg"),
    ("perl", "perl-base"),
];

/// The Debian packages that nixbox needs.
#[must_use]
pub fn requirements() -> Vec<&'static str> {
    let mut packages: Vec<&str> = PROGRAMS.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Says which requirement is not met.
pub(crate) fn check() -> Result<()> {
    for &(program, package) in PROGRAMS {
        if !installed(program) {
            return Err(Error::NotInstalled { program, package });
        }
    }
    Ok(())
}

/// Whether a program of this name is in `PATH`.
pub(crate) fn installed(program: &str) -> bool {
    std::env::split_paths(&search_path())
        .any(|folder: std::path::PathBuf| Path::new(&folder).join(program).is_file())
}
