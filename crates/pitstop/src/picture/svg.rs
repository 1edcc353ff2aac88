//! A picture as SVG: one file, no script, no font or style from elsewhere.

use std::fmt::Write as _;

use super::layout::{Arrow, BOX, Layout, Place, Segment, Size, layout};
use super::names::{columns, elided, escaped, escaped_lines};
use super::{Edge, Kind, Node, Picture};

const STYLE: &str = include_str!("svg.css");
/// Room around everything.
const MARGIN: i64 = 24;
/// Where boxes begin, below the title and the heads of the columns.
const TOP: i64 = 132;
/// The fewest and the most letters that a box is wide.
const LETTERS: (usize, usize) = (14, 38);
/// Widths of a letter of the names, of what stands below them, and of the title, in tenths of a pixel.
const LETTER: i64 = 75;
const SMALL_LETTER: i64 = 62;
const TITLE_LETTER: i64 = 100;
/// Colours by which the packages' boxes are told apart.
const HUES: usize = 8;
/// Arrows that a line is said to stand for by name.
const TOLD: usize = 12;

/// The picture as a file of its own.
pub(super) fn document(picture: &Picture) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element(picture, false))
}

/// The picture as an element; in a page, each box can be reached with the keyboard.
pub(super) fn element(picture: &Picture, in_page: bool) -> String {
    let painter = Painter::new(picture, in_page);
    let mut text = painter.head();
    painter.heads(&mut text);
    text.push_str("<g class=\"lines\">\n");
    for bad in [false, true] {
        for segment in &painter.layout.segments {
            if painter.is_bad(segment) == bad {
                painter.line(segment, &mut text);
            }
        }
    }
    text.push_str("</g>\n<g class=\"boxes\">\n");
    for (number, node) in picture.nodes.iter().enumerate() {
        painter.node(number, node, &mut text);
    }
    text.push_str("</g>\n</svg>\n");
    text
}

struct Painter<'a> {
    picture: &'a Picture,
    layout: Layout,
    /// Packages, in the order in which they get their colours.
    packages: Vec<&'a str>,
    in_page: bool,
}

impl<'a> Painter<'a> {
    fn new(picture: &'a Picture, in_page: bool) -> Self {
        let sizes: Vec<Size> = picture.nodes.iter().map(size).collect();
        let arrow = |edge: &Edge| Arrow { from: edge.from, to: edge.to, kind: u8::from(edge.bad) };
        let arrows: Vec<Arrow> = picture.edges.iter().map(arrow).collect();
        let mut packages: Vec<&str> =
            picture.nodes.iter().filter_map(|node| node.package.as_deref()).collect();
        packages.sort_unstable();
        packages.dedup();
        Self { picture, layout: layout(&sizes, &arrows), packages, in_page }
    }

    fn head(&self) -> String {
        let Picture { title, words, .. } = self.picture;
        let letters = i64::try_from(columns(title)).unwrap_or(i64::MAX / 1000).min(120);
        let smaller = i64::try_from(columns(words)).unwrap_or(i64::MAX / 1000).min(160);
        let text = (letters * TITLE_LETTER).max(smaller * LETTER) / 10;
        let width = self.layout.width.max(text).max(620) + 2 * MARGIN;
        let height = TOP + self.layout.height + MARGIN;
        let (shown_title, shown_words) = (escaped(&elided(title, 120)), escaped(&elided(words, 160)));
        let (title, words) = (escaped(title), escaped(words));
        let role = if self.in_page { "group" } else { "img" };
        let y = (MARGIN + 12, MARGIN + 34);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"pitstop\" role=\"{role}\" aria-label=\"{title}. {words}\" \
             viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
             <title>{title}</title>\n<desc>{words}</desc>\n<style>\n{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{shown_title}</text>\n\
             <text class=\"words\" x=\"{MARGIN}\" y=\"{}\">{shown_words}</text>\n{}",
            y.0,
            y.1,
            self.legend()
        )
    }

