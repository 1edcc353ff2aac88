//! `pyvenv.cfg`, the file that makes a folder a virtual environment (PEP 405, and what virtualenv and uv add).

use std::path::PathBuf;

/// The keys that matter here; others are left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PyvenvConfig {
    /// `home`: the folder that holds the Python executable this environment was made from.
    pub home: PathBuf,
    /// `include-system-site-packages`: packages of that Python are importable too.
    pub system_site_packages: bool,
    /// The environment's Python version as written (`version` by venv, `version_info` by virtualenv and uv).
    pub version: Option<String>,
}

/// Why a `pyvenv.cfg` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PyvenvError {
    /// PEP 405 requires the key: without it Python does not treat the folder as an environment.
    #[error("it has no `home` line, so Python does not see an environment here")]
    NoHome,
    /// Not text.
    #[error("it is not UTF-8 text (byte {0})")]
    NotText(usize),
}

impl PyvenvConfig {
    /// Reads the text as `site.py` does: `key = value` lines, keys without regard to case, all else ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, PyvenvError> {
        let text = std::str::from_utf8(bytes).map_err(|error| PyvenvError::NotText(error.valid_up_to()))?;
        let mut config = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "home" => config.home = PathBuf::from(value),
                "include-system-site-packages" => {
                    config.system_site_packages = value.eq_ignore_ascii_case("true");
                }
                "version" | "version_info" => config.version = Some(value.to_owned()),
                _ => {}
            }
        }
        if config.home.as_os_str().is_empty() { Err(PyvenvError::NoHome) } else { Ok(config) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_venv_virtualenv_and_uv_write() {
        let venv =
            PyvenvConfig::parse(b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n");
        assert_eq!(venv.unwrap().version.as_deref(), Some("3.11.2"));
        let uv = PyvenvConfig::parse(b"home = /nix/store/x/bin\nimplementation = CPython\nuv = 0.9.1\nversion_info = 3.12.1\nInclude-System-Site-Packages = TRUE\n").unwrap();
        assert_eq!(uv.home, PathBuf::from("/nix/store/x/bin"));
        assert!(uv.system_site_packages);
        assert_eq!(uv.version.as_deref(), Some("3.12.1"));
    }

    #[test]
    fn a_file_without_home_is_no_environment() {
        assert_eq!(PyvenvConfig::parse(b""), Err(PyvenvError::NoHome));
        assert_eq!(PyvenvConfig::parse(b"home =\n= x\nhome"), Err(PyvenvError::NoHome));
        assert_eq!(PyvenvConfig::parse(b"home = /x\n\xff"), Err(PyvenvError::NotText(10)));
    }
}
