//! What the project's lock and settings have to say on where a library comes from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::index::sonames::Kind;
use pitstop_core::locate::Distribution;
use pitstop_core::lockfile::{Lock, Locked, LockedSet, Origin, Systems};
use pitstop_core::settings::{Giver, Pin, Settings};

use super::{Found, Refused, Remedy, Search, Sources, asking, asks_nix, package_set, suite};
use crate::metadata::normalized;
use crate::project::{self, Project};
use crate::provide::apt::Pins;
use crate::provide::nix::PackageSet;
use crate::provide::{Error, Provider, Want};
use crate::survey::Survey;

/// What a project has to say; nothing where there is none.
#[derive(Clone, Debug, Default)]
pub struct Pinned {
    /// Its lock, without what is to be forgotten.
    pub lock: Lock,
    /// Where its lock and settings lie.
    pub folder: PathBuf,
    /// Whether nothing but what is locked will do.
    pub strict: bool,
    /// Its settings.
    pub settings: Settings,
    /// What this machine is called in locks.
    pub systems: Systems,
}

impl Pinned {
    /// What a project has to say to a machine of this kind. `os_release` is the text of that file.
    #[must_use]
    pub fn of(project: Option<&Project>, os_release: &str) -> Self {
        let systems = project::systems(os_release);
        let Some(project) = project.cloned() else { return Self { systems, ..Self::default() } };
        let lock = project.lock.unwrap_or_default();
        Self { lock, folder: project.folder, strict: false, settings: project.settings, systems }
    }

    /// Whether a giver may be asked at all.
    #[must_use]
    pub fn allows(&self, giver: Giver) -> bool {
        self.settings.providers.as_ref().is_none_or(|said| said.contains(&giver))
    }

    /// Forgets what the settings contradict: they were changed since.
    pub fn settle(lock: &mut Lock, settings: &Settings, systems: &Systems) {
        lock.forget(systems, &|locked| {
            settings.pins.get(&locked.soname).is_some_and(|pin| contradicts(pin, &locked.origin))
        });
    }

    /// Whether what an earlier fix provided is what would be provided now.
    #[must_use]
    pub fn holds(&self, found: &Found) -> bool {
        let soname = found.soname.to_str_lossy();
        let Some(origin) = &found.origin else { return true };
        if !self.allows(origin.giver()) {
            return false;
        }
        if matches!(origin, Origin::Wheel | Origin::Python) {
            return true;
        }
        if self.settings.pins.get(&*soname).is_some_and(|pin| contradicts(pin, origin)) {
            return false;
        }
        let mut locked = self.lock.of(&soname, &self.systems).peekable();
        locked.peek().is_none() || locked.any(|locked| locked.origin.is_same(origin))
    }

    /// How what was provided differs from the lock, in one line each. What is locked and not needed here is no difference:
    /// another environment of the project may need it.
    pub fn differences<'a>(&self, found: impl IntoIterator<Item = &'a Found>) -> Vec<String> {
        let differs = |found: &Found| {
            let soname = found.soname.to_str_lossy();
            let here = found.origin.as_ref().map_or_else(|| found.from.clone(), ToString::to_string);
            let is_same =
                |locked: &Locked| found.origin.as_ref().is_some_and(|here| here.is_same(&locked.origin));
            let locked: Vec<&Locked> = self.lock.of(&soname, &self.systems).collect();
            if locked.iter().any(|locked| is_same(locked)) {
                return None;
            }
            // What was installed on the machine is nobody's to lock.
            found.origin.as_ref()?;
            let same_giver = |locked: &&&Locked| {
                found.origin.as_ref().is_some_and(|here| here.giver() == locked.origin.giver())
            };
            let other = locked.iter().find(same_giver).or(locked.first());
            Some(match other {
                Some(locked) => format!("{soname}: the lock has {}, here it is {here}", locked.origin),
                None => format!("{soname}: the lock has none for this kind of machine, here it is {here}"),
            })
        };
        found.into_iter().filter_map(differs).collect()
    }

    /// Whether the machine may be asked for a library: not where the settings name its package, and with a strict lock only
    /// where that says so.
    pub(super) fn asks_host(&self, soname: &str) -> bool {
        let locked = || self.lock.from(soname, Giver::Host, &self.systems).is_some();
        !self.settings.pins.contains_key(soname) && (!self.strict || locked())
    }

    /// The package that a library is to come from, and the package set where the lock names one. The machine is asked first
    /// where it gave the library when it was locked.
    fn package(&self, soname: &str, giver: Giver) -> Option<(String, Option<LockedSet>)> {
        if let Some(locked) = self.lock.from(soname, giver, &self.systems) {
            let by_host = self.lock.from(soname, Giver::Host, &self.systems).is_some();
            if !by_host || !self.allows(Giver::Host) {
                return match &locked.origin {
                    Origin::Nix { attribute, set, .. } => Some((attribute.clone(), Some(set.clone()))),
                    Origin::Apt { package, .. } => Some((package.clone(), None)),
                    _ => None,
                };
            }
        }
        let pin = self.settings.pins.get(soname)?;
        let name = if giver == Giver::Nix { pin.nix.clone() } else { pin.apt.clone() };
        name.map(|name| (name, None))
    }
}

