//! The main job, in the NixOS-like root, with real wheels: an import that fails, `pitstop fix`, the import works under
//! `env -i`, `pitstop undo`, and the tree is as it was.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use support::{Root, nixbox, pitstop, same};

/// The whole way for one package: `code` fails for want of a library before, and works after.
fn comes_to_work(requirements: &[&str], code: &str) {
    let root = Root::with(requirements);
    let before = root.tree("v");
    let failed = root.python("", code).expect_err("it works without a fix, so this test shows nothing");
    assert!(failed.contains("cannot open shared object file"), "{failed}");

    root.pitstop("check v", 1);
    let said = root.pitstop("fix v", 0);
    if let Err(error) = root.python("", code) {
        panic!("{said}\n{error}");
    }
    root.pitstop("check v", 0);

    let fixed = root.tree("v");
    root.pitstop("fix v", 0);
    same(&fixed, &root.tree("v"), "a second fix changed something");

    root.pitstop("undo v", 0);
    same(&before, &root.tree("v"), "undo left something");
    assert!(root.python("", code).is_err(), "it still works after undo");
}

/// The way of a package that brings all it needs: nothing is said to be missing, and nothing is written.
fn works_as_it_is(requirements: &[&str], code: &str) {
    let root = Root::with(requirements);
    let before = root.tree("v");
    if let Err(error) = root.python("", code) {
        panic!("{error}");
    }
    for command in ["check v", "fix v"] {
        let said = root.pitstop(command, 0);
        assert!(said.contains("nothing is missing"), "{said}");
    }
    same(&before, &root.tree("v"), "a fix of nothing wrote something");
}

macro_rules! packages {
    ($way:ident: $($name:ident: $requirements:expr, $code:expr;)*) => {
        $(
            #[test]
            fn $name() {
                $way(&$requirements, $code);
            }
        )*
    };
}

packages! { comes_to_work:
    numpy_1_26_multiplies_matrices: ["numpy==1.26.2"], "import numpy; assert (numpy.eye(3) @ numpy.ones(3)).sum() == 3";
    numpy_solves: ["numpy"], "import numpy; numpy.linalg.solve([[2.0]], [4.0])";
    scipy_integrates: ["scipy"], "from scipy import integrate; assert abs(integrate.quad(lambda x: x, 0, 1)[0] - .5) < 1e-9";
    pandas_groups: ["pandas"], "import pandas; assert pandas.DataFrame({'a': [1, 1]}).groupby('a').size()[1] == 2";
    matplotlib_draws: ["matplotlib"], "import matplotlib; matplotlib.use('Agg')\nimport matplotlib.pyplot as p, io; p.plot([1, 2]); p.savefig(io.BytesIO())";
    h5py_writes_in_memory: ["h5py"], "import h5py; h5py.File('x', 'w', driver='core', backing_store=False)['a'] = [1]";
    pyarrow_computes: ["pyarrow"], "import pyarrow, pyarrow.compute as c; assert c.sum(pyarrow.array([1, 2])).as_py() == 3";
    grpcio_makes_a_channel: ["grpcio"], "import grpc; grpc.insecure_channel('localhost:1')";
    opencv_blurs: ["opencv-python"], "import cv2, numpy; cv2.blur(numpy.zeros((8, 8), 'uint8'), (3, 3))";
    opencv_headless_blurs: ["opencv-python-headless"], "import cv2, numpy; cv2.blur(numpy.zeros((8, 8), 'uint8'), (3, 3))";
    pyodbc_lists_drivers: ["pyodbc"], "import pyodbc; pyodbc.drivers()";
    shapely_buffers: ["shapely"], "import shapely; assert shapely.Point(0, 0).buffer(1).area > 3";
    scikit_learn_fits: ["scikit-learn"], "from sklearn.linear_model import LinearRegression as L; L().fit([[0], [1]], [0, 1])";
    pyzmq_makes_sockets: ["pyzmq"], "import zmq; zmq.Context().socket(zmq.PUB).close()";
    pyqt6_has_core_and_widgets: ["PyQt6<6.12", "PyQt6-Qt6<6.12"], "from PyQt6 import QtCore, QtWidgets; assert QtCore.qVersion().startswith('6')";    pillow_saves: ["pillow"], "import io; from PIL import Image; Image.new('RGB', (2, 2)).save(io.BytesIO(), 'PNG')";
    psycopg2_is_imported: ["psycopg2-binary"], "import psycopg2";
    soundfile_writes: ["soundfile"], "import soundfile, numpy, io; soundfile.write(io.BytesIO(), numpy.zeros(4), 8000, format='WAV')";
}

packages! { works_as_it_is:
    lxml_parses: ["lxml"], "from lxml import etree; assert etree.fromstring('<a/>').tag == 'a'";
    cryptography_hashes: ["cryptography"], "from cryptography.hazmat.primitives import hashes as h; h.Hash(h.SHA256()).finalize()";
}

