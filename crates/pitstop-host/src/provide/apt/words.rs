//! What apt says, as far as it is acted upon. Its programs are run in the C locale, so that these words are the same
//! everywhere.

/// One package that apt would install.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Install {
    /// Without its architecture.
    pub(super) package: String,
    pub(super) version: String,
    pub(super) architecture: String,
}

/// What `apt-get install --simulate` would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Solution {
    pub(super) installs: Vec<Install>,
    pub(super) removals: Vec<String>,
}

/// Reads the `Inst` and `Remv` lines of a simulation:
/// `Inst libzbar0 [old] (0.23.92-7 Debian:12.15/oldstable [amd64])`.
pub(super) fn solution(output: &str) -> Solution {
    let mut solution = Solution::default();
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("Inst ") {
            solution.installs.extend(install(rest));
        } else if let Some(rest) = line.strip_prefix("Remv ") {
            solution.removals.extend(rest.split_whitespace().next().map(str::to_owned));
        }
    }
    solution
}

fn install(line: &str) -> Option<Install> {
    let name = line.split_whitespace().next()?;
    let (_, facts) = line.split_once(" (")?;
    let (facts, _) = facts.split_once(')')?;
    let version = facts.split_whitespace().next()?;
    let architecture = facts.rsplit_once('[')?.1.strip_suffix(']')?;
    Some(Install {
        package: name.split(':').next()?.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
    })
}

/// The packages that apt does not know, or knows only by hearsay.
pub(super) fn unknown(errors: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_prefix("E: ")?;
        if let Some(name) = line.strip_prefix("Unable to locate package ") {
            return Some(name.trim().to_owned());
        }
        let name = line.strip_prefix("Package ")?.strip_suffix(" has no installation candidate")?;
        Some(name.trim_matches('\'').to_owned())
    };
    errors.lines().filter_map(name).collect()
}

/// The versions that apt does not know, of packages that it knows: `E: Version '1.0' for 'zlib1g' was not found`.
pub(super) fn versions_gone(errors: &str) -> Vec<(String, String)> {
    let gone = |line: &str| {
        let (version, rest) = line.strip_prefix("E: Version '")?.split_once("' for '")?;
        let package = rest.strip_suffix("' was not found")?;
        let package = package.split(':').next()?;
        Some((package.to_owned(), version.to_owned()))
    };
    errors.lines().filter_map(gone).collect()
}

/// Name and hash of a line of `--print-uris`: `'http://…' libodbc2_2.3.11-2_amd64.deb 150252 SHA256:…`. The name is that of
/// the archive without its architecture.
pub(super) fn archive(line: &str) -> Option<(String, String)> {
    let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
    let (name, _) = words.next()?.strip_suffix(".deb")?.rsplit_once('_')?;
    let hash = words.find_map(|word| word.strip_prefix("SHA256:"))?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash.then(|| (name.to_owned(), hash.to_owned()))
}

