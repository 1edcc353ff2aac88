//! The farm, built in nixbox as the module describes it.

use std::sync::OnceLock;

use nixbox::{Machine, MachineBuilder, Nixbox};

use crate::root;

pub(crate) fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// Shows this tree's Nix files, and what they read, at `/tree`.
pub(crate) fn with_tree(mut machine: MachineBuilder<'static>) -> MachineBuilder<'static> {
    for part in ["nix", "xtask/tests/nix", "Cargo.toml"] {
        machine = machine.bind(root().join(part), format!("/tree/{part}"), false);
    }
    machine
}

fn machine() -> Machine<'static> {
    with_tree(nixbox().machine()).start().unwrap()
}

fn sh(machine: &Machine, script: &str) -> String {
    let ran = machine.sh(script).unwrap();
    assert!(ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Builds the farm of these packages; gives its `share/nix-ld/lib`.
fn build(machine: &Machine, libraries: &str) -> String {
    let expression = format!(
        "with import <nixpkgs> {{ }}; import /tree/nix/farm.nix {{ inherit lib buildEnv stdenv; }} ({libraries})"
    );
    let built = sh(machine, &format!("nix-build --no-out-link -E '{expression}'"));
    format!("{}/share/nix-ld/lib", built.trim())
}

#[test]
fn it_links_every_library_and_the_loader_and_of_two_the_first() {
    let machine = machine();
    let one = "(runCommand \"one\" { } \"mkdir -p $out/lib/sub $out/bin; echo one > $out/lib/libboth.so.1; echo one > $out/lib/sub/x; touch $out/bin/program\")";
    let two = "(runCommand \"two\" { } \"mkdir -p $out/lib/sub; echo two > $out/lib/libboth.so.1; echo two > $out/lib/libtwo.so.1; echo two > $out/lib/sub/y\")";
    let farm = build(&machine, &format!("[ {one} {two} ]"));
    let listed = sh(
        &machine,
        &format!(
            "cd {farm} && find -L . -type f | sort && cat libboth.so.1 libtwo.so.1 && find ../../.. -name program"
        ),
    );
    assert_eq!(listed, "./ld.so\n./libboth.so.1\n./libtwo.so.1\n./sub/x\n./sub/y\none\ntwo\n");
    let turned = build(&machine, &format!("[ {two} {one} ]"));
    assert_eq!(sh(&machine, &format!("cat {turned}/libboth.so.1")), "two\n");
    // The loader is one that runs.
    let said = sh(&machine, &format!("{farm}/ld.so --version"));
    assert!(said.contains("ld.so"), "{said}");
}

/// The default list without what this Debian has no package for, which nixbox shows by the version 0.
pub(crate) const BUILDABLE: &str =
    "lib.filter (package: package.version != \"0\") (import /tree/nix/libraries.nix { inherit pkgs; })";

#[test]
fn the_default_list_brings_what_the_policies_name() {
    let machine = machine();
    let farm = build(&machine, BUILDABLE);
    let listed = sh(&machine, &format!("cd {farm} && ls"));
    // Debian 13 has no ncurses 5.
    let old =
        sh(&machine, "nix-instantiate --eval -E '(import <nixpkgs> { }).ncurses5.version'").trim() == "\"0\"";
    for soname in crate::libraries::OUTSIDE_GLIBC {
        let absent = old && ["libncursesw.so.5", "libpanelw.so.5"].contains(soname);
        assert!(absent || listed.lines().any(|line| line == *soname), "{soname}\n{listed}");
    }
}
