//! The chains as a person reads them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pitstop_core::locate::hint;

use super::chains::{Chain, VersionChain};
use super::{WhyReport, target};
use crate::output::{Output, Tone, shown};

/// Ways of one package that are shown without `--verbose`.
const WAYS_SHOWN: usize = 6;

/// A way that several files have in common.
struct Way<'a> {
    chain: &'a Chain,
    /// How many files go it.
    files: usize,
}

/// The answer.
pub(super) fn report(report: &WhyReport, verbose: bool) -> String {
    let mut text = head(report);
    for (package, chains) in grouped(&report.chains, |chain| &chain.package) {
        let _ = writeln!(text, "\n{}", Tone::Strong.paint(&name_of(package)));
        let ways = folded(&chains);
        let shown_ways = if verbose { ways.len() } else { WAYS_SHOWN.min(ways.len()) };
        for way in &ways[..shown_ways] {
            text.push_str(&line(way, report));
        }
        if ways.len() > shown_ways {
            let more = ways.len() - shown_ways;
            let _ = writeln!(text, "  and {more} more ways (--verbose shows them)");
        }
    }
    text.push_str(&versions(report));
    if report.missing && !report.looked.is_empty() {
        text.push_str("\nwhere the loader looked for it:\n");
        for tried in &report.looked {
            let path = shown(&tried.path);
            let rest = Tone::Faint.paint(&format!("{} [{}]", shown(&tried.verdict), tried.rule));
            let _ = writeln!(text, "  {path}  {rest}");
        }
    }
    text
}

pub(super) fn head(report: &WhyReport) -> String {
    let (missing, found): (Vec<&Chain>, Vec<&Chain>) =
        report.chains.iter().partition(|chain| chain.is_missing());
    let files = |chains: &[&Chain]| {
        let mut roots: Vec<&String> = chains.iter().filter_map(|chain| chain.files.first()).collect();
        roots.sort_unstable();
        roots.dedup();
        format!("{} {}", roots.len(), if roots.len() == 1 { "file" } else { "files" })
    };
    let soname = Tone::Strong.paint(&shown(&report.soname));
    match (missing.is_empty(), found.is_empty()) {
        (true, _) => {
            let place = only_place(report).map(|place| format!(" at {place}")).unwrap_or_default();
            format!("{soname}: {}\n", Tone::Good.paint(&format!("found{place}, for {}", files(&found))))
        }
        (false, true) => {
            format!("{soname}: {}\n", Tone::Bad.paint(&format!("not found, for {}", files(&missing))))
        }
        (false, false) => {
            let bad = Tone::Bad.paint(&format!("not found, for {}", files(&missing)));
            format!("{soname}: {bad}; found, for {}\n", files(&found))
        }
    }
}

/// The one file that everybody finds, if all find the same.
fn only_place(report: &WhyReport) -> Option<&str> {
    let first = report.chains.first()?.found.as_deref()?;
    report.chains.iter().all(|chain| chain.found.as_deref() == Some(first)).then_some(first)
}

/// By package, in the order of the packages; within one, in the order given.
fn grouped<'a, T>(
    all: &'a [T],
    package: impl Fn(&T) -> &Option<String>,
) -> BTreeMap<Option<&'a str>, Vec<&'a T>>
where
    T: 'a,
{
    let mut groups: BTreeMap<Option<&'a str>, Vec<&'a T>> = BTreeMap::new();
    for one in all {
        groups.entry(package(one).as_deref()).or_default().push(one);
    }
    groups
}

fn folded<'a>(chains: &[&'a Chain]) -> Vec<Way<'a>> {
    let mut ways: Vec<Way<'a>> = Vec::new();
    for &chain in chains {
        match ways.iter_mut().find(|way| way.chain.tail() == chain.tail()) {
            Some(way) => way.files += 1,
            None => ways.push(Way { chain, files: 1 }),
        }
    }
    ways
}

