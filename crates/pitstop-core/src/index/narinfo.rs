//! `.narinfo` files: what a binary cache says of one store path.
//!
//! Follows `src/libstore/nar-info.cc` of Nix: lines of `Name: value`, unknown names ignored, `StorePath`, `URL`,
//! `NarHash` and a `NarSize` above zero required, `Compression` taken to be `bzip2` where it is not said.

use super::StorePath;

/// What a binary cache says of one store path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// The store path that this is about.
    pub path: StorePath,
    /// Where its archive is, relative to the cache.
    pub url: String,
    /// How the archive is compressed: `xz`, `zstd`, `none`, …
    pub compression: String,
    /// The hash of the compressed archive.
    pub file_hash: Option<String>,
    /// The length of the compressed archive, in bytes.
    pub file_size: Option<u64>,
    /// The hash of the archive.
    pub nar_hash: String,
    /// The length of the archive, in bytes.
    pub nar_size: u64,
    /// The store paths that this one refers to; it may be among them itself.
    pub references: Vec<StorePath>,
    /// The base name of the derivation that built it.
    pub deriver: Option<String>,
    /// The system that it was built for; only old caches say so.
    pub system: Option<String>,
    /// Signatures, each as `KEY:BASE64`.
    pub signatures: Vec<String>,
    /// How a content-addressed path was named.
    pub content_address: Option<String>,
}

/// Why a `.narinfo` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarInfoError {
    /// It is no text.
    #[error("it is not UTF-8 from byte {0} on")]
    Encoding(usize),
    /// A line has no colon and space. Lines count from 1.
    #[error("line {0} is no `Name: value`")]
    Line(usize),
    /// A required field is not there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A field stands twice.
    #[error("line {line} gives {field} once more")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The field.
        field: String,
    },
    /// A value is not what its field holds.
    #[error("line {line}: {field} cannot be `{value}`")]
    Value {
        /// The line, from 1.
        line: usize,
        /// The field.
        field: String,
        /// What stands there, or its beginning.
        value: String,
    },
}

/// How much of a value an error shows, in characters.
const SHOWN_MAX: usize = 100;

/// Reads a `.narinfo` of a cache for the store `store_dir`.
pub fn parse(bytes: &[u8], store_dir: &str) -> Result<NarInfo, NarInfoError> {
    let text = std::str::from_utf8(bytes).map_err(|error| NarInfoError::Encoding(error.valid_up_to()))?;
    let mut fields = Fields::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        // An empty list of references may have lost its space on the way.
        let (field, value) = line.split_once(':').ok_or(NarInfoError::Line(number + 1))?;
        fields.take(Place { number: number + 1, field, store_dir }, value.trim())?;
    }
    fields.finish()
}

#[derive(Default)]
struct Fields {
    path: Option<StorePath>,
    url: Option<String>,
    compression: Option<String>,
    file_hash: Option<String>,
    file_size: Option<u64>,
    nar_hash: Option<String>,
    nar_size: Option<u64>,
    references: Option<Vec<StorePath>>,
    deriver: Option<String>,
    system: Option<String>,
    signatures: Vec<String>,
    content_address: Option<String>,
}

/// A line, as errors name it.
#[derive(Clone, Copy)]
struct Place<'a> {
    number: usize,
    field: &'a str,
    store_dir: &'a str,
}

impl Place<'_> {
    fn wrong(self, value: &str) -> NarInfoError {
        let value = value.chars().take(SHOWN_MAX).collect();
        NarInfoError::Value { line: self.number, field: self.field.to_owned(), value }
    }

    fn set<T>(self, slot: &mut Option<T>, value: T) -> Result<(), NarInfoError> {
        if slot.replace(value).is_some() {
            return Err(NarInfoError::Twice { line: self.number, field: self.field.to_owned() });
        }
        Ok(())
    }

    fn text(self, slot: &mut Option<String>, value: &str) -> Result<(), NarInfoError> {
        if value.is_empty() {
            return Err(self.wrong(value));
        }
        self.set(slot, value.to_owned())
    }

    fn number(self, slot: &mut Option<u64>, value: &str) -> Result<(), NarInfoError> {
        self.set(slot, value.parse().map_err(|_| self.wrong(value))?)
    }

    fn reference(self, base: &str) -> Result<StorePath, NarInfoError> {
        let path = format!("{}/{base}", self.store_dir);
        let parsed = StorePath::parse(&path, self.store_dir).filter(|_| !base.contains('/'));
        parsed.ok_or_else(|| self.wrong(base))
    }
}