#[test]
fn what_a_venv_uses_survives_a_garbage_collection_and_goes_with_undo() {
    let code = "import pyodbc; pyodbc.drivers()";
    pitstop();
    let root = Root::in_machine(nixbox().machine().own_store(true), &["pyodbc"]);
    // The command itself is no root of the store's.
    root.sh(&format!(
        "mkdir keep && nix-store --add-root keep/pitstop --indirect -r {}",
        store_path(pitstop())
    ));
    root.pitstop("fix v", 0);
    let library = root.sh("grep -o '/nix/store/[^\"]*libodbc.so.2' v/.pitstop/provided.json");
    root.sh("nix-collect-garbage");
    if let Err(error) = root.python("", code) {
        panic!("{error}");
    }
    root.pitstop("status v", 0);

    root.pitstop("undo v", 0);
    root.sh("nix-collect-garbage");
    root.sh(&format!("test ! -e {}", library.trim()));
}

/// `/nix/store/HASH-NAME` of a path in it.
fn store_path(path: &Path) -> String {
    path.components().take(4).collect::<PathBuf>().display().to_string()
}

#[test]
fn a_venv_that_was_moved_is_mended_by_the_next_fix() {
    let code = "import pyodbc; pyodbc.drivers()";
    let root = Root::with(&["pyodbc"]);
    root.pitstop("fix v", 0);
    root.sh("mv v elsewhere && ln -s elsewhere v");
    if let Err(error) = root.python("", code) {
        panic!("{error}");
    }
    let said = root.pitstop("fix elsewhere", 0);
    // What kept the libraries alive pointed to where the environment was.
    let roots = root.sh("nix-store --gc --print-roots");
    assert!(roots.contains("/elsewhere/.pitstop/roots/"), "{said}{roots}");
    if let Err(error) = root.python("", code) {
        panic!("{error}");
    }
}

#[test]
fn what_nixpkgs_refuses_is_said_in_its_own_words_with_the_setting_that_allows_it() {
    let root = Root::with(&["pyodbc"]);
    let refusing = "args: let set = import <nixpkgs> args; in set // rec { unixODBC = set.nixbox.unfree; unixodbc = unixODBC; }";
    root.sh(&format!("mkdir refusing && echo '{refusing}' > refusing/default.nix"));
    let said = root.pitstop("fix v --nixpkgs ./refusing", 1);
    assert!(said.contains("unfree") && said.contains("allowUnfree"), "{said}");
}

/// A module that needs a library which no table knows, a package set in which it is built, and a database that tells of
/// the package.
fn made_up(root: &Root) {
    let set = r#"args: let set = import <nixpkgs> args; in set // {
        made-up = set.runCommand "made-up-1.0" { } ''
            export PATH=/usr/bin:/bin
            mkdir -p $out/lib
            echo 'int made_up(void) { return 7; }' > made-up.c
            gcc -shared -fPIC -Wl,-soname,libmadeup.so.3 -o $out/lib/libmadeup.so.3 made-up.c
        '';
    }"#;
    root.sh(&format!("mkdir -p set && cat > set/default.nix <<'END'\n{set}\nEND"));
    root.sh("site=$(echo v/lib/python3*/site-packages); mkdir $site/asks; cp /made/_asks.abi3.so $site/asks/; touch $site/asks/__init__.py");
}

/// The folder with what the tests made outside: the module, and the database.
fn made_outside() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(make_outside)
}

fn make_outside() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made-up");
    std::fs::create_dir_all(folder.join("nix-index")).unwrap();
    let source = r#"
        struct def { long base[5]; const char *name, *doc; long size; void *rest[5]; };
        static struct def def = { {1, 0, 0, 0, 0}, "_asks", 0, -1, {0} };
        int made_up(void);
        void *PyModule_Create2(struct def *, int);
        void *PyInit__asks(void) { return made_up() == 7 ? PyModule_Create2(&def, 1013) : 0; }
    "#;
    std::fs::write(folder.join("library.c"), "int made_up(void) { return 0; }").unwrap();
    std::fs::write(folder.join("asks.c"), source).unwrap();
    let gcc = |arguments: &[&str]| {
        let done = std::process::Command::new("gcc").current_dir(&folder).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    gcc(&["-shared", "-fPIC", "-Wl,-soname,libmadeup.so.3", "-o", "libmadeup.so.3", "library.c"]);
    gcc(&["-shared", "-fPIC", "-o", "_asks.abi3.so", "asks.c", "./libmadeup.so.3"]);
    let package = |attribute: &str, letter: &str| {
        let json = serde_json::json!({
            "store_dir": "/nix/store", "hash": letter.repeat(32), "name": format!("{attribute}-1.0"),
            "origin": { "attr": attribute, "output": "out", "toplevel": true, "system": "x86_64-linux" },
        });
        serde_json::from_value(json).unwrap()
    };
    let database = folder.join("nix-index/files");
    let mut writer = pitstop_host::index::database::Writer::create(&database, 1, 0).unwrap();
    for (package, path) in [
        (package("made-up", "a"), "/lib/libmadeup.so.3"),
        (package("steam-run", "b"), "/usr/lib/libmadeup.so.3"),
        (package("no-such-attribute", "c"), "/lib/libodbc.so.2"),
    ] {
        let node = pitstop_core::index::Node::Regular { size: 1, executable: true };
        writer.add(&package, [&pitstop_core::index::Entry { path: path.into(), node }]).unwrap();
    }
    writer.finish().unwrap();
    folder
}

