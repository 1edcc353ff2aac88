//! Wheels from PyPI, fetched once, for boxes that have no network.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, stdout_of};
use crate::requirements::installed;

/// Downloads binary wheels of `requirement` and of all it needs into a folder below `cache`, and
/// returns that folder. When it is there already, nothing is fetched.
pub fn download(requirement: &str, python: &str, cache: &Path) -> Result<PathBuf> {
    if !installed("python3") {
        return Err(Error::NotInstalled { program: "python3", package: "python3-pip" });
    }
    let name: String = requirement
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let folder = cache.join(format!("{name}-cp{python}"));
    if folder.exists() {
        return Ok(folder);
    }
    fs_err::create_dir_all(cache)?;
    let fresh = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python]);
    pip.args(["--implementation", "cp", "--dest"]).arg(fresh.path());
    // Newest first; pip takes what the wheel offers.
    for glibc in [35, 34, 31, 28, 27, 24, 17] {
        pip.args(["--platform", &format!("manylinux_2_{glibc}_x86_64")]);
    }
    pip.args(["--platform", "manylinux2014_x86_64", "--platform", "manylinux2010_x86_64"]);
    let output = pip.args(["--platform", "manylinux1_x86_64", "--", requirement]).output()?;
    stdout_of(&format!("`pip download {requirement}`"), &output)?;
    if let Err(error) = fs_err::rename(fresh.path(), &folder) {
        // Another process was faster: its wheels are as good.
        if !folder.exists() {
            return Err(error.into());
        }
    }
    Ok(folder)
}
