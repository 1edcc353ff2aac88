//! What a chore found, put into a page of the docs between the markers that are its own.

use std::path::Path;

use anyhow::{Context, Result};

/// Puts a text into `docs/PAGE` where the chore has its place.
pub(crate) fn put(page: &str, chore: &str, text: &str) -> Result<()> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- cargo xtask {chore}: {edge} -->\n"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let old = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let (head, rest) = old.split_once(&begin).context("the page has no marker to begin at")?;
    let (_, tail) = rest.split_once(&end).context("the page has no marker to end at")?;
    Ok(std::fs::write(&page, format!("{head}{begin}\n{text}\n{end}{tail}"))?)
}
