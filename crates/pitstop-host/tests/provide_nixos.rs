//! The providers inside the NixOS-like root: a real daemon, an ordinary user, and a package set that refuses in nixpkgs'
//! own words. This program puts a copy of itself into the root and runs one of its own tests there.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod provide_support;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, Nixbox};
use pitstop_host::files::SystemFiles;
use pitstop_host::provide::host::{self, Places};
use pitstop_host::provide::nix::{Nix, PackageSet};
use pitstop_host::provide::{Error, Event, Outcome, Provider};
use provide_support::{X86_64, want, with_context};

/// Set inside the root.
const INSIDE: &str = "PITSTOP_TEST_INSIDE";

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// This program, made to start inside the root.
fn adopted() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(&std::env::current_exe().unwrap()).unwrap())
}

/// Whether this is inside already; if not, runs the test of this name there first.
fn inside(test: &str, machine: impl FnOnce(&'static Nixbox) -> Machine<'static>) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // Before the machine starts: a store of its own has only what the shared one had then.
    let program = adopted();
    let machine = machine(nixbox());
    let output = machine.command(program).args(["--exact", test]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    false
}

fn plain(nixbox: &'static Nixbox) -> Machine<'static> {
    nixbox.machine().start().unwrap()
}

fn nix() -> Nix {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let set = PackageSet::choose(None, &home, Some(&home)).unwrap();
    Nix { set, roots: home.join("venv/.pitstop/roots"), environment: Vec::new() }
}

fn provide(nix: &Nix, sonames: &[&str]) -> (Result<Outcome, Error>, Vec<Event>) {
    let wants: Vec<_> = sonames.iter().map(|soname| want(soname)).collect();
    with_context(false, |context| nix.provide(&wants, context))
}

#[test]
fn an_ordinary_user_gets_libraries_from_the_channel_through_the_daemon() {
    if !inside("an_ordinary_user_gets_libraries_from_the_channel_through_the_daemon", plain) {
        return;
    }
    let nix = nix();
    let sonames = ["libz.so.1", "libstdc++.so.6", "libX11.so.6", "libGL.so.1", "libglib-2.0.so.0"];
    let outcome = provide(&nix, &sonames).0.unwrap();
    assert_eq!(outcome.refused, []);
    for provision in &outcome.provisions {
        let Provider::Nix { store_path, root, .. } = &provision.by else { panic!("{provision:?}") };
        assert!(
            store_path.starts_with("/nix/store") && provision.file.starts_with(store_path),
            "{provision:?}"
        );
        assert_eq!(root.read_link().unwrap(), *store_path);
        assert_eq!(provision.found.as_deref(), Some(provision.soname.as_str()));
        assert!(provision.note.contains("(<nixpkgs>"), "{}", provision.note);
    }
    let (again, events) = provide(&nix, &sonames);
    assert_eq!((again.unwrap().cost.built, events.len()), (0, 1), "{events:?}");
}

#[test]
fn what_nixpkgs_refuses_is_refused_in_its_words() {
    if !inside("what_nixpkgs_refuses_is_refused_in_its_words", plain) {
        return;
    }
    let outcome = provide(&nix(), &["libcublas.so.12", "libcrypto.so.1.1", "libz.so.1"]).0.unwrap();
    assert_eq!(outcome.provisions.len(), 1);
    let reason = |soname: &str| outcome.refused.iter().find(|refused| refused.soname == soname).unwrap();
    for (soname, words, variable) in [
        ("libcublas.so.12", "unfree license", "NIXPKGS_ALLOW_UNFREE"),
        ("libcrypto.so.1.1", "marked as insecure", "NIXPKGS_ALLOW_INSECURE"),
    ] {
        let refused = reason(soname);
        assert!(refused.reason.contains("efus") && refused.reason.contains(words), "{refused:?}");
        assert!(
            !refused.reason.contains("stack trace") && !refused.reason.contains("… while"),
            "{refused:?}"
        );
        assert!(refused.hint.as_ref().unwrap().contains(variable), "{refused:?}");
    }
}

#[test]
fn a_root_outlives_a_collection_of_garbage() {
    let own_store = |nixbox: &'static Nixbox| nixbox.machine().own_store(true).start().unwrap();
    if !inside("a_root_outlives_a_collection_of_garbage", own_store) {
        return;
    }
    let nix = nix();
    let outcome = provide(&nix, &["libodbc.so.2"]).0.unwrap();
    let file = &outcome.provisions[0].file;
    let collect =
        || assert!(std::process::Command::new("nix-collect-garbage").output().unwrap().status.success());
    collect();
    assert!(file.exists());
    fs_err::remove_dir_all(&nix.roots).unwrap();
    collect();
    assert!(!file.exists());
}

#[test]
fn nothing_of_the_host_is_found_where_nixos_has_nothing() {
    if !inside("nothing_of_the_host_is_found_where_nixos_has_nothing", plain) {
        return;
    }
    let files = SystemFiles::new();
    let places = Places::of_this_machine(&files, X86_64);
    assert!(places.cache.is_empty() && places.folders.is_empty(), "{places:?}");
    let wants = [want("libz.so.1"), want("libcuda.so.1")];
    let outcome = with_context(false, |context| host::provide(&wants, &places, context)).0;
    assert_eq!(outcome.refused.len(), 2);
}
