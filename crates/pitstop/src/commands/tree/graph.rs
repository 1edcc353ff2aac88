//! A loading as nodes and edges.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bstr::BStr;
use pitstop_core::ldso::{Loading, Need, Object, ObjectIndex, Outcome, Process, Rule, Shortfall, Verdict};
use pitstop_host::survey::Survey;
use serde::Serialize;

use super::subject::Subject;

/// Files, and what they ask for.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct Graph {
    /// The first is the file itself.
    pub(in crate::commands) nodes: Vec<Node>,
    /// Every need, in the order in which the loader meets them.
    pub(in crate::commands) edges: Vec<Edge>,
    /// Versions that are not defined.
    pub(in crate::commands) version_problems: Vec<VersionProblem>,
}

/// A file that is loaded.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct Node {
    /// Its place in the list.
    pub(in crate::commands) id: usize,
    /// The path by which the loader opened it.
    pub(in crate::commands) path: String,
    /// `DT_SONAME`.
    pub(in crate::commands) soname: Option<String>,
    /// The package that brought it.
    pub(in crate::commands) package: Option<String>,
    /// Whether the process had loaded it before.
    pub(in crate::commands) loaded_before: bool,
    /// The name under which a person knows it.
    #[serde(skip)]
    pub(in crate::commands) short: String,
}

/// A need, and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::commands) struct Edge {
    /// Who asks.
    pub(in crate::commands) from: usize,
    /// For what.
    pub(in crate::commands) soname: String,
    /// What is found.
    pub(in crate::commands) to: Option<usize>,
    /// The rule that found it: `loaded`, `rpath`, `library-path`, `runpath`, `cache`, `default`, `path`, `beforehand`,
    /// `preload`, `reserved`; or why nothing is: `missing`, `wrong-class`, `unusable`, `passed-over`, `no-loader`.
    pub(in crate::commands) rule: &'static str,
    /// Whose `DT_RPATH` it is.
    pub(in crate::commands) rpath_of: Option<usize>,
    /// The folder of the rule.
    pub(in crate::commands) folder: Option<String>,
    /// The file that ends the search.
    pub(in crate::commands) unusable: Option<String>,
    /// Why it does.
    pub(in crate::commands) why: Option<String>,
    /// Every path that was tried, for what is not found.
    pub(in crate::commands) probes: Vec<Tried>,
}

/// A path that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::commands) struct Tried {
    /// The path.
    pub(in crate::commands) path: String,
    /// By which rule.
    pub(in crate::commands) rule: &'static str,
    /// Why it was passed over.
    pub(in crate::commands) verdict: String,
}

/// A version that is asked for and not defined.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands) struct VersionProblem {
    /// Who asks.
    pub(in crate::commands) from: usize,
    /// The library that should define it.
    pub(in crate::commands) soname: String,
    /// The version.
    pub(in crate::commands) version: String,
    /// The file that goes by that name.
    pub(in crate::commands) found: Option<String>,
    /// Whether the loader gives up; otherwise it warns at most.
    pub(in crate::commands) fatal: bool,
}

impl Edge {
    /// Whether the loader gives up here.
    pub(in crate::commands) fn is_fatal(&self) -> bool {
        self.to.is_none() && self.rule != "passed-over"
    }

    /// Whether this is the edge by which the file came in.
    pub(in crate::commands) fn brings_in(&self) -> bool {
        self.to.is_some() && self.rule != "loaded"
    }
}

impl Graph {
    /// One file that asks for nothing.
    pub(super) fn alone(subject: &Subject) -> Self {
        let node = Node {
            id: 0,
            path: subject.file.to_string_lossy().into_owned(),
            soname: subject.elf.soname.as_ref().map(ToString::to_string),
            package: subject.package_of(&subject.file),
            loaded_before: false,
            short: subject.short(&subject.file),
        };
        Self { nodes: vec![node], edges: Vec::new(), version_problems: Vec::new() }
    }

    /// One file whose needs nobody looks for.
    pub(super) fn unresolved(subject: &Subject) -> Self {
        let edge = |soname: &bstr::BString| Edge {
            soname: soname.to_string(),
            rule: "no-loader",
            ..Edge::default()
        };
        Self { edges: subject.elf.needed.iter().map(edge).collect(), ..Self::alone(subject) }
    }

