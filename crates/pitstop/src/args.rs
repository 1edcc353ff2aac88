//! The command line.

mod deferred;
mod index;
mod locking;
mod shell;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::exit::ExitStatus;
use crate::output::Verbosity;

pub(crate) use deferred::Deferred;
pub(crate) use index::{Build, Format, Import, Index, Update};
pub(crate) use locking::Locking;
pub(crate) use shell::{CompletionShell, Completions, Help, Man, Shell};

const AFTER_HELP: &str = "\
VENV or PATH left out: the active environment ($VIRTUAL_ENV), else .venv here or in a parent folder.

Exit status: 0 all is well; 1 something is missing or does not load; 2 bad usage; 3 part of the input could not be read; \
4 a provider or the network failed; 5 a fix was refused or rolled back.

`pitstop help` lists topics: why an import fails, what fix changes, which command for what, containers.";

/// Make Python packages with native code run on machines that lack the libraries they expect.
#[derive(Debug, Parser)]
#[command(name = "pitstop", version, about, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// How to speak.
    #[command(flatten)]
    pub(crate) speech: Speech,
}

/// Options that every command takes.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Speech {
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Colour the output: by default on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,

    /// Say nothing but errors and the answer
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say how it was done too
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl Speech {
    /// How much to say on standard error.
    pub(crate) const fn verbosity(self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say which libraries are missing, for whom, and who has them
    Check(Deferred<Check>),
    /// Provide what is missing, and make the environment find it
    Fix(Deferred<Fix>),
    /// Put every byte back as it was before `pitstop fix`
    Undo(Deferred<Undo>),
    /// Say what pitstop has done to an environment, and whether it is still whole
    Status(Deferred<Environment>),
    /// Make programs start that belong to no environment
    Patch(Deferred<Patch>),
    /// Install packages into a throw-away environment, check, fix, and import them
    Try(Deferred<Try>),
    /// Run one command with the libraries that it lacks, changing nothing
    Run(Deferred<Run>),
    /// Run one command in a root that has /usr/lib, /usr/bin and /usr/include, made of packages
    Fhs(Deferred<Fhs>),
    /// Write shell.nix, flake.nix or a NixOS module with what an environment lacks
    Shell(Deferred<Shell>),
    /// Show the libraries that a file loads, each with the rule that found it
    Tree(Deferred<Tree>),
    /// Show every chain from a package to a library
    Why(Deferred<Why>),
    /// Say which packages have a library, or any file
    Locate(Deferred<Locate>),
    /// Build, fetch and describe indexes: which package has which files
    #[command(subcommand)]
    Index(Index),
    /// Say what this machine is, what is set up, and what is not
    Doctor,
    /// Print completions for a shell
    Completions(Deferred<Completions>),
    /// Print the manual page of a command
    Man(Deferred<Man>),
    /// Explain a topic or a command
    Help(Deferred<Help>),
}

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Environments or site-packages folders; or what is not installed yet: wheels, source distributions, requirements
    /// files, pyproject.toml, uv.lock, poetry.lock, pylock.toml
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// The Python that wheels are for [default: the active environment's, else python3]
    #[arg(long)]
    pub(crate) python: Option<PathBuf>,

    /// Run nothing, not even the environment's Python: read its files instead
    #[arg(long = "static")]
    pub(crate) run_nothing: bool,
}

/// An environment, where one is meant.
#[derive(Args, Debug)]
pub(crate) struct Environment {
    /// A virtual environment, or a site-packages folder
    pub(crate) venv: Option<PathBuf>,
}

/// Options that say where libraries may come from.
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
#[derive(Args, Clone, Debug)]
pub(crate) struct Sources {
    /// The package set to take libraries from: a path, a URL, `channel:NAME`, `<NAME>` or a flake
    /// [default: pitstop.lock, the settings, flake.lock, <nixpkgs>, the flake registry]
    #[arg(long, value_name = "NIXPKGS")]
    pub(crate) nixpkgs: Option<String>,

    /// Accept another version of a library where the exact one is not to be had
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Provide what packages can do without too: libraries that only some of their features load
    #[arg(long)]
    pub(crate) optional: bool,

