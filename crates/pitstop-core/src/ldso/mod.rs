//! What a loader finds: the rules of glibc's and musl's `ld.so`, played through without loading anything.
//!
//! A [`Loader`] is what one loader knows by itself, a [`Process`] is a program that it started, and a [`Loading`] is
//! what happens when that process opens one more file: which objects come in, by which rule each was found, which
//! needs stay open, and which versions are lacking. Two rules shape everything:
//!
//! * A need is searched with the paths of the object that has it and of those that brought that object in. What is
//!   missing depends on who asks.
//! * What is loaded already is found by name, before any search.
//!
//! Not played through, because the facts of [`Elf`](crate::elf::Elf) do not tell or because nothing depends on it here:
//! `DT_AUXILIARY` and `DT_FILTER`, audit libraries, `AT_SECURE`, link namespaces (`dlmopen`), ISA levels in property
//! notes, and needs that name the vDSO.

pub mod cache;
pub mod dst;
mod glibc;
mod loader;
mod loading;
mod memo;
mod musl;
mod process;
mod search;
mod versions;

pub use loader::{Flavour, Loader, LoaderError, Machine, is_musl, musl_path_file};
pub use loading::{Loading, Need, Object, ObjectIndex, Outcome, Rule, Shortfall, VersionProblem};
pub use process::{Environment, Fallback, Process, StartError, no_fallback};
pub use search::{Probe, Verdict};
