//! Source distributions: what they must be built with, as far as their files tell.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::Archive;

/// The longest pyproject.toml or setup.py that is read.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The most that is unpacked in search of one: a source distribution of TensorFlow's size is below this.
const BYTES_MAX: u64 = 4 << 30;

/// What a source distribution is built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltWith {
    /// Python packages of its build system (PEP 518).
    pub packages: Vec<String>,
    /// Programs: `a C compiler`, `cargo`.
    pub programs: BTreeSet<&'static str>,
}

#[derive(Deserialize)]
struct PyProject {
    #[serde(rename = "build-system")]
    build_system: Option<BuildSystem>,
}

#[derive(Deserialize)]
struct BuildSystem {
    #[serde(default)]
    requires: Vec<String>,
}

/// Reads a `.tar.gz`, of which nothing is unpacked onto the disk.
pub fn read(path: &Path) -> io::Result<BuiltWith> {
    let mut archive = Archive::new(GzDecoder::new(File::open(path)?).take(BYTES_MAX));
    let mut found = BuiltWith::default();
    let mut is_python = false;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        // Everything lies in one folder, NAME-VERSION.
        let inside: std::path::PathBuf = name.components().skip(1).collect();
        let mut text = String::new();
        match inside.to_str() {
            Some("pyproject.toml") => {
                is_python = true;
                entry.by_ref().take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
                let project: PyProject = toml::from_str(&text).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("pyproject.toml: {}", error.message()))
                })?;
                found.packages = project.build_system.map(|system| system.requires).unwrap_or_default();
            }
            Some("setup.py" | "PKG-INFO") => is_python = true,
            Some("Cargo.toml") => {
                found.programs.insert("cargo");
            }
            Some("CMakeLists.txt") => {
                found.programs.insert("cmake");
            }
            Some("meson.build") => {
                found.programs.insert("meson");
            }
            _ => {}
        }
        found.programs.extend(compiler(&inside));
    }
    if !is_python {
        let cause =
            "it has neither pyproject.toml nor setup.py: it is no source distribution of a Python package";
        return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
    }
    if found.packages.is_empty() {
        // PEP 518: what is assumed where nothing is said.
        found.packages.push("setuptools".to_owned());
    }
    Ok(found)
}

/// The compiler that a source file asks for. Those of tests and examples are not built.
fn compiler(inside: &Path) -> Option<&'static str> {
    let aside = ["test", "tests", "docs", "doc", "examples", "benchmarks"];
    if inside.components().any(|part| aside.iter().any(|name| part.as_os_str() == *name)) {
        return None;
    }
    Some(match inside.extension()?.to_str()? {
        "c" | "pyx" => "a C compiler",
        "cc" | "cpp" | "cxx" => "a C++ compiler",
        "f" | "f90" | "f77" => "a Fortran compiler",
        "cu" => "nvcc",
        "rs" => "cargo",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn sdist(files: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".tar.gz").unwrap();
        let mut builder = tar::Builder::new(GzEncoder::new(file.reopen().unwrap(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn what_it_is_built_with_is_read_from_its_files() {
        let file = sdist(&[
            ("a-1/pyproject.toml", "[build-system]\nrequires = ['setuptools-rust', 'cffi']\n"),
            ("a-1/src/lib.rs", ""),
            ("a-1/src/fast.c", ""),
            ("a-1/tests/x.f90", ""),
        ]);
        let found = read(file.path()).unwrap();
        assert_eq!(found.packages, ["setuptools-rust", "cffi"]);
        assert_eq!(found.programs.into_iter().collect::<Vec<_>>(), ["a C compiler", "cargo"]);
    }

    #[test]
    fn an_old_one_is_built_with_setuptools() {
        let found = read(sdist(&[("a-1/setup.py", "")]).path()).unwrap();
        assert_eq!((found.packages, found.programs), (vec!["setuptools".to_owned()], BTreeSet::new()));
    }

    #[test]
    fn what_is_none_or_is_cut_short_is_an_error() {
        assert!(read(sdist(&[("a-1/readme", "")]).path()).unwrap_err().to_string().contains("neither"));
        let whole = sdist(&[("a-1/setup.py", &"x = 1\n".repeat(9999))]);
        let bytes = std::fs::read(whole.path()).unwrap();
        std::fs::write(whole.path(), &bytes[..bytes.len() / 2]).unwrap();
        assert!(read(whole.path()).is_err());
        let broken = sdist(&[("a-1/pyproject.toml", "[[[")]);
        assert!(read(broken.path()).unwrap_err().to_string().starts_with("pyproject.toml: "));
    }
}
