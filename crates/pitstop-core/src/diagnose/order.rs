//! In which order to load what was provided: what another needs comes before it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use bstr::BString;

use crate::ldso::{Loading, ObjectIndex, Rule};

/// The provided libraries that one loading uses, dependencies first.
///
/// Only those that the loader would not find by itself are named: a library from `/nix/store` brings its own
/// dependencies through its RUNPATH. Rings are cut where they are entered; the loader copes with them in any order.
pub(super) fn provided(loading: &Loading, provided: &BTreeMap<BString, PathBuf>) -> Vec<PathBuf> {
    let used = |index: ObjectIndex| {
        let object = loading.object(index);
        object.rule == Rule::Fallback && provided.values().any(|path| *path == *object.path)
    };
    if !loading.indexed().any(|(index, _)| used(index)) {
        return Vec::new();
    }
    let mut order = Vec::new();
    let mut entered = HashSet::new();
    // An explicit stack: a chain of libraries may be as long as a hostile wheel likes.
    let mut stack: Vec<(ObjectIndex, bool)> = vec![(loading.first_index(), false)];
    while let Some((index, left)) = stack.pop() {
        if left {
            if used(index) {
                order.push(loading.object(index).path.to_path_buf());
            }
            continue;
        }
        if index < loading.first_index() || !entered.insert(index) {
            continue;
        }
        stack.push((index, true));
        let needs = loading.needs.iter().filter(|need| need.by == index);
        let below: Vec<ObjectIndex> = needs.filter_map(|need| need.outcome.object()).collect();
        stack.extend(below.into_iter().rev().map(|below| (below, false)));
    }
    order
}
