//! Version needs against version definitions: `_dl_check_map_versions` and `match_symbol` in `elf/dl-version.c`.

use bstr::BString;

use super::loading::{ObjectIndex, Shortfall, VersionProblem};
use super::memo::{Memo, Number, Shortfalls, count};

/// Checks the objects that came in; `first` is the index of the first of them.
pub(super) fn check(memo: &mut Memo, first: Number, libraries: &[Number]) -> Vec<VersionProblem> {
    let mut problems = Vec::new();
    for (index, &asker) in libraries.iter().enumerate() {
        let by = ObjectIndex(first + count(index));
        let files = memo.libraries[asker as usize].version_files.clone();
        for (place, &file) in (0..).zip(files.iter()) {
            let found = memo.map.named(file);
            let definer = found.map(|object| match object.checked_sub(first) {
                None => memo.before[object as usize],
                Some(own) => libraries[own as usize],
            });
            // In place of a library that is missing the loader, when tracing, has a dummy that it does not check.
            if definer.is_none() && memo.map.is_unmet(file) {
                continue;
            }
            let Some(shortfalls) = shortfalls(memo, asker, place, definer) else { continue };
            let need = &memo.libraries[asker as usize].elf.version_needs[place as usize];
            problems.extend(shortfalls.iter().map(|&(version, shortfall)| VersionProblem {
                by,
                file: need.file.clone(),
                version: need.versions[version as usize].name.clone(),
                found_in: found.map(ObjectIndex),
                shortfall,
            }));
        }
    }
    problems
}

fn shortfalls(memo: &mut Memo, asker: Number, place: Number, definer: Option<Number>) -> Option<Shortfalls> {
    let key = (asker, place, definer.unwrap_or(Number::MAX));
    if let Some(known) = memo.shortfalls.get(&key) {
        return known.clone();
    }
    let need = &memo.libraries[asker as usize].elf.version_needs[place as usize];
    let definitions = definer.map(|definer| &memo.libraries[definer as usize].elf.version_definitions);
    let mut found = Vec::new();
    for (index, version) in (0..).zip(&need.versions) {
        let shortfall = match definitions {
            None => Some(Shortfall::NotLoaded),
            Some(None) => Some(Shortfall::Unversioned),
            Some(Some(defined)) if defined.iter().any(|name: &BString| *name == version.name) => None,
            Some(Some(_)) if version.weak => Some(Shortfall::WeakUndefined),
            Some(Some(_)) => Some(Shortfall::Undefined),
        };
        found.extend(shortfall.map(|shortfall| (index, shortfall)));
    }
    let known: Option<Shortfalls> = (!found.is_empty()).then(|| found.into());
    memo.shortfalls.insert(key, known.clone());
    known
}
