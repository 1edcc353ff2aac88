//! The chains as boxes and arrows.

use super::WhyReport;
use super::chains::Chain;
use super::render::head;
use crate::picture::{Kind, Node, Picture, split};

/// The picture of every way to a library. Files of a package that go the same way are one box, unless all is asked for.
pub(super) fn of(report: &WhyReport, verbose: bool) -> Picture {
    let place = report.environment.as_deref().or(report.file.as_deref());
    let title = format!(
        "Who needs {}{}",
        report.soname,
        place.map(|place| format!(" in {place}")).unwrap_or_default()
    );
    let words = anstream::adapter::strip_str(head(report).trim_end()).to_string();
    let mut picture = Picture::new(title, words);
    for chain in &report.chains {
        let Some(asker) = way(&mut picture, chain.package.as_deref(), &chain.files) else { continue };
        let to = end(&mut picture, report, chain);
        picture.edge(asker, to, chain.is_missing(), chain.words.clone());
    }
    for problem in &report.version_problems {
        let Some(asker) = way(&mut picture, problem.package.as_deref(), &problem.files) else { continue };
        if let Some(found) = &problem.found {
            let to = library(&mut picture, found, kind(report, found));
            picture.edge(asker, to, true, format!("wants version {}, which is not defined", problem.version));
        }
    }
    if !verbose {
        picture.fold();
    }
    picture
}

/// The boxes from a package to the file that asks; gives the last.
fn way(picture: &mut Picture, package: Option<&str>, files: &[String]) -> Option<usize> {
    let mut last: Option<usize> = None;
    for file in files {
        let number = if let Some(before) = last {
            let number = library(picture, file, Kind::Library);
            picture.edge(before, number, false, "brings it in".to_owned());
            number
        } else {
            let (folder, name) = split(file);
            let node = Node {
                kind: Kind::File,
                name: name.to_owned(),
                place: folder.to_owned(),
                package: package.map(str::to_owned),
                notes: Vec::new(),
            };
            let number = picture.node(file, node);
            if let Some(package) = package {
                picture.brought(package, number);
            }
            number
        };
        last = Some(number);
    }
    last
}

fn library(picture: &mut Picture, file: &str, kind: Kind) -> usize {
    let (folder, name) = split(file);
    let node =
        Node { kind, name: name.to_owned(), place: folder.to_owned(), package: None, notes: Vec::new() };
    picture.node(file, node)
}

/// The library that all is about, as it is found at the end of a chain.
fn end(picture: &mut Picture, report: &WhyReport, chain: &Chain) -> usize {
    if let Some(found) = &chain.found {
        return library(picture, found, kind(report, found));
    }
    let who = report.candidates.iter().filter(|candidate| candidate.exact);
    let has = who.map(|candidate| format!("{} has it ({})", candidate.name, candidate.source));
    let looked =
        report.looked.iter().map(|tried| format!("{}: {} [{}]", tried.path, tried.verdict, tried.rule));
    let node = Node {
        kind: if chain.is_missing() { Kind::Missing } else { Kind::Before },
        name: report.soname.clone(),
        place: chain.words.clone(),
        package: None,
        notes: has.chain(looked).collect(),
    };
    picture.node(&report.soname, node)
}

fn kind(report: &WhyReport, found: &str) -> Kind {
    let unfit = report.version_problems.iter().any(|problem| problem.found.as_deref() == Some(found));
    if unfit { Kind::Unfit } else { Kind::Library }
}
