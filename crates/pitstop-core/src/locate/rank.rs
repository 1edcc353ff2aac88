//! Choosing among the packages that hold a soname.
//!
//! Each package gets a [`Score`]: parts that are compared in their order, so that the first which differs decides, and
//! can be told as the reason. Nothing is weighed against anything else.

use std::cmp::Ordering;

use serde::Serialize;

use super::{Candidate, Source, Suite, Witness, locate, stem, table};
use crate::index::sonames::{Form, Holder, Kind};

/// What is asked of the packages.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The soname.
    pub soname: &'a str,
    /// What the packages are.
    pub kind: Kind,
    /// The system that the library must be for, such as `x86_64-linux` or Debian's `amd64`, where it is known.
    pub system: Option<&'a str>,
    /// Whether the embedded table has a say.
    pub table: bool,
    /// Whether the file of a holder, where it is on this machine, defines every version asked for. `None` where the file
    /// is not at hand.
    pub defines: &'a dyn Fn(&Holder) -> Option<bool>,
}

/// Why one package stands before another. Less is better in every part; the first part that differs decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Score {
    /// 1 where it is for another kind of machine: another system, or a set such as `pkgsStatic`.
    pub machine: u8,
    /// Where the file lies: 0 in the folder where a loader looks, 1 below it, 2 elsewhere, 3 among stubs and plugins.
    pub folder: u8,
    /// 1 where the package merely has a copy or a link: wrappers, environments, FHS roots, bundles.
    pub copy: u8,
    /// 1 where the store path is no output of the attribute, and only stands in its closure.
    pub inner: u8,
    /// 0 in the output for libraries (`lib`, `out`; Debian's section `libs`), 1 in another, 2 where it is for something
    /// else: development, debugging, documentation.
    pub output: u8,
    /// 0 where it is what the embedded table answers, 1 where that is another name of it, 2 otherwise.
    pub table: u8,
    /// How the package's name follows from the soname's: 0 they are the same, 1 but for a version, 2 one begins with the
    /// other, 3 not at all.
    pub name: u8,
    /// How many sets the attribute is nested in: `xorg.libX11` in one.
    pub nested: usize,
    /// The size in bytes of all that it needs, where it is known of every candidate.
    pub closure: Option<u64>,
    /// 1 where the file is on this machine, and lacks a version that is asked for.
    pub versions: u8,
    /// Letters of the attribute: what is plain is shorter than its variants.
    pub length: usize,
}

/// A holder with its score.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The package and the folder.
    pub holder: Holder,
    /// Why it stands where it stands.
    pub score: Score,
}

/// Puts the packages that hold a soname in order, best first; each attribute's output once, in its best folder.
#[must_use]
pub fn rank(question: &Question<'_>, holders: Vec<Holder>) -> Vec<Ranked> {
    let known = if question.table { tables_names(question) } else { Vec::new() };
    let score = |holder: Holder| Ranked { score: score(question, &holder, &known), holder };
    let mut ranked: Vec<Ranked> = holders.into_iter().map(score).collect();
    // A size counts only where all have one: nothing is better for being unknown.
    if ranked.iter().any(|one| one.score.closure.is_none()) {
        for one in &mut ranked {
            one.score.closure = None;
        }
    }
    ranked.sort_by(|a, b| a.score.cmp(&b.score).then_with(|| by_name(&a.holder, &b.holder)));
    let mut seen = std::collections::HashSet::new();
    ranked.retain(|one| {
        let origin = &one.holder.package.origin;
        seen.insert((origin.attribute.clone(), origin.output.clone(), one.holder.package.path.clone()))
    });
    ranked
}

/// The first of these packages as candidates for the soname, for those who provide it.
#[must_use]
pub fn candidates(
    soname: &str,
    kind: Kind,
    suite: Suite,
    ranked: &[Ranked],
    told_by: &Witness,
) -> Vec<Candidate> {
    /// As many as are worth being tried one after another.
    const TRIED_MAX: usize = 4;
    let candidate = |one: &Ranked| {
        let Ranked { holder, .. } = one;
        let source = match kind {
            Kind::Nix => {
                let attribute = attribute(holder);
                let other_names = table::renames(&attribute).map(str::to_owned).collect();
                Source::Nix { attribute, other_names }
            }
            Kind::Debian => Source::Debian { suite, package: holder.package.origin.attribute.clone() },
        };
        let reason = format!("has {}/{soname}", holder.folder);
        Candidate { source, soname: soname.to_owned(), exact: true, reason, told_by: told_by.clone() }
    };
    // A library of another machine, or one that only stands in a closure, is no use to those who ask for a name.
    let useful = |one: &&Ranked| one.score.machine == 0 && one.score.inner == 0 && one.score.folder < 3;
    ranked.iter().filter(useful).take(TRIED_MAX).map(candidate).collect()
}

