//! `cargo run --example look -- CMD…`: what `cargo xtask nixbox` does.

use std::process::ExitCode;

fn main() -> ExitCode {
    match nixbox::cli(std::env::args_os().skip(1)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "nixbox: {error}");
            ExitCode::FAILURE
        }
    }
}