fn contradicts(pin: &Pin, origin: &Origin) -> bool {
    match origin {
        Origin::Nix { attribute, .. } => pin.nix.as_ref().is_some_and(|pinned| pinned != attribute),
        Origin::Apt { package, .. } => pin.apt.as_ref().is_some_and(|pinned| pinned != package),
        // Naming a package means that it is to come from there.
        Origin::Host => true,
        Origin::Wheel | Origin::Python => false,
    }
}

impl Sources {
    /// The package set for what is not locked: the first that is named by `--nixpkgs`, the lock, the settings, `flake.lock`;
    /// else this machine's.
    pub(crate) fn package_set(&self) -> Result<PackageSet, Error> {
        let Pinned { lock, folder, settings, .. } = &self.pinned;
        match (&self.nixpkgs, &lock.nixpkgs, &settings.nixpkgs) {
            (None, Some(set), _) => PackageSet::locked(set, folder),
            (None, None, Some(named)) => Ok(PackageSet::named(named, folder, "the project's settings")),
            (named, ..) => PackageSet::choose(named.as_deref(), &self.folder, self.project.as_deref()),
        }
    }

    /// Versions that Debian packages are held to.
    pub(super) fn versions(&self) -> Pins {
        let Pinned { lock, systems, strict, .. } = &self.pinned;
        let of_this_machine = lock.libraries().iter().filter_map(|locked| match &locked.origin {
            Origin::Apt { system, package, version, .. } if *system == systems.apt => {
                Some((package.clone(), version.clone()))
            }
            _ => None,
        });
        Pins { versions: of_this_machine.collect(), strict: *strict }
    }

    /// Whose packages are asked for first for programs of this loader.
    #[must_use]
    pub fn kind(&self, loader: &Path) -> Kind {
        match self.order(loader).iter().find(|giver| matches!(giver, Giver::Nix | Giver::Apt)) {
            Some(Giver::Nix) => Kind::Nix,
            Some(_) => Kind::Debian,
            None => package_set(loader, &self.distribution, self.nixpkgs.is_some()),
        }
    }

    /// Who is asked, in this order.
    pub(super) fn order(&self, loader: &Path) -> Vec<Giver> {
        let Some(said) = &self.pinned.settings.providers else {
            // A Python from a store fits to libraries from a store, one from a distribution to the distribution's; naming a
            // package set settles it.
            let set = if asks_nix(loader, self) { Giver::Nix } else { Giver::Apt };
            return vec![Giver::Wheel, Giver::Python, Giver::Host, set];
        };
        let mut order = said.clone();
        // Of two package sets, one that this machine does not have is no error.
        if order.contains(&Giver::Nix) && order.contains(&Giver::Apt) {
            let debian = matches!(self.distribution, Distribution::Debian(_));
            let path = std::env::var_os("PATH").unwrap_or_default();
            let has_nix = std::env::split_paths(&path).any(|folder| folder.join("nix-store").is_file());
            order.retain(|giver| match giver {
                Giver::Apt => debian,
                Giver::Nix => has_nix || !debian,
                _ => true,
            });
        }
        order
    }
}

