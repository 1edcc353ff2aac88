//! A root as the Filesystem Hierarchy Standard has it, made of packages: for programs that expect one.
//!
//! The packages and all that they refer to are merged once into a folder of links, which is kept with the links that keep
//! the packages from being collected. To start something in it takes a handful of mounts and no Nix. Everything that is
//! not `/usr`, `/bin`, `/sbin`, `/lib`, `/lib64` or `/etc` is the machine's own.
//!
//! A Debian is such a root already: see [`debian`].

mod debian;
mod packages;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use pitstop_core::elf::Target;
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::cache::{self, Capability, NewEntry, flags};
use pitstop_core::locate::locate;
use pitstop_core::lockfile::LockedPackage;
pub use pitstop_core::settings::{Fhs as Settings, Words};

use crate::files::SystemFiles;
use crate::lend::{LendError, Lender, Lent, is_soname, own_loader};
use crate::loader;
use crate::namespace::{Change, Node};
use crate::project::{Project, ProjectError};
use crate::provide::{self, Context};
use crate::remedy::{self, Pinned};

pub use tree::{Clash, Tree};

/// What every root has besides what is asked for.
pub const BASE: [&str; 13] = [
    "glibc",
    "bashInteractive",
    "coreutils",
    "gnused",
    "gnugrep",
    "gawk",
    "findutils",
    "gnutar",
    "gzip",
    "xz",
    "diffutils",
    "less",
    "which",
];

/// Where the machine's own `/etc` is shown; its entries in the root's `/etc` are links into it.
const HOST_ETC: &str = "/.host-etc";
/// Where NixOS has the machine's graphics driver, which no package can stand for.
const DRIVER: &str = "/run/opengl-driver/lib";
const GENERATOR: &str = concat!("pitstop ", env!("CARGO_PKG_VERSION"));
/// Folders of packages that are merged, each with its name below `/usr`.
const MERGED: [(&str, &str); 7] = [
    ("bin", "bin"),
    ("sbin", "bin"),
    ("lib", "lib"),
    ("lib64", "lib"),
    ("libexec", "libexec"),
    ("include", "include"),
    ("share", "share"),
];

/// What the nearest project with settings for `fhs` says, and in which file.
pub fn settings(folder: &Path) -> Result<Option<(PathBuf, Settings)>, ProjectError> {
    for folder in folder.ancestors() {
        let Some(project) = Project::find(folder)? else { return Ok(None) };
        if let (Some(file), Some(settings)) = (project.settings_file, project.settings.fhs) {
            return Ok(Some((file, settings)));
        }
    }
    Ok(None)
}

/// A root that was made.
#[derive(Debug)]
pub struct Made {
    /// How it is seen.
    pub lent: Lent,
    /// What two packages had under one name.
    pub clashes: Vec<Clash>,
    /// Files and folders on which it rests.
    pub witnesses: BTreeSet<PathBuf>,
    /// What files and environments lack that nobody gave.
    pub troubles: Vec<String>,
    /// Packages that the lock does not have yet.
    pub new: Vec<LockedPackage>,
    /// How packages differ from the lock, in one line each.
    pub differs: Vec<String>,
}

/// The attributes that are meant by what a person names: sonames stand for the packages that have them.
pub fn attributes(names: &[String]) -> Result<Vec<String>, LendError> {
    let mut attributes: Vec<String> = Vec::new();
    for name in names.iter().filter(|name| !name.contains('/')) {
        let attribute = if is_soname(name) {
            let located = locate(name);
            let found = located.nix().find(|(_, candidate)| candidate.exact).map(|(name, _)| name.to_owned());
            found.ok_or_else(|| LendError::NoSubject {
                path: name.into(),
                why: ": no package of nixpkgs is known to have it".to_owned(),
            })?
        } else {
            name.clone()
        };
        if !attributes.contains(&attribute) {
            attributes.push(attribute);
        }
    }
    Ok(attributes)
}

/// Makes a root of the packages that are named, and of what the files and environments among `names` lack.
pub fn make(names: &[String], lender: Lender<'_>) -> Result<Made, LendError> {
    let own = own_loader()?;
    if remedy::asks_nix(&own.path, lender.sources) {
        make_of_nix(names, lender)
    } else {
        debian::make(names, &own, lender)
    }
}

