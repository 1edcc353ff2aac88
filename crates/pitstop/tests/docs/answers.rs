//! Real answers of every command that has `--json`, held against the schemas of the docs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Root;
use crate::console::line_matches;
use crate::pages::page;
use crate::root;
use crate::schema::Schema;
use crate::tools::{succeed, tool};

/// What is asked, in one home of the NixOS-like root: a schema, then what prints a document of it.
const ASKED: &[(&str, &str)] = &[
    ("check", "pitstop check --json v"),
    ("check", "pitstop check --json v bare"),
    ("check", "pitstop check --json --static broken"),
    (
        "check",
        "pitstop check --json --python v/bin/python numpy-1.26.2-cp39-cp39-win_amd64.whl source-1.0.tar.gz",
    ),
    ("check", "pitstop check --json newer"),
    ("why", "pitstop why --json libc.so.6 newer"),
    ("tree", "pitstop tree --json newer/lib/python3.11/site-packages/y.abi3.so"),
    ("fix", "pitstop fix --json newer"),
    ("fix", "pitstop fix --json alone"),
    ("shell", "pitstop shell --json --output - newer"),
    ("check", "pitstop check --json gpu"),
    ("tree", "pitstop tree --json v/lib/python3.11/site-packages/pyodbc.*.so"),
    ("why", "pitstop why --json libodbc.so.2 v"),
    ("fix", "pitstop fix --json --dry-run --scripts v"),
    (
        "fix",
        "pitstop fix --json --scripts --lock v; find v .cache .local -path '*pitstop*' -not -type d > written",
    ),
    ("status", "pitstop status --json v"),
    ("check", "pitstop check --json v"),
    ("why", "pitstop why --json libodbc.so.2 v"),
    ("why", "pitstop why --json libz.so.1 v/lib/python3.11/site-packages/numpy/core/_multiarray_umath.*.so"),
    ("tree", "pitstop tree --json v/lib/python3.11/site-packages/numpy/core/_multiarray_umath.*.so"),
    ("shell", "pitstop shell --json v"),
    ("shell", "pitstop shell --json --output - v"),
    ("undo", "pitstop undo --json v"),
    ("status", "pitstop status --json v"),
    ("fix", "pitstop patch --json --dry-run v/bin/ruff"),
    ("fix", "pitstop patch --json v/bin/ruff"),
    ("undo", "pitstop undo --json v/bin/ruff"),
    ("locate-sonames", "pitstop locate --json libz.so.1 libcuda.so.1"),
    ("index-build", "pitstop index build --json --store --packages packages.xml --output db/files"),
    ("locate-files", "pitstop locate --json --db db --all --regex 'libz.so.1'"),
    ("locate-files", "pitstop locate --json --db db --all --minimal libz.so.1"),
    ("index-fetched", "pitstop index import --json db/files"),
    ("locate-sonames", "pitstop locate --json libz.so.1"),
    ("index-info", "pitstop index info --json"),
    ("index-debian", "pitstop index build --json --debian Contents-amd64"),
    ("doctor", "pitstop doctor --json"),
    ("run-env", "pitstop run --json --print-env --with libodbc.so.2 v/bin/python"),
    ("try", "pitstop try --json --python python3.11 numpy==1.26.2"),
];

/// An environment with all sorts of trouble, one without packages, one that cannot be read, one that asks for a driver.
const SET_UP: &str = "
for name in v bare broken gpu; do python3.11 -m venv --without-pip $name; done
python3.11 -m venv tools
site=lib/python3.11/site-packages
tools/bin/pip --python v/bin/python install -q numpy==1.26.2 pyodbc ruff
tools/bin/pip --python gpu/bin/python install -q nvidia-ml-py
printf '#!/usr/bin/python3\\n' > v/bin/old && chmod +x v/bin/old
mkdir broken/$site/bad-1.0.dist-info && printf 'bad/x.so,,\\n' > broken/$site/bad-1.0.dist-info/RECORD
mkdir broken/$site/bad && head -c 60 v/bin/ruff > broken/$site/bad/x.so
mkdir -p newer/$site && cp -r broken/. newer && sed s/GLIBC_2.14/GLIBC_2.99/ v/$site/pyodbc.*.so > newer/$site/y.abi3.so
printf 'bad/x.so,,\\ny.abi3.so,,\\n' > newer/$site/bad-1.0.dist-info/RECORD
cp /wheels/numpy-1.26.2*.whl numpy-1.26.2-cp39-cp39-win_amd64.whl
mkdir source-1.0 && printf 'Name: source\nVersion: 1.0\n' > source-1.0/PKG-INFO
mkdir alone && cp -r newer/. alone && sed s/libodbc.so.2/libnone.so.2/ v/$site/pyodbc.*.so > alone/$site/y.abi3.so
printf '[build-system]\nrequires = [\"maturin\"]\n' > source-1.0/pyproject.toml
tar -czf source-1.0.tar.gz source-1.0
printf '<items></items>' > packages.xml
printf 'usr/lib/x86_64-linux-gnu/libz.so.1 libs/zlib1g\\n' > Contents-amd64
";

