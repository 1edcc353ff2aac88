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

#[test]
fn pitstop_lock_pins_nixpkgs() {
    let text =
        format!("version = 1\n[nixpkgs]\nrev = \"{REV}\"\nnarHash = \"sha256-AAAA\"\n[other]\nx = 1\n");
    let url = format!("https://github.com/NixOS/nixpkgs/archive/{REV}.tar.gz");
    assert_eq!(from_pitstop_lock(&text).unwrap(), Some(tarball(url, Some("sha256-AAAA".into()))));
    assert_eq!(from_pitstop_lock("version = 1\n").unwrap(), None);
    assert_eq!(
        from_pitstop_lock("[nixpkgs]\nurl = \"path:pkgs\"\n").unwrap(),
        Some(Reference::Path { path: "pkgs".into() })
    );
    for wrong in ["[nixpkgs]\n", "[nixpkgs]\nrev = \"main\"\n", "[nixpkgs", "nixpkgs = 3"] {
        assert!(from_pitstop_lock(wrong).is_err(), "{wrong}");
    }
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
    fs_err::write(folder.path().join("pitstop.lock"), "[nixpkgs]\nurl = \"path:pkgs\"\n").unwrap();
    let set = choose().unwrap();
    assert_eq!(set.chosen_by, ["pitstop.lock"]);
    assert_eq!(set.references, [Reference::Path { path: folder.path().join("pkgs") }]);
    fs_err::write(folder.path().join("pitstop.lock"), "[nixpkgs]\n").unwrap();
    let error = choose().unwrap_err();
    assert!(error.to_string().ends_with("pitstop.lock: `[nixpkgs]` has neither `url` nor `rev`"), "{error}");
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
