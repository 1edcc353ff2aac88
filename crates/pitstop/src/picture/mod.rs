//! Pictures of what needs what: packages, files and libraries as boxes, from left to right.
//!
//! A command says what the boxes and arrows are; `layout` says where they stand, `svg` and `html` draw them. Names come
//! from files that anybody may have made, so `names` makes each of them harmless, once, where it is drawn.

mod html;
mod layout;
mod names;
mod svg;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use pitstop_host::index::own;

use crate::args::Drawing;
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, shown};

/// So many files that need the same are drawn as one box.
const FOLDED_FROM: usize = 3;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A package of the environment.
    Package,
    /// A file that a process opens.
    File,
    /// A library that is found.
    Library,
    /// A library that the process has loaded before.
    Before,
    /// A library that is found, and lacks a version that is asked for.
    Unfit,
    /// A library that is not found.
    Missing,
}

/// A box.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it stands for.
    pub(crate) kind: Kind,
    /// What is written in it.
    pub(crate) name: String,
    /// What is written below that, smaller.
    pub(crate) place: String,
    /// The package that brought it.
    pub(crate) package: Option<String>,
    /// What is said of it besides, a line each.
    pub(crate) notes: Vec<String>,
}

/// An arrow.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// Who needs.
    from: usize,
    /// What is needed.
    to: usize,
    /// Whether the loader gives up here.
    bad: bool,
    /// How it came to be.
    words: String,
}

/// Boxes and arrows, and what they show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    /// What it shows.
    pub(crate) title: String,
    /// What came of it, in one line.
    pub(crate) words: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    keys: HashMap<(Kind, String), usize>,
    joined: HashMap<(usize, usize, bool), usize>,
}

impl Picture {
    /// An empty picture.
    pub(crate) fn new(title: String, words: String) -> Self {
        Self { title, words, ..Self::default() }
    }

    /// The box for a thing, made when it is first asked for. Things are the same when their kinds and keys are.
    pub(crate) fn node(&mut self, key: &str, node: Node) -> usize {
        let next = self.nodes.len();
        let number = *self.keys.entry((node.kind, key.to_owned())).or_insert(next);
        if number == next {
            self.nodes.push(node);
        }
        number
    }

    /// An arrow, once.
    pub(crate) fn edge(&mut self, from: usize, to: usize, bad: bool, words: String) {
        let next = self.edges.len();
        if *self.joined.entry((from, to, bad)).or_insert(next) == next {
            self.edges.push(Edge { from, to, bad, words });
        }
    }

    /// The box of a package that brought a file, with an arrow to it.
    pub(crate) fn brought(&mut self, package: &str, file: usize) {
        let node = Node {
            kind: Kind::Package,
            name: package.to_owned(),
            place: String::new(),
            package: Some(package.to_owned()),
            notes: Vec::new(),
        };
        let number = self.node(package, node);
        self.edge(number, file, false, "brings".to_owned());
    }

    /// Draws files of one package that need the same, and are needed by nobody else, as one box.
    pub(crate) fn fold(&mut self) {
        type Ends = Vec<(usize, bool, String)>;
        // What comes in, and what goes out.
        type Both = (Ends, Ends);
        let mut ends: Vec<Both> = vec![Both::default(); self.nodes.len()];
        for edge in &self.edges {
            ends[edge.from].1.push((edge.to, edge.bad, edge.words.clone()));
            ends[edge.to].0.push((edge.from, edge.bad, edge.words.clone()));
        }
        let mut alike: BTreeMap<(Option<String>, Both), Vec<usize>> = BTreeMap::new();
        for (number, mut ends) in ends.into_iter().enumerate() {
            if self.nodes[number].kind == Kind::File {
                ends.0.sort();
                ends.1.sort();
                alike.entry((self.nodes[number].package.clone(), ends)).or_default().push(number);
            }
        }
        let mut gone = vec![false; self.nodes.len()];
        for files in alike.into_values().filter(|files| files.len() >= FOLDED_FROM) {
            let path = |node: &Node| joined(&node.place, &node.name);
            let names: Vec<String> = files.iter().map(|&file| path(&self.nodes[file])).collect();
            files[1..].iter().for_each(|&file| gone[file] = true);
            let first = &mut self.nodes[files[0]];
            first.place = format!("such as {}", names[0]);
            first.name = format!("{} files alike", names.len());
            first.notes = names;
        }
        self.drop(&gone);
    }

    /// Takes boxes out, with their arrows.
    fn drop(&mut self, gone: &[bool]) {
        let mut number = 0;
        let numbers: Vec<usize> = gone
            .iter()
            .map(|gone| {
                number += usize::from(!gone);
                number - usize::from(!gone)
            })
            .collect();
        let mut stays = gone.iter().map(|gone| !gone);
        self.nodes.retain(|_| stays.next().unwrap_or(true));
        self.edges.retain(|edge| !gone[edge.from] && !gone[edge.to]);
        for edge in &mut self.edges {
            (edge.from, edge.to) = (numbers[edge.from], numbers[edge.to]);
        }
        self.keys.clear();
        self.joined.clear();
    }

    /// Draws it, and writes it where it is wanted.
    pub(crate) fn answer(&self, drawing: &Drawing, output: &Output) -> Result<(), CommandError> {
        let (text, file) = match (&drawing.svg, &drawing.html) {
            (Some(file), _) => (svg::document(self), file),
            (None, Some(file)) => (html::document(self), file),
            (None, None) => return Ok(()),
        };
        if file.as_os_str() == "-" {
            output.answer(&text);
            return Ok(());
        }
        write(file, text.as_bytes()).map_err(|error| {
            let name = shown(file.as_os_str().as_encoded_bytes());
            CommandError::new(ExitStatus::Usage, format!("{name} cannot be written: {error}"))
                .hint("name a file in a folder that is there and that you may write to")
        })
    }
}

/// Writes a file whole or not at all; follows links, and takes the place of nothing but files.
fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() => own::replace(&fs::canonicalize(file)?, text),
        Ok(_) => Err(io::Error::other("it is there, and is no regular file")),
        Err(_) => own::replace(file, text),
    }
}

/// A path from its folder and its last part.
fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The folder of a path, and its last part.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("", path),
    }
}

#[cfg(test)]
mod tests;
