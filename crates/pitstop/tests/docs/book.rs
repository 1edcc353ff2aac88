//! The book has every page, once.

use crate::links::links;
use crate::pages::{all, page};

#[test]
fn every_page_of_the_docs_is_in_the_book() {
    let mut listed: Vec<String> = links(&page("docs/SUMMARY.md")).into_iter().map(|(_, to)| to).collect();
    listed.sort();
    let mut there: Vec<String> = all()
        .into_iter()
        .filter_map(|page| Some(page.path.strip_prefix("docs").ok()?.to_str().unwrap().to_owned()))
        .filter(|name| name != "SUMMARY.md")
        .collect();
    there.sort();
    assert_eq!(listed, there);
}
