//! The table: JSON for programs, and a page for people.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::trial::{Ended, Outcome};

const HEAD: &str = include_str!("page.html");

/// Writes `corpus.json` and `corpus.html` into a folder.
pub(super) fn write(outcomes: &[Outcome], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let of = |which: fn(&Outcome) -> &Ended| outcomes.iter().filter(|outcome| which(outcome).ok).count();
    let document = json!({
        "schema": 1,
        "packages": outcomes.len(),
        "before": of(|outcome| &outcome.before),
        "after": of(|outcome| &outcome.after),
        "control": of(|outcome| &outcome.control),
        "outcomes": outcomes,
    });
    std::fs::write(folder.join("corpus.json"), serde_json::to_string_pretty(&document)? + "\n")?;
    std::fs::write(folder.join("corpus.html"), page(outcomes))?;
    Ok(())
}

/// How many packages work where, in one line.
pub(super) fn counts(outcomes: &[Outcome]) -> String {
    let count = |which: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| which(outcome)).count();
    format!(
        "{} packages: {} work before the fix, {} after it, {} on the control; {} end after it as on the control",
        outcomes.len(),
        count(|outcome| outcome.before.ok),
        count(|outcome| outcome.after.ok),
        count(|outcome| outcome.control.ok),
        count(Outcome::is_mended)
    )
}

fn page(outcomes: &[Outcome]) -> String {
    let mut rows = String::new();
    for outcome in outcomes {
        let Outcome { package, rank, version, code, before, after, control, provided, fix_words, .. } =
            outcome;
        let class = if outcome.is_mended() { "" } else { " class=apart" };
        let _ = write!(
            rows,
            "<tr{class}><td class=n>{rank}<td><details><summary>{} <small>{}</small></summary><pre>{}</pre></details>",
            escaped(package),
            escaped(version),
            escaped(code)
        );
        for ended in [before, after, control] {
            rows += &cell(ended);
        }
        let told = if after.ok { String::new() } else { details("what fix said", fix_words) };
        let _ = writeln!(rows, "<td>{}{told}</tr>", escaped(&provided.join(" ")));
    }
    HEAD.replace("{counts}", &escaped(&counts(outcomes))).replace("{rows}", &rows)
}

fn cell(ended: &Ended) -> String {
    if ended.ok {
        return "<td data-v=1>works".to_owned();
    }
    format!("<td data-v=0 class=no>{}", details("fails", &ended.words))
}

fn details(summary: &str, words: &str) -> String {
    format!("<details><summary>{summary}</summary><pre>{}</pre></details>", escaped(words))
}

/// As HTML takes it for text, control characters shown.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Ended, Outcome, counts, page};

    fn outcome(before: bool, after: bool, control: bool) -> Outcome {
        let ended = |ok: bool| Ended { ok, words: "<b>no</b> \u{1b}[1m".to_owned() };
        Outcome {
            package: "a<b".to_owned(),
            rank: 7,
            version: "1".to_owned(),
            code: "x & y".to_owned(),
            before: ended(before),
            after: ended(after),
            control: ended(control),
            fix: Some(0),
            fix_words: String::new(),
            provided: vec!["libz.so.1".to_owned()],
            made_with: String::new(),
        }
    }

    #[test]
    fn what_packages_and_programs_say_is_text_and_no_markup() {
        let page = page(&[outcome(false, false, true)]);
        assert!(
            page.contains("a&lt;b") && page.contains("x &amp; y") && page.contains("&lt;b&gt;no"),
            "{page}"
        );
        assert!(!page.contains("<b>no") && !page.contains('\u{1b}'), "{page}");
        assert!(page.contains("class=apart"), "{page}");
    }

    #[test]
    fn a_package_that_fails_everywhere_ends_as_on_the_control() {
        let outcomes = [outcome(false, true, true), outcome(false, false, false), outcome(true, true, true)];
        assert_eq!(
            counts(&outcomes),
            "3 packages: 1 work before the fix, 2 after it, 2 on the control; 3 end after it as on the control"
        );
    }
}
