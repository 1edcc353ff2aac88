//! The list of packages.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// Its place among all packages by downloads.
    pub(super) rank: u32,
    /// What pip installs.
    pub(super) name: String,
    /// Whether it is one of the few that the tests try.
    pub(super) quick: bool,
    /// Python code that calls into its native part.
    pub(super) code: String,
}

const HEAD: &str = "rank\tpackage\tquick\tuse";

/// Reads a list: `#` begins a line that says something about it, then comes a head, then a line for each package.
pub(super) fn read(path: &Path) -> Result<Vec<Package>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Package>> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    let head = lines.next().map(|(_, line)| line);
    ensure!(head == Some(HEAD), "its head is not {HEAD:?}");
    lines.map(|(number, line)| package(line).with_context(|| format!("line {}", number + 1))).collect()
}

fn package(line: &str) -> Result<Package> {
    let fields: Vec<&str> = line.splitn(4, '\t').collect();
    let [rank, name, quick, code] = fields.as_slice() else { anyhow::bail!("it has fewer than four fields") };
    ensure!(matches!(*quick, "" | "quick"), "its third field is neither empty nor `quick`");
    ensure!(!name.is_empty() && !code.trim().is_empty(), "it says not what, or not how it is used");
    Ok(Package {
        rank: rank.parse().context("its rank is no number")?,
        name: (*name).to_owned(),
        quick: !quick.is_empty(),
        code: (*code).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_list_of_the_project_reads_and_names_each_package_once() {
        let packages = parse(include_str!("../../../corpus/packages.tsv")).unwrap();
        assert_eq!(packages.len(), 150);
        assert_eq!(packages.iter().filter(|package| package.quick).count(), 25);
        let names: std::collections::BTreeSet<&str> =
            packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names.len(), packages.len());
        assert!(packages.is_sorted_by_key(|package| package.rank), "it is not in order");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for wrong in ["1\ta\t\t", "1\ta", "x\ta\t\tpass", "1\ta\tyes\tpass"] {
            let error = parse(&format!("# of\nrank\tpackage\tquick\tuse\n{wrong}\n")).unwrap_err();
            assert!(format!("{error:#}").starts_with("line 3: "), "{wrong}: {error:#}");
        }
    }
}
