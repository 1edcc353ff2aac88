//! The packages that a root is made of: those that the lock knows by their store paths, without evaluating anything; the
//! others, and those that are to be had nowhere as they were locked, from the package set.

use std::path::PathBuf;

use pitstop_core::lockfile::{LockedPackage, LockedSet};

use crate::provide::nix::{Nix, Package, PackageSet};
use crate::provide::{Context, Error};
use crate::remedy::Pinned;

/// What asking for packages came to.
#[derive(Debug, Default)]
pub(super) struct Provided {
    /// The packages, in no order that matters.
    pub(super) found: Vec<Package>,
    /// Where the package set lies, where it was asked.
    pub(super) set: Option<PathBuf>,
    /// What was not locked, as a lock has it.
    pub(super) new: Vec<LockedPackage>,
    /// How what is here differs from the lock, in one line each.
    pub(super) differs: Vec<String>,
}

/// Provides packages by name.
pub(super) fn provide(
    wanted: &[&str],
    nix: &Nix,
    pinned: &Pinned,
    context: &mut Context<'_>,
) -> Result<Provided, Error> {
    let mut provided = Provided::default();
    let is_locked = |name: &&str| pinned.lock.package(name, &pinned.systems).is_some();
    let (known, open): (Vec<&str>, Vec<&str>) = wanted.iter().copied().partition(is_locked);
    let locked: Vec<&LockedPackage> =
        known.iter().filter_map(|name| pinned.lock.package(name, &pinned.systems)).collect();
    let paths: Vec<&str> = locked.iter().flat_map(|package| &package.outputs).map(String::as_str).collect();
    if locked.is_empty() || nix.outputs(&paths, context)? {
        provided.found.extend(locked.iter().map(|package| as_found(package)));
    } else {
        again(&locked, nix, pinned, &mut provided, context)?;
    }
    if !open.is_empty() {
        let packages = nix.packages(&open, context)?;
        provided.set = Some(packages.set);
        provided.new.extend(packages.found.iter().map(|it| as_locked(it, &packages.locked, pinned)));
        provided.found.extend(packages.found);
    }
    Ok(provided)
}

/// Packages that are neither in the store nor in a cache as they were locked: built, from the package sets that they were
/// locked with.
fn again(
    locked: &[&LockedPackage],
    nix: &Nix,
    pinned: &Pinned,
    provided: &mut Provided,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    let mut sets: Vec<&LockedSet> = locked.iter().map(|package| &package.set).collect();
    sets.sort();
    sets.dedup();
    for set in sets {
        let ours = locked.iter().filter(|package| package.set == *set);
        let names: Vec<&str> = ours.map(|package| package.attribute.as_str()).collect();
        let nix = Nix { set: PackageSet::locked(set, &pinned.folder)?, ..nix.clone() };
        let packages = nix.packages(&names, context)?;
        for package in packages.found {
            let was = locked.iter().find(|locked| locked.attribute == package.attribute);
            let (was, is) = (was.map(|locked| locked.outputs.join(" ")), texts(&package.outputs).join(" "));
            if was.as_deref().is_some_and(|was| was != is) {
                let was = was.unwrap_or_default();
                provided.differs.push(format!("{}: the lock has {was}, here it is {is}", package.attribute));
            }
            provided.found.push(package);
        }
    }
    Ok(())
}

fn as_found(locked: &LockedPackage) -> Package {
    let outputs = locked.outputs.iter().map(PathBuf::from).collect();
    Package { attribute: locked.attribute.clone(), outputs }
}

fn as_locked(package: &Package, set: &LockedSet, pinned: &Pinned) -> LockedPackage {
    LockedPackage {
        attribute: package.attribute.clone(),
        system: pinned.systems.nix.clone(),
        outputs: texts(&package.outputs),
        set: set.clone(),
    }
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}
