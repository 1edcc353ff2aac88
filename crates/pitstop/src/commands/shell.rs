//! `pitstop shell`: what an environment lacks, as a Nix file to keep.

mod needs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pitstop_core::nix::{self, Form, Library, Shell as Contents};
use pitstop_core::report::{SCHEMA, UnreadReport};
use pitstop_core::targets::Python;
use pitstop_host::survey::{Asking, Survey};
use serde::Serialize;

use super::check::uninstalled;
use super::fix::shown_path;
use super::written::{self, Standing};
use super::{Done, answer_json, target};
use crate::args::Shell;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};
use needs::{Needs, Scope};

/// What `shell --json` prints.
#[derive(Serialize)]
struct ShellReport<'a> {
    schema: u32,
    /// The file; `None` where it was only asked for what would be in it.
    file: Option<String>,
    /// `written`, `same`, `differs`, `absent` or `printed`.
    outcome: &'static str,
    python: &'a [String],
    libraries: Vec<LibraryReport<'a>>,
    present: &'a [String],
    drivers: &'a [String],
    absent: &'a [String],
    unread: &'a [UnreadReport],
    text: &'a str,
}

#[derive(Serialize)]
struct LibraryReport<'a> {
    attributes: &'a [String],
    sonames: &'a [String],
    needed_by: &'a [String],
}

/// Where the file lies, and how it names the environment.
struct Place {
    /// `None` for standard output.
    file: Option<PathBuf>,
    environment: String,
}

/// What was looked at.
struct Looked {
    contents: Contents,
    place: Place,
    unread: Vec<UnreadReport>,
    status: ExitStatus,
}

/// Writes the file, holds it against what is there, or prints it.
pub(super) fn run(shell: &Shell, json: bool, output: &Output) -> Done {
    let to_stdout = shell.output.as_deref() == Some(Path::new("-"));
    if to_stdout && shell.check {
        return Err(CommandError::new(ExitStatus::Usage, "there is nothing to check on standard output")
            .hint("name the file: `--output FILE`"));
    }
    let looked = look(shell, output)?;
    let text = looked.contents.text();
    let (outcome, status) = match &looked.place.file {
        None => ("printed", looked.status),
        Some(file) if shell.check => check(file, &text, looked.status, output)?,
        Some(file) => (keep(file, &text, shell, output)?, looked.status),
    };
    if json {
        let contents = &looked.contents;
        let libraries = contents
            .libraries
            .iter()
            .map(|Library { attributes, sonames, needed_by }| LibraryReport {
                attributes,
                sonames,
                needed_by,
            })
            .collect();
        answer_json(
            output,
            &ShellReport {
                schema: SCHEMA,
                file: looked.place.file.as_deref().map(shown_path),
                outcome,
                python: &contents.python,
                libraries,
                present: &contents.present,
                drivers: &contents.drivers,
                absent: &contents.absent,
                unread: &looked.unread,
                text: &text,
            },
        )?;
    } else if looked.place.file.is_none() {
        output.answer(&text);
    }
    Ok(status)
}

/// Looks at the environment, or at what is not installed yet.
fn look(shell: &Shell, output: &Output) -> Result<Looked, CommandError> {
    let kinds: Vec<_> =
        shell.paths.iter().filter_map(|path| Some((uninstalled::kind(path)?, path.as_path()))).collect();
    if !kinds.is_empty() {
        if kinds.len() < shell.paths.len() {
            let words = "an environment, and what is not installed yet, cannot be in one file";
            return Err(CommandError::new(ExitStatus::Usage, words).hint("name one of the two"));
        }
        let laid = uninstalled::lay_out(&kinds, shell.python.as_deref(), Asking::Allowed, output)?;
        for misfit in &laid.misfits {
            output.warning(&format!("{} cannot be installed here: {}", misfit.file, misfit.why.join("; ")));
        }
        for build in &laid.to_build {
            output.warning(&format!(
                "{} is built when it is installed; what it then needs is not listed",
                build.file
            ));
        }
        let mut looked = describe(shell, &laid.survey, None, laid.unread, output)?;
        if !laid.misfits.is_empty() {
            looked.status = looked.status.max(ExitStatus::Missing);
        }
        return Ok(looked);
    }
    let named = match shell.paths.as_slice() {
        [] => None,
        [one] => Some(one.as_path()),
        _ => {
            return Err(CommandError::new(ExitStatus::Usage, "one file is for one environment")
                .hint("name one, and the file: `--output FILE`"));
        }
    };
    let survey = target::survey(target::environment(named)?, Asking::Allowed)?;
    let root = survey.environment.root.clone();
    describe(shell, &survey, Some(&root), Vec::new(), output)
}

