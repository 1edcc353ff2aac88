//! The files that pitstop reads and writes, for the manual page and `docs/commands.md`.

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is another program's, or the user's.
    Read,
    /// It is pitstop's; it reads it, too.
    Written,
}

impl Access {
    /// As a table says it.
    #[cfg(test)]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Written => "writes",
        }
    }
}

/// Every file: its path, with `VENV` for an environment and `SITE` for its site-packages; whose it is; what it is.
pub(crate) const FILES: &[(&str, Access, &str)] = &[
    ("VENV/.pitstop/manifest.json", Access::Written, "what `fix` and `patch` did, and what undoes it"),
    ("VENV/.pitstop/provided.json", Access::Written, "which library is from whom, for whom"),
    (
        "VENV/.pitstop/roots/",
        Access::Written,
        "links that keep store paths from being garbage-collected; they go with the environment",
    ),
    ("VENV/.pitstop/apt/", Access::Written, "packages of apt, unpacked"),
    ("VENV/.pitstop/farm/", Access::Written, "links to what the environment's programs lack"),
    ("VENV/.pitstop/alias/", Access::Written, "stand-ins for libraries of another name (`--yes`)"),
    (
        "VENV/pitstop-libs",
        Access::Written,
        "where the loader shim stands: a link to the farm, here or beside a program",
    ),
    ("SITE/_pitstop.py", Access::Written, "the start-up hook"),
    ("SITE/_pitstop.1.data", Access::Written, "what the hook loads before which module"),
    ("SITE/__pycache__/_pitstop.*.pyc", Access::Written, "the hook's bytecode"),
    ("SITE/pitstop.pth", Access::Written, "starts the hook"),
    ("SITE/pitstop.start", Access::Written, "starts it from Python 3.15"),
    ("pitstop.lock", Access::Written, "what was provided, for git"),
    (
        "shell.nix, flake.nix, pitstop.nix, NAME.nix",
        Access::Written,
        "by `shell` and `fhs --export`, where pitstop wrote the old one",
    ),
    (
        "$XDG_CACHE_HOME/pitstop/answers/",
        Access::Written,
        "what programs said when they were asked; asked for again when something has changed",
    ),
    ("$XDG_CACHE_HOME/pitstop/index/", Access::Written, "indexes: which package has which files"),
    (
        "$XDG_CACHE_HOME/pitstop/fhs/",
        Access::Written,
        "roots that `fhs` has merged, with garbage-collector roots",
    ),
    ("$XDG_STATE_HOME/pitstop/run/", Access::Written, "what `run` has found, with garbage-collector roots"),
    ("pyproject.toml, pitstop.toml", Access::Read, "the project's settings: `[tool.pitstop]`"),
    ("flake.lock", Access::Read, "the project's nixpkgs"),
    ("VENV/pyvenv.cfg", Access::Read, "what the environment is; it is locked while a fix writes"),
    ("SITE/*.dist-info/", Access::Read, "which package has which file"),
    ("/etc/ld.so.cache, /etc/ld.so.preload", Access::Read, "what the machine's loader reads"),
    ("/run/current-system/sw/share/nix-ld/lib/", Access::Read, "what a loader shim gives to programs"),
    ("/run/opengl-driver/, /usr/lib/wsl/lib/", Access::Read, "the GPU driver's libraries"),
    (
        "/etc/nix/nix.conf, $XDG_CONFIG_HOME/nix/",
        Access::Read,
        "what `doctor` tells of Nix; Nix itself reads them, too",
    ),
    (
        "/var/lib/apt/lists/, /var/lib/dpkg/status",
        Access::Read,
        "which packages apt knows, which are installed",
    ),
    ("$NIX_INDEX_DATABASE, $XDG_CACHE_HOME/nix-index/files", Access::Read, "databases of nix-index"),
];