/// How a holder is named to a package set: the attribute, and the output where libraries are not looked for there.
#[must_use]
pub fn attribute(holder: &Holder) -> String {
    let origin = &holder.package.origin;
    match origin.output.as_str() {
        "" | "out" | "lib" => origin.attribute.clone(),
        output => full_name(&origin.attribute, output),
    }
}

/// The order of what is equally good, so that it is the same each time.
fn by_name(a: &Holder, b: &Holder) -> Ordering {
    let key = |holder: &Holder| (holder.package.clone(), holder.folder.clone());
    key(a).cmp(&key(b))
}

/// What the embedded table answers, in its order: names, and whether each is the table's first.
fn tables_names(question: &Question<'_>) -> Vec<(String, bool)> {
    let located = locate(question.soname);
    let mut names = Vec::new();
    for candidate in located.candidates.into_iter().filter(|candidate| candidate.exact) {
        match (candidate.source, question.kind) {
            (Source::Nix { attribute, other_names }, Kind::Nix) => {
                names.push((attribute, names.is_empty()));
                names.extend(other_names.into_iter().map(|name| (name, false)));
            }
            (Source::Debian { package, .. }, Kind::Debian) => names.push((package, true)),
            _ => {}
        }
    }
    names
}

fn score(question: &Question<'_>, holder: &Holder, known: &[(String, bool)]) -> Score {
    let origin = &holder.package.origin;
    let attribute = origin.attribute.as_str();
    let folder = folder(&holder.folder, question.kind);
    let full = full_name(attribute, &origin.output);
    let in_table = known.iter().find(|(name, _)| *name == attribute || *name == full);
    let of_kind = |nix: u8, debian: u8| if question.kind == Kind::Nix { nix } else { debian };
    Score {
        machine: u8::from(is_for_another_machine(question, holder)),
        folder,
        copy: u8::from(is_copy(holder, question.soname)),
        inner: u8::from(!origin.toplevel),
        output: of_kind(output(&origin.output), section(&origin.output, attribute)),
        table: match in_table {
            Some((_, true)) => 0,
            Some((_, false)) => 1,
            None => 2,
        },
        name: of_kind(namesake(question.soname, attribute), debian_namesake(question.soname, attribute)),
        nested: attribute.matches('.').count(),
        closure: holder.closure,
        versions: u8::from((question.defines)(holder) == Some(false)),
        length: attribute.len(),
    }
}

/// An attribute with its output, as the embedded table names outputs that are not the default: `stdenv.cc.cc.lib`.
fn full_name(attribute: &str, output: &str) -> String {
    format!("{attribute}.{output}")
}

/// Sets of nixpkgs for other machines than the one that evaluates.
const OTHER_MACHINES: [&str; 6] =
    ["pkgsStatic", "pkgsMusl", "pkgsCross", "pkgsi686Linux", "pkgsx86_64Darwin", "pkgsLLVM"];

fn is_for_another_machine(question: &Question<'_>, holder: &Holder) -> bool {
    let origin = &holder.package.origin;
    let set = origin.attribute.split('.').next().unwrap_or_default();
    let other_system = match (question.system, &origin.system) {
        (Some(wanted), Some(system)) => wanted != system,
        _ => false,
    };
    other_system || (origin.attribute.contains('.') && OTHER_MACHINES.contains(&set))
}

fn folder(folder: &[u8], kind: Kind) -> u8 {
    let folder = String::from_utf8_lossy(folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if parts
        .iter()
        .any(|part| matches!(*part, "stubs" | "plugins" | "debug" | "site-packages" | "dist-packages"))
    {
        return 3;
    }
    // In a store path `usr` is the mark of an FHS root; on Debian it is where nearly everything is.
    if kind == Kind::Debian && parts.first() == Some(&"usr") {
        parts.remove(0);
    }
    match parts.as_slice() {
        ["lib" | "lib64"] => 0,
        ["lib", triplet] if triplet.contains("-linux-") => 0,
        ["lib" | "lib64", ..] => 1,
        _ => 2,
    }
}

/// Words in a name that tell of a package which gathers, wraps or copies others.
const COLLECTIONS: [&str; 31] = [
    "steam",
    "appimage",
    "fhs",
    "fhsenv",
    "env",
    "wrapped",
    "wrapper",
    "bin",
    "bundle",
    "bundled",
    "electron",
    "flatpak",
    "chromium",
    "chrome",
    "vscode",
    "vscodium",
    "discord",
    "slack",
    "wine",
    "lutris",
    "bottles",
    "heroic",
    "rootfs",
    "container",
    "vendored",
    "sandbox",
    "portable",
    "static",
    "cross",
    "bootstrap",
    "sysroot",
];

fn is_copy(holder: &Holder, soname: &str) -> bool {
    let package = &holder.package;
    if holder.form == Form::LinkOutside {
        return true;
    }
    let words = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| COLLECTIONS.contains(&word) || word.ends_with("fhs") || word.ends_with("fhsenv"))
    };
    let last = package.origin.attribute.rsplit('.').next().unwrap_or_default();
    // wine has libwine: a library of its own is no copy.
    (words(last) || words(&package.path.name)) && namesake(soname, last) > 1
}