/// Fields that none of these answers has, because it takes another machine, or trouble that this one has not.
const NOT_MET: &[&str] = &[
    "check:unusable.needed_by",
    "check:unusable.path",
    "check:unusable.why",
    "fix:operation.target",
    "index-build:gap.origin",
    "index-build:gap.path",
    "index-build:gap.reason",
    "index-build:origin.attribute",
    "index-build:origin.output",
    "index-build:origin.system",
    "index-build:origin.toplevel",
    "index-build:reason.kind",
    "index-build:reason.words",
    "index-info:sonames.trouble",
    "status:origin.package",
    "status:origin.sha256",
    "status:origin.version",
    "status:set.dir",
    "status:set.rev",
];

#[test]
fn answers_are_as_the_schemas_say() {
    let home = Root::with(&["numpy==1.26.2", "pyodbc", "ruff", "nvidia-ml-py"], &[]);
    let said = home.bash(&format!("set -e\n{SET_UP}\necho ready"));
    assert!(said.ends_with("ready\n"), "{said}");
    let mut schemas: BTreeMap<&str, Schema> = BTreeMap::new();
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (number, (name, command)) in ASKED.iter().enumerate() {
        let said = home.bash(&format!("{{ {command}; }} 2>errors || true"));
        let errors = || home.bash("cat errors");
        let document: Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{command}: {error}\n{said}\n{}", errors()));
        let read = || Schema::new(serde_json::from_str(&page(place(name)).text).unwrap());
        if let Err(why) = schemas.entry(name).or_insert_with(read).hold(&document) {
            wrong.push(format!("{command}: {why}"));
        }
        fs::create_dir_all(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join(format!("{number}.json")), said).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What `try` gives of `fix` is described within its own schema, too.
    let fix = schemas["fix"].definitions().clone();
    let is_told =
        |name: &str, field: &str| name != "try" || fix.get(field.split('.').next().unwrap()).is_none();
    let unseen = schemas.iter().flat_map(|(name, schema)| {
        let unseen = schema.unseen().into_iter().filter(|field| is_told(name, field));
        unseen.map(move |field| format!("{name}:{field}"))
    });
    let unseen: Vec<String> = unseen.collect();
    assert_eq!(unseen, NOT_MET, "fields that no answer has");
    validate(folder.path());
    every_file_is_listed(&home.bash("cat written"));
}

/// Holds the files that `fix` has written against the table of files in the docs.
fn every_file_is_listed(written: &str) {
    let page = page("docs/commands.md");
    let rows = page.text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | writes |"));
    let listed = rows.flat_map(|(paths, _)| paths.split(", ").map(|path| path.trim_matches('`')));
    let listed = listed.map(|path| {
        let path = path.replace("SITE", "v/lib/python3.11/site-packages").replace("VENV", "v");
        let path = path.replace("$XDG_CACHE_HOME", ".cache").replace("$XDG_STATE_HOME", ".local/state");
        if path.ends_with('/') { format!("{path}…") } else { path.replace('*', "…") }
    });
    let listed: Vec<String> = listed.collect();
    let is_listed = |file: &&str| listed.iter().any(|path| line_matches(path, file));
    let unlisted: Vec<&str> = written.lines().filter(|file| !is_listed(file)).collect();
    assert!(unlisted.is_empty(), "no row of docs/commands.md has {unlisted:#?}\n{listed:#?}");
    assert!(written.lines().count() > 10, "{written}");
}

fn place(name: &str) -> String {
    format!("docs/schemas/{name}.json")
}

/// Has a validator hold the documents in each folder against the schema of its name, and the schemas against theirs.
fn validate(folder: &Path) {
    let validator = tool("check-jsonschema");
    let schemas = fs::read_dir(root().join("docs/schemas")).unwrap().map(|entry| entry.unwrap().path());
    let schemas: Vec<_> = schemas.collect();
    succeed(Command::new(&validator).arg("--check-metaschema").args(&schemas));
    for schema in &schemas {
        let documents = fs::read_dir(folder.join(schema.file_stem().unwrap()));
        let documents =
            documents.unwrap_or_else(|_| panic!("{}: no answer is held against it", schema.display()));
        let documents = documents.map(|entry| entry.unwrap().path());
        succeed(Command::new(&validator).arg("--schemafile").arg(schema).args(documents));
    }
}
