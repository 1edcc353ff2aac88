use super::*;

const REV: &str = "0123456789abcdef0123456789abcdef01234567";

fn option(option: &str) -> Reference {
    from_option(option, Path::new("/project"))
}

#[test]
fn an_option_may_be_written_in_many_ways() {
    let path = |path: &str| Reference::Path { path: path.into() };
    assert_eq!(option("/nix/pkgs"), path("/nix/pkgs"));
    assert_eq!(option("./pkgs"), path("/project/./pkgs"));
    assert_eq!(option("path:pkgs"), path("/project/pkgs"));
    assert_eq!(option("<unstable>"), Reference::SearchPath { name: "unstable".into() });
    assert_eq!(option("github:NixOS/nixpkgs"), Reference::Flake { flake: "github:NixOS/nixpkgs".into() });
    assert_eq!(option("nixpkgs"), Reference::Flake { flake: "nixpkgs".into() });
    let url = "https://nixos.org/channels/nixos-25.11/nixexprs.tar.xz";
    assert_eq!(option("channel:nixos-25.11"), tarball(url, None));
    assert_eq!(option(REV), tarball(format!("https://github.com/NixOS/nixpkgs/archive/{REV}.tar.gz"), None));
    assert_eq!(option("https://example.org/x.tar.gz"), tarball("https://example.org/x.tar.gz", None));
}

fn set(url: Option<&str>, rev: Option<&str>, nar_hash: Option<&str>) -> LockedSet {
    let text = |text: Option<&str>| text.map(str::to_owned);
    LockedSet { url: text(url), rev: text(rev), nar_hash: text(nar_hash), dir: None }
}

#[test]
fn a_locked_set_leads_where_it_says() {
    let url = format!("https://github.com/NixOS/nixpkgs/archive/{REV}.tar.gz");
    let pinned = tarball(url, Some("sha256-AAAA".into()));
    assert_eq!(from_locked(&set(None, Some(REV), Some("sha256-AAAA"))), Ok(pinned));
    let near = PackageSet::locked(&set(Some("path:pkgs"), None, None), Path::new("/project")).unwrap();
    assert_eq!(near.references, [Reference::Path { path: "/project/pkgs".into() }]);
    let git =
        Reference::Git { url: "https://x".into(), rev: Some(REV.into()), reference: None, folder: None };
    assert_eq!(from_locked(&set(Some("git+https://x"), Some(REV), None)), Ok(git));
    let folder = LockedSet { dir: Some("sub".into()), ..set(Some("path:pkgs"), None, None) };
    assert_eq!(from_locked(&folder), Ok(Reference::Path { path: "pkgs/sub".into() }));
    for wrong in [set(None, None, None), set(None, Some("main"), None)] {
        let error = PackageSet::locked(&wrong, Path::new("/project")).unwrap_err();
        assert!(error.to_string().starts_with("/project/pitstop.lock: "), "{error}");
    }
}

#[test]
fn a_set_is_named_so_that_it_is_found_again() {
    let named = |option: &str, at: &str, rev: Option<&str>, nar_hash: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        identity(&from_option(option, Path::new("/project")), Path::new(at), owned(rev), owned(nar_hash))
    };
    let hash = Some("sha256-AAAA");
    // A folder outside of the store has no hash, and one in it has.
    assert_eq!(named("/pkgs", "/pkgs", None, None), set(Some("path:/pkgs"), None, None));
    assert_eq!(named("<nixpkgs>", "/nix/store/x", None, hash), set(Some("path:/nix/store/x"), None, hash));
    // A channel on the search path says which commit it is; so does one that is downloaded, which is another one tomorrow.
    assert_eq!(named("<nixpkgs>", "/nix/store/x/nixos", Some(REV), None), set(None, Some(REV), None));
    assert_eq!(named("channel:nixos-25.11", "/nix/store/x", Some(REV), hash), set(None, Some(REV), None));
    let url = "https://example.org/x.tar.gz";
    assert_eq!(named(url, "/nix/store/x", None, hash), set(Some(url), None, hash));
    assert_eq!(named(REV, "/nix/store/x", None, hash), set(None, Some(REV), hash));
    for flake in ["nixpkgs", "github:NixOS/nixpkgs/nixos-25.11", "flake:nixpkgs"] {
        assert_eq!(named(flake, "/nix/store/x", Some(REV), hash), set(None, Some(REV), hash), "{flake}");
    }
    let fork = "github:somebody/nixpkgs";
    assert_eq!(named(fork, "/nix/store/x", Some(REV), hash), set(Some(fork), Some(REV), hash));
}

