//! `pitstop fhs`: one command in a root as the Filesystem Hierarchy Standard has it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use pitstop_core::lockfile::LockedPackage;
use pitstop_core::nix;
use pitstop_host::answers::Question;
use pitstop_host::fhs::{self, Settings, Words};
use pitstop_host::lend::{self, Lender, Lent, command};
use pitstop_host::namespace;
use pitstop_host::project::Project;
use pitstop_host::remedy::Sources;

use super::fix::lock::project_error;
use super::progress::Progress;
use super::written::{self, Standing};
use super::{Done, fix, launch};
use crate::args::Fhs;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// Becomes the command, in the root; returns only where that fails, or where nothing was to be run.
pub(super) fn run(fhs: &Fhs, output: &Output) -> Done {
    if let Some(word) = &fhs.handed_over {
        return Err(start(&launch::unpack(word)?, &fhs.command));
    }
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let settings = fhs::settings(&folder).map_err(project_error)?;
    let (project, settings) = settings.unzip();
    let settings = settings.unwrap_or_default();
    let mut names = fhs.with.clone();
    let beside = project.as_deref().and_then(Path::parent).unwrap_or(Path::new("/"));
    names.extend(settings.packages.iter().map(|name| {
        // A path in a file is one from where the file lies.
        if name.contains('/') { beside.join(name).display().to_string() } else { name.clone() }
    }));
    if let Some(name) = &fhs.export {
        return export(name, &names, &settings, output);
    }
    let command = if fhs.command.is_empty() { default_command(&settings) } else { fhs.command.clone() };
    let owned = Owned { settings_file: project, packages: settings.packages };
    let lent = root(fhs, &names, &owned, output)?;
    if namespace::is_single_threaded() {
        return Err(start(&lent, &command));
    }
    Err(launch::start_again("fhs", &lent, &command))
}

fn default_command(settings: &Settings) -> Vec<OsString> {
    let words = match &settings.command {
        Words::One(word) => vec![word.into()],
        Words::Many(words) => words.iter().map(OsString::from).collect(),
    };
    if !words.is_empty() {
        return words;
    }
    let shell = std::env::var_os("SHELL").filter(|shell| Path::new(shell).exists());
    vec![shell.unwrap_or_else(|| "bash".into())]
}

/// Goes into the root, and becomes the command as it is found there.
fn start(lent: &Lent, words: &[OsString]) -> CommandError {
    if !lent.changes.is_empty()
        && let Err(error) = namespace::enter(&lent.changes)
    {
        return launch::namespace_error(error);
    }
    let variables = if lent.is_over_the_machine() { Vec::new() } else { variables() };
    let path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = path.or_else(command::search_path);
    let Some(word) = words.first() else {
        return CommandError::new(ExitStatus::Usage, "no command was named");
    };
    match command::find(word, path.as_deref()) {
        Ok(command) => launch::become_program(&command.path, words, &variables),
        Err(error) => launch::find_error(error),
    }
}

/// What makes programs of nixpkgs look below `/usr` too, as its buildFHSEnv sets it. What the user has set stays.
fn variables() -> Vec<(OsString, OsString)> {
    let mut path = OsString::from("/usr/bin");
    if let Some(own) = std::env::var_os("PATH").filter(|own| !own.is_empty()) {
        path.push(":");
        path.push(own);
    }
    let unset = [
        ("PKG_CONFIG_PATH", "/usr/lib/pkgconfig:/usr/share/pkgconfig"),
        ("ACLOCAL_PATH", "/usr/share/aclocal"),
        ("NIX_CFLAGS_COMPILE", "-idirafter /usr/include"),
        ("NIX_LDFLAGS", "-L/usr/lib"),
    ];
    let unset = unset.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let mut variables: Vec<(OsString, OsString)> = vec![("PATH".into(), path)];
    variables.extend(unset.map(|(name, value)| (name.into(), value.into())));
    variables
}

/// All that a root rests on, as far as it is named and not a file.
fn question(fhs: &Fhs, names: &[String], sources: &Sources) -> (Question, String) {
    let project_words = launch::project_words(sources);
    let nix_path = std::env::var_os("NIX_PATH").unwrap_or_default();
    let is_nested = if Path::new("/.host-etc").exists() { "nested" } else { "" };
    let mut parts: Vec<&OsStr> =
        vec![OsStr::new("fhs"), OsStr::new(env!("CARGO_PKG_VERSION")), &nix_path, OsStr::new(is_nested)];
    parts.extend(fhs.nixpkgs.as_deref().map(OsStr::new));
    parts.extend(sources.project.as_deref().map(Path::as_os_str));
    parts.push(&project_words);
    parts.push(OsStr::new("--with"));
    parts.extend(names.iter().map(OsStr::new));
    if names.iter().any(|name| name.contains('/')) || fhs.nixpkgs.is_some() {
        parts.push(sources.folder.as_os_str());
    }
    (Question::new(parts.iter().copied()), lend::digest(parts))
}

