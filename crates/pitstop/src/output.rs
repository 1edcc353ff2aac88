//! Where words go: the answer to standard output, everything else to standard error.
//!
//! This is the one place that prints. Control characters in names (a hostile wheel may carry any) are shown escaped, and
//! of URLs no name and no password is shown.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use pitstop_core::secrets::without_credentials;
use unicode_width::UnicodeWidthStr;

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors, hints, what was done.
    Normal,
    /// How it was done too.
    Verbose,
}

/// A style that names what a word is; meaning is never carried by colour alone.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    /// A library, a package: what the eye looks for.
    Strong,
    /// Something wrong.
    Bad,
    /// Something well.
    Good,
    /// Less important than the rest.
    Faint,
    /// As it is.
    Plain,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Strong => Style::new().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Faint => Style::new().dimmed(),
            Self::Plain => Style::new(),
        }
    }

    /// The text in this tone, with escape sequences that the output strips where they are not wanted.
    pub(crate) fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// The two streams and how to speak on them.
pub(crate) struct Output {
    verbosity: Verbosity,
}

#[expect(clippy::unused_self, reason = "who may speak holds an `Output`, however loud it is")]
impl Output {
    /// An output that speaks as loudly as asked for.
    pub(crate) const fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// Whether a person watches standard error, so that progress may be drawn there.
    pub(crate) fn shows_progress(&self) -> bool {
        self.verbosity > Verbosity::Quiet && io::stderr().is_terminal()
    }

    /// Writes the answer. A reader that went away (`pitstop check | head`) is no error.
    pub(crate) fn answer(&self, text: &str) {
        let text = without_credentials(text);
        let plain = anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never;
        // At once: standard output is written line by line otherwise.
        let text = if plain { anstream::adapter::strip_str(&text).to_string() } else { text.into_owned() };
        let mut stream = io::stdout().lock();
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }

    /// An answer that is written as it is found.
    pub(crate) fn stream(&self) -> Stream {
        Stream {
            held: Vec::with_capacity(STREAM_HELD + 4096),
            terminal: io::stdout().is_terminal(),
            coloured: anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        }
    }

    /// One line for a person, unless told to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            line(text);
        }
    }

    /// One line for the curious.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbosity > Verbosity::Normal {
            line(&Tone::Faint.paint(text));
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self, text: &str) {
        let label = AnsiColor::Cyan.on_default().bold();
        self.note(&format!("{label}hint{label:#}: {}", safe(text)));
    }

    /// Something that is not as it should be, though the command goes on.
    pub(crate) fn warning(&self, text: &str) {
        let label = AnsiColor::Yellow.on_default().bold();
        self.note(&format!("{label}warning{label:#}: {}", safe(text)));
    }

    /// What ended the command; said even when quiet.
    pub(crate) fn error(&self, text: &str) {
        line(&format!("{}: {}", Tone::Bad.paint("error"), safe(text)));
    }

    /// Why, below an error.
    pub(crate) fn cause(&self, text: &str) {
        line(&format!("  because {}", safe(text)));
    }
}

/// Bytes that wait to be written.
const STREAM_HELD: usize = 64 << 10;

/// An answer that is written as it is found, byte for byte: what is written says itself what is safe on a terminal, and
/// whether it has colours.
pub(crate) struct Stream {
    held: Vec<u8>,
    terminal: bool,
    coloured: bool,
}

impl Stream {
    /// Whether a person reads it.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether it takes colours.
    pub(crate) const fn is_coloured(&self) -> bool {
        self.coloured
    }

    /// Writes, soon. An error says that nobody reads on.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < STREAM_HELD { Ok(()) } else { self.write_held() }
    }

    /// Writes what waits. A reader that went away is no error.
    pub(crate) fn flush(&mut self) {
        let _ = self.write_held();
    }

    fn write_held(&mut self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.held).and_then(|()| stdout.flush());
        self.held.clear();
        written
    }
}

fn line(text: &str) {
    let mut stream = anstream::stderr().lock();
    let _ = writeln!(stream, "{}", without_credentials(text));
}

/// A name from outside, made safe to show: control characters are escaped, so that no file name can move the cursor.
pub(crate) fn shown(name: impl AsRef<[u8]>) -> String {
    let mut safe = String::new();
    for character in String::from_utf8_lossy(name.as_ref()).chars() {
        if character.is_control() {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Words of others, safe to show: as [`shown`], but for their line breaks.
fn safe(words: &str) -> String {
    words.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// Rows of cells under a header, columns aligned, two spaces apart.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// A table with its header.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| ((*cell).to_owned(), Tone::Faint)).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(cell, _)| cell.width())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, (cell, tone)) in row.iter().enumerate() {
                text.push_str(&tone.paint(cell));
                if column + 1 < row.len() {
                    text.extend(std::iter::repeat_n(' ', widths[column] - cell.width() + 2));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_name_are_escaped() {
        assert_eq!(shown(b"evil\x1b[2Jlib\n.so"), "evil\\u{1b}[2Jlib\\n.so");
        assert_eq!(shown("größe.so"), "größe.so");
    }

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table = Table::new(&["a", "b"]);
        table.row([("日本".to_owned(), Tone::Plain), ("x".to_owned(), Tone::Plain)]);
        table.row([("abcd".to_owned(), Tone::Plain), ("y".to_owned(), Tone::Plain)]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "a     b\n日本  x\nabcd  y\n");
    }
}
