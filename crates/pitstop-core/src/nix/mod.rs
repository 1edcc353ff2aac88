//! Nix files that pitstop writes for people to keep: a shell, a flake, a module, an FHS environment.
//!
//! A value goes in, text comes out, laid out as nixfmt lays it out (RFC 166), so that a formatter changes nothing. The first
//! line says who wrote a file: what does not begin with [`MARK`] is somebody else's.

mod fhs;
mod print;
mod shell;

pub use fhs::fhs;
pub use shell::{Form, Library, Shell, attributes_of_python};

/// How every file begins that pitstop writes.
pub const MARK: &str = "# Written by `pitstop ";

/// Whether pitstop wrote a file with this content.
#[must_use]
pub fn is_ours(text: &[u8]) -> bool {
    text.starts_with(MARK.as_bytes())
}

/// The command that wrote a file, as its first line has it.
#[must_use]
pub fn written_by(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)?.lines().next()?.split('`').next()
}

/// The first lines of a file, without a closing empty one.
fn head(command: &str) -> Vec<String> {
    let command = print::plain(command).replace('`', "'");
    vec![
        format!("{}{command}`, which writes it anew when it runs again.", &MARK[2..]),
        "Without the line above it is yours, and pitstop leaves it as it is.".to_owned(),
    ]
}

/// A word as every sh reads it.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
