//! `cargo xtask nixbox [CMD…]`: a look inside.

use std::ffi::OsString;
use std::io::Write as _;

use crate::error::{Error, Result};
use crate::{HOME, Nixbox};

/// Runs a command in a fresh machine, or a shell when there is none, with this terminal, the
/// network, and the current folder as `/home/user/here`. Returns its exit status.
pub fn cli(arguments: impl IntoIterator<Item = OsString>) -> Result<u8> {
    let mut say = |line: &str| {
        // Nobody to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "nixbox: {line}");
    };
    let nixbox = Nixbox::open(&mut say)?;
    let here = format!("{HOME}/here");
    let current = std::env::current_dir().map_err(Error::Io)?;
    let machine = nixbox.machine().network(true).bind(current, &here, true).start()?;
    let mut arguments = arguments.into_iter();
    let mut command = match arguments.next() {
        Some(program) => machine.command_in(&here, program),
        None => machine.command_in(&here, "bash"),
    };
    let status = command.args(arguments).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(u8::MAX))
}