fn make_of_nix(names: &[String], mut lender: Lender<'_>) -> Result<Made, LendError> {
    let keep_in = lender.keep_in.clone();
    for name in names.iter().filter(|name| name.contains('/')) {
        lender.path(Path::new(name))?;
    }
    let attributes = attributes(names)?;
    let wanted: Vec<&str> = attributes.iter().map(String::as_str).chain(BASE).collect();
    let files = SystemFiles::new();
    let nix = remedy::nix(lender.sources, &keep_in)?;
    let mut context = Context {
        files: &files,
        accept_inexact: false,
        progress: &mut *lender.progress,
        interrupt: lender.interrupt,
    };
    // Whoever names another package set means it.
    let unpinned = Pinned { systems: lender.sources.pinned.systems.clone(), ..Pinned::default() };
    let pinned = if lender.sources.nixpkgs.is_some() { &unpinned } else { &lender.sources.pinned };
    let provided = packages::provide(&wanted, &nix, pinned, &mut context)?;
    // In the order in which they were asked for, then all that they refer to.
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in &wanted {
        let found = provided.found.iter().filter(|package| package.attribute == *name);
        paths.extend(found.flat_map(|package| &package.outputs).cloned());
    }
    let closure = nix.closure(&paths, &mut context)?;
    let mut seen = BTreeSet::new();
    let paths: Vec<PathBuf> =
        paths.into_iter().chain(closure).filter(|path| seen.insert(path.clone())).collect();

    let (found, troubles, mut witnesses) = lender.into_found();
    witnesses.extend(provided.set);
    let mut tree = Tree::default();
    let io = provide::Error::Io;
    for (path, (from, to)) in paths.iter().flat_map(|path| MERGED.map(|pair| (path, pair))) {
        // A lib64 that is lib by another name.
        if !path.join(from).is_symlink() {
            tree.add(to, &path.join(from)).map_err(io)?;
        }
    }
    for (soname, file) in found {
        tree.add_link("lib", OsStr::from_bytes(&soname).to_owned(), file);
    }
    // What every program may start, and not every bash has.
    let bash = tree.links("bin").find(|(name, _)| *name == "bash").map(|(_, file)| file.clone());
    if let Some(bash) = bash {
        tree.add_link("bin", "sh".into(), bash);
    }
    let mut etc = Tree::default();
    for path in &paths {
        etc.add("etc", &path.join("etc")).map_err(io)?;
    }
    let lent = lay_out(&keep_in, &tree, &etc, &files)?;
    witnesses.extend(["/etc", DRIVER].map(PathBuf::from));
    let packages::Provided { new, differs, .. } = provided;
    Ok(Made { lent, clashes: tree.clashes, witnesses, troubles, new, differs })
}

/// Writes the tree and the cache, and says how they are to be seen.
fn lay_out(keep_in: &Path, tree: &Tree, etc: &Tree, files: &SystemFiles) -> Result<Lent, LendError> {
    let io = provide::Error::Io;
    fs_err::create_dir_all(keep_in).map_err(io)?;
    // A folder of its own each time: another root of the same packages may be in use.
    let made = tempfile::Builder::new().prefix("root-").tempdir_in(keep_in).map_err(io)?;
    let root = made.path();
    tree.write(&root.join("usr")).map_err(io)?;
    for (name, to) in [("sbin", "bin"), ("lib64", "lib")] {
        fs_err::os::unix::fs::symlink(to, root.join("usr").join(name)).map_err(io)?;
    }
    let its = tree.links("lib").find(|(name, _)| is_loader(name)).map(|(_, file)| file.clone());
    let its = its.ok_or(LendError::NoLoader)?;
    let loader = loader::ask(&its).map_err(crate::survey::SurveyError::Loader)?;
    let driver =
        below(Path::new(DRIVER)).into_iter().map(|(name, file)| (Path::new(DRIVER).join(name), file));
    let libraries = tree.links("lib").map(|(name, file)| (Path::new("/usr/lib").join(name), file.clone()));
    let entries = entries(driver.chain(libraries), files, loader.target);
    let cache = cache::write(&entries, loader.target.encoding, GENERATOR)?;
    fs_err::write(root.join("ld.so.cache"), cache).map_err(io)?;
    fs_err::write(root.join("ld.so.conf"), format!("{DRIVER}\n/usr/lib\n")).map_err(io)?;
    let root = made.keep();

    let change = |path: &str, node: Node| Change { path: path.into(), node };
    let mut changes = vec![
        change("/usr", Node::Show(root.join("usr"))),
        change("/bin", Node::Link("usr/bin".into())),
        change("/sbin", Node::Link("usr/bin".into())),
        change("/lib", Node::Link("usr/lib".into())),
        change("/lib64", Node::Link("usr/lib".into())),
        change("/etc", Node::Linked(HOST_ETC.into())),
        change("/etc/ld.so.cache", Node::Show(root.join("ld.so.cache"))),
        change("/etc/ld.so.conf", Node::Show(root.join("ld.so.conf"))),
    ];
    if !Path::new(HOST_ETC).exists() {
        changes.push(change(HOST_ETC, Node::Same("/etc".into())));
    }
    for (name, to) in etc.links("etc") {
        let path = Path::new("/etc").join(name);
        let has_own = path.symlink_metadata().is_ok() || changes.iter().any(|change| change.path == path);
        if !has_own {
            changes.push(Change { path, node: Node::Link(to.clone()) });
        }
    }
    if let Some(path) = loader.cache_path
        && path != Path::new("/etc/ld.so.cache")
    {
        changes.push(Change { path, node: Node::Show(root.join("ld.so.cache")) });
    }
    Ok(Lent { changes, farm: None, loader: None, is_stranded: false })
}

