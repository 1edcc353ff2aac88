//! What installed packages are imported as.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use pitstop_core::targets::Owner;

use crate::environment::Environment;
use crate::metadata::normalized;
use crate::reading::read_regular;

/// What installs the others.
pub(crate) const INSTALLER: &str = "pip";

/// A package, and the modules that it is imported by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Importable {
    /// The package as it was asked for.
    pub package: String,
    /// Its top modules; empty where it has none.
    pub modules: Vec<String>,
}

/// For each requirement (`opencv-python`, `numpy==1.26.2`, `uvicorn[standard]`), what it is imported as.
#[must_use]
pub fn importable(environment: &Environment, requirements: &[String]) -> Vec<Importable> {
    let installed = dist_infos(environment);
    let importable = |requirement: &String| {
        let end = requirement.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
        let name = normalized(&requirement[..end.unwrap_or(requirement.len())]);
        let folder =
            installed.iter().find(|(owner, _)| normalized(&owner.name) == name).map(|(_, folder)| folder);
        Importable {
            package: requirement.clone(),
            modules: folder.map(|folder| modules(folder)).unwrap_or_default(),
        }
    };
    requirements.iter().map(importable).collect()
}

/// The packages that are installed, with their versions. pip is none of them: it has no native code, and its own upgrade
/// changes nothing for others.
#[must_use]
pub fn packages(environment: &Environment) -> BTreeMap<String, String> {
    let mut owners: Vec<Owner> = dist_infos(environment).into_iter().map(|(owner, _)| owner).collect();
    // What a broken upgrade leaves is two versions of one package: the same one must count each time.
    owners.sort();
    owners.retain(|owner| owner.name != INSTALLER);
    owners.into_iter().map(|owner| (owner.name, owner.version)).collect()
}

fn dist_infos(environment: &Environment) -> Vec<(Owner, PathBuf)> {
    let entries = environment.site_packages.iter().flat_map(|site| fs::read_dir(site).into_iter().flatten());
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((Owner::from_dist_info(entry.file_name().to_str()?)?, entry.path())))
        .collect()
}

/// The top modules of one package: `top_level.txt` where its builder wrote one, else what its `RECORD` lists at the top.
fn modules(dist_info: &Path) -> Vec<String> {
    let public =
        |name: &&str| name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with('_');
    let text = read_regular(&dist_info.join("top_level.txt")).ok();
    if let Some(text) = text.and_then(|text| String::from_utf8(text).ok()) {
        let named: Vec<String> =
            text.lines().map(str::trim).filter(public).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if !named.is_empty() {
            return named;
        }
    }
    let record = read_regular(&dist_info.join("RECORD")).unwrap_or_default();
    let mut tops = BTreeSet::new();
    for line in record.lines() {
        let Ok(path) = line.split(|byte| *byte == b',').next().unwrap_or_default().to_str() else { continue };
        let top = match path.split_once('/') {
            // A folder is a package where it has an `__init__`; others hold libraries, scripts or metadata.
            Some((top, rest)) if rest.starts_with("__init__.") => top,
            Some(_) => continue,
            None => match path.split_once('.') {
                Some((stem, end)) if end == "py" || end.rsplit('.').next() == Some("so") => stem,
                _ => continue,
            },
        };
        if !top.is_empty() && public(&top) {
            tops.insert(top.to_owned());
        }
    }
    tops.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_imported_by_what_it_says_or_by_what_it_lists() {
        let site = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = site.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("opencv_python-5.0.dist-info/top_level.txt", "cv2\n");
        write(
            "pyodbc-5.dist-info/RECORD",
            "pyodbc.cpython-311-x86_64-linux-gnu.so,,\n_x.py,,\npyodbc.libs/l.so,,\n../../../bin/y.py,,\np/__init__.py,,\np/q/__init__.py,,\n",
        );
        let environment = Environment {
            root: site.path().to_owned(),
            site_packages: vec![site.path().to_owned()],
            scripts: None,
            python: None,
            version: None,
            system_site_packages: false,
        };
        let asked = ["OpenCV.Python>=5".to_owned(), "pyodbc[x]".to_owned(), "gone".to_owned()];
        let found: Vec<_> = importable(&environment, &asked).into_iter().map(|found| found.modules).collect();
        assert_eq!(found, [vec!["cv2"], vec!["p", "pyodbc"], vec![]]);
    }
}