/// Why apt failed: its errors, after what it says of unmet dependencies on its output.
pub(super) fn failure(output: &str, errors: &str) -> String {
    const UNMET: &str = "The following packages have unmet dependencies:";
    let mut lines: Vec<&str> = output
        .lines()
        .skip_while(|line| *line != UNMET)
        .take_while(|line| !line.starts_with("Inst "))
        .collect();
    let marked = |mark: &'static str| errors.lines().filter_map(move |line| line.strip_prefix(mark));
    let before = lines.len();
    lines.extend(marked("E: "));
    if lines.len() == before {
        lines.extend(marked("W: "));
    }
    if lines.is_empty() {
        lines.extend(errors.lines());
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What a user can do about a failure, judged by its words.
pub(super) fn hint(words: &str) -> Option<String> {
    let any = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if any(&["No space left on device", "enough free space", "Disk quota exceeded"]) {
        return Some("Free some space on that file system, and try again".into());
    }
    if any(&["404  Not Found", "404 Not Found"]) {
        return Some(
            "Run `sudo apt update`, and try again: the package lists are older than the server".into(),
        );
    }
    if any(&["Temporary failure resolving", "Could not connect", "Could not resolve", "Failed to fetch"]) {
        return Some("Check the network and apt's proxy settings, and try again".into());
    }
    if any(&["held broken packages", "unmet dependencies"]) {
        return Some(
            "Run `apt-mark showhold` and `sudo apt --fix-broken install` to see what stands in the way"
                .into(),
        );
    }
    if any(&["Unable to locate package", "no installation candidate"]) {
        return Some("Run `sudo apt update`, or add the archive that has the package".into());
    }
    if any(&["Could not get lock"]) {
        return Some("Wait until the other package manager has finished, and try again".into());
    }
    None
}

/// Whether the lists promise something that the server no longer has.
pub(super) fn is_stale(words: &str) -> bool {
    words.contains("404  Not Found") || words.contains("404 Not Found")
}

/// The package and the bytes of a line such as
/// `Get:1 http://… bookworm/main amd64 libv4l-0 amd64 1.22.1-5+b2 [109 kB]`.
pub(super) fn download(line: &str) -> Option<(String, u64)> {
    let rest = line.strip_prefix("Get:")?;
    let (rest, size) = rest.strip_suffix(']')?.rsplit_once(" [")?;
    let package = rest.split_whitespace().nth(4)?;
    Some((package.to_owned(), bytes(size).unwrap_or(0)))
}

/// apt's sizes, such as `6924 B`, `378 kB` or `12.5 MB`.
fn bytes(size: &str) -> Option<u64> {
    let (number, unit) = size.split_once(' ')?;
    let scale = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let tenths: u64 = tenths.parse().ok()?;
    whole.checked_mul(scale)?.checked_add(tenths.checked_mul(scale / 10)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_is_read() {
        let output = "Reading package lists...\n\
            Remv libold [1.0]\n\
            Inst libv4l-0 (1.22.1-5+b2 Debian:12.15/oldstable [amd64])\n\
            Inst libssl3 [3.0.9-1] (3.0.17-1 Debian:12.15/oldstable, Debian-Security:12 [amd64]) []\n\
            Inst libz3-4:i386 (1:4.8 Debian:12/stable [i386])\n\
            Inst broken\nInst\nInst x (\n\
            Conf libv4l-0 (1.22.1-5+b2 Debian:12.15/oldstable [amd64])\n";
        let install = |package: &str, version: &str, architecture: &str| Install {
            package: package.into(),
            version: version.into(),
            architecture: architecture.into(),
        };
        let expected = Solution {
            installs: vec![
                install("libv4l-0", "1.22.1-5+b2", "amd64"),
                install("libssl3", "3.0.17-1", "amd64"),
                install("libz3-4", "1:4.8", "i386"),
            ],
            removals: vec!["libold".into()],
        };
        assert_eq!(solution(output), expected);
    }

    #[test]
    fn unknown_packages_are_named() {
        let errors = "E: Unable to locate package libnope1\nW: x\nE: Package 'libgone' has no installation candidate\n";
        assert_eq!(unknown(errors), ["libnope1", "libgone"]);
        assert!(hint(errors).unwrap().contains("apt update"));
    }

    #[test]
    fn a_failure_keeps_apts_words() {
        let output = "Reading package lists...\nThe following packages have unmet dependencies:\n libx : Depends: liby (= 2) but 1 is to be installed\n";
        let errors = "E: Unable to correct problems, you have held broken packages.\n";
        assert_eq!(
            failure(output, errors),
            "The following packages have unmet dependencies:\n libx : Depends: liby (= 2) but 1 is to be installed\n\
             Unable to correct problems, you have held broken packages."
        );
        assert_eq!(failure("", "W: only a warning\n"), "only a warning");
        assert_eq!(failure("", "strange\n"), "strange");
    }

    #[test]
    fn hints_follow_the_words() {
        let lost = "Failed to fetch http://x  Could not connect to 127.0.0.1:9";
        assert!(hint(lost).unwrap().contains("network"));
        let stale = "Failed to fetch http://x  404  Not Found [IP: 1]";
        assert!(is_stale(stale) && hint(stale).unwrap().contains("apt update"));
        assert!(hint("dpkg-deb: error: write: No space left on device").unwrap().contains("space"));
        assert_eq!(hint("something else"), None);
    }

    #[test]
    fn a_version_that_is_gone_is_told_from_a_package_that_is_unknown() {
        let errors = "E: Version '1:1.0' for 'zlib1g' was not found\nE: Unable to locate package y\n";
        assert_eq!(versions_gone(errors), [("zlib1g".to_owned(), "1:1.0".to_owned())]);
        assert_eq!(unknown(errors), ["y"]);
    }

    #[test]
    fn an_archive_is_named_with_its_hash() {
        let hash = "ab".repeat(32);
        let line = format!("'http://m/zlib1g_1.2_amd64.deb' zlib1g_1%3a1.2_amd64.deb 86684 SHA256:{hash}");
        assert_eq!(archive(&line), Some(("zlib1g_1%3a1.2".to_owned(), hash)));
        for odd in ["", "'x' y", "'x' a_b.deb 1 SHA256:zz", "N: note"] {
            assert_eq!(archive(odd), None, "{odd}");
        }
    }

    #[test]
    fn downloads_are_counted() {
        let line = "Get:2 http://mirror.example/debian bookworm/main amd64 libzbar0 amd64 0.23.92-7 [130 kB]";
        assert_eq!(download(line), Some(("libzbar0".into(), 130_000)));
        assert_eq!(bytes("12.5 MB"), Some(12_500_000));
        assert_eq!(bytes("6924 B"), Some(6924));
        for odd in
            ["", "Get:1 x [1 kB]", "Get:", "Get:]", "Fetched 1 B", "Get:1 a b c d e [99999999999999999 GB]"]
        {
            let _ = download(odd);
        }
    }
}
