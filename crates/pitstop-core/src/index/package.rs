//! Store paths, and how they are reached from a package set.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A store path: `/nix/store/HASH-NAME`.
///
/// Its fields are named as nix-index's databases name them (`src/package.rs` there), and so is its JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StorePath {
    /// The store, such as `/nix/store`. Without a slash at the end.
    pub store_dir: String,
    /// The 32 characters that stand before the name.
    pub hash: String,
    /// The name with its version and output: `zlib-1.3.1`, `zlib-1.3.1-dev`.
    pub name: String,
}

impl StorePath {
    /// Splits a store path, or a path below one. `None` where it is neither.
    #[must_use]
    pub fn parse(path: &str, store_dir: &str) -> Option<StorePath> {
        let base = path.strip_prefix(store_dir)?.strip_prefix('/')?;
        let base = base.split('/').next()?;
        let (hash, name) = base.split_once('-')?;
        let whole =
            hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !name.is_empty();
        whole.then(|| StorePath {
            store_dir: store_dir.to_owned(),
            hash: hash.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}-{}", self.store_dir, self.hash, self.name)
    }
}

/// How a store path is reached from a package set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The attribute of the package set: `zlib`, `python3Packages.numpy`.
    #[serde(rename = "attr")]
    pub attribute: String,
    /// The output of that attribute: `out`, `dev`, `lib`.
    pub output: String,
    /// Whether the store path is that output. Where not, it only stands in the output's closure.
    pub toplevel: bool,
    /// The system it is built for, such as `x86_64-linux`, where the source tells it.
    pub system: Option<String>,
}

/// A store path, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    /// The store path.
    #[serde(flatten)]
    pub path: StorePath,
    /// How it is reached.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZLIB: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-zlib-1.3.1-dev";

    #[test]
    fn a_store_path_is_split_and_written_again() {
        let path = StorePath::parse(ZLIB, "/nix/store").unwrap();
        assert_eq!(
            (path.hash.as_str(), path.name.as_str()),
            ("0123456789abcdfghijklmnpqrsvwxyz", "zlib-1.3.1-dev")
        );
        assert_eq!(path.to_string(), ZLIB);
        assert_eq!(StorePath::parse(&format!("{ZLIB}/lib/libz.so"), "/nix/store"), Some(path));
    }

    #[test]
    fn what_is_no_store_path_is_none() {
        for path in
            ["/usr/lib/libz.so.1", "/nix/store", "/nix/store/", "/nix/store/.links", "/nix/store/short-zlib"]
        {
            assert_eq!(StorePath::parse(path, "/nix/store"), None, "{path}");
        }
    }

    #[test]
    fn a_package_is_json_as_nix_index_writes_it() {
        let json = r#"{"store_dir":"/nix/store","hash":"0123456789abcdfghijklmnpqrsvwxyz","name":"zlib-1.3.1","origin":{"attr":"zlib","output":"out","toplevel":true,"system":"x86_64-linux"}}"#;
        let package: Package = serde_json::from_str(json).unwrap();
        assert_eq!(package.origin.attribute, "zlib");
        assert_eq!(serde_json::to_string(&package).unwrap(), json);
    }
}
