//! Libraries that native code opens by name, and the order in which all are loaded, in the NixOS-like root.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod native;
mod support;

use native::Lab;
use support::{Root, Use, come_to_work, nixbox};

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
