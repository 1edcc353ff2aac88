//! From the word that a person typed to the program that the kernel will start: through the PATH, through `#!` lines.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Interpreters of interpreters; the kernel follows as many (`fs/exec.c`, `exec_binprm`).
const SCRIPTS_MAX: usize = 5;
/// What the kernel reads of a script (`BINPRM_BUF_SIZE`).
const HEAD_BYTES: u64 = 256;

/// Why a command cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such file, or nothing of that name on the PATH.
    #[error("{0}: command not found")]
    NotFound(String),
    /// It is there, and is no program.
    #[error("{}: {cause}", .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// A command that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The file that is executed: absolute, links as they are.
    pub path: PathBuf,
    /// The files that the kernel looks at on the way: the command, its interpreter, and so on; the last is what runs.
    pub chain: Vec<PathBuf>,
    /// The Python environment that it belongs to.
    pub environment: Option<PathBuf>,
}

/// Finds a command as execvp(3) does.
pub fn find(word: &OsStr, path: Option<&OsStr>) -> Result<Command, CommandError> {
    let file = locate(word, path)?;
    let mut chain = vec![file.clone()];
    while let Some(next) = interpreter(&chain[chain.len() - 1], path) {
        if chain.len() > SCRIPTS_MAX {
            break;
        }
        chain.push(next);
    }
    let environment = chain.iter().find_map(|file| environment_of(file));
    Ok(Command { path: file, chain, environment })
}

fn locate(word: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    let not_found = || CommandError::NotFound(word.to_string_lossy().into_owned());
    let mut refused = None;
    let candidates: Vec<PathBuf> = if word.as_bytes().contains(&b'/') {
        vec![std::path::absolute(word).map_err(|_| not_found())?]
    } else if word.is_empty() {
        Vec::new()
    } else {
        // An empty element of the PATH is the working folder.
        let folders = path.map(std::env::split_paths).into_iter().flatten();
        folders
            .filter_map(|folder| std::path::absolute(Path::new(".").join(folder).join(word)).ok())
            .collect()
    };
    for file in candidates {
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(error) if is_absent(&error) => {}
            Err(cause) => refused = refused.or(Some(CommandError::NotExecutable { path: file, cause })),
        }
    }
    Err(refused.unwrap_or_else(not_found))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn executable(file: &Path) -> io::Result<()> {
    if std::fs::metadata(file)?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(access(file, Access::EXEC_OK)?)
}

/// The program that a script's first line names; `env` is looked through, for it only looks at the PATH.
fn interpreter(file: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    let mut head = Vec::new();
    std::fs::File::open(file).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let program = PathBuf::from(OsStr::from_bytes(words.next()?));
    if program.file_name() != Some(OsStr::new("env")) {
        return Some(program);
    }
    let word = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    let found = word.and_then(|word| locate(OsStr::from_bytes(word), path).ok());
    Some(found.unwrap_or(program))
}

/// The environment in whose `bin` folder a file lies, whatever link it is.
fn environment_of(file: &Path) -> Option<PathBuf> {
    let root = file.parent()?.parent()?;
    root.join("pyvenv.cfg").is_file().then(|| root.to_owned())
}

/// The PATH of this process.
#[must_use]
pub fn search_path() -> Option<OsString> {
    std::env::var_os("PATH")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
        let file = folder.join(name);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(&file, text).unwrap();
        fs_err::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_script_leads_to_its_interpreter_and_that_to_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let python = program(folder.path(), "v/bin/python", "");
        fs_err::write(folder.path().join("v/pyvenv.cfg"), "home = /\n").unwrap();
        program(folder.path(), "tool", &format!("#! {} -I\nprint()\n", python.display()));
        program(folder.path(), "other", "#!/usr/bin/env -S python x=y\n");
        let path = std::env::join_paths([folder.path().to_owned(), folder.path().join("v/bin")]).unwrap();
        for name in ["tool", "other"] {
            let found = find(OsStr::new(name), Some(&path)).unwrap();
            assert_eq!(found.chain, [folder.path().join(name), python.clone()]);
            assert_eq!(found.environment, Some(folder.path().join("v")));
        }
    }

    #[test]
    fn what_is_not_there_and_what_is_no_program_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("text"), "").unwrap();
        let path = Some(folder.path().as_os_str());
        assert!(matches!(find(OsStr::new("nothing"), path), Err(CommandError::NotFound(_))));
        assert!(matches!(find(OsStr::new(""), path), Err(CommandError::NotFound(_))));
        let file = folder.path().join("text");
        assert!(matches!(find(file.as_os_str(), path), Err(CommandError::NotExecutable { .. })));
        assert!(matches!(find(folder.path().as_os_str(), path), Err(CommandError::NotExecutable { .. })));
    }
}
