//! The Nix provider against a real Nix, with a store of its own and a package set of a few copies.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod provide_support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use pitstop_core::lockfile::LockedSet;
use pitstop_host::provide::nix::{Nix, PackageSet};
use pitstop_host::provide::{Error, Event, Outcome, Provider, Provision};
use provide_support::{require, want, with_context};
use tempfile::TempDir;

/// A store that the machine's own Nix knows nothing of.
struct World {
    folder: TempDir,
    nix: Nix,
}

impl World {
    fn new() -> Self {
        require(&[("nix-store", "nix-bin")]);
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        for name in ["store", "etc"] {
            fs_err::create_dir(top.join(name)).unwrap();
        }
        let variables = [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "state"),
            ("NIX_LOG_DIR", "log"),
            ("NIX_CONF_DIR", "etc"),
            ("HOME", "home"),
            ("XDG_CACHE_HOME", "cache"),
        ];
        let mut environment: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| ((*name).into(), top.join(value).into())).collect();
        environment.push(("NIX_REMOTE".into(), "".into()));
        environment.push(("NIX_PATH".into(), "".into()));
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packages");
        let set = PackageSet::choose(Some(packages.to_str().unwrap()), &top, None).unwrap();
        let world = Self { nix: Nix { set, roots: top.join("venv/.pitstop/roots"), environment }, folder };
        world.configure("");
        world
    }

    fn configure(&self, more: &str) {
        let settings = format!("sandbox = false\nbuild-users-group =\n{more}\n");
        let settings = if more.is_empty() { format!("{settings}substituters =\n") } else { settings };
        fs_err::write(self.folder.path().join("etc/nix.conf"), settings).unwrap();
    }

    fn try_provide(&self, sonames: &[&str], accept_inexact: bool) -> (Result<Outcome, Error>, Vec<Event>) {
        let wants: Vec<_> = sonames.iter().map(|soname| want(soname)).collect();
        with_context(accept_inexact, |context| self.nix.provide(&wants, context))
    }

    fn provide(&self, sonames: &[&str]) -> (Outcome, Vec<Event>) {
        let (outcome, events) = self.try_provide(sonames, false);
        (outcome.unwrap(), events)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.nix.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Store paths are read-only, and an ordinary user cannot remove what is in them.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.folder.path()).status();
    }
}

#[track_caller]
fn provided<'a>(outcome: &'a Outcome, soname: &str) -> &'a Provision {
    let found = outcome.provisions.iter().find(|provision| provision.soname == soname);
    found.unwrap_or_else(|| panic!("{soname} was not provided: {:?}", outcome.refused))
}

#[track_caller]
fn reason(outcome: &Outcome, soname: &str) -> String {
    outcome.refused.iter().find(|refused| refused.soname == soname).unwrap().reason.clone()
}

fn attribute(provision: &Provision) -> &str {
    let Provider::Nix { attribute, .. } = &provision.by else { panic!("not from Nix: {provision:?}") };
    attribute
}

fn identity(provision: &Provision) -> &LockedSet {
    let Provider::Nix { set, .. } = &provision.by else { panic!("not from Nix: {provision:?}") };
    set
}

#[test]
fn an_archive_without_a_hash_gets_the_one_that_it_has() {
    let mut world = World::new();
    let top = world.folder.path().canonicalize().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let archive = top.join("set.tar.gz");
    let packed =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&fixtures).arg("packages").status();
    assert!(packed.unwrap().success());
    let url = format!("file://{}", archive.display());
    world.nix.set = PackageSet::choose(Some(&url), &top, None).unwrap();
    let (outcome, _) = world.provide(&["libz.so.1"]);
    let set = identity(provided(&outcome, "libz.so.1")).clone();
    assert_eq!(set.url.as_deref(), Some(url.as_str()));
    assert!(set.nar_hash.as_ref().unwrap().starts_with("sha256-"), "{set:?}");
    // With that hash it is the same one, and another archive under this address is not.
    world.nix.set = PackageSet::locked(&set, &top).unwrap();
    assert_eq!(identity(provided(&world.provide(&["libz.so.1"]).0, "libz.so.1")), &set);
    let other = LockedSet { nar_hash: Some(format!("sha256-{}=", "A".repeat(43))), ..set };
    world.nix.set = PackageSet::locked(&other, &top).unwrap();
    let error = world.try_provide(&["libz.so.1"], false).0.unwrap_err();
    assert!(error.to_string().contains("hash mismatch"), "{error}");
}

