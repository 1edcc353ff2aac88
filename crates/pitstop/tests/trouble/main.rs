//! Trouble, met through the command: whatever is wrong with an environment, a clear message, the documented exit status,
//! and an environment that is either as before or whole.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod code;
mod content;
mod faults;
mod fetched;
mod hostile;
mod kill;
mod life;
mod lock;
mod meanwhile;
mod rights;
mod runs;
mod snapshot;
mod speech;
mod staying;
mod target;
#[path = "../tools/mod.rs"]
mod tools;
mod uninstalled;
mod venv;
