//! The tree as a person reads it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use super::TreeReport;
use super::graph::{Edge, Graph, Node, VersionProblem, file_name, is_libc};
use super::subject::{Home, Subject};
use crate::output::{Output, Tone, shown};

/// A tree as text, and what is not in it.
pub(super) struct Drawn {
    /// The text.
    pub(super) text: String,
    /// How many needs of libc's own parts are left out.
    hidden: usize,
}

/// Draws the tree.
pub(super) fn tree(report: &TreeReport, subject: &Subject, verbose: bool) -> Drawn {
    let mut painter = Painter {
        graph: &report.graph,
        subject,
        verbose,
        shown: HashSet::from([0]),
        drawn: Drawn { text: String::new(), hidden: 0 },
    };
    let root = &report.graph.nodes[0];
    let package = root.package.as_ref().map(|package| Tone::Faint.paint(&format!("  {}", shown(package))));
    let head = Tone::Strong.paint(&root.short);
    painter.drawn.text = format!("{head}{}\n", package.unwrap_or_default());
    painter.needs(0, "");
    painter.drawn
}

/// What stands beside the tree.
pub(super) fn asides(report: &TreeReport, subject: &Subject, drawn: &Drawn, output: &Output) {
    match &subject.home {
        Home::Environment(survey) => {
            let python = shown(survey.python.executable.as_os_str().as_encoded_bytes());
            output.detail(&format!("opened in the process of {python}"));
        }
        Home::Machine { program, loader, .. } => output.note(&format!(
            "note: opened as {} would, by the loader {}",
            shown(program.as_os_str().as_encoded_bytes()),
            shown(loader.path.as_os_str().as_encoded_bytes())
        )),
        Home::Itself { loader } => {
            output.detail(&format!("started by {}", shown(loader.path.as_os_str().as_encoded_bytes())));
        }
        Home::NoLoader { path, why } => output.warning(&format!(
            "its loader {} is of no use: {why}; so its libraries were not looked for",
            shown(path.as_os_str().as_encoded_bytes())
        )),
        Home::Static => output.note("note: a static program: it needs no loader and no library"),
    }
    if drawn.hidden > 0 {
        let many = drawn.hidden;
        let needs = if many == 1 { "need" } else { "needs" };
        output.note(&format!("note: {many} {needs} of libc's own parts left out (--verbose shows them)"));
    }
    if let Some(missing) = report.graph.edges.iter().find(|edge| edge.is_fatal() && edge.rule != "no-loader")
    {
        let soname = shown(&missing.soname);
        output.hint(&match subject.survey() {
            Some(survey) => {
                let root = shown(survey.environment.root.as_os_str().as_encoded_bytes());
                format!("`pitstop why {soname} {root}` says who has it; `pitstop fix {root}` provides it")
            }
            None => format!("`pitstop why {soname} {}` says who has it", shown(&report.file)),
        });
    }
}

struct Painter<'a> {
    graph: &'a Graph,
    subject: &'a Subject,
    verbose: bool,
    shown: HashSet<usize>,
    drawn: Drawn,
}

