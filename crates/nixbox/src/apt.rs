//! What apt knows: each package's version and what it depends on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, stdout_of};

/// One package in the version that apt would install.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) version: String,
    pub(crate) sha256: String,
    /// For each dependency the packages that satisfy it, best first.
    pub(crate) depends: Vec<Vec<String>>,
}

/// Every package that apt could install.
#[derive(Debug)]
pub(crate) struct Index {
    packages: HashMap<String, Package>,
}

/// Where apt keeps its lists: the machine's own, or ours when the machine has none.
#[derive(Debug)]
pub(crate) struct Lists {
    folder: PathBuf,
    /// Settings for an apt that uses our own lists.
    config: Option<PathBuf>,
}

const SYSTEM_LISTS: &str = "/var/lib/apt/lists";

impl Lists {
    /// The machine's lists, if it has any; else private ones under `state`, fetched when there are none.
    pub(crate) fn find(state: &Path, say: &mut dyn FnMut(&str)) -> Result<Lists> {
        let system = Lists { folder: PathBuf::from(SYSTEM_LISTS), config: None };
        if system.names()?.iter().any(|(name, ..)| name.contains("_Packages")) {
            return Ok(system);
        }
        let apt = state.join("apt");
        let config = apt.join("apt.conf");
        let lists = Lists { folder: apt.join("lists"), config: Some(config.clone()) };
        if lists.folder.join("partial").exists() && !lists.names()?.is_empty() {
            return Ok(lists);
        }
        say("fetching apt's package lists: this machine has none");
        fs_err::create_dir_all(lists.folder.join("partial"))?;
        fs_err::create_dir_all(apt.join("cache/archives/partial"))?;
        fs_err::write(&config, private_settings(&apt))?;
        let output = lists.apt("apt-get").args(["-q=2", "update"]).output()?;
        stdout_of("`apt-get update`", &output)?;
        Ok(lists)
    }

    /// Writes what apt must be told on the builder's side, where `settings` is /nix/var/nixbox.
    pub(crate) fn show_to_builders(&self, settings: &Path) -> Result<()> {
        let inside = settings.join("apt.conf");
        if self.config.is_some() {
            fs_err::write(inside, private_settings(Path::new("/nix/var/nixbox/apt")))?;
        } else if inside.exists() {
            fs_err::remove_file(inside)?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        if let Some(config) = &self.config {
            command.env("APT_CONFIG", config);
        }
        command
    }

    /// Name, size and time of each list: when none of it changes, neither do the packages.
    pub(crate) fn names(&self) -> Result<Vec<(String, u64, Option<std::time::SystemTime>)>> {
        let mut names = Vec::new();
        if !self.folder.exists() {
            return Ok(names);
        }
        for entry in fs_err::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let facts = entry.metadata()?;
            if facts.is_file() && name.contains("_Packages") {
                names.push((name, facts.len(), facts.modified().ok()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads every package's record.
    pub(crate) fn index(&self) -> Result<Index> {
        let output = self.apt("apt-cache").arg("dumpavail").output()?;
        let index = Index::parse(&stdout_of("`apt-cache dumpavail`", &output)?);
        if index.packages.contains_key("libc6") {
            Ok(index)
        } else {
            Err(Error::Broken("apt's lists have no libc6: run `apt-get update`".to_owned()))
        }
    }
}

/// Settings for an apt that keeps everything in the folder `apt`.
fn private_settings(apt: &Path) -> String {
    let apt = apt.display();
    format!("Dir::State::lists \"{apt}/lists\";\nDir::Cache \"{apt}/cache\";\nAPT::Sandbox::User \"\";\n")
}

impl Index {
    fn parse(dump: &str) -> Index {
        let mut packages = HashMap::new();
        for stanza in dump.split("\n\n") {
            let mut name = None;
            let mut package = Package { version: String::new(), sha256: String::new(), depends: Vec::new() };
            for line in stanza.lines() {
                let Some((field, value)) = line.split_once(": ") else { continue };
                match field {
                    "Package" => name = Some(value),
                    "Version" => value.clone_into(&mut package.version),
                    "SHA256" => value.clone_into(&mut package.sha256),
                    "Depends" | "Pre-Depends" => package.depends.extend(clauses(value)),
                    _ => {}
                }
            }
            if let Some(name) = name {
                packages.insert(name.to_owned(), package);
            }
        }
        Index { packages }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }
}

/// `a (>= 1), b:any | c` is two clauses, the second with two alternatives.
fn clauses(value: &str) -> impl Iterator<Item = Vec<String>> {
    value.split(',').map(|clause| {
        let bare = |one: &str| one.trim().split([' ', ':']).next().unwrap_or_default().to_owned();
        clause.split('|').map(bare).collect()
    })
}

/// A Debian version without epoch, revision and repacking marks: what upstream calls it.
pub(crate) fn upstream_version(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _revision)| upstream);
    let end = version.find(['+', '~']).unwrap_or(version.len());
    let version = &version[..end];
    [".dfsg", "dfsg", ".ds"].iter().find_map(|mark| version.split_once(mark)).map_or(version, |(v, _)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_version_and_alternatives() {
        let index = Index::parse(
            "Package: zlib1g\nVersion: 1:1.2.13.dfsg-1\nPre-Depends: libc6 (>= 2.14), a:any | b (<< 3)\nSHA256: 00\n\n\
             Package: b\nVersion: 3\n",
        );
        let zlib = index.get("zlib1g").unwrap();
        assert_eq!(zlib.version, "1:1.2.13.dfsg-1");
        assert_eq!(zlib.depends, [vec!["libc6"], vec!["a", "b"]]);
        assert!(index.get("b").unwrap().depends.is_empty());
    }

    #[test]
    fn upstreams_version_has_no_debian_marks() {
        for (debian, upstream) in [
            ("1:1.2.13.dfsg-1", "1.2.13"),
            ("2.36-9+deb12u14", "2.36"),
            ("3.0.22-1~deb12u2", "3.0.22"),
            ("2:1.8.4-2+deb12u2", "1.8.4"),
            ("6.4-4", "6.4"),
            ("12.2.0-14+deb12u1", "12.2.0"),
        ] {
            assert_eq!(upstream_version(debian), upstream);
        }
    }
}
