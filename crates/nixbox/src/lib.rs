//! A NixOS-like root on any Linux that has Nix: for tests, and for looking.
//!
//! Real Nix, a real store and a real daemon; a package set with nixpkgs' attribute names whose
//! packages are Debian's libraries, laid out and tied together by RUNPATHs as nixpkgs does it; and a
//! root folder with nothing in it that NixOS has not: no `/lib64`, no `/usr/lib`, no ld.so.cache.
//!
//! ```no_run
//! let nixbox = nixbox::Nixbox::open(&mut |_| {})?;
//! let machine = nixbox.machine().start()?;
//! let ran = machine.sh("nix-build '<nixpkgs>' -A zlib")?;
//! assert!(ran.ok, "{}", ran.stderr);
//! # Ok::<(), nixbox::Error>(())
//! ```
//!
//! Everything lives in one folder: `$NIXBOX_DIR`, else `~/.cache/pitstop-nixbox`. The first use
//! builds the base system, which takes minutes; later ones find it there. Packages are built when
//! they are asked for. Any number of machines may run at the same time, each with a daemon of its
//! own on the one store; a machine that collects garbage wants [`MachineBuilder::own_store`].
//!
//! Where it differs from NixOS, so that nobody is misled:
//!
//! - The loader's default folder is `/run/glibc/lib`, padded with slashes, not the store path that
//!   this links to; and three more follow that exist nowhere. The loader's code has their lengths.
//! - Python's zlib and pyexpat are built in, with copies of their libraries under other names; so
//!   `import zlib` does not load `libz.so.1`, as it would with nixpkgs' Python.
//! - Builds run outside the box, where Debian's tools are, and are not sandboxed.
//! - What Debian's libraries read below `/usr` is not there, such as alsa-lib's configuration and ImageMagick's
//!   coders, where nixpkgs' libraries read from their own packages.
//! - Versions are Debian's. An attribute of the table that this Debian has no package for evaluates,
//!   but its build fails and says so.

mod apt;
mod cli;
mod cycles;
mod error;
mod graph;
mod host;
mod machine;
mod requirements;
mod set;
mod state;
mod store_copy;
mod table;
pub mod wheels;

pub use cli::cli;
pub use error::{Error, Result};
pub use machine::{HOME, Machine, MachineBuilder, Ran};
pub use requirements::requirements;
pub use state::Nixbox;