#[test]
fn a_flake_is_named_by_its_commit_or_hash_and_a_folder_by_its_path() {
    let mut world = World::new();
    let top = world.folder.path().canonicalize().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packages");
    let (outcome, _) = world.provide(&["libz.so.1"]);
    let folder = format!("path:{}", fixtures.display());
    assert_eq!(
        identity(provided(&outcome, "libz.so.1")),
        &LockedSet { url: Some(folder), ..LockedSet::default() }
    );
    let checkout = top.join("checkout");
    let script = "cp -r --no-preserve=mode \"$1\" \"$2\" && cd \"$2\" && git init -q . && git add . && \
                  git -c user.name=x -c user.email=x@x commit -qm x && git rev-parse HEAD";
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(&fixtures).arg(&checkout).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let commit = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let url = format!("git+file://{}", checkout.display());
    world.nix.set =
        PackageSet::locked(&LockedSet { url: Some(url.clone()), ..LockedSet::default() }, &top).unwrap();
    let set = identity(provided(&world.provide(&["libz.so.1"]).0, "libz.so.1")).clone();
    assert_eq!((set.url, set.rev), (Some(url), Some(commit)));
    assert!(set.nar_hash.unwrap().starts_with("sha256-"));
}

#[test]
fn every_shape_of_package_is_provided_with_one_evaluation() {
    let world = World::new();
    let expected = [
        ("libz.so.1", "zlib"),
        ("libpng16.so.16", "libpng"),
        ("libexpat.so.1", "expat"),
        ("libffi.so.8", "libffi"),
        ("libstdc++.so.6", "stdenv.cc.cc.lib"),
        ("libX11.so.6", "xorg.libX11"),
        ("libGL.so.1", "libglvnd"),
        ("libodbc.so.2", "unixodbc"),
    ];
    let sonames: Vec<&str> = expected.iter().map(|(soname, _)| *soname).collect();
    let (outcome, events) = world.provide(&sonames);
    assert_eq!(outcome.refused, []);
    for (soname, name) in expected {
        let provision = provided(&outcome, soname);
        assert_eq!(attribute(provision), name);
        assert!(provision.exact && provision.file.is_absolute() && provision.file.exists());
        assert!(provision.file.ends_with(Path::new("lib").join(soname)), "{}", provision.file.display());
        assert!(provision.note.contains("nixpkgs 1.0-test (--nixpkgs)"), "{}", provision.note);
        assert!(provision.note.ends_with("now in the store"), "{}", provision.note);
    }
    // Nine packages: unixODBC was realised before its file was found to be absent.
    assert_eq!(outcome.cost.built, 9);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Building(_))).count(), 9);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Step(_))).count(), 3);
}

#[test]
fn what_is_there_is_neither_built_nor_asked_of_a_network() {
    let world = World::new();
    let (first, _) = world.provide(&["libz.so.1", "libexpat.so.1"]);
    assert_eq!(first.cost.built, 2);
    // Whoever asks this cache now waits, warns, and fails.
    world.configure("substituters = http://127.0.0.1:9\nfallback = false\n");
    let (second, events) = world.provide(&["libz.so.1", "libexpat.so.1"]);
    assert_eq!((second.cost.built, second.cost.downloaded, second.cost.bytes), (0, 0, 0));
    assert_eq!(events, [Event::Step("asking the package set".into())]);
    assert!(provided(&second, "libz.so.1").note.ends_with("already in the store"));
    assert_eq!(provided(&first, "libz.so.1").file, provided(&second, "libz.so.1").file);
}