impl Fields {
    fn take(&mut self, place: Place<'_>, value: &str) -> Result<(), NarInfoError> {
        match place.field {
            "StorePath" => {
                let base = value.strip_prefix(place.store_dir).and_then(|rest| rest.strip_prefix('/'));
                let path = place.reference(base.ok_or_else(|| place.wrong(value))?)?;
                place.set(&mut self.path, path)
            }
            "URL" => place.text(&mut self.url, value),
            "Compression" => place.text(&mut self.compression, value),
            "FileHash" => place.text(&mut self.file_hash, value),
            "FileSize" => place.number(&mut self.file_size, value),
            "NarHash" => place.text(&mut self.nar_hash, value),
            "NarSize" => place.number(&mut self.nar_size, value),
            "References" => {
                let references = value.split_ascii_whitespace().map(|base| place.reference(base));
                let references = references.collect::<Result<_, _>>()?;
                place.set(&mut self.references, references)
            }
            "Deriver" if value == "unknown-deriver" => Ok(()),
            "Deriver" => place.text(&mut self.deriver, value),
            "System" => place.text(&mut self.system, value),
            "Sig" => {
                self.signatures.push(value.to_owned());
                Ok(())
            }
            "CA" => place.text(&mut self.content_address, value),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<NarInfo, NarInfoError> {
        Ok(NarInfo {
            path: self.path.ok_or(NarInfoError::Missing("StorePath"))?,
            url: self.url.ok_or(NarInfoError::Missing("URL"))?,
            compression: self.compression.unwrap_or_else(|| "bzip2".to_owned()),
            file_hash: self.file_hash,
            file_size: self.file_size,
            nar_hash: self.nar_hash.ok_or(NarInfoError::Missing("NarHash"))?,
            nar_size: self.nar_size.filter(|size| *size > 0).ok_or(NarInfoError::Missing("NarSize"))?,
            references: self.references.unwrap_or_default(),
            deriver: self.deriver,
            system: self.system,
            signatures: self.signatures,
            content_address: self.content_address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "/nix/store";
    /// As Nix 2.8 wrote it, the deriver shortened.
    const GLIBC: &str = "\
StorePath: /nix/store/pjphp6npb1d12y6hz1jy3ivibs9gg8qr-glibc-2.36
URL: nar/08j93zg6w4dhf2kmy00ib46zk2nnxi6awdi617k4xgscrc4dkns5.nar.xz
Compression: xz
FileHash: sha256:08j93zg6w4dhf2kmy00ib46zk2nnxi6awdi617k4xgscrc4dkns5
FileSize: 2042672
NarHash: sha256:147qbj1qjsk18gly9n76qnnapw7l85rc5cfkpd58dr7a9raac0yr
NarSize: 13042672
References: k4cg6qbcx2ikl4amwf8b0vz490kg2ncf-xgcc-libgcc-12.2.0 pjphp6npb1d12y6hz1jy3ivibs9gg8qr-glibc-2.36
Deriver: p5i4j22rpzjyvly9idgclwhjzf04yf9q-glibc-2.36.drv
Sig: one:AAAA
Sig: two:BBBB
";

    #[test]
    fn every_field_is_read() {
        let info = parse(GLIBC.as_bytes(), STORE).unwrap();
        assert_eq!(info.path.name, "glibc-2.36");
        assert_eq!(
            (info.compression.as_str(), info.file_size, info.nar_size),
            ("xz", Some(2_042_672), 13_042_672)
        );
        let references: Vec<&str> = info.references.iter().map(|path| path.name.as_str()).collect();
        assert_eq!(references, ["xgcc-libgcc-12.2.0", "glibc-2.36"]);
        assert_eq!(info.signatures, ["one:AAAA", "two:BBBB"]);
        assert_eq!(info.deriver.as_deref(), Some("p5i4j22rpzjyvly9idgclwhjzf04yf9q-glibc-2.36.drv"));
    }

    #[test]
    fn what_may_be_absent_may_be_absent() {
        let text = GLIBC.replace("Compression: xz\n", "").replace(
            "Deriver: p5i4j22rpzjyvly9idgclwhjzf04yf9q-glibc-2.36.drv",
            "Deriver: unknown-deriver\nNew: thing",
        );
        let info = parse(text.as_bytes(), STORE).unwrap();
        assert_eq!((info.compression.as_str(), info.deriver), ("bzip2", None));
        let empty =
            GLIBC.lines().map(|line| if line.starts_with("References") { "References:" } else { line });
        let empty: Vec<&str> = empty.collect();
        assert_eq!(parse(empty.join("\r\n").as_bytes(), STORE).unwrap().references, []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong =
            |from: &str, to: &str| parse(GLIBC.replace(from, to).as_bytes(), STORE).unwrap_err().to_string();
        assert_eq!(wrong("NarSize: 13042672", "NarSize: many"), "line 7: NarSize cannot be `many`");
        assert_eq!(wrong("NarSize: 13042672\n", ""), "it has no NarSize");
        assert_eq!(wrong("NarSize: 13042672", "NarSize: 0"), "it has no NarSize");
        assert!(
            wrong("/nix/store/pjph", "/gnu/store/pjph").starts_with("line 1: StorePath cannot be `/gnu/")
        );
        assert_eq!(
            wrong("k4cg6qbcx2ikl4amwf8b0vz490kg2ncf-", "../"),
            "line 8: References cannot be `../xgcc-libgcc-12.2.0`"
        );
        assert_eq!(wrong("Compression: xz", "URL: nar/other"), "line 3 gives URL once more");
        assert_eq!(wrong("Compression: xz", "<html>"), "line 3 is no `Name: value`");
        assert_eq!(parse(b"StorePath: \xff", STORE).unwrap_err(), NarInfoError::Encoding(11));
    }
}
