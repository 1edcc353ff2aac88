//! `pitstop man`: the manual, made of what the command line says of itself.

use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use super::Done;
use super::fix::shown_path;
use crate::args::{self, Man};
use crate::error::CommandError;
use crate::exit::{ExitStatus, MEANINGS};
use crate::files::FILES;
use crate::output::{Output, shown};

/// Prints one page, or writes all of them.
pub(super) fn run(man: &Man, output: &Output) -> Done {
    let mut whole = args::command();
    whole.build();
    if let Some(folder) = &man.output {
        write_all(&whole, folder).map_err(|error| {
            CommandError::new(ExitStatus::Usage, format!("{}: {error}", shown_path(folder)))
                .hint("name a folder that you may write to")
        })?;
        return Ok(ExitStatus::Success);
    }
    let mut command = &whole;
    for word in &man.command {
        command = command.find_subcommand(word).ok_or_else(|| {
            let name = shown(man.command.join(" "));
            CommandError::new(ExitStatus::Usage, format!("there is no command `{name}`"))
                .hint("`pitstop --help` lists the commands")
        })?;
    }
    let page = page(command).map_err(|error| CommandError::new(ExitStatus::Usage, error))?;
    output.answer(&String::from_utf8_lossy(&page));
    Ok(ExitStatus::Success)
}

fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| write_all(it, folder))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let source = format!("pitstop {}", env!("CARGO_PKG_VERSION"));
    let page = Page::new(command.clone()).source(source).manual("Pitstop");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let is_main = command.get_name() == "pitstop";
    if is_main {
        notes(command).to_writer(&mut text)?;
        listed("EXIT STATUS", MEANINGS.iter().map(|(status, what)| ((*status as u8).to_string(), *what)))
            .to_writer(&mut text)?;
        listed("FILES", FILES.iter().map(|(path, _, what)| ((*path).to_owned(), *what)))
            .to_writer(&mut text)?;
    }
    let mut also = Roff::new();
    also.control("SH", ["SEE ALSO"]);
    let words = if is_main { "pitstop help, ld.so(8), nix-shell(1)" } else { "pitstop(1), pitstop help" };
    also.text([roman(words)]);
    also.to_writer(&mut text)?;
    Ok(text)
}

/// What `--help` ends with.
fn notes(command: &Command) -> Roff {
    let mut notes = Roff::new();
    notes.control("SH", ["NOTES"]);
    let words = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The statuses have a section of their own.
    for paragraph in words.split("\n\n").filter(|words| !words.starts_with("Exit status")) {
        notes.control("PP", []);
        notes.text([roman(paragraph.replace('\n', " "))]);
    }
    notes
}

/// A section of names and what they mean.
fn listed(title: &str, rows: impl Iterator<Item = (String, &'static str)>) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (name, what) in rows {
        section.control("TP", []);
        section.text([bold(name)]);
        section.text([roman(what)]);
    }
    section
}
