//! The tree as boxes and arrows.

use super::TreeReport;
use super::graph::{Edge, Graph, is_libc};
use super::render::rule_words;
use super::subject::Subject;
use crate::picture::{Kind, Node, Picture, split};

/// The picture of what a file loads. Needs of libc's own parts that are found are left out, unless all is asked for.
pub(super) fn of(report: &TreeReport, subject: &Subject, verbose: bool) -> Picture {
    let graph = &report.graph;
    let mut picture = Picture::new(format!("What {} loads", graph.nodes[0].short), words(report));
    let shown = |edge: &&Edge| verbose || edge.to.is_none() || !is_libc(&edge.soname);
    let unfit = |number: usize| {
        let path = Some(&graph.nodes[number].path);
        graph.version_problems.iter().any(|problem| problem.fatal && problem.found.as_ref() == path)
    };
    // In the order of the needs, so that what is left out has no box.
    let root = file(&mut picture, graph, 0, Kind::File);
    if let Some(package) = &graph.nodes[0].package {
        picture.brought(package, root);
    }
    let kind = |number: usize| match number {
        0 => Kind::File,
        _ if unfit(number) => Kind::Unfit,
        _ if graph.nodes[number].loaded_before => Kind::Before,
        _ => Kind::Library,
    };
    for edge in graph.edges.iter().filter(shown) {
        // What only a part of libc asks for is left out with it.
        if !verbose && edge.from != 0 && is_libc(split(&graph.nodes[edge.from].path).1) {
            continue;
        }
        let from = file(&mut picture, graph, edge.from, kind(edge.from));
        let words = rule_words(edge, graph, subject.opener());
        let (to, bad) = match edge.to {
            Some(to) => (file(&mut picture, graph, to, kind(to)), false),
            None => (missing(&mut picture, edge, &words), edge.is_fatal()),
        };
        picture.edge(from, to, bad, words);
    }
    for problem in graph.version_problems.iter().filter(|problem| problem.fatal) {
        let found = graph.nodes.iter().position(|node| Some(&node.path) == problem.found.as_ref());
        if let Some(found) = found {
            let from = file(&mut picture, graph, problem.from, kind(problem.from));
            let to = file(&mut picture, graph, found, kind(found));
            picture.edge(from, to, true, format!("wants version {}, which is not defined", problem.version));
        }
    }
    picture
}

fn file(picture: &mut Picture, graph: &Graph, number: usize, kind: Kind) -> usize {
    let node = &graph.nodes[number];
    let (folder, name) = split(&node.short);
    let mut notes = vec![node.path.clone()];
    if let Some(soname) = node.soname.as_deref().filter(|soname| *soname != name) {
        notes.push(format!("soname {soname}"));
    }
    let problems = graph.version_problems.iter().filter(|problem| problem.found.as_ref() == Some(&node.path));
    notes.extend(problems.map(|problem| format!("does not define version {}", problem.version)));
    let drawn = Node {
        kind,
        name: name.to_owned(),
        place: folder.to_owned(),
        package: node.package.clone(),
        notes: if kind == Kind::File { Vec::new() } else { notes },
    };
    picture.node(&node.path, drawn)
}

fn missing(picture: &mut Picture, edge: &Edge, words: &str) -> usize {
    let notes = edge.probes.iter().map(|tried| format!("{}: {} [{}]", tried.path, tried.verdict, tried.rule));
    let node = Node {
        kind: if edge.is_fatal() { Kind::Missing } else { Kind::Before },
        name: edge.soname.clone(),
        place: words.to_owned(),
        package: None,
        notes: notes.collect(),
    };
    picture.node(&edge.soname, node)
}

fn words(report: &TreeReport) -> String {
    let graph = &report.graph;
    let mut missing: Vec<&str> =
        graph.edges.iter().filter(|edge| edge.is_fatal()).map(|edge| edge.soname.as_str()).collect();
    missing.sort_unstable();
    missing.dedup();
    let many = match missing.len() {
        0 if report.complete => return "all that it needs is found".to_owned(),
        0 => return "a version that it needs is not defined".to_owned(),
        1 => "1 library".to_owned(),
        many => format!("{many} libraries"),
    };
    let state =
        if report.loader_exists { "not found" } else { "not looked for, since its loader is not there" };
    format!("{many} {state}: {}", missing.join(", "))
}
