//! Links lead to files and headings that there are. Nothing is asked of the network.

use std::path::{Component, Path, PathBuf};

use crate::pages::{Page, all, page};
use crate::root;

#[test]
fn links_lead_to_files_and_headings_that_there_are() {
    let mut checked = 0;
    let mut broken = Vec::new();
    for from in all() {
        for (line, target) in links(&from) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            if let Err(why) = follow(&from, &target) {
                broken.push(format!("{}:{line}: {target}: {why}", from.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 50, "only {checked} links were found");
}

/// What a link leads to must be there; a page of the book links within the book, which is built without the rest.
fn follow(from: &Page, target: &str) -> Result<(), String> {
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, it)| (file, Some(it)));
    let folder = from.path.parent().unwrap();
    let path = if file.is_empty() { from.path.clone() } else { plain(&folder.join(file)) };
    if !root().join(&path).exists() {
        return Err("there is no such file".to_owned());
    }
    if from.path.starts_with("docs") && !path.starts_with("docs") {
        return Err("it leads out of the book".to_owned());
    }
    let Some(heading) = heading else { return Ok(()) };
    let there = anchors(&page(&path));
    if there.iter().any(|anchor| anchor == heading) {
        return Ok(());
    }
    Err(format!("there is no such heading; there are {}", there.join(", ")))
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the tree", path.display()),
            part => plain.push(part),
        }
    }
    plain
}

/// Targets of `[words](target)` and `![words](target)`, with their lines.
pub(crate) fn links(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        // What stands in backticks is code.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            found.push((number, target.to_owned()));
        }
        for rest in text.split("src=\"").skip(1) {
            found.push((number, rest.split('"').next().unwrap().to_owned()));
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &Page) -> Vec<String> {
    let headings = page.prose().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
    letters.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

#[test]
fn headings_get_the_anchors_that_renderers_give_them() {
    assert_eq!(anchor("programs.pitstop, on NixOS"), "programspitstop-on-nixos");
    assert_eq!(anchor("`pitstop.lock`"), "pitstoplock");
    assert_eq!(anchor("uv on NixOS"), "uv-on-nixos");
}
