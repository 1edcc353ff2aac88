//! What stands in the docs' consoles is run, in order, in a fresh home of the NixOS-like root, and says what it says
//! there.
//!
//! A block ` ```console nixbox ` is run; so all blocks of a page are one session. A line that begins with `$ ` is a
//! command, `> ` goes on with it, and what follows is its answer, in which `…` stands for anything, and a line of `…`
//! alone for any lines. A command of whose answer no word is shown must succeed. A block with a file's name, ` ```toml pyproject.toml `,
//! is that file. Packages that are installed there come from wheels that were fetched before.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::pages::{Block, Page, all, page};
use crate::{Root, nixbox};

/// A command and its answer.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) answer: Vec<String>,
}

/// What the session says between two commands.
const MARK: &str = "=== status ";

/// The steps of a console block.
pub(crate) fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in block.text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let line = block.line + number + 1;
            steps.push(Step { line, command: command.to_owned(), answer: Vec::new() });
        } else if let Some(more) = line.strip_prefix("> ") {
            let step = steps.last_mut().unwrap();
            step.command = format!("{}\n{more}", step.command);
        } else if let Some(step) = steps.last_mut() {
            step.answer.push(line.trim_end().to_owned());
        } else {
            panic!("line {}: an answer without a command", block.line);
        }
    }
    for step in &mut steps {
        while step.answer.last().is_some_and(String::is_empty) {
            step.answer.pop();
        }
    }
    steps
}

/// Whether the test runs this block.
pub(crate) fn is_run(block: &Block) -> bool {
    block.words.iter().map(String::as_str).eq(["console", "nixbox"])
}

/// A file that the page shows.
fn file(block: &Block) -> Option<&str> {
    match block.words.as_slice() {
        [language, name] if language != "console" => Some(name),
        _ => None,
    }
}

/// What is installed on a page: the words behind `install`, and the dependencies of its `pyproject.toml`.
fn packages(blocks: &[Block]) -> Vec<String> {
    let mut found = Vec::new();
    for block in blocks {
        if is_run(block) {
            for step in steps(block) {
                let Some((_, rest)) = step.command.split_once(" install ") else { continue };
                let mut words = rest.split_whitespace().take_while(|word| !["#", "&&", ";"].contains(word));
                while let Some(word) = words.next() {
                    match word {
                        "--target" | "-r" => drop(words.next()),
                        word if word.starts_with('-') => {}
                        word => found.push(word.to_owned()),
                    }
                }
            }
        } else if file(block) == Some("requirements.txt") {
            found.extend(block.text.lines().map(str::to_owned));
        } else if file(block).is_some() {
            let lists = block
                .text
                .lines()
                .filter(|line| line.starts_with("dependencies = ") || line.starts_with("requires = "));
            found.extend(lists.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned));
            let deps = block.text.lines().filter_map(|line| line.strip_prefix("deps = "));
            found.extend(deps.flat_map(str::split_whitespace).map(str::to_owned));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// uv as NixOS has it: its loader there.
fn uv() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(&crate::tools::tool("uv")).unwrap())
}

/// The session of a page, as a script that marks where each command ends.
fn script(blocks: &[Block]) -> String {
    let mut script = String::new();
    for block in blocks {
        if is_run(block) {
            for step in steps(block) {
                script += &format!("{}\nprintf '\\n{MARK}%s\\n' $?\n", step.command);
            }
        } else if let Some(name) = file(block) {
            script += &format!(
                "mkdir -p $(dirname {name})\ncat > {name} <<'END OF FILE'\n{}END OF FILE\n",
                block.text
            );
        }
    }
    script
}

/// What each command of a session said, and its status.
fn answers(said: &str) -> Vec<(Vec<String>, String)> {
    let mut answers = Vec::new();
    let mut lines = Vec::new();
    for line in said.lines() {
        if let Some(status) = line.strip_prefix(MARK) {
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            answers.push((std::mem::take(&mut lines), status.to_owned()));
        } else {
            lines.push(line.trim_end().to_owned());
        }
    }
    answers
}

