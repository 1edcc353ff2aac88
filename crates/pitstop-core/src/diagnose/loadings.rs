//! What opening files comes to, need by need, in the process that a diagnosis is about.

use std::path::Path;

use bstr::BStr;
use rayon::prelude::*;

use super::Question;
use super::siblings::Siblings;
use crate::files::FileId;
use crate::ldso::Loading;

/// Opens each file as [`diagnose`](super::diagnose()) opens a root: what its package, or one that this requires, loads
/// first is there, and so is what is provided.
#[must_use]
pub fn loadings(question: &Question<'_>, roots: &[&Path]) -> Vec<Loading> {
    let siblings = Siblings::of(question.natives);
    let fallback = |soname: &BStr, asker: FileId| {
        let comes_along = siblings.comes_along(soname, asker, question.requires);
        comes_along.or_else(|| question.provided.get(soname).cloned())
    };
    roots.par_iter().map(|root| question.process.load(root, None, &fallback)).collect()
}