fn output(output: &str) -> u8 {
    match output {
        "lib" | "out" => 0,
        "dev" | "debug" | "static" | "doc" | "devdoc" | "man" | "info" => 2,
        _ => 1,
    }
}

fn section(section: &str, package: &str) -> u8 {
    let last = section.rsplit('/').next().unwrap_or_default();
    let suffix = |end: &str| package.ends_with(end);
    match last {
        "debug" | "doc" | "libdevel" | "devel" => 2,
        _ if suffix("-dev") || suffix("-dbg") || suffix("-dbgsym") || suffix("-doc") => 2,
        "libs" | "oldlibs" => 0,
        _ => 1,
    }
}

/// Letters and digits only, lower case.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// A name without the number at its end: `openssl_1_1` is `openssl`, `gtk3` is `gtk`.
fn without_version(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "._-".contains(letter))
}

/// How an attribute of nixpkgs follows from a soname.
fn namesake(soname: &str, attribute: &str) -> u8 {
    let library = stem(soname).map_or(soname, |stem| stem.trim_end_matches(".so"));
    let last = attribute.rsplit('.').next().unwrap_or_default();
    let bare = |name: &str| {
        let name = plain(name);
        name.strip_prefix("lib").map_or(name.clone(), str::to_owned)
    };
    let (library_name, package) = (bare(library), bare(last));
    if library_name.is_empty() || package.is_empty() {
        return 3;
    }
    // libz is zlib's; libogg libogg's.
    let turned = |package: &str| package.strip_suffix("lib").is_some_and(|rest| rest == library_name);
    if library_name == package || turned(&package) {
        return 0;
    }
    let (short_library, short_package) = (bare(without_version(library)), bare(without_version(last)));
    if short_library == short_package || turned(&short_package) {
        return 1;
    }
    let begins = |long: &str, short: &str| short.len() > 2 && long.starts_with(short);
    if begins(&short_library, &short_package) || begins(&short_package, &short_library) { 2 } else { 3 }
}

/// How a package of Debian follows from a soname: Policy 8.1 makes `libssl3` of `libssl.so.3` and `libfoo-2-1` of
/// `libfoo-2.so.1`.
fn debian_namesake(soname: &str, package: &str) -> u8 {
    let package = package.strip_suffix("t64").unwrap_or(package);
    let version = stem(soname).map_or("", |stem| &soname[stem.len()..]);
    let library = stem(soname).map_or(soname, |stem| stem.trim_end_matches(".so"));
    let (package, library) = (plain(package), plain(library));
    if package == format!("{library}{}", plain(version)) {
        0
    } else if without_version(&package) == without_version(&library) {
        1
    } else if package.starts_with(without_version(&library)) || library.starts_with(without_version(&package))
    {
        2
    } else {
        3
    }
}

impl Score {
    /// Why this stands before `other`, in a few words. `None` where nothing but their names tells them apart.
    #[must_use]
    pub fn reason(&self, other: &Score) -> Option<&'static str> {
        let parts: [(Ordering, &'static str); 11] = [
            (self.machine.cmp(&other.machine), "made for this kind of machine"),
            (self.folder.cmp(&other.folder), "in the folder where a loader looks"),
            (self.copy.cmp(&other.copy), "the library's own package, not a copy or a collection"),
            (self.inner.cmp(&other.inner), "an output of the attribute itself"),
            (self.output.cmp(&other.output), "in the output for libraries"),
            (self.table.cmp(&other.table), "what the embedded table answers"),
            (self.name.cmp(&other.name), "named as the library is"),
            (self.nested.cmp(&other.nested), "less deeply nested in the package set"),
            (self.closure.cmp(&other.closure), "needs less besides"),
            (self.versions.cmp(&other.versions), "defines the versions that are asked for"),
            (self.length.cmp(&other.length), "the plainest of several variants"),
        ];
        parts.into_iter().find(|(order, _)| order.is_ne()).map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests;