    /// What the marks mean, of those that are there.
    fn legend(&self) -> String {
        let meanings = [
            (Kind::Missing, "not found"),
            (Kind::Unfit, "found, but not in the version asked for"),
            (Kind::Before, "loaded before"),
        ];
        let mut text = String::from("<g class=\"legend\">\n");
        let mut x = MARGIN;
        for (kind, words) in meanings {
            if self.picture.nodes.iter().any(|node| node.kind == kind) {
                let y = MARGIN + 50;
                let class = class(kind);
                let _ = writeln!(
                    text,
                    "<g class=\"{class}\"><rect x=\"{x}\" y=\"{y}\" width=\"26\" height=\"16\" rx=\"4\"/>{}\
                     <text x=\"{}\" y=\"{}\">{words}</text></g>",
                    mark(kind, x + 13, y + 8),
                    x + 34,
                    y + 12
                );
                x += 34 + i64::try_from(words.len()).unwrap_or(0) * LETTER / 10 + 18;
            }
        }
        text + "</g>\n"
    }

    /// What stands in each column.
    fn heads(&self, text: &mut String) {
        let mut libraries = 0;
        for (layer, (x, _)) in self.layout.columns.iter().enumerate() {
            let kinds = || {
                let nodes = self.picture.nodes.iter().zip(&self.layout.places);
                nodes.filter(|(_, place)| place.layer == layer).map(|(node, _)| node.kind)
            };
            let words = if kinds().any(|kind| kind == Kind::Package) {
                "packages"
            } else if kinds().any(|kind| kind == Kind::File) {
                "files"
            } else {
                libraries += 1;
                ["libraries that they need", "what those need"]
                    .get(libraries - 1)
                    .copied()
                    .unwrap_or("and so on")
            };
            let _ =
                writeln!(text, "<text class=\"head\" x=\"{}\" y=\"{}\">{words}</text>", x + MARGIN, TOP - 14);
        }
    }

    fn is_bad(&self, segment: &Segment) -> bool {
        segment.arrows.iter().any(|&arrow| self.picture.edges[arrow].bad)
    }

    fn line(&self, segment: &Segment, text: &mut String) {
        let (left, right) = (self.layout.places[segment.left], self.layout.places[segment.right]);
        let lane = segment.left >= self.picture.nodes.len();
        let (start, end) = (left.x + left.width + MARGIN, right.x + MARGIN);
        let (y, to_y) = (left.middle() + TOP, right.middle() + TOP);
        let bend = i64::midpoint(start, end);
        let from = if lane { format!("M{} {y}H{start}", left.x + MARGIN) } else { format!("M{start} {y}") };
        // Level with each other, it is straight.
        let curve =
            if y == to_y { format!("H{end}") } else { format!("C{bend} {y} {bend} {to_y} {end} {to_y}") };
        let class = match (self.is_bad(segment), segment.back) {
            (true, _) => " class=\"bad\"",
            (false, true) => " class=\"back\"",
            (false, false) => "",
        };
        let (a, b) = if segment.back { (segment.right, segment.left) } else { (segment.left, segment.right) };
        let width = match segment.arrows.len() {
            1 => "1.2",
            2..=4 => "1.8",
            5..=15 => "2.4",
            _ => "3.2",
        };
        let _ = writeln!(
            text,
            "<path{class} data-a=\"{a}\" data-b=\"{b}\" stroke-width=\"{width}\" d=\"{from}{curve}\"><title>{}</title></path>",
            self.told(segment)
        );
    }

    /// The arrows that a line stands for, in words.
    fn told(&self, segment: &Segment) -> String {
        let name = |number: usize| &self.picture.nodes[number].name;
        let mut lines: Vec<String> = segment
            .arrows
            .iter()
            .take(TOLD)
            .map(|&arrow| &self.picture.edges[arrow])
            .map(|edge| format!("{} → {}: {}", name(edge.from), name(edge.to), edge.words))
            .collect();
        if segment.arrows.len() > TOLD {
            lines.push(format!("and {} more", segment.arrows.len() - TOLD));
        }
        escaped_lines(lines.iter().map(String::as_str))
    }

