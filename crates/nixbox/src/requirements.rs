//! What must be installed on the machine.

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

/// The Debian packages that nixbox needs; the last one only for [`crate::wheels`].
#[must_use]
pub fn requirements() -> Vec<&'static str> {
    let mut packages: Vec<&str> = PROGRAMS.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    packages.push(PIP);
    packages
}

/// The Debian package with pip.
pub(crate) const PIP: &str = "python3-pip";

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
    std::env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_named_once() {
        let named = requirements();
        assert!(named.contains(&"nix-bin") && named.contains(&"bubblewrap"));
        assert_eq!(named.iter().filter(|&&name| name == "nix-bin").count(), 1);
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let error = Error::NotInstalled { program: "bwrap", package: "bubblewrap" };
        assert_eq!(error.to_string(), "`bwrap` is not installed: on Debian, `apt install bubblewrap`");
    }
}
