//! The part of the loader shim that thinks: no system call, no pointer, nothing unsafe. See `main.rs` for the part that acts.
#![no_std]
#![forbid(unsafe_code)]

pub mod auxv;
pub mod elf;
pub mod farm;
pub mod message;
pub mod options;
pub mod search;
pub mod stack;
pub mod variables;
