//! Why there is no box: something is not installed, a file could not be used, or a program failed.

use std::io;
use std::process::Output;

/// What went wrong while making or using a box.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that nixbox runs is not on this machine.
    #[error("`{program}` is not installed: on Debian, `apt install {package}`")]
    NotInstalled {
        /// The program looked for in `PATH`.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file or folder could not be read or written; the text names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A program ran and failed.
    #[error("{what} failed ({status}):\n{stderr}")]
    Failed {
        /// What was being done, as a clause: `building zlib`.
        what: String,
        /// The exit status in words.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// A rule of the data or of the machine does not hold.
    #[error("{0}")]
    Broken(String),
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// How much of a failed program's standard error is worth showing, in bytes.
const STDERR_SHOWN_BYTES_MAX: usize = 4000;

/// Standard output of a program that succeeded; otherwise its failure.
pub(crate) fn stdout_of(what: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut from = stderr.len().saturating_sub(STDERR_SHOWN_BYTES_MAX);
    while !stderr.is_char_boundary(from) {
        from += 1;
    }
    Err(Error::Failed {
        what: what.to_owned(),
        status: output.status.to_string(),
        stderr: stderr[from..].trim_end().to_owned(),
    })
}