    /// What opening the subject came to.
    pub(in crate::commands) fn of(subject: &Subject, process: &Process<'_>, loading: &Loading) -> Self {
        let Some(root) = loading.root.object() else {
            let mut graph = Self::alone(subject);
            graph.edges.push(outcome_edge(&loading.root, subject.file.as_os_str().as_encoded_bytes().into()));
            return graph;
        };
        let mut builder = Builder { subject, loading, ids: BTreeMap::new(), nodes: Vec::new() };
        builder.id(root);
        let mut edges: Vec<Edge> = loading.needs.iter().map(|need| builder.edge(process, need)).collect();
        let preloaded = builder.preloaded(root, &edges);
        edges.splice(0..0, preloaded);
        let version_problems = builder.version_problems();
        Self { nodes: builder.nodes, edges, version_problems }
    }

    /// Whether all is found, in the versions asked for.
    pub(in crate::commands) fn is_complete(&self) -> bool {
        !self.edges.iter().any(Edge::is_fatal) && !self.version_problems.iter().any(|problem| problem.fatal)
    }

    /// What a file asks for.
    pub(in crate::commands) fn needs_of(&self, node: usize) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == node)
    }
}

struct Builder<'a> {
    subject: &'a Subject,
    loading: &'a Loading,
    ids: BTreeMap<ObjectIndex, usize>,
    nodes: Vec<Node>,
}

impl Builder<'_> {
    fn id(&mut self, index: ObjectIndex) -> usize {
        if let Some(&id) = self.ids.get(&index) {
            return id;
        }
        let object = self.loading.object(index);
        let known =
            self.subject.survey().map_or_else(|| object.path.to_path_buf(), |survey| known(survey, object));
        let id = self.nodes.len();
        self.nodes.push(Node {
            id,
            path: object.path.to_string_lossy().into_owned(),
            soname: object.elf.soname.as_ref().map(ToString::to_string),
            package: self.subject.package_of(&known),
            loaded_before: index < self.loading.first_index(),
            short: self.subject.short(&known),
        });
        self.ids.insert(index, id);
        id
    }

    fn edge(&mut self, process: &Process<'_>, need: &Need) -> Edge {
        let soname = self.loading.soname(need);
        let mut edge = outcome_edge(&need.outcome, soname);
        edge.from = self.id(need.by);
        if let Outcome::Found { object, rule } = &need.outcome {
            edge.to = Some(self.id(*object));
            // Nothing brought the loader in: the system maps it with the program.
            if self.loading.object(*object).rule == Rule::Given && *object >= self.loading.first_index() {
                edge.rule = "reserved";
            }
            if let Rule::Rpath { of, .. } = rule {
                edge.rpath_of = Some(self.id(*of));
            }
        } else if edge.is_fatal() {
            edge.probes = tried(process, self.loading, need.by, soname);
        }
        edge
    }

    /// Objects that no need brought in: the loader itself, and what `LD_PRELOAD` names.
    fn preloaded(&mut self, root: ObjectIndex, edges: &[Edge]) -> Vec<Edge> {
        let first = self.loading.first_index();
        let brought: Vec<usize> =
            edges.iter().filter(|edge| edge.brings_in()).filter_map(|edge| edge.to).collect();
        let mut preloaded = Vec::new();
        for (index, object) in self.loading.indexed().filter(|(index, _)| *index >= first) {
            if index == root || object.rule == Rule::Given {
                continue;
            }
            let id = self.id(index);
            if !brought.contains(&id) {
                let soname = object.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                preloaded.push(Edge { soname, to: Some(id), rule: "preload", ..Edge::default() });
            }
        }
        preloaded
    }

    fn version_problems(&mut self) -> Vec<VersionProblem> {
        let mut problems = Vec::new();
        for problem in &self.loading.version_problems {
            let found = problem.found_in.map(|index| self.loading.object(index).path.clone());
            problems.push(VersionProblem {
                from: self.id(problem.by),
                soname: problem.file.to_string(),
                version: problem.version.to_string(),
                found: found.map(|path| path.to_string_lossy().into_owned()),
                fatal: matches!(problem.shortfall, Shortfall::Undefined | Shortfall::NotLoaded),
            });
        }
        problems
    }
}

