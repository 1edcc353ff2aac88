//! Which package to take for a library, and why: from the soname indexes that are there, and from the embedded table.

use pitstop_core::index::sonames::Kind;
use pitstop_core::locate::rank::{Ranked, Score, attribute};
use pitstop_core::locate::{Candidate, Class, Source, Suite, Witness, locate};
use pitstop_core::report::SCHEMA;
use pitstop_host::files::SystemFiles;
use pitstop_host::index::sonames::Error;
use pitstop_host::locating::{Locator, NO_CONTENTS_HINT, NO_DATABASE_HINT};
use pitstop_host::remedy::{package_set, suite};
use serde::Serialize;

use super::super::{Done, answer_json, progress, target};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Table, Tone, shown};

/// Rows of an index that are shown; `--json` has all.
const SHOWN_MAX: usize = 5;

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
    /// `nix`, `debian12` or `debian13`; `debian` where an index says so.
    source: &'static str,
    /// The attribute, or the package.
    name: String,
    /// The soname that it has.
    soname: String,
    /// Whether that is the one asked for.
    exact: bool,
    /// Why it is a candidate, and why it stands before the next.
    reason: String,
    /// Who says so: the embedded table, or which index.
    told_by: String,
    /// The file, where an index tells it.
    path: Option<String>,
    /// The parts by which it was ranked, less being better; where an index tells of it.
    score: Option<Score>,
}

/// Looks the names up.
pub(super) fn run(patterns: &[String], json: bool, output: &Output) -> Done {
    let files = SystemFiles::new();
    let distribution = target::distribution();
    let locator = |kind| {
        let building = Box::new(progress::indexing(output));
        Locator::new(kind, suite(&distribution), &files, building)
    };
    // What fits to this machine's own programs comes first.
    let own = package_set(std::path::Path::new("/"), &distribution, false);
    let other = if own == Kind::Nix { Kind::Debian } else { Kind::Nix };
    let mut locators = [(own, locator(own)), (other, locator(other))];
    let mut reports = Vec::new();
    let mut indexed = false;
    for soname in patterns {
        reports.push(report(soname, &mut locators, &mut indexed, output)?);
    }
    let empty = |report: &&SonameReport| report.candidates.is_empty();
    let unknown = reports.iter().filter(empty).count();
    let helpless = reports.iter().filter(empty).any(|report| report.class != "driver");
    if json {
        answer_json(output, &SonamesReport { schema: SCHEMA, sonames: reports })?;
    } else {
        output.answer(&reports.iter().map(text).collect::<String>());
        if helpless && !indexed {
            output.hint(if own == Kind::Nix { NO_DATABASE_HINT } else { NO_CONTENTS_HINT });
        } else if helpless {
            output.hint("`pitstop locate --regex PATTERN` searches all paths of a nix-index database");
        }
    }
    Ok(if unknown == 0 { ExitStatus::Success } else { ExitStatus::Missing })
}

