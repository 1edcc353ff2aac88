//! A Python file of any bytes: the libraries that it asks for by name are told, or it is refused.

use std::thread;

use pitstop_core::hints::{scan, sonames, worth_scanning};

/// Of the threads on which pitstop parses (`host::naming`).
const STACK_BYTES: usize = 32 << 20;

pub(crate) fn run(bytes: &[u8]) {
    let work = || {
        let _ = worth_scanning(bytes);
        for request in scan(bytes).unwrap_or_default() {
            assert!(request.line >= 1 && request.line <= 1 + bytes.len());
            assert!(!request.names.is_empty());
            let _ = sonames(&request.names);
        }
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        if let Err(panic) = thread.expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}
