//! Becoming another program: what `run` and `fhs` end with.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pitstop_host::lend::command::CommandError as FindError;
use pitstop_host::lend::{self, Lent};
use pitstop_host::namespace::NamespaceError;
use pitstop_host::project::Project;
use pitstop_host::provide::Error as ProvideError;
use pitstop_host::remedy::{Pinned, Sources};

use super::{fix, target};
use crate::error::CommandError;
use crate::exit::ExitStatus;

/// Becomes a program, as execvp(3) would: a script without `#!` is given to the shell. Returns only what went wrong.
pub(super) fn become_program(
    path: &Path,
    words: &[OsString],
    variables: &[(OsString, OsString)],
) -> CommandError {
    let (name, arguments) =
        words.split_first().map_or((path.as_os_str(), &[][..]), |(n, a)| (n.as_os_str(), a));
    let mut command = Command::new(path);
    command.arg0(name).args(arguments).envs(variables.iter().cloned());
    let mut error = command.exec();
    // ENOEXEC
    if error.raw_os_error() == Some(8) {
        error = Command::new("/bin/sh").arg(path).args(arguments).envs(variables.iter().cloned()).exec();
    }
    let absent = error.kind() == io::ErrorKind::NotFound;
    let status = if absent { ExitStatus::NotStarted } else { ExitStatus::NotExecutable };
    let failed = CommandError::new(status, format!("{} could not be started: {error}", path.display()));
    if absent && path.exists() {
        return failed.hint("its loader, or the interpreter that its first line names, is not here");
    }
    failed
}

/// Starts this program again with what it has found out: the kernel takes no process of several threads into a user namespace.
pub(super) fn start_again(kind: &str, lent: &Lent, words: &[OsString]) -> CommandError {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return CommandError::new(ExitStatus::NotStarted, error),
    };
    let mut command = Command::new(&program);
    command.args([kind, "--handed-over", &pack(lent), "--"]).args(words);
    let error = command.exec();
    CommandError::new(
        ExitStatus::NotStarted,
        format!("{} could not be started again: {error}", program.display()),
    )
}

/// What was found out, as one word of a command line.
fn pack(lent: &Lent) -> String {
    let mut text = String::new();
    for (place, field) in lend::encode(lent).iter().enumerate() {
        text.push_str(if place == 0 { "" } else { "," });
        text.extend(field.iter().map(|byte| format!("{byte:02x}")));
    }
    text
}

/// The same, back.
pub(super) fn unpack(word: &str) -> Result<Lent, CommandError> {
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let field = |field: &str| field.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>();
    let fields: Option<Vec<Vec<u8>>> = word.split(',').map(field).collect();
    let lent = fields.and_then(|fields| lend::decode(&fields));
    lent.ok_or_else(|| CommandError::new(ExitStatus::Usage, "--handed-over is for pitstop's own use"))
}

/// The variables that lend the same without a namespace. The farm comes after what the user has set himself.
pub(super) fn variables(lent: &Lent) -> Vec<(OsString, OsString)> {
    let mut variables = Vec::new();
    if let Some(farm) = &lent.farm {
        for name in ["LD_LIBRARY_PATH", "NIX_LD_LIBRARY_PATH"] {
            let mut value = std::env::var_os(name).unwrap_or_default().into_vec();
            if !value.is_empty() {
                value.push(b':');
            }
            value.extend(farm.as_os_str().as_bytes());
            variables.push((OsString::from(name), OsString::from_vec(value)));
        }
    }
    if let (Some(loader), None) = (&lent.loader, std::env::var_os("NIX_LD")) {
        variables.push(("NIX_LD".into(), loader.into()));
    }
    variables
}

/// A word in single quotes, as every sh reads it.
pub(super) fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

/// Where libraries and packages come from.
pub(super) fn sources(nixpkgs: Option<&str>) -> Result<Sources, CommandError> {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let project = Project::find(&folder).map_err(fix::lock::project_error)?;
    Ok(Sources {
        nixpkgs: nixpkgs.map(str::to_owned),
        accept_inexact: false,
        system: false,
        distribution: target::distribution(),
        project: folder.ancestors().find(|folder| folder.join("flake.lock").is_file()).map(Path::to_owned),
        pinned: Pinned::of(project.as_ref(), &target::os_release()),
        cache: cache.unwrap_or_else(std::env::temp_dir).join("pitstop"),
        folder,
        optional: false,
        online: false,
        offline: false,
    })
}

/// All that a project says of where libraries come from, as one word: what rests on it holds while that is the same.
pub(super) fn project_words(sources: &Sources) -> OsString {
    let Pinned { lock, folder, settings, .. } = &sources.pinned;
    format!("{}\n{}\n{settings:?}", folder.display(), lock.to_text()).into()
}

/// A command that is not there, or no program.
pub(super) fn find_error(error: FindError) -> CommandError {
    match &error {
        FindError::NotFound(_) => CommandError::new(ExitStatus::NotStarted, error),
        FindError::NotExecutable { .. } => CommandError::new(ExitStatus::NotExecutable, error),
    }
}

/// What could not be lent.
pub(super) fn lend_error(error: lend::LendError) -> CommandError {
    let hint = match &error {
        lend::LendError::Provider(error) => state_hint(error),
        lend::LendError::Environment(error) => error.hint().to_owned(),
        lend::LendError::Homeless => {
            "set HOME, or XDG_STATE_HOME to a folder that you may write to".to_owned()
        }
        _ => String::new(),
    };
    CommandError::new(ExitStatus::NotStarted, error).hint(hint)
}

/// What a provider says to do; but nothing is written into an environment here.
pub(super) fn state_hint(error: &ProvideError) -> String {
    let denied = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
        )
    };
    match error {
        ProvideError::Io(error) if denied(error) => {
            "set XDG_STATE_HOME and XDG_CACHE_HOME to folders that you may write to".to_owned()
        }
        error => error.hint().unwrap_or_default(),
    }
}

/// No namespace, or not what was asked for in it.
pub(super) fn namespace_error(error: NamespaceError) -> CommandError {
    let hint = error.hint();
    CommandError::new(ExitStatus::NotStarted, error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_arrives() {
        let lent = Lent { farm: Some("/f,a b".into()), is_stranded: true, ..Lent::default() };
        assert_eq!(unpack(&pack(&lent)).unwrap(), lent);
        assert!(unpack("0").is_err() && unpack("zz").is_err());
    }

    #[test]
    fn a_shell_reads_quoted_words_as_they_are() {
        assert_eq!(quoted(OsStr::new("a'b $c")), r"'a'\''b $c'");
    }
}