fn report(
    soname: &str,
    locators: &mut [(Kind, Locator<'_>)],
    indexed: &mut bool,
    output: &Output,
) -> Result<SonameReport, CommandError> {
    let located = locate(soname);
    let mut candidates = Vec::new();
    if located.class != Class::Driver {
        for (kind, locator) in locators {
            match locator.ranked(soname, &[]) {
                Ok(Some((ranked, told_by))) => {
                    *indexed = true;
                    candidates.extend(of_index(soname, *kind, &ranked, &told_by));
                }
                Ok(None) => {}
                Err(error) => unusable(error, output)?,
            }
        }
        for candidate in &located.candidates {
            let described = of_table(candidate);
            let kind = |source: &str| source.starts_with("debian");
            let is_it = |known: &&CandidateReport| {
                known.name == described.name && kind(known.source) == kind(described.source)
            };
            if !candidates.iter().any(|known: &CandidateReport| is_it(&known)) {
                candidates.push(described);
            }
        }
    }
    let class = match located.class {
        Class::Libc => "libc",
        Class::Toolchain => "toolchain",
        Class::Driver => "driver",
        Class::Lib => "library",
    };
    Ok(SonameReport { soname: soname.to_owned(), class, candidates })
}

/// An index that cannot be used is told once, and the table answers; a damaged one that cannot be built anew is an error.
fn unusable(error: Error, output: &Output) -> Result<(), CommandError> {
    let hint = "remove that file, and the index is built anew when it is needed";
    match error {
        Error::Unusable { .. } => Err(CommandError::new(ExitStatus::Incomplete, error).hint(hint)),
        error => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            output.warning(&format!("{error}{cause}; the embedded table answers alone"));
            Ok(())
        }
    }
}

fn of_index<'r>(
    soname: &'r str,
    kind: Kind,
    ranked: &'r [Ranked],
    told_by: &'r Witness,
) -> impl Iterator<Item = CandidateReport> + use<'r> {
    ranked.iter().enumerate().map(move |(place, one)| {
        let holder = &one.holder;
        let next = ranked.get(place + 1);
        let reason = match next.map(|next| one.score.reason(&next.score)) {
            Some(Some(reason)) => reason,
            Some(None) => "as good as the next",
            None if place == 0 => "the only one that has it",
            None => "last",
        };
        let store = match kind {
            Kind::Nix => holder.package.path.to_string(),
            Kind::Debian => String::new(),
        };
        CandidateReport {
            source: if kind == Kind::Nix { "nix" } else { "debian" },
            name: match kind {
                Kind::Nix => attribute(holder),
                Kind::Debian => holder.package.origin.attribute.clone(),
            },
            soname: soname.to_owned(),
            exact: true,
            reason: reason.to_owned(),
            told_by: told_by.to_string(),
            path: Some(format!("{store}{}/{soname}", holder.folder)),
            score: Some(one.score.clone()),
        }
    })
}

fn of_table(candidate: &Candidate) -> CandidateReport {
    let (source, name) = match &candidate.source {
        Source::Nix { attribute, .. } => ("nix", attribute),
        Source::Debian { suite: Suite::Debian12, package } => ("debian12", package),
        Source::Debian { suite: Suite::Debian13, package } => ("debian13", package),
    };
    CandidateReport {
        source,
        name: name.clone(),
        soname: candidate.soname.clone(),
        exact: candidate.exact,
        reason: candidate.reason.clone(),
        told_by: candidate.told_by.to_string(),
        path: None,
        score: None,
    }
}

fn text(report: &SonameReport) -> String {
    let soname = Tone::Strong.paint(&shown(&report.soname));
    if report.class == "driver" {
        return format!("{soname}: comes with the machine's driver, and from no package\n");
    }
    if report.candidates.is_empty() {
        return format!("{soname}: no package is known that has it\n");
    }
    let mut table = Table::default();
    let mut left_out = 0;
    for source in ["nix", "debian", ""] {
        let of_source = report.candidates.iter().filter(|candidate| match source {
            "" => candidate.path.is_none(),
            source => candidate.path.is_some() && candidate.source == source,
        });
        for (number, candidate) in of_source.enumerate() {
            if candidate.path.is_some() && number >= SHOWN_MAX {
                left_out += 1;
                continue;
            }
            let tone = if candidate.exact && number == 0 { Tone::Good } else { Tone::Plain };
            let tone = if candidate.exact { tone } else { Tone::Faint };
            let path = candidate.path.as_deref().unwrap_or_default();
            let reason = if number == 0 || candidate.path.is_none() { candidate.reason.as_str() } else { "" };
            table.row([
                (format!("  {}", candidate.source), Tone::Faint),
                (shown(&candidate.name), tone),
                (shown(path), Tone::Faint),
                (shown(reason), Tone::Faint),
            ]);
        }
    }
    let more = if left_out > 0 { format!("  and {left_out} more (see --json)\n") } else { String::new() };
    format!("{soname}\n{}{more}", table.render())
}
