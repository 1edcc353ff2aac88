//! Which distribution a machine runs, and the one line by which its user would install a soname.

use super::{Class, Source, locate};

/// A release whose package names the embedded table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Debian 12, bookworm, and releases as old: before the transition to 64-bit time renamed many packages.
    Debian12,
    /// Debian 13, trixie, and newer.
    Debian13,
}

/// What a machine runs, as far as the way to install a library depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// NixOS.
    NixOs,
    /// Debian, Ubuntu, or one made from them: anything with apt.
    Debian(Suite),
    /// Fedora, RHEL, or one made from them: anything with dnf.
    Fedora,
    /// openSUSE and SLES.
    Suse,
    /// Alpine and others with apk. Their libc is musl.
    Alpine,
    /// Arch and others with pacman.
    Arch,
    /// Any other, by its `ID`; empty where there is none.
    Other(String),
}

impl Distribution {
    /// Reads the text of an `os-release` file, see os-release(5). Never fails: what cannot be read is left out.
    #[must_use]
    pub fn from_os_release(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
            line.map(unquote).unwrap_or_default()
        };
        let id = field("ID").to_ascii_lowercase();
        let like = field("ID_LIKE").to_ascii_lowercase();
        let names: Vec<&str> = std::iter::once(id.as_str()).chain(like.split_ascii_whitespace()).collect();
        for name in names {
            match name {
                "nixos" => return Self::NixOs,
                "debian" | "ubuntu" | "raspbian" => return Self::Debian(suite(&id, &field)),
                "fedora" | "rhel" | "centos" => return Self::Fedora,
                "suse" | "opensuse" | "sles" => return Self::Suse,
                "alpine" => return Self::Alpine,
                "arch" | "archlinux" => return Self::Arch,
                _ => {}
            }
        }
        Self::Other(id)
    }
}

/// The nearer of the two known suites. A release without a number (testing, sid) is newer than both.
fn suite(id: &str, field: &impl Fn(&str) -> String) -> Suite {
    /// Releases from before 64-bit time that a derivative may name as its base.
    const OLD: [&str; 8] = ["buster", "bullseye", "bookworm", "bionic", "focal", "jammy", "lunar", "mantic"];
    let base = [field("UBUNTU_CODENAME"), field("DEBIAN_CODENAME"), field("VERSION_CODENAME")]
        .into_iter()
        .find(|name| !name.is_empty());
    if let Some(base) = &base
        && OLD.contains(&base.as_str())
    {
        return Suite::Debian12;
    }
    let version: Option<u32> = field("VERSION_ID").split('.').next().and_then(|major| major.parse().ok());
    let first_new = match id {
        "debian" | "raspbian" => 13,
        "ubuntu" => 24,
        // A derivative counts its own releases; only the name of its base says more.
        _ => return if base.is_some() { Suite::Debian13 } else { Suite::Debian12 },
    };
    if version.is_some_and(|version| version < first_new) { Suite::Debian12 } else { Suite::Debian13 }
}

/// The value of an assignment as a shell reads it: quotes and backslashes taken off.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner =
        ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
    inner.replace('\\', "")
}

/// What a user could type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// One line for a shell, or none where nothing can be said.
    pub command: Option<String>,
    /// The sonames that the command does not bring: drivers, the libc, and those that nobody is known to have.
    pub left: Vec<String>,
}

/// The one line that would install all of `sonames` by the distribution's own means. Only exact candidates are named.
///
/// Sonames come out of files that anybody may have made, and the line is meant for a shell, so a soname with a letter
/// outside the usual ones is never part of it.
pub fn hint<'a>(distribution: &Distribution, sonames: impl IntoIterator<Item = &'a str>) -> Hint {
    let mut packages: Vec<String> = Vec::new();
    let mut left = Vec::new();
    for soname in sonames {
        match package(distribution, soname) {
            Some(package) if packages.contains(&package) => {}
            Some(package) => packages.push(package),
            None => left.push(soname.to_owned()),
        }
    }
    packages.sort();
    let command = (!packages.is_empty()).then(|| {
        let start = match distribution {
            Distribution::NixOs | Distribution::Other(_) => "nix-shell -p",
            Distribution::Debian(_) => "sudo apt install",
            Distribution::Fedora => "sudo dnf install",
            Distribution::Suse => "sudo zypper install",
            Distribution::Alpine => "sudo apk add",
            // Few packages of Arch declare their sonames, but its file lists know them all.
            Distribution::Arch => "sudo pacman -Fy && pacman -F",
        };
        format!("{start} {}", packages.join(" "))
    });
    Hint { command, left }
}

