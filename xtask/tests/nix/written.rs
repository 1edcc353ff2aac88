//! What `pitstop shell` writes (the golden files of pitstop-core), evaluated against the stand-ins for nixpkgs and NixOS.

use serde_json::json;

use crate::{evaluate, root, store_path};

const GOLDEN: &str = "crates/pitstop-core/src/nix/shell/golden";

/// What a shell is made of; `name` is a golden file.
fn shell(name: &str) -> serde_json::Value {
    evaluate(&format!(
        "(import (root + \"/{GOLDEN}/{name}.nix\") {{ pkgs = packages \"26.05\"; }}).arguments // {{ packages = [ ]; }}"
    ))
}

/// The library path of the shells that lack two packages.
fn library_path() -> String {
    ["libglvnd", "stdenv.cc.cc.lib"].map(|name| store_path(name) + "/lib").join(":")
}

#[test]
fn every_shell_evaluates() {
    let mut seen = 0;
    for file in root().join(GOLDEN).read_dir().unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(file.path()).unwrap();
        let name = file.file_name().into_string().unwrap();
        if text.contains("shellHook") && !text.contains("outputs =") {
            let hook = shell(name.trim_end_matches(".nix"))["shellHook"].clone();
            assert!(hook.as_str().unwrap().starts_with("venv="), "{name}: {hook}");
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn a_shell_has_the_variables_of_the_package_set() {
    let listed = shell("libraries_are_listed");
    assert_eq!(listed["NIX_LD"], json!(store_path("glibc") + "/lib/ld-linux-x86-64.so.2"));
    assert_eq!(listed["NIX_LD_LIBRARY_PATH"], json!(library_path()));
    assert_eq!(listed["LD_LIBRARY_PATH"], json!(null));
    assert_eq!(shell("a_library_path_is_set")["LD_LIBRARY_PATH"], json!(library_path()));
    let driver = shell("a_driver_has_its_own_folder")["NIX_LD_LIBRARY_PATH"].clone();
    assert_eq!(driver, json!(store_path("zlib") + "/lib:/run/opengl-driver/lib"));
    assert_eq!(shell("nothing_is_missing")["NIX_LD"], json!(null));
}

#[test]
fn a_path_with_what_nix_and_shells_read_arrives_as_it_is() {
    let hook = shell("the_environment_lies_elsewhere")["shellHook"].clone();
    let script = format!("{}\nprintf %s \"$venv\"", hook.as_str().unwrap());
    let ran = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "/home/a b/env's '${x}''s");
}

#[test]
fn a_flake_has_a_shell_for_each_system() {
    let shells = evaluate(&format!(
        "builtins.mapAttrs (_: it: it.default.arguments.NIX_LD_LIBRARY_PATH)
           ((import (root + \"/{GOLDEN}/a_flake_has_both_systems.nix\")).outputs {{
             nixpkgs = {{ inherit lib; legacyPackages = lib.genAttrs [ \"x86_64-linux\" \"aarch64-linux\" ] (_: packages \"26.05\"); }};
           }}).devShells"
    ));
    assert_eq!(shells, json!({ "aarch64-linux": library_path(), "x86_64-linux": library_path() }));
}

/// The settings that the module makes in a NixOS that has these modules besides.
fn module(modules: &str, value: &str) -> serde_json::Value {
    evaluate(&format!(
        "let pkgs = packages \"26.05\"; names = map (package: package.name);
             inherit (lib.evalModules {{ inherit pkgs; modules = {modules} ++ [
               (root + \"/{GOLDEN}/a_module_has_the_libraries.nix\")
               (stand + \"/nixos.nix\")
               {{ options.programs.nix-ld = {{
                   enable = lib.mkEnableOption \"nix-ld\";
                   libraries = lib.mkOption {{ type = lib.types.listOf lib.types.package; default = [ ]; }};
                 }}; }}
             ]; }}) config;
         in {value}"
    ))
}

#[test]
fn a_module_sets_pitstop_where_it_is_and_nix_ld_where_it_is_not() {
    let with = module(
        "[ (root + \"/nix/module.nix\") ]",
        "{ inherit (config.programs.pitstop) enable; nixLd = config.programs.nix-ld;
           libraries = names config.programs.pitstop.libraries;
           ok = map (one: one.assertion) config.assertions; }",
    );
    assert_eq!((&with["enable"], &with["ok"]), (&json!(true), &json!([true])));
    assert_eq!(with["nixLd"], json!({ "enable": false, "libraries": [] }));
    let libraries = with["libraries"].as_array().unwrap();
    assert!(libraries.len() > 20 && libraries.contains(&json!("stdenv.cc.cc.lib")), "{libraries:?}");
    let without = module(
        "[ ]",
        "{ inherit (config.programs.nix-ld) enable; libraries = names config.programs.nix-ld.libraries; }",
    );
    assert_eq!(without, json!({ "enable": true, "libraries": ["libglvnd", "stdenv.cc.cc.lib"] }));
}

#[test]
fn the_package_has_manual_pages_and_completions() {
    let given = evaluate(
        "let it = (import (root + \"/default.nix\") { pkgs = packages \"26.05\"; }).pitstop.arguments;
         in { inherit (it) postInstall; tools = map (one: one.name) it.nativeBuildInputs; }",
    );
    assert_eq!(given["tools"], json!(["installShellFiles"]));
    let script = given["postInstall"].as_str().unwrap();
    for part in
        ["pitstop man --output", "installManPage", "completions bash", "installShellCompletion", "pitstop.nu"]
    {
        assert!(script.contains(part), "{part}");
    }
}
