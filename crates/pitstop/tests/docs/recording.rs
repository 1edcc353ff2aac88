//! The recording shows the README's session, as it now is.

use roxmltree::Document;

use crate::console::{Step, is_run, matches, steps};
use crate::pages::page;
use crate::root;

/// The commands of the recording, and what they said there.
fn recorded() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("docs/recording.svg")).unwrap();
    let drawing = Document::parse(&text).unwrap();
    let mut recorded: Vec<(String, Vec<String>)> = Vec::new();
    for line in drawing.descendants().filter(|node| node.has_tag_name("text")) {
        let words: String =
            line.descendants().filter_map(|node| node.is_text().then(|| node.text())?).collect();
        if line.attribute("class") == Some("c") {
            recorded.push((words.strip_prefix("$ ").unwrap().to_owned(), Vec::new()));
        } else {
            recorded.last_mut().unwrap().1.push(words);
        }
    }
    recorded
}

#[test]
fn the_recording_shows_the_session_of_the_readme() {
    let blocks = page("README.md").blocks();
    let session: Vec<Step> = steps(blocks.iter().find(|block| is_run(block)).unwrap());
    let recorded = recorded();
    let hint = "the recording is not of this session: `cargo xtask record` draws it anew";
    assert_eq!(session.len(), recorded.len(), "{hint}");
    for (step, (command, answer)) in session.iter().zip(&recorded) {
        assert_eq!(&step.command, command, "{hint}");
        assert!(matches(&step.answer, answer), "{hint}\n{command}\n{answer:#?}");
    }
}

#[test]
fn the_recording_needs_nothing_but_itself() {
    let text = std::fs::read_to_string(root().join("docs/recording.svg")).unwrap();
    let own = text.replacen("http://www.w3.org/2000/svg", "", 1);
    for word in ["http", "<script", "<image", "href", "url(", "@import", "<foreignObject"] {
        assert!(!own.contains(word), "{word}");
    }
}