fn is_loader(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"ld-linux") || name.starts_with(b"ld64.so")
}

/// What ldconfig would write for these entries of its folders, each with the path at which it will be seen: each library by
/// its soname, those of glibc-hwcaps folders too.
fn entries(
    libraries: impl Iterator<Item = (PathBuf, PathBuf)>,
    files: &SystemFiles,
    target: Target,
) -> Vec<NewEntry> {
    // Of several links to one library the one that has its soname; what has no soname goes by its own name.
    let mut entries: BTreeMap<(BString, Capability), (bool, BString)> = BTreeMap::new();
    let mut add = |file: &Path, seen_at: &Path, capability: Capability| {
        let Opened::Elf(_, elf) = files.open(file) else { return };
        if elf.target != target {
            return;
        }
        let name = BString::from(seen_at.file_name().unwrap_or_default().as_bytes());
        let soname = elf.soname.clone().unwrap_or_else(|| name.clone());
        let (by_name, path) = (name == soname, BString::from(seen_at.as_os_str().as_bytes()));
        let there = entries.get(&(soname.clone(), capability.clone()));
        if there.is_none_or(|(has_name, _)| by_name && !has_name) {
            entries.insert((soname, capability), (by_name, path));
        }
    };
    for (seen_at, file) in libraries {
        let name = seen_at.file_name().unwrap_or_default();
        if name == "glibc-hwcaps" {
            for (subdirectory, file) in below(&file) {
                let name = subdirectory.to_string_lossy().into_owned();
                let capability = Capability::Subdirectory { name, isa_level: 0 };
                for (name, file) in below(&file) {
                    add(&file, &seen_at.join(&subdirectory).join(name), capability.clone());
                }
            }
        } else if name.as_bytes().contains_str(".so") {
            add(&file, &seen_at, Capability::Bits(0));
        }
    }
    let kind = flags::default(target);
    let entry = |((name, capability), (_, path))| NewEntry { name, path, flags: kind, capability };
    entries.into_iter().map(entry).collect()
}

fn below(folder: &Path) -> Vec<(std::ffi::OsString, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| (entry.file_name(), entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_settings_count() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "[project]\nname = 'x'\n[tool.pitstop.fhs]\npackages = ['gcc', 'libz.so.1']\ncommand = 'tox'\n";
        fs_err::write(folder.path().join("pyproject.toml"), text).unwrap();
        fs_err::create_dir_all(folder.path().join("a/b")).unwrap();
        fs_err::write(folder.path().join("a/pyproject.toml"), "[tool.other]\nx = 1\n").unwrap();
        let (path, settings) = settings(&folder.path().join("a/b")).unwrap().unwrap();
        assert_eq!(path, folder.path().join("pyproject.toml"));
        assert_eq!(settings.packages, ["gcc", "libz.so.1"]);
        assert_eq!(settings.command, Words::One("tox".into()));
    }

    #[test]
    fn settings_with_a_slip_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("pyproject.toml"), "[tool.pitstop.fhs]\npackage = []\n").unwrap();
        let error = settings(folder.path()).unwrap_err().to_string();
        assert!(error.contains("pyproject.toml") && error.contains("package"), "{error}");
    }

    #[test]
    fn sonames_stand_for_their_packages() {
        let names = ["libz.so.1", "gcc", "zlib", "./app"].map(str::to_owned);
        assert_eq!(attributes(&names).unwrap(), ["zlib", "gcc"]);
        assert!(attributes(&["libnobody.so.99".to_owned()]).is_err());
    }
}
