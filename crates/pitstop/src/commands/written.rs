//! Files that pitstop writes for people to keep: never over what others wrote.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pitstop_core::nix;

use super::fix::shown_path;
use crate::error::CommandError;
use crate::exit::ExitStatus;

/// What stands where a file is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    /// Exactly that.
    Same,
    /// Another text that pitstop wrote.
    Ours(String),
    /// What somebody else wrote, or pitstop and somebody made it his own.
    Foreign,
}

/// Looks at what stands there.
pub(super) fn standing(path: &Path, text: &str) -> Result<Standing, CommandError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            return Err(usage(path, "it is no regular file").hint("choose another place: `--output FILE`"));
        }
        // A link that leads to nothing is somebody's.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if path.is_symlink() { Standing::Foreign } else { Standing::Absent });
        }
        Err(error) => return Err(failed(path, &error)),
    }
    let there = std::fs::read(path).map_err(|error| failed(path, &error))?;
    Ok(match String::from_utf8(there) {
        Ok(there) if there == text => Standing::Same,
        Ok(there) if nix::is_ours(there.as_bytes()) => Standing::Ours(there),
        _ => Standing::Foreign,
    })
}

/// Writes the whole file or nothing, through links.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mode = std::fs::metadata(&real).map_or(0o666, |metadata| metadata.permissions().mode());
    let written = || -> io::Result<()> {
        let mut beside = tempfile::Builder::new()
            .prefix(".pitstop-")
            .permissions(PermissionsExt::from_mode(mode & 0o777))
            .tempfile_in(folder)?;
        beside.write_all(text.as_bytes())?;
        beside.as_file().sync_all()?;
        beside.persist(&real).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| failed(path, &error))
}

fn usage(path: &Path, words: &str) -> CommandError {
    CommandError::new(ExitStatus::Usage, format!("{}: {words}", shown_path(path)))
}

/// The cause alone: which file was tried on the way is no matter.
fn failed(path: &Path, error: &io::Error) -> CommandError {
    let code = error.raw_os_error();
    let cause = code.map_or_else(|| error.to_string(), |code| io::Error::from_raw_os_error(code).to_string());
    // tempfile puts its own path around the error, and the code is then the cause's.
    let cause = match error.get_ref().and_then(std::error::Error::source) {
        Some(inner) => inner.to_string(),
        None => cause,
    };
    usage(path, &cause).hint("name a place where you may write: `--output FILE`")
}

/// A path as a person here would write it.
pub(super) fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map_or_else(|_| path.to_owned(), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_is_told_by_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shell.nix");
        let text = "# Written by `pitstop shell`.\n1\n";
        assert_eq!(standing(&path, text).unwrap(), Standing::Absent);
        write(&path, text).unwrap();
        assert_eq!(standing(&path, text).unwrap(), Standing::Same);
        let other = "# Written by `pitstop shell`.\n2\n";
        write(&path, other).unwrap();
        assert_eq!(standing(&path, text).unwrap(), Standing::Ours(other.to_owned()));
        std::fs::write(&path, &other[2..]).unwrap();
        assert_eq!(standing(&path, text).unwrap(), Standing::Foreign);
        std::fs::write(&path, b"# Written by `pitstop shell`\xff").unwrap();
        assert_eq!(standing(&path, text).unwrap(), Standing::Foreign);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_written_through_and_one_to_nothing_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (link, real) = (folder.path().join("shell.nix"), folder.path().join("real.nix"));
        std::os::unix::fs::symlink("real.nix", &link).unwrap();
        assert_eq!(standing(&link, "").unwrap(), Standing::Foreign);
        std::fs::write(&real, "x").unwrap();
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
        write(&link, "text").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "text");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        let error = standing(folder.path(), "").unwrap_err();
        assert!(format!("{error:?}").contains("no regular file"), "{error:?}");
    }
}