/// A line below a file.
enum Branch<'a> {
    Need(&'a Edge),
    Problem(&'a VersionProblem),
}

impl Painter<'_> {
    fn needs(&mut self, node: usize, indent: &str) {
        let graph = self.graph;
        let mut branches = Vec::new();
        for edge in graph.needs_of(node) {
            if edge.to.is_some() && !self.verbose && is_libc(&edge.soname) {
                self.drawn.hidden += 1;
            } else {
                branches.push(Branch::Need(edge));
            }
        }
        let verbose = self.verbose;
        let problems = graph.version_problems.iter().filter(|problem| problem.from == node);
        branches.extend(problems.filter(|problem| problem.fatal || verbose).map(Branch::Problem));
        let last = branches.len().saturating_sub(1);
        for (place, branch) in branches.into_iter().enumerate() {
            let (tick, bar) = if place == last { ("└── ", "    ") } else { ("├── ", "│   ") };
            self.drawn.text.push_str(&Tone::Faint.paint(&format!("{indent}{tick}")));
            match branch {
                Branch::Need(edge) => self.need(edge, &format!("{indent}{bar}")),
                Branch::Problem(problem) => self.drawn.text.push_str(&version_words(problem)),
            }
        }
    }

    fn need(&mut self, edge: &Edge, indent: &str) {
        let rule = rule_words(edge, self.graph, self.subject.opener());
        let soname = shown(&edge.soname);
        let Some(to) = edge.to else {
            let file = edge.unusable.as_ref().filter(|_| edge.rule == "unusable");
            let file = file.map(|path| format!(" => {}", self.subject.short(Path::new(path))));
            let tone = if edge.is_fatal() { Tone::Bad } else { Tone::Faint };
            let line = format!("{soname}{} [{rule}]", file.unwrap_or_default());
            let _ = writeln!(self.drawn.text, "{}", tone.paint(&line));
            if self.verbose {
                self.probes(edge, indent);
            }
            return;
        };
        let node = &self.graph.nodes[to];
        let path = &node.short;
        let rule = Tone::Faint.paint(&format!("[{rule}]"));
        let again = self.again(edge, node);
        let _ = writeln!(self.drawn.text, "{soname} => {path} {rule}{again}");
        // What came in by another edge is shown there.
        if edge.brings_in() && self.shown.insert(to) {
            self.needs(to, indent);
        }
    }

    /// Where a file is shown in full, if not here.
    fn again(&self, edge: &Edge, node: &Node) -> &'static str {
        match (edge.brings_in() || node.loaded_before, self.shown.contains(&node.id)) {
            (true, _) => "",
            (false, true) => " (above)",
            // The loader goes breadth first, so a file may have come in by a shorter way that is drawn later.
            (false, false) => " (below)",
        }
    }

    fn probes(&mut self, edge: &Edge, indent: &str) {
        for tried in &edge.probes {
            let line =
                format!("{indent}  {}: {} [{}]", shown(&tried.path), shown(&tried.verdict), tried.rule);
            let _ = writeln!(self.drawn.text, "{}", Tone::Faint.paint(&line));
        }
    }
}

fn version_words(problem: &VersionProblem) -> String {
    let (soname, version) = (shown(&problem.soname), shown(&problem.version));
    let whose = problem.found.as_ref().map(|path| format!(" ({})", shown(path))).unwrap_or_default();
    if problem.fatal {
        let line = format!("{soname}{whose} does not define version {version}");
        format!("{}\n", Tone::Bad.paint(&line))
    } else {
        let line = format!("{soname}{whose} does not define version {version}; the loader only warns");
        format!("{}\n", Tone::Faint.paint(&line))
    }
}

/// The rule of an edge in words.
pub(in crate::commands) fn rule_words(edge: &Edge, graph: &Graph, opener: &str) -> String {
    match edge.rule {
        "loaded" => match edge.to.map(|to| &graph.nodes[to]) {
            Some(node) if node.loaded_before => format!("already loaded by {opener}"),
            _ => "already loaded".to_owned(),
        },
        "rpath" => match edge.rpath_of {
            Some(of) => format!("RPATH of {}", shown(file_name(&graph.nodes[of].path))),
            None => "RPATH".to_owned(),
        },
        "unusable" => format!("unusable: {}", shown(edge.why.as_deref().unwrap_or_default())),
        other => plain_rule(other).to_owned(),
    }
}

/// A rule that needs no names, in words.
pub(in crate::commands) fn plain_rule(rule: &str) -> &str {
    match rule {
        "loaded" => "already loaded",
        "rpath" => "RPATH",
        "library-path" => "LD_LIBRARY_PATH",
        "runpath" => "RUNPATH",
        "cache" => "ld.so.cache",
        "default" => "default folder",
        "beforehand" => "loaded beforehand",
        "preload" => "LD_PRELOAD",
        "reserved" => "the loader itself",
        "missing" => "not found",
        "wrong-class" => "wrong class",
        "passed-over" => "passed over: its name has a token without value",
        "no-loader" => "not looked for",
        other => other,
    }
}