/// The path under which an environment knows a file: one through `..` says less.
pub(in crate::commands) fn known(survey: &Survey, object: &Object) -> PathBuf {
    let path: &Path = &object.path;
    if !path.components().any(|part| part == Component::ParentDir) {
        return path.to_owned();
    }
    let native = survey.natives.iter().find(|native| native.id == object.id);
    native.map_or_else(|| path.to_owned(), |native| native.path.clone())
}

/// All of an edge that does not need its ends.
pub(in crate::commands) fn outcome_edge(outcome: &Outcome, soname: &BStr) -> Edge {
    let mut edge = Edge { soname: soname.to_string(), ..Edge::default() };
    let mut folder = |path: &Path| edge.folder = Some(path.to_string_lossy().into_owned());
    edge.rule = match outcome {
        Outcome::Missing => "missing",
        Outcome::WrongClass => "wrong-class",
        Outcome::Skipped => "passed-over",
        Outcome::Unusable { path, why } => {
            edge.unusable = Some(path.to_string_lossy().into_owned());
            edge.why = Some(why.to_string());
            "unusable"
        }
        Outcome::Found { rule, .. } => match rule {
            Rule::AlreadyLoaded | Rule::Given => "loaded",
            Rule::Rpath { folder: path, .. } => {
                folder(path);
                "rpath"
            }
            Rule::LibraryPath { folder: path } => {
                folder(path);
                "library-path"
            }
            Rule::Runpath { folder: path } => {
                folder(path);
                "runpath"
            }
            Rule::Default { folder: path } => {
                folder(path);
                "default"
            }
            Rule::Cache => "cache",
            Rule::Path => "path",
            Rule::Fallback => "beforehand",
            Rule::Reserved => "reserved",
        },
    };
    edge
}

/// Where the loader looked.
pub(in crate::commands) fn tried(
    process: &Process<'_>,
    loading: &Loading,
    by: ObjectIndex,
    soname: &BStr,
) -> Vec<Tried> {
    let verdict = |verdict: &Verdict| match verdict {
        Verdict::NoFolder => "no such folder".to_owned(),
        Verdict::Absent => "not there".to_owned(),
        Verdict::OtherMachine => "for another machine".to_owned(),
        Verdict::Unusable(why) => why.to_string(),
        Verdict::Taken => "taken".to_owned(),
        Verdict::DefaultFolderRefused => "in a default folder, which the asker refuses".to_owned(),
    };
    let probes = process.probes(loading, by, soname);
    let tried = probes.into_iter().map(|probe| Tried {
        path: probe.path.to_string_lossy().into_owned(),
        rule: probe.rule,
        verdict: verdict(&probe.verdict),
    });
    tried.collect()
}

/// Whether a name is one of libc's own parts, which every program has.
pub(in crate::commands) fn is_libc(soname: &str) -> bool {
    const PARTS: [&str; 8] = [
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libc.so",
        "ld.so.1",
    ];
    PARTS.contains(&soname)
        || ["ld-linux", "ld64.so", "libc.musl-", "ld-musl-"].iter().any(|start| soname.starts_with(start))
}

/// A name as bytes of a path's end.
pub(in crate::commands) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    #[test]
    fn libcs_parts_are_known_and_nothing_else_is() {
        for part in ["libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.musl-x86_64.so.1"] {
            assert!(is_libc(part), "{part}");
        }
        for other in ["libcrypt.so.1", "libmvec.so.1", "libz.so.1", "libc++.so.1", "ld.lld"] {
            assert!(!is_libc(other), "{other}");
        }
    }

    #[test]
    fn only_what_the_loader_gives_up_on_is_fatal() {
        let edge = |outcome: &Outcome| outcome_edge(outcome, b"libx.so".as_bstr());
        assert!(edge(&Outcome::Missing).is_fatal());
        assert!(edge(&Outcome::WrongClass).is_fatal());
        assert!(!edge(&Outcome::Skipped).is_fatal());
        let unusable =
            edge(&Outcome::Unusable { path: Path::new("/x").into(), why: "file too short".into() });
        assert!(unusable.is_fatal());
        assert_eq!(unusable.why.as_deref(), Some("file too short"));
    }
}
