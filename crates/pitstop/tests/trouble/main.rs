//! Trouble, met through the command: whatever is wrong with an environment, a clear message, the documented exit status,
//! and an environment that is either as before or whole.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod content;
mod kill;
mod life;
mod lock;
mod rights;
mod runs;
mod snapshot;
mod speech;
mod target;
mod uninstalled;
mod venv;
