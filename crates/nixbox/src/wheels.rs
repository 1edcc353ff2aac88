//! Wheels from PyPI, fetched once, for boxes that have no network.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, stdout_of};
use crate::requirements::{PIP, installed};

/// How much of a folder's name says what is in it; a file name has 255 bytes at most.
const NAME_BYTES_MAX: usize = 100;

/// Downloads binary wheels of `requirement` and of all it needs into a folder below `cache`, and
/// returns that folder. When it is there already, nothing is fetched.
pub fn download(requirement: &str, python: &str, cache: &Path) -> Result<PathBuf> {
    download_all(&[requirement], &[], python, cache)
}

/// The same for several requirements that are to be installed together; `options` are pip's.
pub fn download_all(requirements: &[&str], options: &[&str], python: &str, cache: &Path) -> Result<PathBuf> {
    if !installed("python3") {
        return Err(Error::NotInstalled { program: "python3", package: PIP });
    }
    let folder = cache.join(format!("{}-cp{python}", folder_name(requirements, options)));
    if folder.exists() {
        return Ok(folder);
    }
    fs_err::create_dir_all(cache)?;
    let fresh = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python]);
    pip.args(["--implementation", "cp"]).args(options).arg("--dest").arg(fresh.path());
    // Newest first; pip takes what the wheel offers.
    for glibc in [35, 34, 31, 28, 27, 26, 25, 24, 18, 17, 12, 5] {
        pip.args(["--platform", &format!("manylinux_2_{glibc}_x86_64")]);
    }
    pip.args(["--platform", "manylinux2014_x86_64", "--platform", "manylinux2010_x86_64"]);
    let output = pip.args(["--platform", "manylinux1_x86_64", "--"]).args(requirements).output()?;
    stdout_of(&format!("`pip download {}`", requirements.join(" ")), &output)?;
    if let Err(error) = fs_err::rename(fresh.path(), &folder) {
        // Another process was faster: its wheels are as good.
        if !folder.exists() {
            return Err(error.into());
        }
    }
    Ok(folder)
}

/// A name that says what a folder holds, and that no other list has.
fn folder_name(requirements: &[&str], options: &[&str]) -> String {
    let list = [options, requirements].concat().join("+");
    let mut name: String =
        list.chars().map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' }).collect();
    if name.len() > NAME_BYTES_MAX {
        let mut hasher = DefaultHasher::new();
        list.hash(&mut hasher);
        name.truncate(NAME_BYTES_MAX);
        name = format!("{name}-{:016x}", hasher.finish());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_wheels_is_named_for_what_is_in_it() {
        assert_eq!(folder_name(&["numpy==1.26.2"], &[]), "numpy__1.26.2");
        let long: Vec<String> = (0..100).map(|number| format!("package-{number}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let [one, other] = [&long[..], &long[..99]].map(|list| folder_name(list, &[]));
        assert!(one != other && one.len() < 200, "{one} {other}");
    }
}
