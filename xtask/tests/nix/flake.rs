//! `flake.nix`, evaluated with the stand-ins in the place of its input.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::{nix, root};

/// The parts of the tree that the flake reads, without the rest, which Nix would copy into its store.
fn flake() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = ["Cargo.lock", "Cargo.toml", "flake.nix", "nix", "shell.nix"].map(|name| root().join(name));
    let status = Command::new("cp").arg("-r").args(copied).arg(folder.path()).status().unwrap();
    assert!(status.success());
    for name in ["crates", "python", "xtask"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

/// An output of the flake, as the function `to` shows it.
fn output(flake: &Path, name: &str, to: &str) -> Value {
    let store = tempfile::tempdir().unwrap();
    let address = |path: &Path| format!("path:{}", path.display());
    let (stand, flake) = (address(&root().join("xtask/tests/nix")), address(flake));
    let output = nix(
        "nix",
        [
            "eval",
            "--experimental-features",
            "nix-command flakes",
            "--store",
            store.path().to_str().unwrap(),
            "--no-write-lock-file",
            "--override-input",
            "nixpkgs",
            &stand,
            "--json",
            &format!("{flake}#{name}"),
            "--apply",
            to,
        ],
    );
    assert!(output.status.success(), "{name}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Names of the packages of each system.
const NAMES: &str = "builtins.mapAttrs (_: builtins.mapAttrs (_: package: package.name))";

#[test]
fn it_has_what_a_flake_of_nixos_has() {
    let flake = flake();
    let both = |one: Value| json!({ "aarch64-linux": one, "x86_64-linux": one });
    let packages = json!({
        "aarch64-linux": { "default": "pitstop", "pitstop": "pitstop" },
        "x86_64-linux": { "default": "pitstop", "pitstop": "pitstop", "pitstop-ld": "pitstop-ld" },
    });
    assert_eq!(output(flake.path(), "packages", NAMES), packages);
    let checks = json!({
        "aarch64-linux": { "pitstop": "pitstop" },
        "x86_64-linux": {
            "module": "pitstop-module-check",
            "nixos": "vm-test-pitstop",
            "pitstop": "pitstop",
            "pitstop-ld": "pitstop-ld",
        },
    });
    // The check of the module evaluates it in a whole system, and asserts what it must do.
    assert_eq!(output(flake.path(), "checks", NAMES), checks);
    assert_eq!(output(flake.path(), "devShells", NAMES), both(json!({ "default": "shell" })));
    assert_eq!(
        output(flake.path(), "formatter", "builtins.mapAttrs (_: p: p.name)"),
        both(json!("nixfmt-tree"))
    );
    for name in ["overlays", "nixosModules", "homeManagerModules"] {
        let kind = output(flake.path(), name, "builtins.mapAttrs (_: builtins.typeOf)");
        assert_eq!(kind, json!({ "default": "lambda" }), "{name}");
    }
}

#[test]
fn the_shim_is_built_with_the_paths_profile_and_feature_that_it_has() {
    let flake = flake();
    let given = output(
        flake.path(),
        "packages.x86_64-linux.pitstop-ld.arguments",
        "a: { inherit (a) buildType buildFeatures cargoBuildFlags env; }",
    );
    let expected = json!({
        "buildType": "shim",
        "buildFeatures": ["standalone"],
        "cargoBuildFlags": ["--package=pitstop-ld"],
        "env": {
            "PITSTOP_LD_DEFAULT": "/run/current-system/sw/share/nix-ld/lib/ld.so",
            "PITSTOP_LD_DEFAULT_LIBRARY_PATH": "/run/current-system/sw/share/nix-ld/lib",
        },
    });
    assert_eq!(given, expected);
}
