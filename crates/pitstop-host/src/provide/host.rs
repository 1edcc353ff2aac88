//! What the machine already has, where its own loader looks but the Python's does not.
//!
//! A Python from nixpkgs on Debian never asks `/etc/ld.so.cache`; on NixOS nothing but nix-ld's shim looks into
//! `/run/current-system/sw/share/nix-ld/lib`. What lies there costs nothing, and needs all its own dependencies named,
//! since the Python's loader will not find those either.

mod drivers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pitstop_core::elf::Target;
use pitstop_core::files::Files;
use pitstop_core::ldso::cache::{Cache, flags};
use pitstop_core::locate::{Class, locate};
use serde::Serialize;

use super::{Context, Outcome, Provider, Provision, Refused, Want, closure, fitting, soname_of};

pub use drivers::{Drivers, is_of_driver, note as driver_note};

/// By which of the machine's rules a library is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It belongs to the GPU driver, and lies where the machine keeps that.
    Driver,
    /// nix-ld's set of libraries.
    NixLd,
    /// The host loader's cache.
    Cache,
    /// A folder that the host loader looks into by itself.
    Folder,
}

/// Where NixOS keeps the libraries of the GPU driver in use, and WSL those of the Windows driver.
const DRIVER_FOLDERS: [&str; 2] = ["/run/opengl-driver/lib", "/usr/lib/wsl/lib"];
/// Where nix-ld looks when no variable says otherwise.
const NIX_LD_FOLDER: &str = "/run/current-system/sw/share/nix-ld/lib";
/// Folders that a distribution's loader trusts without configuration.
const LOADER_FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// The cache of the host's loader.
const CACHE: &str = "/etc/ld.so.cache";

/// The places where a machine keeps libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Folders with driver libraries, looked into before all others for those, and for nothing else.
    pub drivers: Vec<PathBuf>,
    /// nix-ld's folder.
    pub nix_ld: Option<PathBuf>,
    /// What the host loader's cache says: for each soname the files, best first.
    pub cache: BTreeMap<String, Vec<PathBuf>>,
    /// Folders that the host loader looks into after its cache.
    pub folders: Vec<PathBuf>,
}

impl Places {
    /// The usual places of this machine, with what its `/etc/ld.so.cache` says for `target`. A cache that is absent or
    /// damaged says nothing; the loader treats it so too.
    pub fn of_this_machine(files: &dyn Files, target: Target) -> Self {
        let cache = fs_err::read(CACHE).ok().and_then(|bytes| Cache::parse(&bytes, target.encoding).ok());
        let entries = cache.iter().flat_map(Cache::entries);
        // Only what every processor of the kind can run: which features this one has is the loader's to know.
        let plain = entries.filter(|entry| entry.hwcap == 0 && flags::usable(entry.flags, target));
        Self::usual(files, plain.map(|entry| (entry.name.to_string(), PathBuf::from(entry.path.to_string()))))
    }

    /// The usual places, as far as they exist. `cache` is what `/etc/ld.so.cache` says, in its order of preference.
    pub fn usual(files: &dyn Files, cache: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut by_soname: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (soname, file) in cache {
            by_soname.entry(soname).or_default().push(file);
        }
        Self {
            drivers: existing(files, &DRIVER_FOLDERS),
            nix_ld: existing(files, &[NIX_LD_FOLDER]).pop(),
            cache: by_soname,
            folders: existing(files, &LOADER_FOLDERS),
        }
    }

    /// Every file that could be the library of this name, in the order of preference.
    pub(super) fn of(&self, soname: &str) -> Vec<PathBuf> {
        self.files(soname, locate(soname).class).into_iter().map(|(file, _)| file).collect()
    }

    fn files(&self, soname: &str, class: Class) -> Vec<(PathBuf, Rule)> {
        let mut files = Vec::new();
        if class == Class::Driver {
            files.extend(self.drivers.iter().map(|folder| (folder.join(soname), Rule::Driver)));
        } else {
            files.extend(self.nix_ld.iter().map(|folder| (folder.join(soname), Rule::NixLd)));
        }
        files.extend(self.cache.get(soname).into_iter().flatten().map(|file| (file.clone(), Rule::Cache)));
        files.extend(self.folders.iter().map(|folder| (folder.join(soname), Rule::Folder)));
        files
    }
}

fn existing(files: &dyn Files, folders: &[&str]) -> Vec<PathBuf> {
    folders.iter().map(PathBuf::from).filter(|folder| files.is_folder(folder)).collect()
}

/// Looks for each want where this machine keeps libraries. Reads, and changes nothing.
pub fn provide(wants: &[Want], places: &Places, context: &mut Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    for want in wants {
        match find(want, places, context.files) {
            Ok(provision) => outcome.provisions.push(provision),
            Err(refused) => outcome.refused.push(refused),
        }
    }
    outcome
}

fn find(want: &Want, places: &Places, files: &dyn Files) -> Result<Provision, Refused> {
    let class = want.candidates.class;
    let refuse = |reason: String, hint: Option<String>| Refused { soname: want.soname.clone(), reason, hint };
    if want.soname.contains('/') || want.soname.is_empty() {
        return Err(refuse("not the name of a library".into(), None));
    }
    if class == Class::Libc {
        return Err(refuse("a process has the libc that it started with, and no other".into(), None));
    }
    let mut misfits = Vec::new();
    for (file, rule) in places.files(&want.soname, class) {
        match fitting(files, &file, want) {
            Ok(None) => {}
            Err(misfit) if misfits.contains(&misfit) => {}
            Err(misfit) => misfits.push(misfit),
            Ok(Some(elf)) => {
                let note = format!("already on this machine: {}", file.display());
                let dependencies =
                    closure::dependencies(&file, &elf, want, files, &|soname| places.of(soname));
                let (found, by) = (soname_of(&elf), Provider::Host { rule });
                let soname = want.soname.clone();
                return Ok(Provision { soname, file, found, exact: true, by, dependencies, note });
            }
        }
    }
    if !misfits.is_empty() {
        return Err(refuse(misfits.join("; "), None));
    }
    if class == Class::Driver {
        let hint = "Install the GPU driver of this machine (on NixOS: `hardware.graphics.enable`, and \
                    `services.xserver.videoDrivers` for NVIDIA)";
        return Err(refuse("part of a GPU driver that this machine does not have".into(), Some(hint.into())));
    }
    Err(refuse("this machine does not have it".into(), None))
}

#[cfg(test)]
mod tests;
