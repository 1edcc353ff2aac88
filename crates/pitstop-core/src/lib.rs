//! What is wrong with a Python environment's native code, and what would mend it.
//!
//! Pure logic: this crate opens no file, reads no environment variable, prints nothing and has no unsafe code.
//! It reads bytes through [`elf::Source`] and [`files::Files`], and a broken file is a finding in a report, never a
//! reason to stop.
#![forbid(unsafe_code)]

pub mod alias;
pub mod diagnose;
pub mod elf;
pub mod files;
pub mod hints;
pub mod index;
pub mod ldso;
pub mod locate;
pub mod lockfile;
pub mod nix;
pub mod patch;
pub mod plan;
pub mod report;
pub mod requirements;
pub mod secrets;
pub mod settings;
pub mod targets;
pub mod words;
