//! `nix-cache-info`: what a binary cache says of itself.

/// What a binary cache says of itself, by `src/libstore/binary-cache-store.cc` of Nix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store that its paths belong to: `/nix/store` where it does not say.
    pub store_dir: String,
    /// Whether clients should ask for many paths at once rather than one by one.
    pub want_mass_query: bool,
    /// Lower is asked first. Nix takes 50 where a cache does not say.
    pub priority: i32,
}

/// Why a `nix-cache-info` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheInfoError {
    /// A line is no `Name: value`. Lines count from 1.
    #[error("line {0} is no `Name: value`, so this is no binary cache")]
    Line(usize),
    /// The store's folder is not an absolute path.
    #[error("StoreDir cannot be `{0}`")]
    StoreDir(String),
    /// The priority is no number.
    #[error("Priority cannot be `{0}`")]
    Priority(String),
}

/// Reads a `nix-cache-info`.
pub fn parse(bytes: &[u8]) -> Result<CacheInfo, CacheInfoError> {
    let text = String::from_utf8_lossy(bytes);
    let mut info = CacheInfo { store_dir: "/nix/store".to_owned(), want_mass_query: false, priority: 50 };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(CacheInfoError::Line(number + 1))?;
        let value = value.trim();
        match name {
            "StoreDir" => {
                let folder = value.trim_end_matches('/');
                if !folder.starts_with('/') {
                    return Err(CacheInfoError::StoreDir(value.to_owned()));
                }
                folder.clone_into(&mut info.store_dir);
            }
            "WantMassQuery" => info.want_mass_query = value == "1",
            "Priority" => {
                info.priority = value.parse().map_err(|_| CacheInfoError::Priority(value.to_owned()))?;
            }
            _ => {}
        }
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_says_what_it_is() {
        let info = parse(b"StoreDir: /gnu/store/\nWantMassQuery: 1\nPriority: 40\nOther: thing\n").unwrap();
        assert_eq!((info.store_dir.as_str(), info.want_mass_query, info.priority), ("/gnu/store", true, 40));
        assert_eq!(parse(b"").unwrap().store_dir, "/nix/store");
    }

    #[test]
    fn a_page_of_a_web_server_is_no_cache() {
        assert_eq!(parse(b"<html>\n").unwrap_err(), CacheInfoError::Line(1));
        assert_eq!(parse(b"StoreDir: store").unwrap_err(), CacheInfoError::StoreDir("store".into()));
    }
}
