//! `uv.lock`: a graph from the project's own packages to the files of all others.

use std::collections::{HashMap, VecDeque};

use serde::Deserialize;

use super::{Locked, LockedFile, Markers, RequirementsError, file_name, parse};

/// The format's version that is known here. uv raises it when older readers would misread a lock.
const VERSION: i64 = 1;

/// What a lock of every version says of itself.
#[derive(Deserialize)]
struct Head {
    version: i64,
}

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "package", default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    source: Source,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    optional_dependencies: HashMap<String, Vec<Dependency>>,
    #[serde(default)]
    dev_dependencies: HashMap<String, Vec<Dependency>>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
}

#[derive(Deserialize)]
struct Source {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    #[serde(default)]
    extra: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
}

/// What `uv sync` would install for that Python: everything that the project's own packages reach, their groups for
/// development included, extras only where somebody asks for them.
pub(super) fn read(text: &str, markers: &Markers) -> Result<Vec<Locked>, RequirementsError> {
    // Of a later version nothing else is known.
    let head: Head = parse(text)?;
    if head.version > VERSION {
        return Err(RequirementsError::Newer { found: head.version.to_string(), known: "1" });
    }
    let lock: Lock = parse(text)?;
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, package) in lock.packages.iter().enumerate() {
        by_name.entry(&package.name).or_default().push(index);
    }
    let own = |package: &Package| package.source.editable.is_some() || package.source.r#virtual.is_some();
    let mut wanted = vec![false; lock.packages.len()];
    // A package with extras is asked for once by each of them.
    let mut asked: Vec<Vec<&str>> = vec![Vec::new(); lock.packages.len()];
    let mut queue: VecDeque<(usize, Vec<&str>)> = VecDeque::new();
    for (index, package) in lock.packages.iter().enumerate().filter(|(_, package)| own(package)) {
        queue.push_back((index, package.dev_dependencies.keys().map(String::as_str).collect()));
    }
    while let Some((index, extras)) = queue.pop_front() {
        let package = &lock.packages[index];
        let fresh: Vec<&str> = extras.into_iter().filter(|extra| !asked[index].contains(extra)).collect();
        if wanted[index] && fresh.is_empty() {
            continue;
        }
        let first = !std::mem::replace(&mut wanted[index], true);
        asked[index].extend(&fresh);
        let more = fresh.iter().filter_map(|extra| {
            package.optional_dependencies.get(*extra).or_else(|| package.dev_dependencies.get(*extra))
        });
        let plain = first.then_some(&package.dependencies);
        for dependency in plain.into_iter().chain(more).flatten() {
            if !markers.hold(&dependency.name, dependency.marker.as_deref())? {
                continue;
            }
            let known = by_name.get(dependency.name.as_str()).map_or(&[][..], Vec::as_slice);
            // Where a lock has several versions of a package, whoever depends on it says which.
            let fits = |&&at: &&usize| {
                dependency.version.as_ref().is_none_or(|version| *version == lock.packages[at].version)
            };
            let found = known.iter().find(fits).ok_or_else(|| RequirementsError::Dangling {
                asker: package.name.clone(),
                name: dependency.name.clone(),
            })?;
            queue.push_back((*found, dependency.extra.iter().map(String::as_str).collect()));
        }
    }
    let packages = lock.packages.into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(packages.filter(|(package, _)| !own(package)).map(|(package, _)| locked(package)).collect())
}

fn locked(package: Package) -> Locked {
    let Source { registry, git, url, path, directory, .. } = package.source;
    let is_file = registry.is_some() || url.is_some() || path.is_some();
    let elsewhere = git
        .map(|git| format!("git {git}"))
        .or(directory.map(|folder| format!("folder {folder}")))
        .filter(|_| !is_file);
    let files = package.wheels.into_iter().chain(package.sdist).filter_map(|file| {
        let location = file.url.as_ref().or(file.path.as_ref()).or(url.as_ref()).or(path.as_ref());
        let name = file.filename.clone().or_else(|| location.map(|location| file_name(location)))?;
        Some(LockedFile {
            name,
            path: file.path.or_else(|| path.clone()),
            url: file.url.or_else(|| url.clone()),
            hashes: file.hash.into_iter().collect(),
        })
    });
    Locked { name: package.name, version: package.version, files: files.collect(), elsewhere }
}
