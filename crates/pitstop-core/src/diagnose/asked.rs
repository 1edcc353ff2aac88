//! Libraries that packages ask for by name, judged as the loader would judge `dlopen` of each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use rayon::prelude::*;

use super::siblings::Siblings;
use super::{Question, order, versions_wanted};
use crate::files::FileId;
use crate::hints::Ask;
use crate::ldso::no_fallback;

/// A soname that is missing: who needs it, and which versions of it.
pub(super) type Lack = (BString, Arc<Path>, Vec<BString>);

/// What one ask came to.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The soname that serves it, where one does.
    pub(super) soname: Option<String>,
    /// The provided libraries to load, dependencies first, the one asked for last; empty where the loader finds it.
    pub(super) preloads: Vec<PathBuf>,
    /// What is missing.
    pub(super) missing: Vec<Lack>,
}

/// Answers every ask, in their order; `None` where the package brings the library itself, or opens it by its path.
pub(super) fn answers(question: &Question<'_>, siblings: &Siblings<'_>) -> Vec<Option<Answer>> {
    question.asks.par_iter().map(|ask| answer(question, siblings, ask)).collect()
}

fn answer(question: &Question<'_>, siblings: &Siblings<'_>, ask: &Ask) -> Option<Answer> {
    if ask.before.is_empty() && is_shipped(question, ask) {
        return None;
    }
    let by_loader =
        |soname: &&String| question.process.load(Path::new(soname.as_str()), None, &no_fallback).succeeds();
    if let Some(soname) = ask.sonames.iter().find(by_loader) {
        return Some(Answer { soname: Some(soname.clone()), ..Answer::default() });
    }
    let asker: Arc<Path> = match (&ask.file, ask.before.first()) {
        (Some(file), _) => file.as_path().into(),
        (None, Some(&native)) => question.natives[native].path.as_path().into(),
        (None, None) => Path::new("").into(),
    };
    for soname in &ask.sonames {
        let Some(path) = question.provided.get(soname.as_bytes().as_bstr()) else { continue };
        return Some(provided(question, siblings, soname, path));
    }
    let open = |soname: &&String| !question.given_up.contains(soname.as_bytes().as_bstr());
    let wanted = ask.sonames.iter().find(open).or(ask.sonames.first())?;
    let missing = vec![(BString::from(wanted.as_str()), asker, Vec::new())];
    Some(Answer { missing, ..Answer::default() })
}

/// What loading a provided library comes to: it may lack others in turn.
fn provided(question: &Question<'_>, siblings: &Siblings<'_>, soname: &str, path: &Path) -> Answer {
    let fallback = |soname: &BStr, asker: FileId| {
        let comes_along = siblings.comes_along(soname, asker, question.requires);
        comes_along.or_else(|| question.provided.get(soname).cloned())
    };
    let loading = question.process.load(path, None, &fallback);
    let mut preloads = order::provided(&loading, question.provided);
    preloads.push(path.to_owned());
    let unmet = loading.unmet().map(|need| {
        let (soname, asker) = (loading.soname(need), loading.object(need.by));
        (soname.to_owned(), asker.path.clone(), versions_wanted(asker, soname))
    });
    Answer { soname: Some(soname.to_owned()), preloads, missing: unmet.collect() }
}

/// Whether the package that asks brings the library itself: soundfile asks for `sndfile` where its own
/// `libsndfile_x86_64.so` is not there.
fn is_shipped(question: &Question<'_>, ask: &Ask) -> bool {
    let Some(package) = ask.package else { return false };
    let stems: BTreeSet<&str> = ask.sonames.iter().filter_map(|soname| soname.split(".so").next()).collect();
    let its = question.natives.iter().filter(|native| native.package == Some(package));
    let mut names = its.filter_map(|native| native.path.file_name()?.to_str());
    names.any(|name| {
        stems.iter().any(|stem| {
            // `libvips-0a1b2c.so.42`, `libsndfile_x86_64.so`, not `libpangoft2` for `libpango`.
            name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        })
    })
}