fn line(way: &Way<'_>, report: &WhyReport) -> String {
    let chain = way.chain;
    let way_there = chain.files.join(" › ");
    let soname = shown(&report.soname);
    let mut text = if let Some(found) = &chain.found {
        let place = if only_place(report).is_some() {
            chain.words.clone()
        } else {
            format!("found at {found}: {}", chain.words)
        };
        let words = Tone::Faint.paint(&format!("[{place}]"));
        format!("  {way_there} › {soname}  {words}\n")
    } else {
        let tone = if chain.is_missing() { Tone::Bad } else { Tone::Faint };
        format!("  {way_there} › {}\n", tone.paint(&format!("{soname}  [{}]", chain.words)))
    };
    if way.files > 1 {
        let more = way.files - 1;
        let files = if more == 1 { "file" } else { "files" };
        let whose =
            chain.package.as_ref().map(|package| format!(" of {}", shown(package))).unwrap_or_default();
        let _ = writeln!(text, "    and {more} more {files}{whose}");
    }
    text
}

fn versions(report: &WhyReport) -> String {
    let mut text = String::new();
    let mut seen: Vec<(&str, &String)> = Vec::new();
    let problems: Vec<&VersionChain> = report.version_problems.iter().collect();
    for problem in problems {
        let Some(asker) = problem.files.last() else { continue };
        if seen.contains(&(problem.version.as_str(), asker)) {
            continue;
        }
        seen.push((&problem.version, asker));
        let found = problem.found.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
        let wants = format!("{asker} wants version {}", shown(&problem.version));
        let line = format!("{wants}, which {}{found} does not define", shown(&report.soname));
        let _ = writeln!(text, "{}", Tone::Bad.paint(&line));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn name_of(package: Option<&str>) -> String {
    package.map_or_else(|| "files of no package".to_owned(), shown)
}

/// What stands beside the answer.
pub(super) fn asides(report: &WhyReport, output: &Output) {
    for unread in &report.unread {
        output.warning(&format!("could not be read: {unread}"));
    }
    if report.asked != report.soname {
        let (asked, soname) = (shown(&report.asked), shown(&report.soname));
        output.note(&format!("note: {soname} is the only name asked for that begins with {asked}"));
    }
    if report.missing {
        output.hint(&advice(report));
    }
}

fn advice(report: &WhyReport) -> String {
    let soname = shown(&report.soname);
    if report.class == "driver" {
        return format!(
            "{soname} comes with the GPU driver of this machine; `pitstop doctor` says where it is"
        );
    }
    let fix = report.environment.as_ref().map(|root| format!("`pitstop fix {}` provides it", shown(root)));
    let install = hint(&target::distribution(), [report.soname.as_str()]).command;
    match (fix, install) {
        (Some(fix), Some(install)) => format!("{fix}; by hand it is `{install}`"),
        (Some(fix), None) => fix,
        (None, Some(install)) => format!("`{install}` provides it"),
        (None, None) => format!("no package is known that has {soname}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(root: &str, tail: &[&str], found: Option<&str>) -> Chain {
        Chain {
            package: Some("p 1".to_owned()),
            files: std::iter::once(root).chain(tail.iter().copied()).map(str::to_owned).collect(),
            found: found.map(str::to_owned),
            rule: if found.is_some() { "cache" } else { "missing" },
            words: if found.is_some() { "ld.so.cache" } else { "not found" }.to_owned(),
        }
    }

    #[test]
    fn files_with_the_same_way_are_folded_and_no_others() {
        let chains = [
            chain("a.so", &["lib.so"], None),
            chain("b.so", &["lib.so"], None),
            chain("c.so", &["other.so"], None),
            chain("d.so", &["lib.so"], Some("/lib/libz.so.1")),
        ];
        let ways = folded(&chains.iter().collect::<Vec<_>>());
        let counts: Vec<usize> = ways.iter().map(|way| way.files).collect();
        assert_eq!(counts, [2, 1, 1]);
    }
}
