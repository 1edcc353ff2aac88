//! A picture as a page: the same drawing, with a script of its own that searches, zooms and shows what leads where.

use super::names::escaped;
use super::{Kind, Picture, svg};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The script's own hash: no other runs, whatever a name may hold. A browser that finds it wrong runs none, which
/// `tests/picture.rs` sees.
const SCRIPT_HASH: &str = "sha256-idygOsy11t4MIGNQl4zvpD6E/kEzhudLLCyYObOhS/8=";

/// The picture as a page that needs nothing else.
pub(super) fn document(picture: &Picture) -> String {
    let title = escaped(&picture.title);
    let missing = picture.nodes.iter().filter(|node| node.kind == Kind::Missing).count();
    // With `next`, a person steps from one to the next that is not found.
    let jump = if missing == 0 {
        String::new()
    } else {
        format!("<button id=\"missing\" type=\"button\">next of {missing} not found</button>\n")
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header role=\"toolbar\" aria-label=\"The picture\">\n\
         <input id=\"search\" type=\"search\" placeholder=\"search\" aria-label=\"Search packages, files and libraries\">\n\
         <output id=\"found\" aria-live=\"polite\"></output>\n{jump}\
         <button id=\"smaller\" type=\"button\" aria-label=\"Smaller\">−</button>\n\
         <button id=\"larger\" type=\"button\" aria-label=\"Larger\">+</button>\n\
         <button id=\"fit\" type=\"button\">fit</button>\n\
         <button id=\"full\" type=\"button\">1:1</button>\n\
         </header>\n<main id=\"view\" tabindex=\"-1\">\n{}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        svg::element(picture, true)
    )
}