#[test]
fn a_library_that_only_a_database_knows_is_named_provided_and_taken_back() {
    let made = made_outside();
    let root = Root::in_machine(nixbox().machine().bind(made, "/made", false), &[]);
    made_up(&root);
    let before = root.tree("v");
    let code = "import asks._asks";
    let failed = root.python("", code).unwrap_err();
    assert!(failed.contains("libmadeup.so.3: cannot open shared object file"), "{failed}");

    // Nobody knows it, and what to do is said.
    let said = root.pitstop("check v", 1);
    assert!(said.contains("nobody that is known") && said.contains("nix-index"), "{said}");
    let said = root.pitstop("fix v --nixpkgs ./set", 1);
    assert!(said.contains("nix-index"), "{said}");
    same(&before, &root.tree("v"), "a fix that found nothing left something");

    let with = |arguments: &str| root.pitstop_with("NIX_INDEX_DATABASE=/made/nix-index", arguments, 0);
    let said = root.pitstop_with("NIX_INDEX_DATABASE=/made/nix-index", "check v", 1);
    assert!(said.contains("nix: made-up"), "{said}");
    let said = with("locate libmadeup.so.3");
    assert!(said.contains("made-up") && said.contains("in the folder where a loader looks"), "{said}");
    let said = with("fix v --nixpkgs ./set");
    root.python("", code).unwrap_or_else(|error| panic!("{said}\n{error}"));
    let record = root.sh("cat v/.pitstop/provided.json");
    assert!(record.contains("the soname index of /made/nix-index/files"), "{record}");

    with("undo v");
    same(&before, &root.tree("v"), "undo left something");
    root.python("", code).unwrap_err();
}

/// What `fix` notes of who told it.
fn told_by(root: &Root) -> Vec<String> {
    let record: serde_json::Value = serde_json::from_str(&root.sh("cat v/.pitstop/provided.json")).unwrap();
    let told = record["libraries"].as_array().unwrap().iter().filter_map(|one| one["told_by"].as_str());
    told.map(str::to_owned).collect()
}

#[test]
fn the_embedded_table_is_asked_before_an_index() {
    let root = Root::in_machine(nixbox().machine().bind(made_outside(), "/made", false), &["pyodbc"]);
    let fix = format!("NIX_INDEX_DATABASE=/made/nix-index {} fix v", pitstop().display());
    let said = root.sh(&fix);
    root.python("", "import pyodbc").unwrap_or_else(|error| panic!("{said}\n{error}"));
    let told = told_by(&root);
    assert!(!told.is_empty() && told.iter().all(|who| who == "the embedded table"), "{told:?}");
}

#[test]
fn a_database_answers_itself_where_its_index_cannot_be_kept() {
    let root = Root::in_machine(nixbox().machine().bind(made_outside(), "/made", false), &[]);
    made_up(&root);
    // Nothing can be made below this.
    let variables = "NIX_INDEX_DATABASE=/made/nix-index XDG_CACHE_HOME=/proc";
    let said = root.sh(&format!("{variables} {} fix v --nixpkgs ./set", pitstop().display()));
    root.python("", "import asks._asks").unwrap_or_else(|error| panic!("{said}\n{error}"));
    assert_eq!(told_by(&root), ["the nix-index database /made/nix-index/files"], "{said}");
}

#[test]
fn an_index_is_fetched_where_nothing_here_knows_a_library_and_only_online() {
    let root = Root::in_machine(nixbox().machine().bind(made_outside(), "/made", false), &[]);
    made_up(&root);
    let with_server = |command: &str| {
        root.machine
            .sh(&format!(
                "python3.11 -u -m http.server 0 --bind 127.0.0.1 --directory /made/nix-index >log 2>&1 & server=$!\n\
                 until grep -q ' port ' log; do kill -0 $server; done\n\
                 port=$(sed -n 's/.* port \\([0-9]*\\).*/\\1/p' log)\n\
                 status=0; PITSTOP_INDEX_URL=http://127.0.0.1:$port/files {} {command} || status=$?\n\
                 kill $server; grep GET log || true; exit $status",
                pitstop().display()
            ))
            .unwrap()
    };
    let ran = with_server("fix v --nixpkgs ./set");
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("GET"), "it asked the network unbidden: {}", ran.stdout);
    let ran = with_server("fix v --nixpkgs ./set --online");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("GET /files").count(), 1, "{}", ran.stdout);
    root.python("", "import asks._asks").unwrap_or_else(|error| panic!("{}{error}", ran.stdout));
    let told = told_by(&root);
    assert!(told.len() == 1 && told[0].ends_with("/pitstop/index/files"), "{told:?}");

    // What was fetched is there for the next, without the network.
    root.sh(&format!("{0} undo v && {0} fix v --nixpkgs ./set", pitstop().display()));
    root.python("", "import asks._asks").unwrap();
}
