//! The effects of pitstop: reading the machine, asking Python and the loader, providers, applying a plan and undoing it.
//!
//! Everything that touches the world is here, and nothing here decides what is wrong: that is `pitstop_core`'s.

pub mod answers;
pub mod apply;
pub mod child;
pub mod environment;
pub mod fhs;
pub mod files;
pub mod fixing;
pub mod index;
pub mod installed;
pub mod lend;
pub mod loader;
pub mod locating;
pub mod machine;
mod metadata;
pub mod namespace;
mod naming;
pub mod programs;
pub mod project;
pub mod provide;
pub mod python;
mod reading;
pub mod remedy;
pub mod survey;
pub mod verify;
pub mod walk;
pub mod wheels;
