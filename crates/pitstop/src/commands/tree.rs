//! `pitstop tree`: what a file loads, each edge with the rule that found it.

pub(super) mod graph;
mod picture;
pub(super) mod render;
pub(super) mod subject;

use pitstop_core::report::SCHEMA;
use serde::Serialize;

use super::{Done, answer_json, check};
use crate::args::Tree;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Verbosity};
use graph::Graph;
use subject::{Home, Subject};

/// The answer, as other programs read it.
#[derive(Debug, Serialize)]
struct TreeReport {
    /// The version of this document.
    schema: u32,
    /// The file, absolute.
    file: String,
    /// `program`, `static program` or `library`.
    kind: &'static str,
    /// The program in whose process it is opened.
    program: Option<String>,
    /// The loader of that process.
    loader: Option<String>,
    /// Whether that loader is there.
    loader_exists: bool,
    /// The environment that the file is in.
    environment: Option<String>,
    /// Whether all that it needs is found, in the versions that it needs.
    complete: bool,
    /// Files and what they ask for.
    #[serde(flatten)]
    graph: Graph,
}

/// Shows the tree of one file.
pub(super) fn run(tree: &Tree, json: bool, verbosity: Verbosity, output: &Output) -> Done {
    let subject = Subject::open(&tree.file)?;
    let report = report(&subject)?;
    let complete = report.complete;
    if json {
        answer_json(output, &report)?;
    } else {
        let verbose = verbosity == Verbosity::Verbose;
        let drawn = render::tree(&report, &subject, verbose);
        if tree.drawing.is_asked() {
            picture::of(&report, &subject, verbose).answer(&tree.drawing, output)?;
        } else {
            output.answer(&drawn.text);
        }
        render::asides(&report, &subject, &drawn, output);
    }
    Ok(if complete { ExitStatus::Success } else { ExitStatus::Missing })
}

fn report(subject: &Subject) -> Result<TreeReport, CommandError> {
    let graph = match &subject.home {
        Home::Static => Graph::alone(subject),
        Home::NoLoader { .. } => Graph::unresolved(subject),
        _ => {
            let process = subject.process(check::caller_environment())?;
            let loading = subject.load(&process);
            Graph::of(subject, &process, &loading)
        }
    };
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let loader_exists = !matches!(subject.home, Home::NoLoader { .. });
    Ok(TreeReport {
        schema: SCHEMA,
        file: text(&subject.file),
        kind: subject.kind(),
        program: subject.program().map(text),
        loader: subject.loader_path().map(text),
        loader_exists,
        environment: subject.survey().map(|survey| text(&survey.environment.root)),
        complete: loader_exists && graph.is_complete(),
        graph,
    })
}