    fn node(&self, number: usize, node: &Node, text: &mut String) {
        let Place { x, y, width, .. } = self.layout.places[number];
        let (x, y) = (x + MARGIN, y + TOP);
        let class = class(node.kind);
        let hue = node
            .package
            .as_deref()
            .and_then(|package| self.packages.binary_search(&package).ok())
            .map_or_else(String::new, |package| format!(" h{}", package % HUES));
        let keyboard = if self.in_page { " tabindex=\"0\"" } else { "" };
        let said = said(node);
        let label = escaped(&said.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "));
        let _ = write!(
            text,
            "<g class=\"box {class}{hue}\" data-n=\"{number}\" role=\"img\" aria-label=\"{label}\"{keyboard}><title>{}</title>",
            escaped_lines(said.iter().map(String::as_str))
        );
        if !node.notes.is_empty() && node.kind == Kind::File {
            let _ = write!(
                text,
                "<rect class=\"under\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{BOX}\" rx=\"6\"/>",
                x + 3,
                y + 3
            );
        }
        let _ = write!(text, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX}\" rx=\"6\"/>");
        if !hue.is_empty() {
            let _ = write!(text, "<path class=\"stripe\" d=\"M{} {}v{}\"/>", x + 4, y + 7, BOX - 14);
        }
        text.push_str(&mark(node.kind, x + width - 14, y + BOX / 2));
        let most = letters(node);
        let left = x + 12;
        let middle = if node.place.is_empty() { y + 24 } else { y + 16 };
        let _ =
            write!(text, "<text x=\"{left}\" y=\"{middle}\">{}</text>", escaped(&elided(&node.name, most)));
        if !node.place.is_empty() {
            let small =
                most * usize::try_from(LETTER).unwrap_or(1) / usize::try_from(SMALL_LETTER).unwrap_or(1);
            let place = escaped(&elided(&node.place, small));
            let _ = write!(text, "<text class=\"small\" x=\"{left}\" y=\"{}\">{place}</text>", y + 30);
        }
        text.push_str("</g>\n");
    }
}

/// How many letters wide a box's text is.
fn letters(node: &Node) -> usize {
    let small = columns(&node.place) * usize::try_from(SMALL_LETTER).unwrap_or(1);
    let small = small.div_ceil(usize::try_from(LETTER).unwrap_or(1));
    columns(&node.name).max(small).clamp(LETTERS.0, LETTERS.1)
}

fn size(node: &Node) -> Size {
    let first_layer = match node.kind {
        Kind::Package => 0,
        Kind::File => 1,
        Kind::Library | Kind::Before | Kind::Unfit | Kind::Missing => 2,
    };
    let marked = if matches!(node.kind, Kind::Missing | Kind::Unfit) { 22 } else { 0 };
    let letters = i64::try_from(letters(node)).unwrap_or(0);
    Size { width: letters * LETTER / 10 + 24 + marked, first_layer }
}

/// What a pointer that rests on a box is told, and who cannot see it.
fn said(node: &Node) -> Vec<String> {
    let state = match node.kind {
        Kind::Package => "package",
        Kind::File => "file",
        Kind::Library => "found",
        Kind::Before => "loaded before",
        Kind::Unfit => "found, but not in the version asked for",
        Kind::Missing => "not found",
    };
    let mut said = vec![node.name.clone(), state.to_owned()];
    if !node.place.is_empty() && node.place != state {
        said.push(node.place.clone());
    }
    if let Some(package) = node.package.as_ref().filter(|_| node.kind != Kind::Package) {
        said.push(format!("of {package}"));
    }
    said.extend(node.notes.iter().cloned());
    said
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Package => "package",
        Kind::File => "file",
        Kind::Library => "library",
        Kind::Before => "before",
        Kind::Unfit => "unfit",
        Kind::Missing => "missing",
    }
}

/// A mark that does not depend on colour: a cross for what is not found, an exclamation mark for what does not fit.
fn mark(kind: Kind, x: i64, y: i64) -> String {
    match kind {
        Kind::Missing => format!("<path class=\"mark\" d=\"M{} {}l8 8m0 -8l-8 8\"/>", x - 4, y - 4),
        Kind::Unfit => format!("<path class=\"mark\" d=\"M{x} {}v6m0 3v1\"/>", y - 5),
        _ => String::new(),
    }
}
