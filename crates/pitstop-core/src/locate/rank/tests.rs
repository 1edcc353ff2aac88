//! Every row of the embedded table as a question, against a set of packages that has it, and many that only look so.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::index::{Origin, Package, StorePath};
use crate::locate::{Class, table};

fn package(attribute: &str, output: &str, toplevel: bool) -> Package {
    let last = attribute.rsplit('.').next().unwrap_or_default();
    let suffix = if output == "out" { String::new() } else { format!("-{output}") };
    Package {
        path: StorePath {
            store_dir: "/nix/store".into(),
            hash: "0".repeat(32),
            name: format!("{last}-1.0{suffix}"),
        },
        origin: Origin {
            attribute: attribute.into(),
            output: output.into(),
            toplevel,
            system: Some("x86_64-linux".into()),
        },
    }
}

/// A soname, and what the table says of it: attribute and output.
struct Row {
    soname: &'static str,
    attribute: &'static str,
    output: &'static str,
}

fn rows() -> Vec<Row> {
    let of_nix = |row: &table::Row| !row.nix.is_empty() && matches!(row.class, Class::Lib | Class::Toolchain);
    let split = |row: table::Row| match row.nix.strip_suffix(".cc.lib") {
        Some(start) => Row { soname: row.soname, attribute: &row.nix[..start.len() + 3], output: "lib" },
        None => Row { soname: row.soname, attribute: row.nix, output: "out" },
    };
    table::all().filter(of_nix).map(split).collect()
}

/// The table's packages as they are in a package set, and, for every soname, packages that hold the same file name and
/// are not the answer. Which of them a soname meets varies from one to the next.
fn holders() -> BTreeMap<&'static str, Vec<Holder>> {
    let rows = rows();
    let mut all: BTreeMap<&str, Vec<Holder>> = BTreeMap::new();
    let attributes: Vec<&str> =
        rows.iter().map(|row| row.attribute).collect::<BTreeSet<_>>().into_iter().collect();
    for (number, row) in rows.iter().enumerate() {
        let mut add = |attribute: &str, output: &str, toplevel: bool, folder: &str, form: Form| {
            let holder = Holder {
                package: package(attribute, output, toplevel),
                folder: folder.into(),
                form,
                closure: None,
            };
            all.entry(row.soname).or_default().push(holder);
        };
        let own = row.attribute;
        // Other packages of the set that carry a copy among their libraries, where a loader looks.
        let other = attributes[number * 7 % attributes.len()];
        let every = |count: usize| number % count == 0;
        add("steam-run", "out", true, "/usr/lib64", Form::File);
        add("steam-run-free", "out", true, "/lib", Form::File);
        add("appimage-run", "out", true, "/lib", Form::LinkOutside);
        add("slack", "out", true, "/lib/slack", Form::File);
        add("davinci-resolve", "out", true, "/opt/resolve/libs", Form::File);
        add(&format!("pkgsStatic.{own}"), "out", true, "/lib", Form::File);
        add(&format!("{own}-wrapped"), "out", true, "/lib", Form::File);
        add(&format!("{own}-env"), "out", true, "/lib", Form::LinkOutside);
        add(own, "dev", true, "/lib", Form::Link);
        add(own, "debug", true, "/lib/debug", Form::File);
        add("gnome-shell", "out", false, "/lib", Form::File);
        add("python3Packages.pyside6", "out", true, "/lib/python3.12/site-packages/pyside6.libs", Form::File);
        add(&format!("haskellPackages.{own}"), "out", true, "/lib", Form::File);
        if every(3) {
            add("anytype", "out", true, "/lib", Form::File);
        }
        if every(4) && other != own {
            add(other, "out", true, "/lib", Form::File);
        }
        if every(5) {
            add(&format!("{own}_9"), "out", true, "/lib", Form::Link);
            add(&format!("{own}-full"), "out", true, "/lib", Form::Link);
        }
        add(own, row.output, true, "/lib", if every(2) { Form::Link } else { Form::File });
    }
    all
}

fn ask(soname: &str, table: bool) -> Question<'_> {
    Question { soname, kind: Kind::Nix, system: Some("x86_64-linux"), table, defines: &|_| None }
}

/// Of how many sonames the first candidate is the table's, in a hundred; and those of which it is not.
fn agreement(table: bool) -> (f64, Vec<String>) {
    let held = holders();
    let rows = rows();
    let mut wrong = Vec::new();
    for row in &rows {
        let first = &rank(&ask(row.soname, table), held[row.soname].clone())[0];
        let origin = &first.holder.package.origin;
        if (origin.attribute.as_str(), origin.output.as_str()) != (row.attribute, row.output) {
            wrong.push(format!("{}: {} before {}", row.soname, origin.attribute, row.attribute));
        }
    }
    let well = rows.len() - wrong.len();
    #[expect(clippy::cast_precision_loss, reason = "some thousand rows")]
    (well as f64 * 100.0 / rows.len() as f64, wrong)
}

