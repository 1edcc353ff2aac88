//! Versions that packages are held to, and what tells one archive from another.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{self, Install};
use super::{Apt, Context, Error, Lists, MISSING_HINT, child, is_useful};

/// Versions that packages are to have.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// The version of each package.
    pub versions: BTreeMap<String, String>,
    /// Whether another version will not do. Else the one that is to be had is taken where the pinned one is gone.
    pub strict: bool,
}

impl Pins {
    /// How apt is asked for a package. Those of `without` are asked for without a version.
    pub(super) fn word(&self, package: &str, without: &BTreeSet<String>) -> String {
        match self.versions.get(package).filter(|_| !without.contains(package)) {
            Some(version) => format!("{package}={version}"),
            None => package.to_owned(),
        }
    }

    /// What apt would install besides `named` in another version than the pinned one.
    pub(super) fn astray(
        &self,
        installs: &[Install],
        named: &BTreeSet<String>,
        without: &BTreeSet<String>,
    ) -> Vec<String> {
        let is_astray = |install: &&Install| {
            let pinned = self.versions.get(&install.package);
            pinned.is_some_and(|version| *version != install.version)
                && !named.contains(&install.package)
                && !without.contains(&install.package)
        };
        installs.iter().filter(is_astray).map(|install| install.package.clone()).collect()
    }
}

impl Apt {
    /// The SHA-256 of each archive, by `package_version`, as the lists have it: apt holds what it downloads against them.
    pub(super) fn hashes(
        &self,
        installs: &[Install],
        lists: Lists,
        context: &mut Context<'_>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let wanted: Vec<&Install> = installs.iter().filter(|install| is_useful(install)).collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut command = self.apt_get(Some(lists));
        command.args(["--print-uris", "download"]);
        command.args(
            wanted
                .iter()
                .map(|install| format!("{}:{}={}", install.package, install.architecture, install.version)),
        );
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
        // An archive that is not to be had any more has no hash either.
        Ok(String::from_utf8_lossy(&finished.output).lines().filter_map(words::archive).collect())
    }
}
