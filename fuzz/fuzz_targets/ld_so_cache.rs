#![no_main]

#[path = "../bodies/ld_so_cache.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