/// Runs a page, and fails with every command that says something else than the page shows.
fn holds(page: &Page) {
    let blocks = page.blocks();
    let requirements = packages(&blocks);
    let requirements: Vec<&str> = requirements.iter().map(String::as_str).collect();
    let all: Vec<Step> = blocks.iter().filter(|block| is_run(block)).flat_map(steps).collect();
    let tools: &[&Path] = if all.iter().any(|step| step.command.starts_with("uv ")) { &[uv()] } else { &[] };
    let said = Root::with(&requirements, tools).bash(&script(&blocks));
    let answers = answers(&said);
    let mut wrong = Vec::new();
    for (number, step) in all.iter().enumerate() {
        let place = format!("{}:{}: $ {}", page.path.display(), step.line, step.command);
        let Some((answer, status)) = answers.get(number) else {
            wrong.push(format!("{place}\nwas not reached; the session said\n{said}"));
            break;
        };
        let is_told = step.answer.iter().any(|line| line != "…");
        let is_right = if is_told { matches(&step.answer, answer) } else { status == "0" };
        if !is_right {
            wrong.push(format!("{place}\n{}\n(status {status})", answer.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Whether lines are what a page shows of them.
pub(crate) fn matches(shown: &[String], real: &[String]) -> bool {
    match (shown, real) {
        ([], []) => true,
        ([line, rest @ ..], _) if line == "…" => {
            (0..=real.len()).any(|skipped| matches(rest, &real[skipped..]))
        }
        ([line, shown @ ..], [other, real @ ..]) => line_matches(line, other) && matches(shown, real),
        _ => false,
    }
}

/// The same for one line.
pub(crate) fn line_matches(shown: &str, real: &str) -> bool {
    match shown.split_once('…') {
        None => shown == real,
        Some((head, rest)) => real.strip_prefix(head).is_some_and(|real| {
            let places = real.char_indices().map(|(at, _)| at).chain([real.len()]);
            places.into_iter().any(|at| line_matches(rest, &real[at..]))
        }),
    }
}

macro_rules! sessions {
    ($($name:ident: $path:expr;)*) => {
        const SESSIONS: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                holds(&page($path));
            }
        )*
    };
}

sessions! {
    the_readme: "README.md";
    before_anything_is_installed: "docs/before-installing.md";
    a_team_and_its_ci: "docs/ci.md";
    cuda: "docs/cuda.md";
    a_program_that_was_downloaded: "docs/downloaded-program.md";
    numpy_on_nixos: "docs/numpy-on-nixos.md";
    shells: "docs/shells.md";
    tox: "docs/tox.md";
    undo: "docs/undo.md";
    uv_on_nixos: "docs/uv-on-nixos.md";
}

/// No page with a session is left out above.
#[test]
fn every_session_is_run() {
    let with_session = all().into_iter().filter(|page| page.blocks().iter().any(is_run));
    let with_session: Vec<String> = with_session.map(|page| page.path.display().to_string()).collect();
    let mut named = SESSIONS.to_vec();
    named.sort_unstable();
    assert_eq!(with_session, named);
}

/// The info string of a console is one of those that mean something here.
#[test]
fn consoles_say_who_runs_them() {
    for page in all() {
        for block in
            page.blocks().iter().filter(|block| block.words.first().is_some_and(|it| it == "console"))
        {
            let known = block.words.len() == 1 || is_run(block);
            assert!(known, "{}:{}: {:?}", page.path.display(), block.line, block.words);
            assert!(!steps(block).is_empty(), "{}:{}: no command", page.path.display(), block.line);
        }
    }
}

#[test]
fn an_answer_is_held_against_what_is_shown() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let real = lines("a 1\nb 2\nc 3");
    assert!(matches(&lines("a …\n…\nc 3"), &real));
    assert!(matches(&lines("…\nc …"), &real));
    assert!(!matches(&lines("a 1\nc 3"), &real));
    assert!(!matches(&lines("a 1\nb 2"), &real));
    assert!(!matches(&lines("…\nd"), &real));
    assert!(matches(&lines("x/…/y, 0.… s"), &lines("x/hash/y, 0.0 s")));
}