#[test]
fn the_first_candidate_is_the_tables_in_97_of_100() {
    let (share, wrong) = agreement(true);
    assert!(share >= 97.0, "{share:.1} %\n{}", wrong.join("\n"));
}

/// Without the table what is left are names: a package that carries a copy where a loader looks, under no name that tells
/// of it, then stands as good a chance as the right one whose name does not follow from the soname's.
#[test]
fn without_the_table_the_first_candidate_is_its_answer_in_84_of_100() {
    let (share, wrong) = agreement(false);
    assert!(share >= 84.0, "{share:.1} %\n{}", wrong.join("\n"));
    assert!(!wrong.is_empty(), "the table is not switched off");
}

#[track_caller]
fn first(question: &Question<'_>, holders: Vec<Holder>) -> (String, Option<&'static str>) {
    let ranked = rank(question, holders);
    let reason = ranked.get(1).and_then(|second| ranked[0].score.reason(&second.score));
    (ranked[0].holder.package.origin.attribute.clone(), reason)
}

fn holder(attribute: &str, output: &str, folder: &str) -> Holder {
    Holder {
        package: package(attribute, output, true),
        folder: folder.into(),
        form: Form::File,
        closure: None,
    }
}

#[test]
fn the_part_that_decides_is_told() {
    let ask = ask("libunheard-of.so.1", true);
    let told = |a: Holder, b: Holder| first(&ask, vec![a, b]);
    let lib = |attribute: &str| holder(attribute, "out", "/lib");
    assert_eq!(
        told(holder("app", "out", "/share/app/lib"), lib("zzz")),
        ("zzz".into(), Some("in the folder where a loader looks"))
    );
    assert_eq!(
        told(lib("steam-run"), lib("thing")),
        ("thing".into(), Some("the library's own package, not a copy or a collection"))
    );
    assert_eq!(told(lib("app"), lib("unheard-of")), ("unheard-of".into(), Some("named as the library is")));
    assert_eq!(
        told(lib("python3Packages.x"), lib("long-name")),
        ("long-name".into(), Some("less deeply nested in the package set"))
    );
    assert_eq!(
        told(holder("a", "dev", "/lib"), holder("b", "out", "/lib")),
        ("b".into(), Some("in the output for libraries"))
    );
    assert_eq!(
        told(lib("thing-full"), lib("thing")),
        ("thing".into(), Some("the plainest of several variants"))
    );
}

#[test]
fn the_versions_that_are_asked_for_break_a_tie_where_the_file_is_at_hand() {
    let old = holder("gcc12", "lib", "/lib");
    let new = holder("gcc13", "lib", "/lib");
    let defines = |holder: &Holder| Some(holder.package.origin.attribute == "gcc13");
    let ask = Question { defines: &defines, ..ask("libunheard-of.so.6", true) };
    let reason = Some("defines the versions that are asked for");
    assert_eq!(first(&ask, vec![old, new]), ("gcc13".into(), reason));
}

#[test]
fn the_size_of_the_closure_counts_where_it_is_known_of_all() {
    let sized =
        |attribute: &str, closure: Option<u64>| Holder { closure, ..holder(attribute, "lib", "/lib") };
    let ask = ask("libavunheard.so.1", false);
    let both = vec![sized("ffmpeg", Some(400)), sized("ffmpeg-headless", Some(90))];
    assert_eq!(first(&ask, both), ("ffmpeg-headless".into(), Some("needs less besides")));
    let one = vec![sized("ffmpeg", None), sized("ffmpeg-headless", Some(90))];
    assert_eq!(first(&ask, one).0, "ffmpeg");
}

#[test]
fn renamed_attributes_count_as_the_tables() {
    let holders = vec![holder("aaa", "out", "/lib"), holder("libx11", "out", "/lib")];
    assert_eq!(first(&ask("libX11.so.6", true), holders).0, "libx11");
}

#[test]
fn on_debian_the_package_made_for_the_soname_is_first() {
    let debian = |name: &str, section: &str, folder: &str| Holder {
        package: crate::index::contents::package(section, name, None),
        folder: folder.into(),
        form: Form::File,
        closure: None,
    };
    let triplet = "/usr/lib/x86_64-linux-gnu";
    let ask = Question { kind: Kind::Debian, system: None, ..ask("libfoo.so.3", false) };
    let holders = vec![
        debian("aardvark", "games", "/usr/lib/aardvark"),
        debian("libfoo-dev", "libdevel", triplet),
        debian("libbar3", "libs", triplet),
        debian("libfoo3t64", "libs", triplet),
    ];
    assert_eq!(first(&ask, holders).0, "libfoo3t64");
}
