//! Options of `pitstop index`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Deferred;

/// What to do with indexes.
#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// Build an index from binary caches, or from the local store
    Build(Deferred<Build>),
    /// Fetch an index that others built
    Update(Deferred<Update>),
    /// Take a nix-index database from a file
    Import(Deferred<Import>),
    /// Say which indexes are there, where they come from and how old they are
    Info,
}

const BUILD_HELP: &str = "\
What was learned is kept until the index is written: after Ctrl-C, a crash or a lost network the same command goes on
where it was, and asks for nothing twice.

Where files of some store paths could not be listed the index is written without them, each is named in FILE.unlisted,
and the exit status is 4 (3 with --store). The same command asks again for those whose requests failed.";

/// Options of `index build`.
#[derive(Args, Debug)]
#[command(after_help = BUILD_HELP)]
pub(crate) struct Build {
    /// A binary cache: http://, https:// or file://; given several times, the first that has a path is taken
    #[arg(long, value_name = "URL", default_value = "https://cache.nixos.org", conflicts_with = "store")]
    pub(crate) cache: Vec<String>,

    /// The package set to index, as `nix-env -f` takes it [default: <nixpkgs>, where nothing else is named]
    #[arg(long, value_name = "NIXPKGS")]
    pub(crate) nixpkgs: Option<String>,

    /// The system to ask the package set for, such as x86_64-linux [default: this one]
    #[arg(long, value_name = "SYSTEM", requires = "nixpkgs")]
    pub(crate) system: Option<String>,

    /// A set within the package set that `nix-env` does not enter by itself, such as haskellPackages
    #[arg(long, value_name = "ATTRIBUTE", requires = "nixpkgs")]
    pub(crate) scope: Vec<String>,

    /// What `nix-env -qaP --out-path --xml` printed: a file or a URL, compressed or not
    #[arg(long, value_name = "FILE")]
    pub(crate) packages: Vec<String>,

    /// A list of store paths, one on each line, such as a channel's store-paths.xz: a file or a URL
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub(crate) store_paths: Vec<String>,

    /// Index what is in this machine's Nix store, without a network
    #[arg(long)]
    pub(crate) store: bool,

    /// Make a soname index of Debian's packages from these lists of files (Contents-amd64.gz), or from those of a mirror
    /// (https://deb.debian.org/debian) [default: those of apt-file, else apt fetches them]
    #[arg(long, value_name = "FILE|URL", num_args = 0.., conflicts_with_all = ["cache", "store", "nixpkgs", "output"])]
    pub(crate) debian: Option<Vec<String>>,

    /// The suite of the mirror [default: this machine's, else stable]
    #[arg(long, value_name = "SUITE", requires = "debian")]
    pub(crate) suite: Option<String>,

    /// A component of the suite; may be given several times
    #[arg(long, value_name = "NAME", requires = "debian", default_value = "main")]
    pub(crate) component: Vec<String>,

    /// Debian's name of the architecture [default: this machine's]
    #[arg(long, value_name = "NAME", requires = "debian")]
    pub(crate) architecture: Option<String>,

    /// Where to write the index [default: ~/.cache/pitstop/index/files]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What to make: a database that nix-locate reads too and the soname index of it, or one of them alone
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::All)]
    pub(crate) format: Format,

    /// How many requests may be under way at once
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) jobs: u16,

    /// How many seconds a server may stay silent
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) timeout: f64,

    /// How often a failed request is made again
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) retries: u32,

    /// How hard to compress, from 1 to 22
    #[arg(long, value_name = "LEVEL", default_value_t = 19, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) compression: i32,

    /// Forget what an interrupted build has learned
    #[arg(long, conflicts_with = "store")]
    pub(crate) fresh: bool,
}

/// What `index build` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A database of nix-index's format, and the soname index of it
    All,
    /// The database alone; the soname index is then made when it is first asked
    NixIndex,
    /// The soname index alone, which takes a twentieth of the room; nothing else can be searched for then
    Soname,
}

/// Options of `index update`.
#[derive(Args, Debug)]
pub(crate) struct Update {
    /// Where the index is
    /// [default: $PITSTOP_INDEX_URL, else the latest release of nix-community/nix-index-database for this system]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The digest that it must have: hexadecimal, or sha256-BASE64
    #[arg(long, value_name = "DIGEST")]
    pub(crate) sha256: Option<String>,

    /// The size that it must have, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<u64>,

    /// Where to write the index [default: ~/.cache/pitstop/index/files]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// How many seconds the server may stay silent
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) timeout: f64,
}

/// Options of `index import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// A nix-index database
    pub(crate) file: PathBuf,
}

/// A time that makes sense to wait for.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.01..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("give 0.01 to 86400".to_owned()) }
}
