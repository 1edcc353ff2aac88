//! The recording in the README: its first session, run in the NixOS-like root, drawn as an SVG that needs nothing else.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nixbox::{Nixbox, wheels};

use crate::run;

/// Where the answer to a command ends, in what the session says.
const MARK: &str = "=== ";
/// Columns of the terminal; longer lines go on in the next.
const COLUMNS: usize = 104;
/// What a line takes, in the units of the drawing; a letter takes 8.4 of them.
const LINE: usize = 20;
/// The window's edge, and its bar with three dots.
const EDGE: usize = 18;
const BAR: usize = 36;
/// When what follows appears: after a letter that is typed, after a command, after its answer; in milliseconds.
const TYPED: usize = 18;
const ENTERED: usize = 350;
const ANSWERED: usize = 1000;

const STYLE: &str = "\
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d8dee9;white-space:pre}
.p{fill:#88c070}.c{fill:#fff;font-weight:bold}.bad{fill:#ff7b72}.good{fill:#7ee787}
@keyframes come{from{visibility:hidden}to{visibility:visible}}
g.s{animation:come 1ms both}
@media (prefers-reduced-motion:reduce){g.s{animation:none}}
";

/// A command and what it said.
struct Step {
    command: String,
    answer: Vec<String>,
}

/// Runs the session, and writes `docs/recording.svg`.
pub(crate) fn record() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).context("README.md")?;
    let commands = session(&readme).context("README.md has no block of ```console nixbox")?;
    let steps = play(&root, &commands)?;
    let file = root.join("docs/recording.svg");
    std::fs::write(&file, draw(&steps)).with_context(|| file.display().to_string())?;
    println!("xtask: wrote {}", file.display());
    Ok(())
}

/// The commands of the first session of a page.
fn session(page: &str) -> Option<Vec<String>> {
    let (_, rest) = page.split_once("```console nixbox\n")?;
    let (block, _) = rest.split_once("```")?;
    Some(block.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect())
}

/// Runs the commands in a fresh home, pip taking wheels that are fetched before.
fn play(root: &Path, commands: &[String]) -> Result<Vec<Step>> {
    let manifest = root.join("Cargo.toml");
    run(std::process::Command::new(crate::cargo())
        .args(["build", "--quiet", "--package", "pitstop", "--manifest-path"])
        .arg(manifest))?;
    let installed = commands.iter().filter_map(|line| line.split_once(" install ")).flat_map(|(_, words)| {
        words.split_whitespace().filter(|word| !word.starts_with('-')).collect::<Vec<_>>()
    });
    let installed: Vec<&str> = installed.collect();
    let wheels = wheels::download_all(&installed, &[], "3.11", &root.join("target/tmp/wheels"))?;
    let nixbox = Nixbox::open(&mut |line| eprintln!("nixbox: {line}"))?;
    let program = nixbox.adopt(&root.join("target/debug/pitstop"))?;
    let folder = program.parent().context("the command has no folder in the root")?;
    let machine = nixbox.machine().bind(wheels, "/wheels", false).start()?;
    let mut script = String::from("exec 2>&1 </dev/null\n");
    for command in commands {
        let _ = writeln!(script, "{command}\nprintf '\\n{MARK}\\n'");
    }
    let mut bash = machine.command("bash");
    bash.env("PATH", format!("{}:/run/current-system/sw/bin", folder.display()));
    bash.envs([("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", "/wheels"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1")]);
    let output = bash.args(["-c", &script]).output()?;
    let said = String::from_utf8(output.stdout).context("what was said is no text")?;
    let answers: Vec<&str> = said.split(&format!("{MARK}\n")).collect();
    ensure!(answers.len() == commands.len() + 1, "the session ended early:\n{said}");
    let step = |(command, answer): (&String, &&str)| Step {
        command: command.clone(),
        answer: answer.trim_end().lines().map(str::to_owned).collect(),
    };
    Ok(commands.iter().zip(&answers).map(step).collect())
}

/// The session as a terminal in which one thing appears after the other.
fn draw(steps: &[Step]) -> String {
    let (mut body, mut row, mut time) = (String::new(), 0, 0);
    for step in steps {
        let lines = wrapped(&format!("$ {}", step.command));
        let _ = write!(body, "<g class=\"s\" style=\"animation-delay:{time}ms\">");
        for (number, line) in lines.iter().enumerate() {
            let (prompt, words) = if number == 0 { line.split_at(2) } else { ("", line.as_str()) };
            let _ = write!(body, "{}<tspan class=\"p\">{prompt}</tspan>", opening(row, "c"));
            let _ = writeln!(body, "{}</text>", escaped(words));
            row += 1;
        }
        body.push_str("</g>\n");
        time += ENTERED + TYPED * step.command.len();
        if !step.answer.is_empty() {
            let _ = write!(body, "<g class=\"s\" style=\"animation-delay:{time}ms\">");
            for line in &step.answer {
                for part in wrapped(line) {
                    let _ = writeln!(body, "{}{}</text>", opening(row, class(line)), escaped(&part));
                    row += 1;
                }
            }
            body.push_str("</g>\n");
            time += ANSWERED;
        }
    }
    // In units that renderers agree on: whole numbers.
    let width = 2 * EDGE + COLUMNS * 42 / 5;
    let height = BAR + row * LINE + EDGE;
    let dots: String = ["#ff5f57", "#febc2e", "#28c840"]
        .iter()
        .enumerate()
        .map(|(at, colour)| format!("<circle cx=\"{}\" cy=\"18\" r=\"6\" fill=\"{colour}\"/>", 22 + 20 * at))
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"A terminal\">\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#1b1f27\"/>{dots}\n{body}</svg>\n"
    )
}

/// The beginning of a line.
fn opening(row: usize, class: &str) -> String {
    format!("<text class=\"{class}\" xml:space=\"preserve\" x=\"{EDGE}\" y=\"{}\">", BAR + LINE * row + 14)
}

/// What a line is, for its colour; the words say it, too.
fn class(line: &str) -> &'static str {
    if line.contains("Error") || line.ends_with("missing") {
        "bad"
    } else if line.starts_with("fixed:") || line.ends_with("as it was before the fix") {
        "good"
    } else {
        "o"
    }
}

/// A line as a terminal breaks it.
fn wrapped(line: &str) -> Vec<String> {
    let letters: Vec<char> = line.chars().collect();
    if letters.is_empty() {
        return vec![String::new()];
    }
    letters.chunks(COLUMNS).map(|part| part.iter().collect()).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_first_block_of_its_kind() {
        let page = "a\n```console\n$ no\n```\n```console nixbox\n$ one\nsaid\n$ two\n```\n";
        assert_eq!(session(page).unwrap(), ["one", "two"]);
        assert!(session("none").is_none());
    }

    #[test]
    fn long_lines_go_on_in_the_next_and_nothing_is_markup() {
        let step = Step { command: "x".repeat(COLUMNS), answer: vec!["<b> & c".to_owned(), String::new()] };
        let drawn = draw(&[step]);
        assert_eq!(drawn.matches("<text").count(), 4);
        assert!(drawn.contains("&lt;b&gt; &amp; c"));
    }
}
