//! Lists of store paths, such as a channel's `store-paths.xz` holds: one on each line.

use super::StorePath;

/// Why a list of store paths cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no path of {store_dir}: `{text}`")]
pub struct StorePathsError {
    /// The line, from 1.
    pub line: usize,
    /// The store that paths should belong to.
    pub store_dir: String,
    /// What stands there, or its beginning.
    pub text: String,
}

/// Reads one line of a list. `None` for an empty one.
pub fn line(number: usize, text: &str, store_dir: &str) -> Result<Option<StorePath>, StorePathsError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    StorePath::parse(text, store_dir).map(Some).ok_or_else(|| StorePathsError {
        line: number,
        store_dir: store_dir.to_owned(),
        text: text.chars().take(100).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_store_path() {
        let path = line(1, "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-zlib-1.3.1\n", "/nix/store").unwrap();
        assert_eq!(path.unwrap().name, "zlib-1.3.1");
        assert_eq!(line(2, "\n", "/nix/store"), Ok(None));
        let error = line(3, "<html>", "/nix/store").unwrap_err();
        assert_eq!(error.to_string(), "line 3 is no path of /nix/store: `<html>`");
    }
}
