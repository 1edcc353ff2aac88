//! Which package of the set depends on which: Debian's dependencies, said in nixpkgs' names.
//!
//! A store has no cycles, but nixpkgs' attributes laid over Debian's packages make some (util-linux
//! needs libudev, systemd needs libblkid). Inside such a knot an attribute depends on the single
//! Debian packages that it needs, which are packages of the set too, under names of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::apt::{Index, upstream_version};
use crate::error::{Error, Result};
use crate::table::Table;

/// Programs that a box has, with the Debian packages that they are made of.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("age", &["age"]),
    ("bash", &["bash"]),
    ("bubblewrap", &["bubblewrap"]),
    ("coreutils", &["coreutils"]),
    ("diffutils", &["diffutils"]),
    ("findutils", &["findutils"]),
    ("gawk", &["gawk"]),
    (
        // The compiler with what nixpkgs' wrapper has in its closure: binutils, and the headers of libc and kernel. Which
        // of the releases there is decides Debian.
        "gcc",
        &[
            "binutils",
            "binutils-common",
            "binutils-x86-64-linux-gnu",
            "cpp",
            "cpp-12",
            "cpp-14",
            "cpp-14-x86-64-linux-gnu",
            "cpp-x86-64-linux-gnu",
            "gcc",
            "gcc-12",
            "gcc-14",
            "gcc-14-x86-64-linux-gnu",
            "gcc-x86-64-linux-gnu",
            "libbinutils",
            "libc-dev-bin",
            "libc6-dev",
            "libcc1-0",
            "libcrypt-dev",
            "libctf-nobfd0",
            "libctf0",
            "libgcc-12-dev",
            "libgcc-14-dev",
            "libgprofng0",
            "libisl23",
            "libsframe1",
            "linux-libc-dev",
        ],
    ),
    ("git", &["git"]),
    ("gnugrep", &["grep"]),
    ("gnused", &["sed"]),
    ("gnutar", &["tar"]),
    ("gzip", &["gzip"]),
    (
        "imagemagick",
        &["imagemagick-6-common", "imagemagick-6.q16", "libmagickcore-6.q16-6", "libmagickwand-6.q16-6"],
    ),
    ("less", &["less"]),
    ("nix", &["nix-bin"]),
    ("patchelf", &["patchelf"]),
    ("strace", &["strace"]),
    (
        "python311",
        &[
            "python3.11",
            "python3.11-minimal",
            "libpython3.11",
            "libpython3.11-dev",
            "libpython3.11-minimal",
            "libpython3.11-stdlib",
            "python3.11-venv",
            "python3-distutils",
            "python3-pip-whl",
            "python3-setuptools-whl",
            // Its C++ half would bring libstdc++ into Python's closure: so it is part of Python.
            "libmpdec3",
        ],
    ),
];

/// Packages for tests of refusals, each a library that could be built.
const REFUSED: &[(&str, &str)] =
    &[("nixbox.unfree", "libyaml-0-2"), ("nixbox.insecure", "libyaml-0-2"), ("nixbox.broken", "libyaml-0-2")];

/// The part of gcc's runtime that glibc itself opens; apart, for gcc's own needs glibc.
const LIBGCC: &str = "nixbox.libgcc";

/// One package of the set.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) pname: String,
    pub(crate) version: String,
    /// `name=version` of each Debian package in it.
    pub(crate) debs: Vec<String>,
    /// The checksums of those, in the same order: a rebuilt package is another package.
    pub(crate) sums: Vec<String>,
    pub(crate) sonames: Vec<String>,
    /// Ids of the units it depends on.
    pub(crate) needs: BTreeSet<String>,
    /// Whether it is known by an attribute path of its own.
    pub(crate) internal: bool,
    pub(crate) program: bool,
}

/// Every package of the set, by attribute path or by internal name.
pub(crate) type Units = BTreeMap<String, Unit>;

struct Graph<'a> {
    table: &'a Table,
    index: &'a Index,
    /// The Debian packages of each attribute.
    members: BTreeMap<String, BTreeSet<String>>,
    owners: HashMap<String, String>,
}

/// Works out the whole set.
pub(crate) fn units(table: &Table, index: &Index) -> Result<Units> {
    let mut graph = Graph { table, index, members: BTreeMap::new(), owners: HashMap::new() };
    graph.gather();
    let knotted = graph.knots();
    let mut units = Units::new();
    let mut wanted = Vec::new();
    for (id, packages) in &graph.members {
        let unit = graph.unit(id, packages, &knotted, false)?;
        wanted.extend(unit.needs.iter().cloned());
        units.insert(id.clone(), unit);
    }
    while let Some(id) = wanted.pop() {
        if units.contains_key(&id) {
            continue;
        }
        let package = id.strip_prefix("debian.").unwrap_or("libgcc-s1");
        let unit = graph.unit(&id, &BTreeSet::from([package.to_owned()]), &knotted, true)?;
        wanted.extend(unit.needs.iter().cloned());
        units.insert(id, unit);
    }
    cut_cycles(&mut units);
    Ok(units)
}

