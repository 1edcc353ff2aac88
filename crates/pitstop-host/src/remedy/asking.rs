//! Asking those who may have a library, for what is no environment: a single program.

use std::path::{Path, PathBuf};

use pitstop_core::index::sonames::Kind;

use super::{Sources, package_set, suite};
use crate::provide::apt::Apt;
use crate::provide::host::{self, Places};
use crate::provide::nix::{Nix, PackageSet};
use crate::provide::{Context, Error, Outcome, Want};

/// Whether libraries for programs of this loader come from Nix rather than from apt. A program from a store fits to
/// libraries from a store, one from a distribution to the distribution's; naming a package set settles it.
#[must_use]
pub fn asks_nix(loader: &Path, sources: &Sources) -> bool {
    matches!(package_set(loader, &sources.distribution, sources.nixpkgs.is_some()), Kind::Nix)
}

/// Nix, as these sources say. `keep_in` is where its roots will lie.
pub fn nix(sources: &Sources, keep_in: &Path) -> Result<Nix, Error> {
    Ok(nix_of(sources.package_set()?, keep_in))
}

/// Nix with another package set.
pub(super) fn nix_of(set: PackageSet, keep_in: &Path) -> Nix {
    Nix { set, roots: keep_in.join("roots"), environment: Vec::new() }
}

/// apt, unpacking below `keep_in`.
#[must_use]
pub fn apt(sources: &Sources, keep_in: &Path) -> Apt {
    let suite = suite(&sources.distribution);
    let destination: PathBuf = keep_in.join("apt");
    let cache = sources.cache.join("apt");
    Apt { suite, cache, destination, host: None, environment: Vec::new(), pins: sources.versions() }
}

/// Asks the machine, then the package set. What each refused is in the outcome once for all of them.
pub fn ask_all(
    wants: &[Want],
    loader: &Path,
    sources: &Sources,
    keep_in: &Path,
    context: &mut Context<'_>,
) -> Result<Outcome, Error> {
    let Some(target) = wants.first().map(|want| want.target) else { return Ok(Outcome::default()) };
    let places = Places::of_this_machine(context.files, target);
    let mut outcome = host::provide(wants, &places, context);
    let refused = std::mem::take(&mut outcome.refused);
    let left: Vec<Want> = wants
        .iter()
        .filter(|want| refused.iter().any(|refused| refused.soname == want.soname))
        .cloned()
        .collect();
    if left.is_empty() {
        return Ok(outcome);
    }
    let more = if asks_nix(loader, sources) {
        nix(sources, keep_in)?.provide(&left, context)?
    } else {
        apt(sources, keep_in).unpack(&left, context)?
    };
    outcome.provisions.extend(more.provisions);
    outcome.refused = more.refused;
    outcome.cost = more.cost;
    Ok(outcome)
}