impl Search<'_, '_> {
    /// What lock and settings name is asked for before the machine: it may have another version.
    pub(super) fn pinned(
        &mut self,
        order: &[Giver],
        wants: &mut Vec<Want>,
        remedy: &mut Remedy,
        reasons: &mut HashMap<String, Vec<Refused>>,
    ) -> Result<Vec<BString>, Error> {
        let mut left = Vec::new();
        for &giver in order.iter().filter(|giver| matches!(giver, Giver::Nix | Giver::Apt)) {
            let mut by_set: BTreeMap<Option<LockedSet>, Vec<Want>> = BTreeMap::new();
            for want in wants.iter() {
                let Some((package, set)) = self.sources.pinned.package(&want.soname, giver) else { continue };
                if self.sources.offline {
                    remedy.pending.push((want.soname.clone(), format!("{}: {package}", giver.name())));
                    left.push(BString::from(want.soname.as_str()));
                    continue;
                }
                let pin = match giver {
                    Giver::Nix => Pin { nix: Some(package), apt: None },
                    _ => Pin { nix: None, apt: Some(package) },
                };
                let mut want = want.clone();
                let told_by = want.candidates.candidates.first().map(|first| first.told_by.clone());
                project::pin(&mut want.candidates, &pin, suite(&self.sources.distribution));
                // The lock says from where, not who told it first.
                if let (Some(told_by), Some(first)) = (told_by, want.candidates.candidates.first_mut())
                    && !self.sources.pinned.settings.pins.contains_key(&want.soname)
                {
                    first.told_by = told_by;
                }
                by_set.entry(set).or_default().push(want);
            }
            wants.retain(|want| !left.contains(&BString::from(want.soname.as_str())));
            for (set, asked) in by_set {
                let outcome = match (giver, set) {
                    (Giver::Nix, Some(set)) => {
                        let set = PackageSet::locked(&set, &self.sources.pinned.folder)?;
                        // A folder of another machine's: what this one has instead is asked for below.
                        if set.is_elsewhere() && !self.sources.pinned.strict {
                            continue;
                        }
                        let nix = asking::nix_of(set, &(self.keep_in)()?);
                        self.ask(|context| nix.provide(&asked, context))?
                    }
                    (Giver::Nix, None) => self.nix(&asked)?,
                    _ => self.apt(&asked)?,
                };
                remedy.costs.push((giver.name(), outcome.cost));
                self.take(outcome, wants, remedy, reasons);
            }
        }
        Ok(left)
    }
}

/// Where a provision came from, as a lock has it. `None` where that cannot be provided again: it was installed.
pub(super) fn origin(by: &Provider, systems: &Systems, hashes: &BTreeMap<String, String>) -> Option<Origin> {
    match by {
        Provider::Host { .. } => Some(Origin::Host),
        Provider::Nix { attribute, store_path, set, .. } => Some(Origin::Nix {
            system: systems.nix.clone(),
            attribute: attribute.clone(),
            path: store_path.to_string_lossy().into_owned(),
            set: set.clone(),
        }),
        Provider::Apt { folder, .. } => archive(folder.file_name()?.to_str()?, systems, hashes),
        Provider::Installed { .. } => None,
    }
}

/// The same for what a provision needs besides: it may be in another package.
pub(super) fn origin_of_dependency(
    file: &Path,
    by: &Provider,
    systems: &Systems,
    hashes: &BTreeMap<String, String>,
) -> Option<Origin> {
    let Provider::Apt { folder, .. } = by else { return origin(by, systems, hashes) };
    let Ok(below) = file.strip_prefix(folder.parent()?) else { return Some(Origin::Host) };
    archive(below.components().next()?.as_os_str().to_str()?, systems, hashes)
}

/// A Debian package by the name of its folder, `package_version`.
fn archive(name: &str, systems: &Systems, hashes: &BTreeMap<String, String>) -> Option<Origin> {
    let (package, version) = name.split_once('_')?;
    Some(Origin::Apt {
        system: systems.apt.clone(),
        package: package.to_owned(),
        version: version.replace("%3a", ":"),
        sha256: hashes.get(name).cloned(),
    })
}

impl Remedy {
    /// The packages that need each library that was found.
    #[must_use]
    pub fn needed_by(&self, survey: &Survey) -> BTreeMap<BString, BTreeSet<String>> {
        let name = |package: Option<usize>| Some(normalized(&survey.packages[package?].name));
        let mut users: HashMap<&Path, BTreeSet<String>> = HashMap::new();
        let by_native =
            self.after.preloads.iter().map(|(native, files)| (name(survey.natives[*native].package), files));
        let by_name =
            self.after.asked.iter().map(|(ask, (_, files))| (name(survey.asks[*ask].package), files));
        for (user, files) in by_native.chain(by_name) {
            for file in files {
                users.entry(file).or_default().extend(user.clone());
            }
        }
        for native in self.programs.loaders.keys().map(|native| &survey.natives[*native]) {
            for file in native.elf.needed.iter().filter_map(|needed| self.programs.farm.get(needed)) {
                users.entry(file).or_default().extend(name(native.package));
            }
        }
        let whom = |found: &Found| users.get(found.file.as_path()).cloned().unwrap_or_default();
        self.found.iter().map(|(soname, found)| (soname.clone(), whom(found))).collect()
    }
}