impl Graph<'_> {
    fn gather(&mut self) {
        let known = |name: &&str| self.index.get(name).is_some();
        for (id, attribute) in &self.table.attributes {
            let packages = attribute.packages.iter().copied().filter(known).map(str::to_owned).collect();
            self.members.insert((*id).to_owned(), packages);
        }
        for (id, packages) in PROGRAMS {
            let packages = packages.iter().copied().filter(known).map(str::to_owned);
            self.members.entry((*id).to_owned()).or_default().extend(packages);
        }
        for (id, package) in REFUSED {
            self.members.insert((*id).to_owned(), BTreeSet::from([(*package).to_owned()]));
        }
        self.members.entry("glibc".to_owned()).or_default().insert("libc-bin".to_owned());
        for (id, packages) in &self.members {
            if REFUSED.iter().any(|(refused, _)| refused == id) {
                continue;
            }
            for package in packages {
                self.owners.entry(package.clone()).or_insert_with(|| id.clone());
            }
        }
    }

    /// The library packages that a Debian package depends on.
    fn depends(&self, package: &str) -> BTreeSet<&str> {
        let Some(record) = self.index.get(package) else { return BTreeSet::new() };
        let library = |name: &&str| {
            (self.table.libraries.contains(name) || self.owners.contains_key(*name))
                && !self.table.drivers.contains(name)
                && self.index.get(name).is_some()
        };
        record
            .depends
            .iter()
            .filter_map(|alternatives| alternatives.iter().map(String::as_str).find(library))
            .collect()
    }

    fn unit_of(&self, package: &str) -> String {
        self.owners.get(package).cloned().unwrap_or_else(|| format!("debian.{package}"))
    }

    /// Attributes that are part of a cycle, each with the number of its cycle.
    fn knots(&self) -> HashMap<String, usize> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut open: Vec<String> = self.members.keys().cloned().collect();
        while let Some(id) = open.pop() {
            if edges.contains_key(&id) {
                continue;
            }
            let packages = self.packages_of(&id);
            let mut to: BTreeSet<String> =
                packages.iter().flat_map(|one| self.depends(one)).map(|need| self.unit_of(need)).collect();
            to.remove(&id);
            if id == "glibc" {
                to.clear();
            }
            open.extend(to.iter().cloned());
            edges.insert(id, to);
        }
        crate::cycles::components(&edges)
    }

    fn packages_of(&self, id: &str) -> BTreeSet<String> {
        self.members.get(id).cloned().unwrap_or_else(|| {
            id.strip_prefix("debian.").map(|package| BTreeSet::from([package.to_owned()])).unwrap_or_default()
        })
    }

    fn unit(
        &self,
        id: &str,
        packages: &BTreeSet<String>,
        knotted: &HashMap<String, usize>,
        internal: bool,
    ) -> Result<Unit> {
        let record = |name: &String| {
            self.index
                .get(name)
                .ok_or_else(|| Error::Broken(format!("apt knows no package {name}, for {id}")))
        };
        let records = packages.iter().map(record).collect::<Result<Vec<_>>>()?;
        let mut needs: BTreeSet<String> = BTreeSet::new();
        for need in packages.iter().flat_map(|one| self.depends(one)) {
            if packages.contains(need) {
                continue;
            }
            let owner = self.unit_of(need);
            let same_knot =
                knotted.contains_key(&owner) && (internal || knotted.get(id) == knotted.get(&owner));
            needs.insert(if same_knot { format!("debian.{need}") } else { owner });
        }
        match id {
            "glibc" => needs = BTreeSet::from([LIBGCC.to_owned()]),
            LIBGCC => needs.clear(),
            // Everything is linked with libc, even what says so only through another package.
            _ => {
                needs.insert("glibc".to_owned());
            }
        }
        needs.remove(id);
        let attribute = self.table.attributes.get(id);
        let version = records.first().map_or("0", |record| upstream_version(&record.version));
        Ok(Unit {
            pname: if id == LIBGCC { "xgcc-libgcc".to_owned() } else { pname(id) },
            version: version.to_owned(),
            debs: packages.iter().zip(&records).map(|(name, it)| format!("{name}={}", it.version)).collect(),
            sums: records.iter().map(|record| record.sha256.clone()).collect(),
            sonames: attribute
                .map(|it| it.sonames.iter().map(|&name| name.to_owned()).collect())
                .unwrap_or_default(),
            needs,
            internal,
            program: PROGRAMS.iter().any(|(program, _)| *program == id),
        })
    }
}

/// nixpkgs' `pname` of an attribute, near enough: the last part of its path.
fn pname(id: &str) -> String {
    let known = [
        ("stdenv.cc.cc", "gcc"),
        ("gfortran.cc", "gfortran"),
        ("python311", "python3"),
        ("libGL", "libglvnd"),
    ];
    if let Some((_, name)) = known.iter().find(|(path, _)| *path == id) {
        return (*name).to_owned();
    }
    if let Some(package) = id.strip_prefix("debian.") {
        return format!("debian-{package}");
    }
    let last = id.rsplit('.').next().unwrap_or(id);
    // A version in the attribute's name is not in the package's: openssl_1_1, ffmpeg_7.
    let stem = last.split_once('_').filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    stem.map_or(last, |(stem, _)| stem).to_owned()
}

/// Removes the edges that still close a circle: Debian packages that need each other.
fn cut_cycles(units: &mut Units) {
    let mut done = HashSet::new();
    let ids: Vec<String> = units.keys().cloned().collect();
    for id in ids {
        cut_from(&id, units, &mut done, &mut Vec::new());
    }
}

fn cut_from(id: &str, units: &mut Units, done: &mut HashSet<String>, path: &mut Vec<String>) {
    if !done.insert(id.to_owned()) {
        return;
    }
    path.push(id.to_owned());
    let needs = units.get(id).map(|unit| unit.needs.clone()).unwrap_or_default();
    for need in needs {
        if path.contains(&need) {
            if let Some(unit) = units.get_mut(id) {
                unit.needs.remove(&need);
            }
        } else {
            cut_from(&need, units, done, path);
        }
    }
    path.pop();
}
