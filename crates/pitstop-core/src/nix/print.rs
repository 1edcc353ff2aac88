//! Expressions of Nix, laid out as nixfmt lays them out: as many as pitstop writes.

use std::fmt::Write as _;

/// Where nixfmt breaks lines.
const WIDTH: usize = 100;

/// An expression.
pub(super) enum Expr {
    /// A name, a selection, a string: written as it is, on one line.
    Plain(String),
    /// The lines of a `''` string, which may have characters that mean something there.
    Lines(Vec<String>),
    /// `[ … ]`
    List(Vec<Entry>),
    /// `{ … }`
    Set(Vec<Entry>),
    /// `let … in …`
    Let(Vec<Entry>, Box<Expr>),
    /// `{ … }: …`, with the arguments as they are written.
    Function(Vec<String>, Box<Expr>),
    /// A function applied to a list or a set.
    Call(String, Box<Expr>),
    /// A function applied to one of a single argument, which stands in brackets.
    Each(String, String, Box<Expr>),
    /// `if … then … else …`, the parts being sets.
    If(String, Box<Expr>, Box<Expr>),
}

/// A part of a list (without a name), of a set or of a `let`.
pub(super) struct Entry {
    /// Lines above it.
    pub(super) comments: Vec<String>,
    /// Whether an empty line parts it from what stands above.
    pub(super) apart: bool,
    pub(super) name: Option<String>,
    pub(super) value: Expr,
    /// On its line, behind it.
    pub(super) beside: Option<String>,
}

impl Entry {
    /// An element of a list.
    pub(super) fn element(value: impl Into<String>) -> Self {
        Self {
            comments: Vec::new(),
            apart: false,
            name: None,
            value: Expr::Plain(value.into()),
            beside: None,
        }
    }

    /// `name = value;`
    pub(super) fn binding(name: &str, value: Expr) -> Self {
        Self { comments: Vec::new(), apart: false, name: Some(name.to_owned()), value, beside: None }
    }

    /// `inherit name;`
    pub(super) fn inherit(name: &str) -> Self {
        let mut entry = Self::element(format!("inherit {name};"));
        entry.name = Some(String::new());
        entry
    }

    pub(super) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    pub(super) fn saying(mut self, comments: Vec<String>) -> Self {
        self.comments = comments;
        self
    }
}

/// A whole file: comments, then an expression.
pub(super) fn file(comments: &[String], expression: &Expr) -> String {
    let mut text = String::new();
    for line in comments {
        let _ = writeln!(text, "{}", comment(line));
    }
    write(expression, 0, &mut text);
    text.push('\n');
    text
}

/// An expression whose first line begins where the text ends, and whose others are indented by `indent`.
fn write(expression: &Expr, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match expression {
        Expr::Plain(plain) => text.push_str(plain),
        Expr::Lines(lines) => {
            text.push_str("''\n");
            for line in lines {
                let _ = writeln!(text, "{pad}  {}", escaped(line));
            }
            let _ = write!(text, "{pad}''");
        }
        Expr::List(entries) => match entries.as_slice() {
            [] => text.push_str("[ ]"),
            [Entry { comments, value: Expr::Plain(one), beside: None, .. }] if comments.is_empty() => {
                let _ = write!(text, "[ {one} ]");
            }
            entries => {
                text.push_str("[\n");
                write_entries(entries, indent + 2, text);
                let _ = write!(text, "{pad}]");
            }
        },
        Expr::Set(entries) => {
            text.push_str("{\n");
            write_entries(entries, indent + 2, text);
            let _ = write!(text, "{pad}}}");
        }
        Expr::Let(entries, body) => {
            text.push_str("let\n");
            write_entries(entries, indent + 2, text);
            let _ = write!(text, "{pad}in\n{pad}");
            write(body, indent, text);
        }
        Expr::Function(arguments, body) => {
            match arguments.as_slice() {
                [one] if !one.contains('?') => {
                    let _ = write!(text, "{{ {one} }}:");
                }
                [one, rest] if rest == "..." && !one.contains('?') => {
                    let _ = write!(text, "{{ {one}, ... }}:");
                }
                arguments => {
                    text.push_str("{\n");
                    for argument in arguments {
                        let comma = if argument == "..." { "" } else { "," };
                        let _ = writeln!(text, "{pad}  {argument}{comma}");
                    }
                    let _ = write!(text, "{pad}}}:");
                }
            }
            let _ = write!(text, "\n{pad}");
            write(body, indent, text);
        }
        Expr::Call(function, argument) => {
            let _ = write!(text, "{function} ");
            write(argument, indent, text);
        }
        Expr::Each(function, argument, body) => {
            let _ = write!(text, "{function} (\n{pad}  {argument}:\n{pad}  ");
            write(body, indent + 2, text);
            let _ = write!(text, "\n{pad})");
        }
        Expr::If(condition, then, otherwise) => {
            let _ = write!(text, "if {condition} then\n{pad}  ");
            write(then, indent + 2, text);
            let _ = write!(text, "\n{pad}else\n{pad}  ");
            write(otherwise, indent + 2, text);
        }
    }
}

