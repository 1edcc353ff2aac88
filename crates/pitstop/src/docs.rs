//! The docs' page of commands, which is made from the command line itself, and the command lines that stand in the docs.
//! Only tests need it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

use crate::args;
use crate::exit;
use crate::files::FILES;

/// Set to write the page anew: `cargo xtask docs`.
const WRITE: &str = "PITSTOP_WRITE_GOLDEN";

const HEAD: &str = "\
# Commands, statuses, files

Made from the code by `cargo xtask docs`; a test fails where it is not current. `pitstop help COMMAND` says the same, and `pitstop man`
makes manual pages of it. What the commands do in detail stands in the [reference](reference.md).
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Words for a cell of a table: what is no code must not look like HTML.
fn cell(text: &str) -> String {
    let text = text.replace('\n', " ").replace('|', "\\|");
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

/// An option as one writes it: `-o`, `--output FILE`.
fn written(arg: &Arg) -> String {
    let names: Vec<String> = arg
        .get_value_names()
        .map(|names| names.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let mut value = names.join(" ");
    if arg.is_positional() {
        let many = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
        value = if many { format!("{value}…") } else { value };
        return if arg.is_required_set() { format!("`{value}`") } else { format!("`[{value}]`") };
    }
    let equals = if arg.is_require_equals_set() { "=" } else { " " };
    let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0 && takes_value);
    let many = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
    let value = match (takes_value, optional, many) {
        (false, ..) => String::new(),
        (_, true, true) => format!(" [{value}…]"),
        (_, true, false) => format!("[{equals}{value}]"),
        (_, false, _) => format!("{equals}{value}"),
    };
    let short = arg.get_short().map(|letter| format!("`-{letter}`, ")).unwrap_or_default();
    let long = arg.get_long().map(|name| format!("`--{name}{value}`")).unwrap_or_default();
    format!("{short}{long}")
}

/// A row for an option: how it is written, what it does, what it may be, what it is unless said.
fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut words = help;
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        words += &format!(": {}", values.join(", "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        words += &format!("; {} unless said", defaults.join(" "));
    }
    format!("| {} | {} |\n", cell(&written(arg)), cell(&words))
}

fn is_own(arg: &Arg) -> bool {
    !arg.is_hide_set() && !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

fn describe(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    *page += &format!("\n## {name}\n\n{about}.\n");
    let positionals = command.get_positionals().filter(|arg| !arg.is_hide_set());
    let rows: String = positionals
        .chain(command.get_arguments().filter(|arg| !arg.is_positional()))
        .filter(|arg| is_own(arg))
        .map(row)
        .collect();
    if !rows.is_empty() {
        *page += &format!("\n| | |\n| --- | --- |\n{rows}");
    }
    for below in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        describe(below, page);
    }
}

/// The whole page.
fn page() -> String {
    let mut whole = args::command();
    whole.build();
    let mut page = HEAD.to_owned();
    page += "\n## Options of every command\n\n| | |\n| --- | --- |\n";
    page.extend(whole.get_arguments().filter(|arg| arg.is_global_set()).map(row));
    page += "| `-h`, `--help` | What the command does and takes |\n";
    for command in whole.get_subcommands().filter(|it| !it.is_hide_set()) {
        describe(command, &mut page);
    }
    page += "\n## Exit status\n\n| status | meaning |\n| ---: | --- |\n";
    for (status, meaning) in exit::MEANINGS {
        page += &format!("| {} | {} |\n", *status as u8, cell(meaning));
    }
    page += "| 101 | A bug in pitstop |\n";
    page += "\n`run` and `fhs` become the command that they are given, so that its status is theirs.\n";
    page += "\n## Files\n\n`VENV` is an environment, `SITE` its site-packages. `$XDG_CACHE_HOME` is `~/.cache` where it is not set, \
             `$XDG_STATE_HOME`\n`~/.local/state`, `$XDG_CONFIG_HOME` `~/.config`. What pitstop has in the first two may be deleted when nothing \
             runs.\n\n| file | pitstop | what |\n| --- | --- | --- |\n";
    for (paths, access, what) in FILES {
        let paths: Vec<String> = paths.split(", ").map(|path| format!("`{path}`")).collect();
        page += &format!("| {} | {} | {} |\n", paths.join(", "), access.word(), cell(what));
    }
    page
}

#[test]
fn the_page_of_commands_is_current() {
    let file = root().join("docs/commands.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let different = page.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(there == page, "docs/commands.md is not current: run `cargo xtask docs`\n{different:?}");
}

/// Every file that people read.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    files.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    files.retain(|file| file.extension().is_some_and(|end| end == "md"));
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// The words of a shell's line, as far as docs use them: quotes, and what ends a command.
fn commands_of(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    for letter in line.chars().chain([' ']) {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ';' | '|' | '&' | '#' | '>' | ' ' | '\n' | '\t') => {
                if !word.is_empty() {
                    commands.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                match letter {
                    '#' => break,
                    ';' | '|' | '&' | '>' => commands.push(Vec::new()),
                    _ => {}
                }
            }
            _ => word.push(letter),
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// The command lines of pitstop in a page's consoles: behind `$ `, or behind `RUN ` in a Dockerfile.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut language = None;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("```") {
            language = if language.is_some() { None } else { words.split_whitespace().next() };
            continue;
        }
        let command = match language {
            Some("console") => line.strip_prefix("$ "),
            Some("dockerfile") => line.strip_prefix("RUN "),
            Some("sh") => Some(line),
            _ => {
                line.strip_prefix("    $ ").or_else(|| line.strip_prefix("    pitstop ").map(|_| &line[4..]))
            }
        };
        found.extend(command.into_iter().flat_map(commands_of));
    }
    found.retain(|words| words[0] == "pitstop");
    found
}

#[test]
fn every_command_line_of_the_docs_is_one_that_pitstop_takes() {
    let mut count = 0;
    for (file, text) in pages() {
        for words in command_lines(&text) {
            count += 1;
            if let Err(error) = args::command().try_get_matches_from(&words) {
                assert!(!error.use_stderr(), "{}: {}\n{error}", file.display(), words.join(" "));
            }
        }
    }
    assert!(count > 40, "only {count} command lines were found");
}

/// Commands and options that stand in prose, `pitstop fix --locked`, are there, too.
#[test]
fn every_command_that_prose_names_exists() {
    let mut whole = args::command();
    whole.build();
    let mut count = 0;
    for (file, text) in pages() {
        for code in text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("pitstop ")) {
            let mut words = code.split_whitespace().map(|word| word.trim_matches(['[', ']']));
            let place = format!("{}: pitstop {code}", file.display());
            let Some(name) = words.next() else { continue };
            if name.chars().all(|letter| letter.is_ascii_uppercase()) || name == "…" || name.starts_with('-')
            {
                continue;
            }
            let mut command = whole.find_subcommand(name).unwrap_or_else(|| panic!("{place}"));
            count += 1;
            for word in words.take_while(|word| *word != "--") {
                if let Some(below) = command.find_subcommand(word) {
                    command = below;
                }
                let Some(option) = word.strip_prefix("--") else { continue };
                let option = option.split(['=', '[']).next().unwrap();
                let has = command.get_arguments().any(|arg| arg.get_long() == Some(option));
                assert!(has, "{place}: there is no --{option}");
            }
        }
    }
    assert!(count > 60, "only {count} commands were found");
}

#[test]
fn a_shells_line_is_taken_apart() {
    let words = |line: &str| commands_of(line).iter().map(|words| words.join("·")).collect::<Vec<_>>();
    assert_eq!(words("a 'b c' && d | e > f # g"), ["a·b c", "d", "e", "f"]);
    assert_eq!(words("x=1; pitstop fix"), ["x=1", "pitstop·fix"]);
}