    /// Install Debian packages on the machine (as root) rather than into the environment
    #[arg(long)]
    pub(crate) system: bool,

    /// Fetch an index of packages, as `pitstop index update` does, where what is here does not know a library
    #[arg(long)]
    pub(crate) online: bool,
}

/// Options of `fix`.
#[derive(Args, Debug)]
pub(crate) struct Fix {
    /// The environment.
    #[command(flatten)]
    pub(crate) environment: Environment,

    /// Where libraries may come from.
    #[command(flatten)]
    pub(crate) sources: Sources,

    /// Mend scripts, too, whose first line names a program that is not there, such as /usr/bin/python3
    #[arg(long)]
    pub(crate) scripts: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// What becomes of the lock.
    #[command(flatten)]
    pub(crate) locking: Locking,
}

/// Options of `undo`.
#[derive(Args, Debug)]
pub(crate) struct Undo {
    /// A virtual environment, a site-packages folder, or a program that was patched
    pub(crate) venv: Option<PathBuf>,

    /// Take back what was done to the environment's Python, for every environment that uses it
    #[arg(long)]
    pub(crate) python: bool,
}

/// Options of `patch`.
#[derive(Args, Debug)]
pub(crate) struct Patch {
    /// Programs
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The loader they get, instead of this machine's where theirs is not there
    #[arg(long)]
    pub(crate) loader: Option<PathBuf>,

    /// A folder that they search for libraries besides; `$ORIGIN` is their own
    #[arg(long, value_name = "FOLDER")]
    pub(crate) add_runpath: Vec<String>,

    /// Where libraries may come from.
    #[command(flatten)]
    pub(crate) sources: Sources,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Options of `try`.
#[derive(Args, Debug)]
pub(crate) struct Try {
    /// What to install, as pip names it
    #[arg(required = true, value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,

    /// The Python to make the environment with
    #[arg(long, default_value = "python3")]
    pub(crate) python: PathBuf,

    /// Keep the environment, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,

    /// Where libraries may come from.
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// Options of `run`.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Lend what this environment or program lacks too
    #[arg(long = "for", value_name = "PATH")]
    pub(crate) also: Vec<PathBuf>,

    /// Lend this too: a soname, a package of the package set, or a path to be looked at
    #[arg(long, value_name = "LIB|PKG")]
    pub(crate) with: Vec<String>,

    /// Use LD_LIBRARY_PATH and nix-ld's variables instead of a mount namespace
    #[arg(long)]
    pub(crate) env: bool,

    /// Print these variables for a shell, and run nothing
    #[arg(long)]
    pub(crate) print_env: bool,

    /// The package set to take libraries from, as `fix --nixpkgs` takes it
    #[arg(long, value_name = "NIXPKGS")]
    pub(crate) nixpkgs: Option<String>,

    /// What an earlier start of this program has found out
    #[arg(long, hide = true)]
    pub(crate) handed_over: Option<String>,

    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "print_env",
        value_name = "CMD"
    )]
    pub(crate) command: Vec<OsString>,
}

/// Options of `fhs`.
#[derive(Args, Debug)]
pub(crate) struct Fhs {
    /// A package, a soname, a file or an environment to be looked at; beside those of `[tool.pitstop.fhs]`
    #[arg(long, value_name = "PKG")]
    pub(crate) with: Vec<String>,

    /// Write the equivalent buildFHSEnv to NAME.nix, and run nothing
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Option<String>,

    /// The package set to take packages from, as `fix --nixpkgs` takes it
    #[arg(long, value_name = "NIXPKGS")]
    pub(crate) nixpkgs: Option<String>,

    /// Begin a `pitstop.lock` with the packages of the project, where there is none
    #[arg(long, conflicts_with = "nixpkgs")]
    pub(crate) lock: bool,

    /// What an earlier start of this program has found out
    #[arg(long, hide = true)]
    pub(crate) handed_over: Option<String>,

    /// The command and its arguments [default: that of `[tool.pitstop.fhs]`, else $SHELL, else bash]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// Options that ask for a picture.
#[derive(Args, Clone, Debug)]
pub(crate) struct Drawing {
    /// Draw it as SVG instead: on standard output, or into FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) svg: Option<PathBuf>,

