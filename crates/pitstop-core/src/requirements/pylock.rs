//! `pylock.toml` (PEP 751): a flat list of packages with conditions.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Locked, LockedFile, Markers, RequirementsError, file_name, parse};

/// What a lock of every version says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    lock_version: String,
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    marker: Option<String>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
    archive: Option<File>,
    vcs: Option<Place>,
    directory: Option<Place>,
}

#[derive(Deserialize)]
struct File {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Place {
    r#type: Option<String>,
    url: Option<String>,
    path: Option<String>,
}

/// The packages whose conditions hold for that Python.
pub(super) fn read(text: &str, markers: &Markers) -> Result<Vec<Locked>, RequirementsError> {
    // Of a later version nothing else is known.
    let head: Head = parse(text)?;
    if head.lock_version.split('.').next() != Some("1") {
        return Err(RequirementsError::Newer { found: head.lock_version, known: "1" });
    }
    let lock: Lock = parse(text)?;
    let mut locked = Vec::new();
    for package in lock.packages {
        if !markers.hold(&package.name, package.marker.as_deref())? {
            continue;
        }
        let place = |kind: &str, place: Place| {
            let at = place.url.or(place.path).unwrap_or_default();
            format!("{} {at}", place.r#type.as_deref().unwrap_or(kind))
        };
        let elsewhere = package
            .vcs
            .map(|vcs| place("vcs", vcs))
            .or(package.directory.map(|directory| place("folder", directory)));
        let files = package.wheels.into_iter().chain(package.sdist).chain(package.archive);
        locked.push(Locked {
            name: package.name,
            version: package.version,
            files: files.filter_map(self::file).collect(),
            elsewhere,
        });
    }
    Ok(locked)
}

fn file(file: File) -> Option<LockedFile> {
    let location = file.url.as_deref().or(file.path.as_deref());
    let name = file.name.or_else(|| location.map(file_name))?;
    let hashes = file.hashes.into_iter().map(|(kind, digest)| format!("{kind}:{digest}")).collect();
    Some(LockedFile { name, path: file.path, url: file.url, hashes })
}
