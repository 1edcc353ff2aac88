//! Options of the commands that write for people to keep: Nix files, completions, manual pages, help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `shell`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct Shell {
    /// An environment; or what is not installed yet, as `check` takes it: wheels, requirements files, locks
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Write shell.nix, for nix-shell: the default
    #[arg(long, group = "form")]
    pub(crate) nix: bool,

    /// Write flake.nix, for `nix develop`
    #[arg(long, group = "form")]
    pub(crate) flake: bool,

    /// Write pitstop.nix, a module for a NixOS or home-manager configuration: the libraries, for the whole machine
    #[arg(long, group = "form")]
    pub(crate) module: bool,

    /// Have the shell set LD_LIBRARY_PATH for all its programs, rather than call `pitstop fix`
    #[arg(long, conflicts_with = "module")]
    pub(crate) ld_library_path: bool,

    /// List libraries, too, that only some features of a package load
    #[arg(long)]
    pub(crate) optional: bool,

    /// Write nothing; exit with status 1 where the file is not what would be written
    #[arg(long, conflicts_with = "force")]
    pub(crate) check: bool,

    /// Write over a file that pitstop did not write
    #[arg(short, long)]
    pub(crate) force: bool,

    /// The file; `-` is standard output [default: here; beside .venv where PATH is left out]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The Python that wheels are for [default: the active environment's, else python3]
    #[arg(long)]
    pub(crate) python: Option<PathBuf>,
}

/// Options of `completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// For which shell
    pub(crate) shell: CompletionShell,
}

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompletionShell {
    /// bash, with its completion package
    Bash,
    /// zsh, with compinit
    Zsh,
    /// fish, without more
    Fish,
    /// nushell, as a module
    Nushell,
}

/// Options of `man`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The command, such as `fix`; nothing for pitstop itself
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,

    /// Write the pages of all commands into this folder, which is made where it is not there
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(crate) output: Option<PathBuf>,
}

/// Options of `help`.
#[derive(Args, Debug)]
pub(crate) struct Help {
    /// A topic, or a command
    #[arg(value_name = "TOPIC|COMMAND")]
    pub(crate) words: Vec<String>,
}