fn write_entries(entries: &[Entry], indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    for entry in entries {
        if entry.apart {
            text.push('\n');
        }
        for line in &entry.comments {
            let _ = writeln!(text, "{pad}{}", comment(line));
        }
        text.push_str(&pad);
        match (&entry.name, &entry.value) {
            (None, value) => write(value, indent, text),
            (Some(name), Expr::Plain(whole)) if name.is_empty() => text.push_str(whole),
            // What cannot stand beside its name begins on a line of its own.
            (Some(name), value @ (Expr::Function(..) | Expr::Let(..) | Expr::If(..))) => {
                let _ = write!(text, "{name} =\n{pad}  ");
                write(value, indent + 2, text);
                text.push(';');
            }
            (Some(name), value) => {
                let _ = write!(text, "{name} = ");
                write(value, indent, text);
                text.push(';');
            }
        }
        if let Some(beside) = &entry.beside {
            let _ = write!(text, " {}", comment(beside));
        }
        text.push('\n');
    }
}

/// A line as it stands between `''` (the Nix manual, "String literals"): two quotes are written as three, `${` behind two.
/// One quote before a `$` would make three of these two, and so is written behind two and a backslash.
fn escaped(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let (taken, written) = match rest {
            _ if rest.starts_with("''") => ("''", "'''"),
            _ if rest.starts_with("'$") => ("'", "''\\'"),
            _ if rest.starts_with("${") => ("${", "''${"),
            _ => (&rest[..letter.len_utf8()], &rest[..letter.len_utf8()]),
        };
        text.push_str(written);
        rest = &rest[taken.len()..];
    }
    text
}

fn comment(line: &str) -> String {
    if line.is_empty() { "#".to_owned() } else { format!("# {line}") }
}

/// Words on one line: whatever would end it, or hide what stands there, is shown as something else.
pub(super) fn plain(words: &str) -> String {
    words.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

/// An entry with words about it: beside it where they fit, else above.
pub(super) fn with_words(mut entry: Entry, words: &str, indent: usize) -> Entry {
    let words = plain(words);
    let taken = match &entry.value {
        Expr::Plain(text) => text.chars().count(),
        _ => 0,
    };
    if indent + taken + " # ".len() + words.chars().count() <= WIDTH {
        entry.beside = Some(words);
    } else {
        entry.comments = wrapped(&words, indent);
    }
    entry
}

/// Words in lines, none of which is too long where that can be had.
pub(super) fn wrapped(words: &str, indent: usize) -> Vec<String> {
    let width = WIDTH - indent - "# ".len();
    let mut lines: Vec<String> = Vec::new();
    for word in plain(words).split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A string.
pub(super) fn string(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace("${", r"\${")
        .replace('\n', r"\n")
        .replace('\r', r"\r")
        .replace('\t', r"\t");
    format!("\"{escaped}\"")
}

/// What no attribute may be named without quotes (`or` may, and is quoted all the same).
const WORDS: [&str; 10] = ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// An attribute of `set`, given as a path with dots.
pub(super) fn select(set: &str, attribute: &str) -> String {
    let mut text = set.to_owned();
    for name in attribute.split('.') {
        let mut letters = name.chars();
        let is_name = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "_'-".contains(letter))
            && !WORDS.contains(&name);
        text.push('.');
        text.push_str(&if is_name { name.to_owned() } else { string(name) });
    }
    text
}

/// The first of several attributes of `pkgs` that is there, as an element of a list.
pub(super) fn first_of(attributes: &[String]) -> String {
    let names: Vec<String> = attributes.iter().map(|attribute| select("pkgs", attribute)).collect();
    match names.as_slice() {
        [one] => one.clone(),
        names => format!("({})", names.join(" or ")),
    }
}
