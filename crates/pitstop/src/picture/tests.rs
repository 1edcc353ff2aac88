#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;

use super::*;

fn node(kind: Kind, name: &str, place: &str, package: Option<&str>) -> Node {
    Node {
        kind,
        name: name.to_owned(),
        place: place.to_owned(),
        package: package.map(str::to_owned),
        notes: Vec::new(),
    }
}

/// A package with two modules, of which one needs a library that is missing, and both one that is there.
fn small() -> Picture {
    let mut picture = Picture::new("What pack loads".to_owned(), "1 library not found: libz.so.1".to_owned());
    let one = picture.node("1", node(Kind::File, "one.abi3.so", "pack", Some("pack 1.0")));
    let two = picture.node("2", node(Kind::File, "two.abi3.so", "pack/deep", Some("pack 1.0")));
    picture.brought("pack 1.0", one);
    picture.brought("pack 1.0", two);
    let inner = picture.node("i", node(Kind::Library, "libinner.so.1", "pack.libs", Some("pack 1.0")));
    let missing = picture.node("z", node(Kind::Missing, "libz.so.1", "not found", None));
    picture.edge(one, inner, false, "RPATH".to_owned());
    picture.edge(two, inner, false, "RPATH".to_owned());
    picture.edge(inner, missing, true, "not found".to_owned());
    picture.edge(two, missing, true, "not found".to_owned());
    picture
}

/// Twenty packages, and files and libraries of theirs: 500 boxes.
fn large() -> Picture {
    let mut picture = Picture::new("Five hundred".to_owned(), String::new());
    for package in 0..20 {
        let name = format!("package-{package} 1.{package}");
        let libraries: Vec<usize> = (0..6)
            .map(|library| {
                let kind = if (package + library) % 9 == 0 { Kind::Missing } else { Kind::Library };
                let name = format!("lib{}-{library}.so.{package}", ["alpha", "beta", "gamma"][library % 3]);
                picture.node(
                    &format!("{package}/{library}"),
                    node(kind, &name, "/usr/lib/x86_64-linux-gnu", None),
                )
            })
            .collect();
        for file in 0..18 {
            let key = format!("{package}/file{file}");
            let module = node(Kind::File, &format!("_module{file}.abi3.so"), &key, Some(&name));
            let module = picture.node(&key, module);
            picture.brought(&name, module);
            let needed = libraries[file % 6];
            let bad = picture.nodes[needed].kind == Kind::Missing;
            picture.edge(module, needed, bad, "RUNPATH".to_owned());
        }
        let other =
            picture.keys.get(&(Kind::Library, format!("{}/{}", (package + 19) % 20, 1 + package % 2)));
        if let Some(&other) = other.filter(|_| picture.nodes[libraries[2]].kind == Kind::Library) {
            picture.edge(libraries[2], other, false, "ld.so.cache".to_owned());
        }
    }
    assert_eq!(picture.nodes.len(), 500);
    picture
}

fn parsed(text: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn with_class<'a>(document: &'a roxmltree::Document<'_>, class: &str) -> Vec<roxmltree::Node<'a, 'a>> {
    let has = |node: &roxmltree::Node<'_, '_>| {
        node.attribute("class").is_some_and(|classes| classes.split(' ').any(|one| one == class))
    };
    document.descendants().filter(has).collect()
}

/// Looked at in a browser when it was written down. `PITSTOP_WRITE_GOLDEN=1` writes it down anew.
#[test]
fn a_small_picture_is_drawn_as_it_was() {
    let drawn = svg::document(&small());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/picture/small.svg");
    if std::env::var_os("PITSTOP_WRITE_GOLDEN").is_some() {
        fs::write(&file, &drawn).unwrap();
    }
    assert!(fs::read_to_string(file).unwrap() == drawn, "it is drawn otherwise:\n{drawn}");
}

#[test]
fn what_is_missing_is_marked_by_more_than_colour() {
    let text = svg::document(&small());
    let document = parsed(&text);
    let missing: Vec<_> =
        with_class(&document, "missing").into_iter().filter(|node| node.has_attribute("data-n")).collect();
    assert_eq!(missing.len(), 1);
    let words: Vec<&str> = missing[0].descendants().filter_map(|node| node.text()).collect();
    assert!(words.contains(&"not found"), "{words:?}");
    assert!(missing[0].descendants().any(|node| node.attribute("class") == Some("mark")), "it has no cross");
    assert!(missing[0].attribute("aria-label").unwrap().contains("libz.so.1, not found"));
    assert_eq!(with_class(&document, "mark").len(), 2, "the box and the legend");
}