fn flake_lock(root_input: &str, locked: &str) -> String {
    format!(
        r#"{{"nodes": {{
            "nixpkgs_2": {{"locked": {locked}, "original": {{}}}},
            "devenv": {{"inputs": {{"nixpkgs": "nixpkgs_2"}}}},
            "circle": {{"inputs": {{"nixpkgs": ["circle", "nixpkgs"]}}}},
            "root": {{"inputs": {{"nixpkgs": {root_input}, "devenv": "devenv", "circle": "circle"}}}}
        }}, "root": "root", "version": 7}}"#
    )
}

#[test]
fn flake_lock_names_the_root_input() {
    let locked = format!(
        r#"{{"type": "github", "owner": "NixOS", "repo": "nixpkgs", "rev": "{REV}", "narHash": "sha256-BBBB", "lastModified": 1}}"#
    );
    let url = format!("https://github.com/NixOS/nixpkgs/archive/{REV}.tar.gz");
    let expected = Some(tarball(url, Some("sha256-BBBB".into())));
    for way in [r#""nixpkgs_2""#, r#"["devenv", "nixpkgs"]"#] {
        assert_eq!(from_flake_lock(&flake_lock(way, &locked)).unwrap(), expected, "{way}");
    }
    let error = from_flake_lock(&flake_lock(r#"["circle", "nixpkgs"]"#, &locked)).unwrap_err();
    assert!(error.contains("circle"), "{error}");
    assert_eq!(from_flake_lock(&flake_lock("null", &locked)).unwrap(), None);
}

#[test]
fn other_kinds_of_locked_inputs_are_understood() {
    let read = |locked: &str| from_flake_lock(&flake_lock(r#""nixpkgs_2""#, locked));
    let tarball =
        Reference::Tarball { url: "https://x/n.tar.xz".into(), sha256: None, folder: Some("p".into()) };
    assert_eq!(
        read(r#"{"type": "tarball", "url": "https://x/n.tar.xz", "dir": "p"}"#).unwrap(),
        Some(tarball)
    );
    let path = Reference::Path { path: "/nix/store/x-source".into() };
    assert_eq!(read(r#"{"type": "path", "path": "/nix/store/x-source"}"#).unwrap(), Some(path));
    let git =
        Reference::Git { url: "https://x".into(), rev: Some(REV.into()), reference: None, folder: None };
    assert_eq!(
        read(&format!(r#"{{"type": "git", "url": "https://x", "rev": "{REV}"}}"#)).unwrap(),
        Some(git)
    );
    for wrong in [r#"{"type": "hg"}"#, "{}", r#"{"type": "github", "owner": "x"}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_lock_that_cannot_be_read_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let choose = || PackageSet::choose(None, folder.path(), Some(folder.path()));
    assert_eq!(choose().unwrap().chosen_by, ["<nixpkgs>", "the flake registry"]);
    fs_err::write(
        folder.path().join("flake.lock"),
        flake_lock(r#""nixpkgs_2""#, r#"{"type": "path", "path": "/p"}"#),
    )
    .unwrap();
    assert_eq!(choose().unwrap().chosen_by, ["flake.lock"]);
    fs_err::write(folder.path().join("flake.lock"), "{}").unwrap();
    let error = choose().unwrap_err();
    assert!(error.to_string().ends_with("flake.lock: it has no version"), "{error}");
    assert!(error.hint().unwrap().contains("--nixpkgs"));
    let named = PackageSet::choose(Some("/p"), folder.path(), Some(folder.path())).unwrap();
    assert_eq!(named.chosen_by, ["--nixpkgs"]);
}

#[test]
fn references_are_written_as_the_expression_reads_them() {
    let json = |reference: Reference| serde_json::to_string(&reference).unwrap();
    assert_eq!(json(Reference::SearchPath { name: "n".into() }), r#"{"kind":"search-path","name":"n"}"#);
    assert_eq!(json(tarball("u", Some("h".into()))), r#"{"kind":"tarball","url":"u","sha256":"h"}"#);
}
