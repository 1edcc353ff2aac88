//! `Release` and `InRelease`: which lists the suite of an archive of Debian's kind has, and their digests.
//!
//! Fields by <https://wiki.debian.org/DebianRepository/Format>. A clear-signed `InRelease` is read for its text; its
//! signature is not looked at.

/// What an archive says of a suite, as far as it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Whether files may be asked for by their digest, so that an update of the mirror does not change them meanwhile.
    pub by_hash: bool,
    /// The files of which it gives a SHA-256, in its order.
    pub files: Vec<Listed>,
}

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the suite's folder.
    pub path: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Why a `Release` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A line is neither a field nor belongs to one. Lines count from 1.
    #[error("line {0} is no `Name: value`, so this is no Release file")]
    Line(usize),
    /// A line below `SHA256` is no digest, length and path.
    #[error("line {0} is no digest, length and path")]
    File(usize),
    /// It has no SHA-256 of any file.
    #[error("it gives no SHA-256")]
    NoDigests,
}

/// Reads a `Release` or an `InRelease`.
pub fn parse(bytes: &[u8]) -> Result<Release, ReleaseError> {
    let text = String::from_utf8_lossy(bytes);
    let mut release = Release::default();
    let mut in_digests = false;
    let mut lines = text.lines().zip(1..);
    if text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
        // Armour headers end with an empty line (RFC 4880, section 7).
        lines.find(|(line, _)| line.trim().is_empty());
    }
    for (line, number) in lines {
        if line.starts_with("-----BEGIN PGP SIGNATURE-----") {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if in_digests {
                release.files.push(listed(line).ok_or(ReleaseError::File(number))?);
            }
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(ReleaseError::Line(number))?;
        in_digests = name.eq_ignore_ascii_case("SHA256");
        if name.eq_ignore_ascii_case("Acquire-By-Hash") {
            release.by_hash = value.trim().eq_ignore_ascii_case("yes");
        }
    }
    if release.files.is_empty() { Err(ReleaseError::NoDigests) } else { Ok(release) }
}

fn listed(line: &str) -> Option<Listed> {
    let mut words = line.split_ascii_whitespace();
    let (digest, bytes, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let mut sha256 = [0; 32];
    if digest.len() != 64 || !digest.is_ascii() || words.next().is_some() {
        return None;
    }
    for (place, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[2 * place..2 * place + 2], 16).ok()?;
    }
    // It becomes part of a URL and of a file's name.
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_plain).then(|| Listed { path: path.to_owned(), bytes, sha256 })
}

impl Release {
    /// The lists of files of a component for an architecture, the one to ask for first in front: packed ones, the
    /// smallest first, since archives mostly name the unpacked one and have it not. Ubuntu's, and Debian's until 2012, lie
    /// beside the components, for all of them.
    #[must_use]
    pub fn contents(&self, component: &str, architecture: &str) -> Vec<&Listed> {
        let of = |stem: &str| {
            let is_it = |listed: &&Listed| {
                let end = listed.path.strip_prefix(stem);
                end.is_some_and(|end| matches!(end, "" | ".gz" | ".xz" | ".zst" | ".lz4"))
            };
            let mut found: Vec<&Listed> = self.files.iter().filter(is_it).collect();
            found.sort_by_key(|listed| (listed.path == stem, listed.bytes));
            found
        };
        let found = of(&format!("{component}/Contents-{architecture}"));
        if found.is_empty() { of(&format!("Contents-{architecture}")) } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: stable\nAcquire-By-Hash: yes\nMD5Sum:\n abc 1 main/Contents-amd64.gz\n\
        SHA256:\n \
        0000000000000000000000000000000000000000000000000000000000000001     7000 main/Contents-amd64\n \
        0000000000000000000000000000000000000000000000000000000000000002      700 main/Contents-amd64.gz\n \
        0000000000000000000000000000000000000000000000000000000000000003      600 main/Contents-amd64.xz\n \
        0000000000000000000000000000000000000000000000000000000000000004      500 main/Contents-udeb-amd64.gz\n \
        0000000000000000000000000000000000000000000000000000000000000005      800 Contents-i386.gz\n";

    fn names(release: &Release, component: &str, architecture: &str) -> Vec<String> {
        release.contents(component, architecture).into_iter().map(|listed| listed.path.clone()).collect()
    }

    #[test]
    fn the_lists_of_an_architecture_are_found_packed_ones_first() {
        let release = parse(TEXT.as_bytes()).unwrap();
        assert!(release.by_hash);
        assert_eq!((release.files.len(), release.files[1].bytes, release.files[1].sha256[31]), (5, 700, 2));
        let packed = ["main/Contents-amd64.xz", "main/Contents-amd64.gz", "main/Contents-amd64"];
        assert_eq!(names(&release, "main", "amd64"), packed);
        assert_eq!(names(&release, "main", "i386"), ["Contents-i386.gz"]);
        assert!(names(&release, "contrib", "amd64").is_empty());
    }

    #[test]
    fn a_signed_file_is_read_for_its_text() {
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{TEXT}-----BEGIN PGP SIGNATURE-----\n\nno field\n\
             -----END PGP SIGNATURE-----\n"
        );
        assert_eq!(parse(signed.as_bytes()), parse(TEXT.as_bytes()));
    }

    #[test]
    fn what_is_no_release_file_is_named_with_its_line() {
        assert_eq!(parse(b"<html>\n"), Err(ReleaseError::Line(1)));
        assert_eq!(parse(b"Origin: Debian\n"), Err(ReleaseError::NoDigests));
        let digest = "0".repeat(64);
        for line in [
            "abc 1 main/x".to_owned(),
            format!("{digest} one main/x"),
            format!("{digest} 1 ../../x"),
            format!("{digest} 1 /x"),
            format!("{digest} 1"),
            format!("{} 1 x", "é".repeat(32)),
        ] {
            let text = format!("SHA256:\n {line}\n");
            assert_eq!(parse(text.as_bytes()), Err(ReleaseError::File(2)), "{line}");
        }
    }
}