/// The root for these packages: as the last time, where nothing has changed, else made now.
fn root(fhs: &Fhs, names: &[String], owned: &Owned, output: &Output) -> Result<Lent, CommandError> {
    let sources = launch::sources(fhs.nixpkgs.as_deref())?;
    let (asked, digest) = question(fhs, names, &sources);
    let is_locked = !fhs.lock || !sources.pinned.lock.is_empty();
    if is_locked && let Some(lent) = lend::recall(&asked) {
        return Ok(lent);
    }

    let mut progress = Progress::new(output);
    let mut show = |event| progress.show(&event);
    let interrupt = fix::interrupt()?;
    let keep_in = sources.cache.join("fhs").join(digest);
    let made = fhs::make(names, Lender::new(&sources, keep_in, &mut show, &interrupt));
    progress.finish();
    let mut made = made.map_err(launch::lend_error)?;
    for clash in &made.clashes {
        let [path, kept, left_out] = [&clash.path, &clash.kept, &clash.left_out]
            .map(|path| shown(path.as_os_str().as_encoded_bytes()));
        output.detail(&format!("/usr/{path} is {kept}, not {left_out}"));
    }
    for trouble in &made.troubles {
        output.warning(&format!("not provided: {trouble}"));
    }
    for line in &made.differs {
        output.warning(&shown(line));
    }
    let wrote = owned.lock(fhs, &made.new, &sources, output)?;
    made.witnesses.extend(owned.settings_file.clone());
    made.witnesses.extend(sources.project.iter().map(|folder| folder.join("flake.lock")));
    if made.troubles.is_empty() {
        // The next start reads the lock as it is now.
        let asked =
            if wrote { question(fhs, names, &launch::sources(fhs.nixpkgs.as_deref())?).0 } else { asked };
        let witnesses: Vec<PathBuf> = made.witnesses.into_iter().collect();
        let fields = lend::encode(&made.lent);
        asked.keep(&witnesses, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    launch::settle(&interrupt)?;
    Ok(made.lent)
}

/// What of a root is the project's, rather than of this one command.
struct Owned {
    /// The file with the project's settings.
    settings_file: Option<PathBuf>,
    /// Its packages.
    packages: Vec<String>,
}

impl Owned {
    /// Writes the project's packages into its lock, where it has one or is to get one. Whether anything was written.
    fn lock(
        &self,
        fhs: &Fhs,
        new: &[LockedPackage],
        sources: &Sources,
        output: &Output,
    ) -> Result<bool, CommandError> {
        let failed = |error| {
            let error = project_error(error);
            error.hint("the root is made; only the lock could not be written")
        };
        let project = Project::find(&sources.folder).map_err(failed)?;
        let Some(project) = project.filter(|it| it.lock.is_some() || fhs.lock) else {
            if fhs.lock {
                output.warning("nothing was locked: this folder belongs to no project");
                output.hint("name its packages in [tool.pitstop.fhs] of pyproject.toml");
            }
            return Ok(false);
        };
        if fhs.nixpkgs.is_some() {
            return Ok(false);
        }
        let attributes = fhs::attributes(&self.packages).map_err(launch::lend_error)?;
        let is_ours = |package: &&LockedPackage| {
            attributes.contains(&package.attribute) || fhs::BASE.contains(&package.attribute.as_str())
        };
        let new: Vec<LockedPackage> = new.iter().filter(is_ours).cloned().collect();
        let wrote = project.write(&|lock| {
            for package in &new {
                let set = project.named_from_here(package.set.clone());
                lock.add_package(LockedPackage { set, ..package.clone() });
            }
        });
        match wrote {
            Ok(wrote) => {
                if wrote {
                    output.note(&format!("wrote {}", fix::shown_path(&project.lock_file)));
                }
                Ok(wrote)
            }
            Err(error) if fhs.lock => Err(failed(error)),
            // Who may read the project only can use its root nevertheless.
            Err(error) => {
                output.warning(&format!("not locked: {error}"));
                Ok(false)
            }
        }
    }
}

/// Writes the equivalent buildFHSEnv.
fn export(name: &str, names: &[String], settings: &Settings, output: &Output) -> Done {
    let usage = |words: String| CommandError::new(ExitStatus::Usage, words);
    if name.is_empty() || !name.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it)) {
        return Err(usage(format!("{name:?} is no name for a program")).hint("use letters, digits, - and _"));
    }
    let mut attributes = fhs::attributes(names).map_err(launch::lend_error)?;
    attributes.retain(|it| !fhs::BASE.contains(&it.as_str()));
    let command: Vec<String> = match &settings.command {
        Words::One(word) => vec![word.clone()],
        Words::Many(words) => words.clone(),
    };
    let path = PathBuf::from(format!("{name}.nix"));
    let text = nix::fhs(name, &attributes, &command);
    match written::standing(&path, &text)? {
        Standing::Same => {
            output.note(&format!("{}: as it should be", path.display()));
            return Ok(ExitStatus::Success);
        }
        Standing::Foreign => {
            let words = format!("{} is there already, and pitstop did not write it", path.display());
            return Err(usage(words).hint("move what is there away, or choose another name"));
        }
        Standing::Absent | Standing::Ours(_) => written::write(&path, &text)?,
    }
    output.note(&format!("wrote {}", path.display()));
    for name in names.iter().filter(|name| name.contains('/')) {
        output.warning(&format!("what {} lacks is not in it: it names packages only", shown(name)));
    }
    Ok(ExitStatus::Success)
}
