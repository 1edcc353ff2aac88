//! Which package to take for a library, and why.

use pitstop_core::locate::{Candidate, Class, Located, Source, Suite, locate};
use pitstop_core::report::SCHEMA;
use serde::Serialize;

use super::super::{Done, answer_json};
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};

/// The answer, as other programs read it.
#[derive(Debug, Serialize)]
struct SonamesReport {
    /// The version of this document.
    schema: u32,
    /// One for each name that was asked for.
    sonames: Vec<SonameReport>,
}

/// What is known of one name.
#[derive(Debug, Serialize)]
struct SonameReport {
    soname: String,
    /// What kind of library it is: `libc`, `toolchain`, `driver` or `library`.
    class: &'static str,
    /// Who has it, best first.
    candidates: Vec<CandidateReport>,
}

/// One who has it.
#[derive(Debug, Serialize)]
struct CandidateReport {
    /// `nix`, `debian12` or `debian13`.
    source: &'static str,
    /// The attribute, or the package.
    name: String,
    /// The soname that it has.
    soname: String,
    /// Whether that is the one asked for.
    exact: bool,
    /// Why it is a candidate.
    reason: String,
}

/// Looks the names up.
pub(super) fn run(patterns: &[String], json: bool, output: &Output) -> Done {
    let located: Vec<Located> = patterns.iter().map(|pattern| locate(pattern)).collect();
    let unknown: Vec<&Located> = located.iter().filter(|located| located.candidates.is_empty()).collect();
    if json {
        let sonames = located.iter().map(report).collect();
        answer_json(output, &SonamesReport { schema: SCHEMA, sonames })?;
    } else {
        output.answer(&located.iter().map(text).collect::<String>());
        if unknown.iter().any(|located| located.class != Class::Driver) {
            output.hint("`pitstop locate --db DATABASE PATTERN` searches a nix-index database");
        }
    }
    Ok(if unknown.is_empty() { ExitStatus::Success } else { ExitStatus::Missing })
}

fn text(located: &Located) -> String {
    let soname = Tone::Strong.paint(&shown(&located.soname));
    if located.class == Class::Driver {
        return format!("{soname}: comes with the machine's driver, and from no package\n");
    }
    if located.candidates.is_empty() {
        return format!("{soname}: no package is known that has it\n");
    }
    let mut table = Table::default();
    for candidate in &located.candidates {
        let (source, name) = named(candidate);
        let tone = if candidate.exact { Tone::Plain } else { Tone::Faint };
        let cells = [(format!("  {source}"), Tone::Faint), (shown(name), tone)];
        table.row(cells.into_iter().chain([(shown(&candidate.reason), Tone::Faint)]));
    }
    format!("{soname}\n{}", table.render())
}

fn named(candidate: &Candidate) -> (&'static str, &String) {
    match &candidate.source {
        Source::Nix { attribute, .. } => ("nix", attribute),
        Source::Debian { suite: Suite::Debian12, package } => ("debian12", package),
        Source::Debian { suite: Suite::Debian13, package } => ("debian13", package),
    }
}

fn report(located: &Located) -> SonameReport {
    let candidate = |candidate: &Candidate| {
        let (source, name) = named(candidate);
        CandidateReport {
            source,
            name: name.clone(),
            soname: candidate.soname.clone(),
            exact: candidate.exact,
            reason: candidate.reason.clone(),
        }
    };
    SonameReport {
        soname: located.soname.clone(),
        class: match located.class {
            Class::Libc => "libc",
            Class::Toolchain => "toolchain",
            Class::Driver => "driver",
            Class::Lib => "library",
        },
        candidates: located.candidates.iter().map(candidate).collect(),
    }
}
