//! Scripts that came with an environment: whether what their first line names is there, and what is there in its place.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::targets::{Shebang, WrittenFor};

use crate::apply::FOLDER;
use crate::walk::{ScriptFile, Tree};

/// Where Nix keeps what it built.
const STORE: &str = "/nix/store";

/// The scripts of a tree that the kernel starts nothing for, by absolute paths. What pitstop keeps there is not looked at.
pub(crate) fn stranded(tree: &Tree) -> Vec<ScriptFile> {
    let mut known: HashMap<&BString, bool> = HashMap::new();
    let stranded = tree.scripts.iter().filter(|script| {
        let is_there = || is_program(&script.line.program.to_path_lossy());
        !script.path.starts_with(FOLDER) && !*known.entry(&script.line.program).or_insert_with(is_there)
    });
    let absolute =
        |script: &ScriptFile| ScriptFile { path: tree.root.join(&script.path), line: script.line.clone() };
    stranded.map(absolute).collect()
}

/// Whether a first line that names this starts something, wherever the script is started from.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    let executable =
        |metadata: std::fs::Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    path.is_absolute() && std::fs::metadata(path).is_ok_and(executable)
}

/// What starts a script here: the environment's own Python, or the program of that name on the `search_path`.
///
/// Of several, one is taken that stays where it is: what lies in Nix's store goes when nobody keeps it. An error says why
/// there is none.
pub fn program_for(line: &Shebang, python: &Path, search_path: Option<&OsStr>) -> Result<PathBuf, String> {
    let name = match line.written_for() {
        WrittenFor::Python => return Ok(python.to_owned()),
        WrittenFor::OldPython => return Err("it was written for Python 2".to_owned()),
        WrittenFor::Program(name) => name,
    };
    let folders = search_path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let mut found: Vec<PathBuf> =
        folders.iter().map(|folder| folder.join(&name)).filter(|file| is_program(file)).collect();
    found.sort_by_key(|file| file.starts_with(STORE));
    found.into_iter().next().ok_or_else(|| format!("there is no {name} on the PATH"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn executable(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn sought(text: &str, folders: &[&Path]) -> Result<PathBuf, String> {
        let line = Shebang::parse(text.as_bytes()).unwrap();
        let path = std::env::join_paths(folders).unwrap();
        program_for(&line, Path::new("/venv/bin/python"), Some(&path))
    }

    #[test]
    fn python_is_the_environments_own_and_other_programs_are_those_of_the_path() {
        let here = tempfile::tempdir().unwrap();
        executable(&here.path().join("one/bash"));
        executable(&here.path().join("two/bash"));
        fs::write(here.path().join("one/perl"), "not executable").unwrap();
        let (one, two) = (here.path().join("one"), here.path().join("two"));
        let folders = [Path::new("/nonexistent"), Path::new("relative"), &one, &two];
        assert_eq!(sought("#!/usr/bin/python3\n", &folders), Ok("/venv/bin/python".into()));
        assert_eq!(sought("#!/bin/bash\n", &folders), Ok(one.join("bash")));
        assert_eq!(sought("#!/usr/bin/perl -w\n", &folders), Err("there is no perl on the PATH".to_owned()));
        assert!(sought("#!/usr/bin/python2.7\n", &folders).unwrap_err().contains("Python 2"));
        let line = Shebang::parse(b"#!/bin/bash\n").unwrap();
        assert!(program_for(&line, Path::new("/p"), None).is_err());
    }

    #[test]
    fn only_scripts_that_may_be_executed_and_that_nothing_starts_are_stranded() {
        let here = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str, mode: u32| {
            let path = here.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("bin/a.py", "#!/nonexistent/python3\n", 0o755);
        write("bin/fine", "#!/bin/sh\n", 0o755);
        write("bin/activate", "#!/nonexistent/bash\n", 0o644);
        write("lib/p/helper", "#! /nonexistent/bash -e\n", 0o755);
        // What Python imports is not started by its first line, whatever its mode.
        write("lib/p/module.py", "#!/nonexistent/python3\n", 0o755);
        write("lib/p/relative", "#!python\n", 0o755);
        write(".pitstop/apt/bin/x", "#!/nonexistent/x\n", 0o755);
        let tree = crate::walk::walk(here.path(), 2);
        let found: Vec<_> = stranded(&tree)
            .into_iter()
            .map(|script| script.path.strip_prefix(here.path()).unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(found, ["bin/a.py", "lib/p/helper", "lib/p/relative"]);
    }
}
