//! Pages of the docs, taken apart as far as the tests need them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// A page.
pub(crate) struct Page {
    /// Its path below the root of the tree.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The words behind the fence: a language, then who runs it or the file that it is.
    pub(crate) words: Vec<String>,
    /// The line where it begins.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A page of that path.
pub(crate) fn page(path: impl AsRef<Path>) -> Page {
    let path = path.as_ref().to_owned();
    let text =
        fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Page { path, text }
}

/// Everything that a person reads: the pages at the root, and those of the book.
pub(crate) fn all() -> Vec<Page> {
    let mut found: Vec<Page> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(page).into_iter().collect();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|end| end == "md") {
            found.push(page(Path::new("docs").join(name)));
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

impl Page {
    /// Its fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut inside = false;
        for (number, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if inside => inside = false,
                Some(words) => {
                    let words = words.split_whitespace().map(str::to_owned).collect();
                    blocks.push(Block { words, line: number + 1, text: String::new() });
                    inside = true;
                }
                None if inside => {
                    let text = &mut blocks.last_mut().unwrap().text;
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
        assert!(!inside, "{}: a fence is not closed", self.path.display());
        blocks
    }

    /// Its lines that are neither in a fenced nor in an indented block.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut inside = false;
        let lines = self.text.lines().enumerate().map(|(number, line)| (number + 1, line));
        lines.filter(move |(_, line)| {
            if line.starts_with("```") {
                inside = !inside;
                return false;
            }
            !inside && !line.starts_with("    ")
        })
    }
}
