//! Libraries that native code opens by name, and the order in which all are loaded, in the NixOS-like root.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod native;
mod support;

use native::Lab;
use support::{Root, Shim, Use, come_to_work, nixbox, pitstop};

/// A module that opens libmagic when it is imported, and says so in a note (UAPI group, "ELF dlopen metadata").
const NOTED: &str = r#"
    #include <dlfcn.h>
    #include <stdint.h>
    struct def { long base[5]; const char *name, *doc; long size; void *rest[5]; };
    static struct def def = { {1, 0, 0, 0, 0}, "_noted", 0, -1, {0} };
    extern void *PyExc_ImportError;
    void PyErr_SetString(void *, const char *);
    void *PyModule_Create2(struct def *, int);
    #define JSON "[{\"soname\":[\"libmagic.so.1\"],\"priority\":\"PRIORITY\"}]"
    __attribute__((used, aligned(4), section(".note.dlopen"))) static const struct {
        uint32_t name_size, json_size, type; char name[4]; char json[sizeof JSON];
    } note = { 4, sizeof JSON, 0x407c0c0a, "FDO", JSON };
    void *PyInit__noted(void) {
        void *library = dlopen("libmagic.so.1", RTLD_NOW);
        if (!library) { PyErr_SetString(PyExc_ImportError, dlerror()); return 0; }
        int (*version)(void) = (int (*)(void)) dlsym(library, "magic_version");
        return version() > 500 ? PyModule_Create2(&def, 1013) : 0;
    }
"#;

#[test]
fn a_library_of_a_dlopen_note_is_there_when_the_module_opens_it() {
    let lab = Lab::new();
    for (folder, priority) in [("needs", "required"), ("likes", "recommended")] {
        let code = NOTED.replace("PRIORITY", priority);
        lab.gcc(&code, &format!("{folder}/_noted.abi3.so"), &["-shared", "-fPIC"]);
    }
    let root = Root::in_machine(nixbox().machine().bind(lab.path(), "/made", false), &[]);
    let install = |folder: &str| {
        root.sh(&format!(
            "site=$(echo v/lib/python3*/site-packages); rm -rf $site/noted*; mkdir $site/noted $site/noted-1.0.dist-info
             cp /made/{folder}/_noted.abi3.so $site/noted/; touch $site/noted/__init__.py
             printf 'Metadata-Version: 2.1\\nName: noted\\nVersion: 1.0\\n' > $site/noted-1.0.dist-info/METADATA
             printf 'noted/__init__.py,,\\nnoted/_noted.abi3.so,,\\n' > $site/noted-1.0.dist-info/RECORD"
        ))
    };
    let uses = [Use {
        variables: "",
        code: "import noted._noted",
        fails: "libmagic.so.1: cannot open shared object file",
    }];
    install("needs");
    come_to_work(&root, &uses, "");

    install("likes");
    let said = root.pitstop("fix v", 0);
    assert!(said.contains("nothing is missing"), "{said}");
    root.python("", uses[0].code).expect_err("nobody asked for it");
    root.pitstop("fix --optional v", 0);
    root.python("", uses[0].code).unwrap();
    root.pitstop("undo v", 0);
    root.python("", uses[0].code).expect_err("it still works after undo");
}