#[test]
fn a_root_keeps_the_library_and_its_removal_lets_it_go() {
    let world = World::new();
    let (outcome, _) = world.provide(&["libz.so.1", "libodbc.so.2"]);
    let provision = provided(&outcome, "libz.so.1");
    let Provider::Nix { root, store_path, .. } = &provision.by else { panic!("{provision:?}") };
    assert_eq!(root.read_link().unwrap(), *store_path);
    assert_eq!(root.file_name(), store_path.file_name());
    // Neither temporary links nor roots of what was not used remain.
    let mut links: Vec<PathBuf> =
        fs_err::read_dir(&world.nix.roots).unwrap().map(|entry| entry.unwrap().path()).collect();
    links.sort();
    assert_eq!(links.len(), 2, "{links:?}");

    world.run("nix-collect-garbage", &[]);
    assert!(provision.file.exists() && provided(&outcome, "libodbc.so.2").file.exists());
    let store = fs_err::read_dir(world.folder.path().join("store")).unwrap();
    let unused =
        store.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("unixODBC-0"));
    assert_eq!(unused.count(), 0);

    fs_err::remove_dir_all(&world.nix.roots).unwrap();
    world.run("nix-collect-garbage", &[]);
    assert!(!provision.file.exists());
}

#[test]
fn unfree_is_refused_in_nixs_own_words_unless_the_user_allows_it() {
    let mut world = World::new();
    let (outcome, _) = world.provide(&["libcublas.so.12", "libz.so.1"]);
    assert_eq!(attribute(provided(&outcome, "libz.so.1")), "zlib");
    let refused = &outcome.refused[0];
    assert!(
        refused.reason.starts_with("cudaPackages_12.libcublas: Package ‘libcublas-12’ in"),
        "{refused:?}"
    );
    assert!(refused.reason.ends_with("$ export NIXPKGS_ALLOW_UNFREE=1"), "{refused:?}");
    assert!(refused.hint.as_ref().unwrap().contains("NIXPKGS_ALLOW_UNFREE=1"), "{refused:?}");

    world.nix.environment.push(("NIXPKGS_ALLOW_UNFREE".into(), "1".into()));
    let (outcome, _) = world.provide(&["libcublas.so.12"]);
    assert_eq!(attribute(provided(&outcome, "libcublas.so.12")), "cudaPackages_12.libcublas");
}

#[test]
fn one_bad_attribute_spoils_nothing_for_the_others() {
    let world = World::new();
    let (outcome, _) =
        world.provide(&["liblz4.so.1", "libz.so.1", "libbz2.so.1", "libwebp.so.7", "libcuda.so.1"]);
    assert_eq!(attribute(provided(&outcome, "libz.so.1")), "zlib");
    assert!(reason(&outcome, "liblz4.so.1").contains("lz4 is beyond help"), "{outcome:?}");
    let words = reason(&outcome, "libbz2.so.1");
    assert!(words.contains("failed with exit code 3") && words.contains("the compiler gave up"), "{words}");
    let expected = "libwebp: nixpkgs 1.0-test (--nixpkgs) has no such package";
    assert_eq!(reason(&outcome, "libwebp.so.7"), expected);
    assert!(reason(&outcome, "libcuda.so.1").contains("GPU driver"));
}

#[test]
fn another_version_is_used_only_when_accepted() {
    let world = World::new();
    let (outcome, _) = world.provide(&["libpcap.so.0.8"]);
    assert!(reason(&outcome, "libpcap.so.0.8").contains("under another name or version"));
    let outcome = world.try_provide(&["libpcap.so.0.8"], true).0.unwrap();
    let provision = provided(&outcome, "libpcap.so.0.8");
    assert!(!provision.exact && provision.file.ends_with("lib/libpcap.so.1"));
}

#[test]
fn a_version_that_the_library_does_not_define_is_refused() {
    let world = World::new();
    let mut wanted = want("libz.so.1");
    wanted.versions = vec!["ZLIB_1.2.9".into(), "ZLIB_99".into()];
    let outcome = with_context(false, |context| world.nix.provide(&[wanted], context)).0.unwrap();
    assert!(reason(&outcome, "libz.so.1").ends_with("does not define ZLIB_99"), "{outcome:?}");
}

