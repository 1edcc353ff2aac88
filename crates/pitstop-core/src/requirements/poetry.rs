//! `poetry.lock`: packages and their files' names. Where each file is, Poetry leaves to the index.

use serde::Deserialize;

use super::{Locked, LockedFile, Markers, RequirementsError, parse};

/// What a lock of every version says of itself.
#[derive(Deserialize)]
struct Head {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "package", default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    lock_version: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    optional: bool,
    markers: Option<Condition>,
    #[serde(default)]
    files: Vec<File>,
    source: Option<Source>,
    #[serde(default)]
    dependencies: toml::Table,
}

/// One condition for all groups, or one for each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Condition {
    All(String),
    ByGroup(std::collections::BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct File {
    file: String,
    hash: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    r#type: String,
    url: String,
}

/// The packages that `poetry install` would take for that Python.
///
/// Locks from before Poetry 2 have no conditions of their own; a package counts there unless everybody who depends on it
/// does so under conditions that do not hold.
pub(super) fn read(text: &str, markers: &Markers) -> Result<Vec<Locked>, RequirementsError> {
    // Of a later version nothing else is known.
    let Head { metadata: Metadata { lock_version: version } } = parse(text)?;
    if !matches!(version.split('.').next(), Some("1" | "2")) {
        return Err(RequirementsError::Newer { found: version, known: "2" });
    }
    let lock: Lock = parse(text)?;
    let mut wanted = Vec::new();
    for package in &lock.packages {
        let own = match &package.markers {
            Some(Condition::All(marker)) => markers.hold(&package.name, Some(marker))?,
            Some(Condition::ByGroup(groups)) => {
                let mut any = false;
                for marker in groups.values() {
                    any |= markers.hold(&package.name, Some(marker))?;
                }
                any
            }
            None => is_asked_for(&lock.packages, &package.name, markers)?,
        };
        wanted.push(own && !package.optional);
    }
    let packages = lock.packages.into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(packages.map(|(package, _)| locked(package)).collect())
}

fn is_asked_for(packages: &[Package], name: &str, markers: &Markers) -> Result<bool, RequirementsError> {
    let mut asked = 0;
    for package in packages {
        for (_, wish) in package.dependencies.iter().filter(|(wanted, _)| wanted.eq_ignore_ascii_case(name)) {
            asked += 1;
            let marker = wish.get("markers").and_then(toml::Value::as_str);
            if markers.hold(name, marker)? {
                return Ok(true);
            }
        }
    }
    // Nobody asks for it but the project itself.
    Ok(asked == 0)
}

fn locked(package: Package) -> Locked {
    let indexed = |source: &Source| source.r#type == "legacy" || source.r#type == "pypi";
    let elsewhere = package
        .source
        .filter(|source| !indexed(source))
        .map(|source| format!("{} {}", source.r#type, source.url));
    let files = package.files.into_iter().map(|file| LockedFile {
        name: file.file,
        path: None,
        url: None,
        hashes: file.hash.into_iter().collect(),
    });
    Locked { name: package.name, version: package.version, files: files.collect(), elsewhere }
}