/// Says what goes into the file. What is not installed yet has no `root`: its environment will be `.venv` beside the file.
fn describe(
    shell: &Shell,
    survey: &Survey,
    root: Option<&Path>,
    mut unread: Vec<UnreadReport>,
    output: &Output,
) -> Result<Looked, CommandError> {
    let place = place(shell, root, output)?;
    let scope = Scope { optional: shell.optional, everything: shell.ld_library_path };
    let Needs { libraries, present, drivers, absent, is_damaged } = needs::of(survey, scope, output)?;
    unread.extend(survey.unread.iter().map(|unread| UnreadReport {
        path: shown_path(survey.short(&unread.path)),
        cause: unread.cause.clone(),
    }));
    target::tell_unread(unread.iter().map(|one| (one.path.as_str(), one.cause.as_str())), output);
    if let Some(trouble) = &survey.python_trouble {
        output.note(&target::python_note(trouble));
    }
    let loader = std::fs::canonicalize(&survey.loader.path).unwrap_or_else(|_| survey.loader.path.clone());
    if !loader.starts_with("/nix/store") {
        output.warning(
            "this Python is not from nixpkgs: what it finds in folders of this machine is not listed",
        );
        output.hint("write the file with an environment whose Python is from nixpkgs");
    }
    for words in &absent {
        output.warning(&format!("no package of nixpkgs is known to have {words}"));
    }
    if is_damaged {
        output.warning("some files cannot be loaded, whatever libraries there are: see `pitstop check`");
    }
    let status = match (unread.is_empty(), absent.is_empty() && !is_damaged) {
        (false, _) => ExitStatus::Incomplete,
        (true, false) => ExitStatus::Missing,
        (true, true) => ExitStatus::Success,
    };
    let contents = Contents {
        form: form(shell),
        command: command(shell, &place)?,
        environment: place.environment.clone(),
        is_venv: root.is_none() || survey.environment.scripts.is_some(),
        python: attributes_of(&survey.python),
        libraries,
        present,
        drivers,
        absent,
        ld_library_path: shell.ld_library_path,
        optional: shell.optional,
    };
    Ok(Looked { contents, place, unread, status })
}

fn form(shell: &Shell) -> Form {
    match (shell.flake, shell.module) {
        (true, _) => Form::Flake,
        (_, true) => Form::Module,
        _ => Form::Nix,
    }
}

/// What nixpkgs calls a Python, by what it calls its extension modules.
fn attributes_of(python: &Python) -> Vec<String> {
    let suffix = |mark: &str| python.extension_suffixes.iter().find(|suffix| suffix.starts_with(mark));
    let implementation = if suffix(".pypy").is_some() { "pypy" } else { "cpython" };
    let is_free =
        suffix(".cpython-").and_then(|suffix| suffix.split('-').nth(1)).is_some_and(|tag| tag.ends_with('t'));
    nix::attributes_of_python(&python.version, implementation, is_free)
}

/// Where the file goes: beside the environment that is meant without a name where that is here or above, else here.
fn place(shell: &Shell, root: Option<&Path>, output: &Output) -> Result<Place, CommandError> {
    let here = std::env::current_dir().map_err(|error| {
        CommandError::new(ExitStatus::Usage, format!("the working folder: {error}"))
            .hint("go to one that exists")
    })?;
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // The environment itself may be a link; it goes by its name.
    let root = root.map(|root| match (root.parent(), root.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => real(root),
    });
    let name = match form(shell) {
        Form::Nix => "shell.nix",
        Form::Flake => "flake.nix",
        Form::Module => "pitstop.nix",
    };
    let file = match &shell.output {
        Some(file) if file == Path::new("-") => None,
        Some(file) => Some(here.join(file)),
        None => {
            let above = root.as_deref().filter(|_| shell.paths.is_empty()).and_then(Path::parent);
            Some(above.filter(|above| here.starts_with(above)).unwrap_or(&here).join(name))
        }
    };
    let folder = file.as_deref().and_then(Path::parent).map_or_else(|| here.clone(), real);
    let root = root.unwrap_or_else(|| folder.join(".venv"));
    let inside = root.strip_prefix(&folder).ok();
    let environment = match inside {
        Some(path) if path == Path::new("") => OsStr::new("."),
        Some(path) => path.as_os_str(),
        None => root.as_os_str(),
    };
    let environment =
        environment.to_str().filter(|name| !name.chars().any(char::is_control)).ok_or_else(|| {
            CommandError::new(
                ExitStatus::Usage,
                format!("{}: a Nix file cannot have this name in it", shown_path(&root)),
            )
            .hint("give the environment's folder a name of printable UTF-8")
        })?;
    if inside.is_none() && form(shell) != Form::Module {
        output.warning(
            "the environment lies outside of the folder of the file, which so serves this machine alone",
        );
    }
    Ok(Place { file, environment: environment.to_owned() })
}