#[test]
fn the_package_set_may_be_on_the_search_path_or_in_the_registry() {
    let mut world = World::new();
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packages");
    world.nix.set = PackageSet::choose(None, world.folder.path(), Some(world.folder.path())).unwrap();
    world.nix.environment.retain(|(name, _)| name != "NIX_PATH");
    let search_path = format!("nixpkgs={}", packages.display());
    world.nix.environment.push(("NIX_PATH".into(), search_path.into()));
    let (outcome, _) = world.provide(&["libz.so.1"]);
    assert!(provided(&outcome, "libz.so.1").note.contains("(<nixpkgs>)"));

    // No search path: the registry's turn. A flake in a folder needs no network.
    world.nix.environment.retain(|(name, _)| name != "NIX_PATH");
    world.nix.environment.push(("NIX_PATH".into(), "".into()));
    let flake = world.folder.path().canonicalize().unwrap().join("flake");
    fs_err::create_dir(&flake).unwrap();
    fs_err::copy(packages.join("default.nix"), flake.join("default.nix")).unwrap();
    fs_err::write(flake.join("flake.nix"), "{ outputs = { self }: { }; }").unwrap();
    let registry = format!(
        r#"{{"version": 2, "flakes": [{{"from": {{"type": "indirect", "id": "nixpkgs"}}, "to": {{"type": "path", "path": "{}"}}}}]}}"#,
        flake.display()
    );
    fs_err::write(flake.with_file_name("registry.json"), registry).unwrap();
    world.configure(&format!(
        "flake-registry = {}\nsubstituters =",
        flake.with_file_name("registry.json").display()
    ));
    let (outcome, _) = world.provide(&["libz.so.1"]);
    assert!(provided(&outcome, "libz.so.1").note.contains("(the flake registry)"), "{outcome:?}");
}

#[test]
fn a_locked_tarball_is_fetched_once_and_then_needs_no_network() {
    let mut world = World::new();
    let top = world.folder.path().canonicalize().unwrap();
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let archive = top.join("nixpkgs.tar.gz");
    let status =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&packages).arg("packages").status();
    assert!(status.unwrap().success());
    let hash = Command::new("nix-hash")
        .args(["--type", "sha256", "--base32"])
        .arg(packages.join("packages"))
        .output();
    let hash = String::from_utf8(hash.unwrap().stdout).unwrap();
    let hash = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command", "hash", "to-sri"])
        .args(["--type", "sha256", hash.trim()])
        .output()
        .unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let url = format!("file://{}", archive.display());
    let set = LockedSet { url: Some(url), nar_hash: Some(hash.trim().to_owned()), ..LockedSet::default() };
    world.nix.set = PackageSet::locked(&set, &top).unwrap();
    let (outcome, _) = world.provide(&["libz.so.1"]);
    assert!(provided(&outcome, "libz.so.1").note.contains("(pitstop.lock)"), "{outcome:?}");
    // What was used is named as it was locked.
    assert_eq!(identity(provided(&outcome, "libz.so.1")), &set);
    fs_err::remove_file(archive).unwrap();
    fs_err::remove_dir_all(top.join("cache")).unwrap();
    let (outcome, _) = world.provide(&["libz.so.1"]);
    assert_eq!(outcome.cost.built, 0);
}

#[test]
fn a_package_set_that_is_not_there_is_an_error_with_a_way_out() {
    let mut world = World::new();
    for option in ["/nonexistent/packages", "<nonexistent>"] {
        world.nix.set = PackageSet::choose(Some(option), world.folder.path(), None).unwrap();
        let error = world.try_provide(&["libz.so.1"], false).0.unwrap_err();
        assert!(matches!(error, Error::NoPackageSet { .. }), "{error}");
        assert!(error.to_string().contains("nonexistent"), "{error}");
        assert!(error.hint().unwrap().contains("--nixpkgs"));
    }
}

#[test]
fn without_nix_the_error_says_how_to_get_it() {
    let mut world = World::new();
    world.nix.environment.push(("PATH".into(), "/nonexistent".into()));
    let error = world.try_provide(&["libz.so.1"], false).0.unwrap_err();
    assert!(matches!(error, Error::ToolMissing { .. }), "{error}");
    assert!(error.hint().unwrap().contains("Install Nix"));
}