/// What to name on the command line to get `soname`.
fn package(distribution: &Distribution, soname: &str) -> Option<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._+-".contains(letter);
    if soname.is_empty() || soname.starts_with('-') || !soname.chars().all(plain) {
        return None;
    }
    let located = locate(soname);
    if matches!(located.class, Class::Driver | Class::Libc) {
        return None;
    }
    match distribution {
        Distribution::NixOs | Distribution::Other(_) => {
            let (attribute, candidate) = located.nix().next()?;
            candidate.exact.then(|| attribute.to_owned())
        }
        Distribution::Debian(suite) => {
            let of_suite = |candidate: &super::Candidate| matches!(&candidate.source, Source::Debian { suite: its, .. } if its == suite);
            let (package, _) = located
                .debian(*suite)
                .find(|(_, candidate)| candidate.exact && of_suite(candidate))
                .or_else(|| located.debian(*suite).find(|(_, candidate)| candidate.exact))?;
            Some(package.to_owned())
        }
        Distribution::Fedora | Distribution::Suse => Some(format!("'{soname}()(64bit)'")),
        Distribution::Alpine => Some(format!("so:{soname}")),
        Distribution::Arch => Some(soname.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &Distribution) {
        assert_eq!(&Distribution::from_os_release(text), expected, "{text}");
    }

    #[test]
    fn os_release_names_the_distribution() {
        use Distribution::{Alpine, Arch, Debian, Fedora, NixOs, Other, Suse};
        reads("ID=nixos\nVERSION_ID=\"25.05\"\n", &NixOs);
        reads("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n", &Debian(Suite::Debian12));
        reads("ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n", &Debian(Suite::Debian13));
        reads("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux sid\"\n", &Debian(Suite::Debian13));
        reads("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n", &Debian(Suite::Debian12));
        reads("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", &Debian(Suite::Debian13));
        let mint =
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21.3\"\nVERSION_CODENAME=virginia\n";
        reads(&format!("{mint}UBUNTU_CODENAME=jammy\n"), &Debian(Suite::Debian12));
        reads(&format!("{mint}UBUNTU_CODENAME=noble\n"), &Debian(Suite::Debian13));
        reads("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", &Fedora);
        reads("ID='opensuse-leap'\nID_LIKE='suse opensuse'\n", &Suse);
        reads("ID=alpine\n", &Alpine);
        reads("ID=manjaro\nID_LIKE=arch\n", &Arch);
        reads("ID=void\n", &Other("void".into()));
        reads("", &Other(String::new()));
        reads("ID=debian\nID=nixos\n", &NixOs);
        reads("=\nID\n\u{0}\"", &Other(String::new()));
    }

    #[track_caller]
    fn says(distribution: &Distribution, expected: &str) {
        let hint = hint(distribution, ["libz.so.1", "libGL.so.1", "libz.so.1"]);
        assert_eq!(hint.command.as_deref(), Some(expected));
        assert!(hint.left.is_empty());
    }

    #[test]
    fn one_line_for_each_distribution() {
        says(&Distribution::NixOs, "nix-shell -p libGL zlib");
        says(&Distribution::Debian(Suite::Debian12), "sudo apt install libgl1 zlib1g");
        says(&Distribution::Debian(Suite::Debian13), "sudo apt install libgl1 zlib1g");
        says(&Distribution::Fedora, "sudo dnf install 'libGL.so.1()(64bit)' 'libz.so.1()(64bit)'");
        says(&Distribution::Suse, "sudo zypper install 'libGL.so.1()(64bit)' 'libz.so.1()(64bit)'");
        says(&Distribution::Alpine, "sudo apk add so:libGL.so.1 so:libz.so.1");
        says(&Distribution::Arch, "sudo pacman -Fy && pacman -F libGL.so.1 libz.so.1");
    }

    #[test]
    fn the_suite_decides_the_package() {
        let package = |suite| hint(&Distribution::Debian(suite), ["libgtk-3.so.0"]).command.unwrap();
        assert_eq!(package(Suite::Debian12), "sudo apt install libgtk-3-0");
        assert_eq!(package(Suite::Debian13), "sudo apt install libgtk-3-0t64");
    }

    #[test]
    fn what_cannot_be_installed_is_left() {
        let debian = Distribution::Debian(Suite::Debian12);
        let sonames = ["libcuda.so.1", "libc.so.6", "libnobody.so.1", "libz.so.1", "$(id).so", "-o.so", ""];
        let hint = hint(&debian, sonames);
        assert_eq!(hint.command.as_deref(), Some("sudo apt install zlib1g"));
        assert_eq!(hint.left, ["libcuda.so.1", "libc.so.6", "libnobody.so.1", "$(id).so", "-o.so", ""]);
        let fedora = super::hint(&Distribution::Fedora, ["a'; id; '.so.1"]);
        assert_eq!(fedora.command, None);
    }
}
