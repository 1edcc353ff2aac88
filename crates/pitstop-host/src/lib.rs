//! The effects of pitstop: reading the machine, providers, applying and undoing.

pub mod loader;