    /// Draw it as a page to search and zoom in: on standard output, or into FILE
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-",
        conflicts_with = "svg"
    )]
    pub(crate) html: Option<PathBuf>,
}

impl Drawing {
    /// Whether a picture is asked for.
    pub(crate) const fn is_asked(&self) -> bool {
        self.svg.is_some() || self.html.is_some()
    }
}

/// Options of `tree`.
#[derive(Args, Debug)]
pub(crate) struct Tree {
    /// A native file: an extension module, a library or a program
    pub(crate) file: PathBuf,

    /// As a picture.
    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

/// Options of `why`.
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// The library's name as programs ask for it, such as libz.so.1
    pub(crate) soname: String,

    /// An environment, a site-packages folder, or a native file
    pub(crate) path: Option<PathBuf>,

    /// As a picture.
    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

/// Options of `locate`: those of nix-locate.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are options, each by itself")]
pub(crate) struct Locate {
    /// The name of a library, such as libz.so.1; or, with any option but --json, what paths must hold
    #[arg(required = true, value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,

    /// The nix-index database, or the folder that holds it as `files`
    /// [default: $NIX_INDEX_DATABASE, pitstop's own, the cache folder's nix-index, that of nix-index-database]
    #[arg(short, long = "db", value_name = "PATH")]
    pub(crate) database: Option<PathBuf>,

    /// Take PATTERN and NAME as regular expressions rather than text
    #[arg(short, long)]
    pub(crate) regex: bool,

    /// Only packages whose name, version included, holds NAME
    #[arg(short, long, value_name = "NAME")]
    pub(crate) package: Option<String>,

    /// Only the package whose store path has this hash
    #[arg(long)]
    pub(crate) hash: Option<String>,

    /// Packages, too, that only stand in the closure of one of the package set; shown in parentheses
    #[arg(long)]
    pub(crate) all: bool,

    /// Only packages of the package set: the default
    #[arg(long, conflicts_with = "all")]
    pub(crate) top_level: bool,

    /// Only what is of this type; may be given several times
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kinds: Vec<FileKind>,

    /// What stands in a folder that matches, too, rather than the folder alone
    #[arg(long)]
    pub(crate) no_group: bool,

    /// Only where PATTERN stands at the end of a path
    #[arg(short, long)]
    pub(crate) whole_name: bool,

    /// Only where PATTERN stands at the root of a package
    #[arg(long)]
    pub(crate) at_root: bool,

    /// Print attributes only, each once
    #[arg(long)]
    pub(crate) minimal: bool,
}

impl Locate {
    /// Whether none of nix-locate's options is given.
    pub(crate) fn only_asks(&self) -> bool {
        let flags = [self.regex, self.all, self.top_level, self.no_group, self.whole_name, self.at_root];
        self.database.is_none()
            && self.package.is_none()
            && self.hash.is_none()
            && self.kinds.is_empty()
            && !self.minimal
            && !flags.contains(&true)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FileKind {
    /// A regular file that nobody may execute
    #[value(name = "r")]
    Regular,
    /// A file that may be executed
    #[value(name = "x")]
    Executable,
    /// A folder
    #[value(name = "d")]
    Directory,
    /// A symbolic link
    #[value(name = "s")]
    Symlink,
}

/// Parses the command line; help, version and mistakes are printed, and end it.
pub(crate) fn parse() -> Result<Arguments, ExitStatus> {
    let arguments = Arguments::try_parse().map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
    })?;
    match arguments.speech.color {
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        ColorChoice::Auto => {}
    }
    Ok(arguments)
}

/// The command line as a value, for those who describe it.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// What `--help` says behind these words, with colours; `None` where they are no command.
pub(crate) fn help_of(words: &[String]) -> Option<String> {
    let line = ["pitstop"].into_iter().chain(words.iter().map(String::as_str)).chain(["--help"]);
    let error = Arguments::try_parse_from(line).err()?;
    (error.kind() == clap::error::ErrorKind::DisplayHelp).then(|| error.render().ansi().to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