#[test]
fn five_hundred_boxes_are_all_there_and_every_line_joins_two() {
    let picture = large();
    let text = svg::document(&picture);
    let document = parsed(&text);
    assert_eq!(with_class(&document, "box").len(), 500);
    let number = |node: &roxmltree::Node<'_, '_>, name| node.attribute(name).map(str::to_owned);
    let lines: Vec<(String, String)> = document
        .descendants()
        .filter_map(|node| Some((number(&node, "data-a")?, number(&node, "data-b")?)))
        .collect();
    // Every place on the way that a line reaches is left by another.
    let (from, to): (HashSet<&str>, HashSet<&str>) =
        (lines.iter().map(|line| &*line.0).collect(), lines.iter().map(|line| &*line.1).collect());
    for lane in from.union(&to).filter(|place| place.parse::<usize>().unwrap() >= 500) {
        assert!(from.contains(lane) && to.contains(lane), "a line ends in nothing at {lane}");
    }
    assert!(lines.len() >= picture.edges.len() / 2);
    assert!(text == svg::document(&large()), "the same picture, other bytes");
}

#[test]
fn hostile_names_stay_text() {
    let hostile = [
        "</script><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "lib\u{202e}os.1\u{1b}[2J\0\u{fffe}",
        "]]>&amp;<!--",
        "-->",
        "a\u{0301}\u{200d}",
    ];
    let mut picture = Picture::new(hostile[0].to_owned(), hostile[1].to_owned());
    let mut before = None;
    for name in hostile {
        let number = picture.node(name, node(Kind::File, name, name, Some(name)));
        picture.brought(name, number);
        if let Some(before) = before {
            picture.edge(before, number, true, name.to_owned());
        }
        before = Some(number);
    }
    let text = svg::document(&picture);
    let document = parsed(&text);
    assert_eq!(with_class(&document, "box").len(), 12);
    let allowed = ["svg", "title", "desc", "style", "rect", "text", "g", "path"];
    for element in document.descendants().filter(roxmltree::Node::is_element) {
        assert!(allowed.contains(&element.tag_name().name()), "{}", element.tag_name().name());
        assert!(element.attributes().all(|attribute| !attribute.name().starts_with("on")), "{element:?}");
    }
    let page = html::document(&picture);
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (1, 1));
    assert!(!page.contains("<img") && !page.contains("<!--"));
    for unseen in ['\u{202e}', '\u{1b}', '\0', '\u{fffe}', '\u{200d}'] {
        assert!(!page.contains(unseen) && !text.contains(unseen), "{unseen:?}");
    }
}

#[test]
fn files_that_need_the_same_are_one_box_and_others_are_not() {
    let mut picture = Picture::new(String::new(), String::new());
    let lib = picture.node("l", node(Kind::Missing, "libz.so.1", "not found", None));
    for (file, package) in [("a", "p"), ("b", "p"), ("c", "p"), ("d", "q"), ("e", "q")] {
        let number = picture.node(file, node(Kind::File, &format!("{file}.so"), "dir", Some(package)));
        picture.brought(package, number);
        picture.edge(number, lib, true, "not found".to_owned());
    }
    picture.fold();
    let mut names: Vec<&str> = picture.nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["3 files alike", "d.so", "e.so", "libz.so.1", "p", "q"]);
    let folded = picture.nodes.iter().find(|node| node.name == "3 files alike").unwrap();
    assert_eq!(folded.notes, ["dir/a.so", "dir/b.so", "dir/c.so"]);
    assert_eq!(picture.edges.len(), 6);
    assert!(picture.edges.iter().all(|edge| edge.from < 6 && edge.to < 6));
}

#[test]
fn a_picture_takes_the_place_of_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.svg");
    fs::write(&file, "before").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    write(&link, b"after").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "after");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let error = write(folder.path(), b"x").unwrap_err().to_string();
    assert!(error.contains("no regular file"), "{error}");
    assert!(write(&folder.path().join("absent/a.svg"), b"x").is_err());
}