/// The command that writes this file, wherever it was given: what is left out is not said.
fn command(shell: &Shell, place: &Place) -> Result<String, CommandError> {
    let mut words = vec!["shell".to_owned()];
    let options = [
        ("--flake", shell.flake),
        ("--module", shell.module),
        ("--ld-library-path", shell.ld_library_path),
        ("--optional", shell.optional),
    ];
    words.extend(options.iter().filter(|(_, given)| *given).map(|(option, _)| (*option).to_owned()));
    let mut add = |path: &Path| match path.to_str().filter(|word| !word.chars().any(char::is_control)) {
        Some(word) => {
            words.push(nix::shell_word(word));
            Ok(())
        }
        None => Err(CommandError::new(
            ExitStatus::Usage,
            format!("{}: a Nix file cannot have this name in it", shown_path(path)),
        )),
    };
    if let Some(file) = shell.output.as_deref().filter(|_| place.file.is_some()) {
        add(Path::new("--output"))?;
        add(file)?;
    }
    let is_uninstalled = shell.paths.iter().any(|path| uninstalled::kind(path).is_some());
    if is_uninstalled {
        for path in &shell.paths {
            add(path)?;
        }
    } else if place.environment != ".venv" {
        add(Path::new(&place.environment))?;
    }
    Ok(words.join(" "))
}

/// Says whether the file is what would be written. The status is about that, and not about what the file has.
fn check(
    file: &Path,
    text: &str,
    status: ExitStatus,
    output: &Output,
) -> Result<(&'static str, ExitStatus), CommandError> {
    let shown_file = shown_path(&written::from_here(file));
    let there = match written::standing(file, text)? {
        Standing::Same => {
            output.note(&format!("{shown_file}: as it should be"));
            let incomplete = status == ExitStatus::Incomplete;
            return Ok(("same", if incomplete { status } else { ExitStatus::Success }));
        }
        Standing::Absent => {
            output.note(&format!("{shown_file}: not there"));
            output.hint("write it: the same command without `--check`");
            return Ok(("absent", status.max(ExitStatus::Missing)));
        }
        Standing::Ours(there) => there,
        Standing::Foreign => String::new(),
    };
    let lines = there.lines().zip(text.lines()).enumerate().find(|(_, (has, should))| has != should);
    output.note(&match lines {
        Some((index, (has, should))) => format!(
            "{shown_file}: differs in line {}\n  it has    {}\n  should be {}",
            index + 1,
            shown(has.trim()),
            shown(should.trim())
        ),
        None if there.is_empty() => format!("{shown_file}: pitstop did not write it"),
        None => format!("{shown_file}: differs in its length"),
    });
    output.hint("write it anew: the same command without `--check`");
    Ok(("differs", status.max(ExitStatus::Missing)))
}

/// Writes the file, unless it is somebody else's.
fn keep(file: &Path, text: &str, shell: &Shell, output: &Output) -> Result<&'static str, CommandError> {
    let shown_file = shown_path(&written::from_here(file));
    match written::standing(file, text)? {
        Standing::Same => {
            output.note(&format!("{shown_file}: as it should be"));
            return Ok("same");
        }
        Standing::Foreign if !shell.force => {
            let error = CommandError::new(
                ExitStatus::Usage,
                format!("{shown_file} is there already, and pitstop did not write it"),
            );
            let hint = if shell.flake {
                "write shell.nix (`pitstop shell`) and let the flake have `devShells.${system}.default = import ./shell.nix { inherit pkgs; };`, or write over it: `--force`"
            } else {
                "choose another place (`--output FILE`), or write over it: `--force`"
            };
            return Err(error.hint(hint));
        }
        Standing::Absent | Standing::Foreign | Standing::Ours(_) => {}
    }
    written::write(file, text)?;
    output.note(&format!("wrote {shown_file}"));
    match form(shell) {
        Form::Nix => output.hint("enter the shell: `nix-shell`"),
        Form::Flake if file.ancestors().any(|folder| folder.join(".git").exists()) => {
            output.hint(
                "enter the shell: `git add flake.nix` (Nix sees only what Git knows), then `nix develop`",
            );
        }
        Form::Flake => output.hint("enter the shell: `nix develop`"),
        Form::Module => output.hint("have it in `imports` of the configuration, and rebuild"),
    }
    Ok("written")
}