#[test]
fn qt_draws_and_opens_what_its_plugins_want() {
    let root = Root::with(&["PyQt6<6.12", "PyQt6-Qt6<6.12"]);
    let draws = "from PyQt6 import QtCore, QtGui, QtWidgets
a = QtWidgets.QApplication([]); assert a.platformName() == 'offscreen'
w = QtWidgets.QWidget(); w.setStyleSheet('background: #ff0000'); w.resize(4, 4)
assert w.grab().toImage().pixelColor(1, 1).name() == '#ff0000'
loaded = {line.split()[-1] for line in open('/proc/self/maps') if 'libQt6' in line or 'libicu' in line}
assert len(loaded) > 2 and all('/site-packages/' in path for path in loaded), loaded";
    let encrypts = "from PyQt6 import QtCore, QtNetwork; a = QtCore.QCoreApplication([])
assert 'openssl' in QtNetwork.QSslSocket.availableBackends(), QtNetwork.QSslSocket.availableBackends()
assert 'OpenSSL' in QtNetwork.QSslSocket.sslLibraryVersionString()";
    let offscreen = "QT_QPA_PLATFORM=offscreen";
    for standing in Shim::BOTH {
        let root = root.beside(standing);
        let fails = |when: &str| {
            let said = root.python(offscreen, draws).expect_err(when);
            assert!(said.contains("cannot open shared object file"), "{said}");
        };
        fails("it works without a fix, so this test shows nothing");
        root.pitstop("fix v", 0);
        root.python(offscreen, draws).unwrap();
        if standing == Shim::InPlace {
            root.pitstop("undo v", 0);
            fails("it still works after undo");
            continue;
        }
        // What the plugins for displays, and for encryption, want is optional.
        let said = root.sh(&format!("{} check v --json 2> /dev/null", pitstop().display()));
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        let optional = report["optional"].as_array().unwrap().iter();
        let of_plugin = |plugin: &str| -> Vec<&str> {
            let needed = optional.clone().filter(|missing| missing["needed_by"].to_string().contains(plugin));
            needed.map(|missing| missing["soname"].as_str().unwrap()).collect()
        };
        let wanted = [of_plugin("platforms/libqxcb.so"), of_plugin("tls/libqopensslbackend.so")].concat();
        for soname in ["libxcb-cursor.so.0", "libxkbcommon-x11.so.0", "libssl.so.3"] {
            assert!(wanted.contains(&soname), "{soname}\n{report}");
        }
        assert!(of_plugin("platforms/libqwayland").contains(&"libwayland-client.so.0"), "{report}");
        let of_xcb = |said: &str| {
            let variables = "QT_QPA_PLATFORM=xcb QT_DEBUG_PLUGINS=1";
            let shown = root.python(variables, draws).expect_err("there is no display");
            assert!(shown.contains(said), "{shown}");
        };
        of_xcb("libqxcb.so: libx");
        root.python("", encrypts).expect_err("nobody asked for it");

        let settings = format!("optional = {wanted:?}\n");
        std::fs::write(root.machine.home().join("pitstop.toml"), settings).unwrap();
        let fixed = root.pitstop("fix v", 0);
        of_xcb("could not connect to display");
        root.python("", encrypts).unwrap_or_else(|error| panic!("{fixed}\n{error}"));
        root.python(offscreen, draws).unwrap();
        root.pitstop("undo v", 0);
        fails("it still works after undo");
        root.sh("rm pitstop.toml");
    }
}

/// Two packages that load libraries of their own first: what each brings is what it gets, whoever comes first.
#[test]
fn packages_with_libraries_of_their_own_get_those_in_either_order() {
    let root = Root::with(&["pyarrow", "opencv-python-headless"]);
    let code = |imports: &'static str| -> &'static str {
        let check = "
import numpy
assert pyarrow.compute.sum(pyarrow.array([1, 2])).as_py() == 3
assert cv2.blur(numpy.ones((8, 8), 'uint8'), (3, 3)).sum() == 64
loaded = {line.split()[-1] for line in open('/proc/self/maps') if '/lib' in line and '.so' in line}
for name in 'libarrow.so', 'libarrow_python.so', 'libparquet.so', 'libavcodec', 'openblas':
    own = [path for path in loaded if name in path.rpartition('/')[2]]
    assert own and all('/site-packages/' in path for path in own), (name, own)
names = [path.rpartition('/')[2] for path in loaded]
assert len(names) == len(set(names)), sorted(loaded)";
        format!("{imports}{check}").leak()
    };
    let uses = [
        Use {
            variables: "",
            code: code("import pyarrow.compute, pyarrow.parquet, cv2"),
            fails: "cannot open shared object file",
        },
        Use {
            variables: "",
            code: code("import cv2, pyarrow.compute, pyarrow.parquet"),
            fails: "cannot open shared object file",
        },
    ];
    come_to_work(&root, &uses, "");
}
