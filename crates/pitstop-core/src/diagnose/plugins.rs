//! Libraries that native code opens itself. The hook sees modules being loaded and nothing else, so what such a library needs
//! is loaded before the modules that bring its opener.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use bstr::BStr;

use super::Question;
use super::siblings::Siblings;
use crate::files::FileId;
use crate::ldso::no_fallback;
use crate::targets::Role;

/// By which roots each file comes into a process.
#[derive(Default)]
pub(super) struct Openers {
    by_file: HashMap<FileId, Vec<usize>>,
    reached: HashMap<usize, Vec<FileId>>,
}

impl Openers {
    pub(super) fn add(&mut self, root: usize, reached: Vec<FileId>) {
        for id in &reached {
            self.by_file.entry(*id).or_default().push(root);
        }
        self.reached.insert(root, reached);
    }

    /// The roots that bring a file, and the modules that bring what opens it.
    pub(super) fn of(&self, question: &Question<'_>, siblings: &Siblings<'_>, native: usize) -> Vec<usize> {
        let mut roots = self.bringing(question.natives[native].id).to_vec();
        roots.extend(self.of_plugin(question, siblings, native));
        roots
    }

    /// Has modules load what plugins need. A plugin that would get a library of its own package from elsewhere with that is
    /// left as it is: one process has one `libQt6Core.so.6`.
    pub(super) fn have_loaded(
        &self,
        question: &Question<'_>,
        siblings: &Siblings<'_>,
        preloads: &mut BTreeMap<usize, Vec<PathBuf>>,
    ) {
        let plugins: Vec<usize> =
            preloads.keys().copied().filter(|&root| is_plugin(question, root)).collect();
        for plugin in plugins {
            let Some(needs) = preloads.get(&plugin).cloned() else { continue };
            if self.is_disturbed(question, plugin, &needs) {
                preloads.remove(&plugin);
                continue;
            }
            for module in self.of_plugin(question, siblings, plugin) {
                append(preloads.entry(module).or_default(), &needs);
            }
        }
    }

    /// The modules that bring whatever a plugin links of what modules bring: a platform plugin of Qt is opened where
    /// `libQt6Gui` is, one for databases where `libQt6Sql` is.
    fn of_plugin(&self, question: &Question<'_>, siblings: &Siblings<'_>, plugin: usize) -> BTreeSet<usize> {
        let Some(reached) = self.reached.get(&plugin).filter(|_| is_plugin(question, plugin)) else {
            return BTreeSet::new();
        };
        let modules = |id: &FileId| -> BTreeSet<usize> {
            let is_module = |root: &usize| question.natives[*root].role == Role::Extension;
            self.bringing(*id).iter().copied().filter(is_module).collect()
        };
        let linked = reached.iter().filter(|id| siblings.path_of(**id).is_some());
        let by_each = linked.map(modules).filter(|modules| !modules.is_empty());
        by_each.reduce(|all, some| &all & &some).unwrap_or_default()
    }

    fn is_disturbed(&self, question: &Question<'_>, plugin: usize, needs: &[PathBuf]) -> bool {
        let reached = self.reached.get(&plugin).map_or(&[][..], Vec::as_slice);
        let natives = question.natives.iter().filter(|native| reached.contains(&native.id));
        let own: HashMap<&BStr, FileId> =
            natives.filter_map(|native| Some((native.elf.soname.as_ref()?.as_ref(), native.id))).collect();
        needs.iter().any(|library| {
            let loading = question.process.load(library, None, &no_fallback);
            loading.objects.iter().any(|object| {
                let soname = object.elf.soname.as_ref().map(AsRef::as_ref);
                soname.and_then(|soname: &BStr| own.get(soname)).is_some_and(|id| *id != object.id)
            })
        })
    }

    fn bringing(&self, id: FileId) -> &[usize] {
        self.by_file.get(&id).map_or(&[][..], Vec::as_slice)
    }
}

/// Whether native code opens it. What Python code names is served when it is opened.
fn is_plugin(question: &Question<'_>, native: usize) -> bool {
    let native = &question.natives[native];
    native.role == Role::Library && !(question.named)(native)
}

/// Adds libraries to those that are loaded before a file.
pub(super) fn append(preloads: &mut Vec<PathBuf>, more: &[PathBuf]) {
    for library in more {
        if !preloads.contains(library) {
            preloads.push(library.clone());
        }
    }
}
