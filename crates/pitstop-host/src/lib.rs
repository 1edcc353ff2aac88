//! The effects of pitstop: reading the machine, providers, applying and undoing.

mod reading;

pub mod files;
pub mod walk;
