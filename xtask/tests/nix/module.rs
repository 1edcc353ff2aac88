//! The NixOS module: which options there are, and what they configure.

use serde_json::json;

use crate::{evaluate, store_path, try_evaluate};

const PROFILE: &str = "/run/current-system/sw/share/nix-ld/lib";

/// An expression for `value`, in which `of.config` and `of.options` are the system's with these settings.
fn system(settings: &str, value: &str) -> String {
    format!(
        "let pkgs = packages \"26.05\"; names = map (package: package.name);
             farm = of: builtins.elemAt of.config.environment.systemPackages 1;
             of = import (stand + \"/evaluate.nix\") {{ inherit lib pkgs; settings = {settings}; }};
         in {value}"
    )
}

#[test]
fn the_options_are_these_with_these_types_and_defaults() {
    let options = evaluate(&system(
        "{ }",
        "builtins.mapAttrs (_: option: {
           type = option.type.name;
           default = option.default.name or option.default;
           described = option.description != \"\";
         }) of.options.programs.pitstop",
    ));
    let expected = json!({
        "enable": { "type": "bool", "default": false, "described": true },
        "package": { "type": "package", "default": "pitstop", "described": true },
        "shim": { "type": "package", "default": "pitstop-ld", "described": true },
        "libraries": { "type": "listOf package", "default": [], "described": true },
        "exposeLibraries": { "type": "bool", "default": true, "described": true },
    });
    assert_eq!(options, expected);
}

#[test]
fn nothing_is_configured_until_it_is_enabled() {
    let environment = "{ inherit (of.config) environment assertions; }";
    let off = evaluate(&system("{ programs.pitstop.libraries = [ pkgs.python3 ]; }", environment));
    let expected = json!({
        "assertions": [],
        "environment": {
            "ldso": "/stub-ld", "ldso32": "/stub-ld32", "pathsToLink": [], "systemPackages": [], "variables": {},
        },
    });
    assert_eq!(off, expected);
}

#[test]
fn enabled_it_puts_the_shim_the_farm_the_command_and_the_variables_where_nix_ld_has_them() {
    let on = evaluate(&system("{ programs.pitstop.enable = true; }", "of.config.environment"));
    let expected = json!({
        "ldso": store_path("pitstop-ld") + "/libexec/pitstop-ld",
        // 32-bit programs meet what NixOS has for them.
        "ldso32": "/stub-ld32",
        "pathsToLink": ["/share/nix-ld"],
        "systemPackages": [store_path("pitstop"), store_path("pitstop-libraries")],
        "variables": { "NIX_LD": format!("{PROFILE}/ld.so"), "NIX_LD_LIBRARY_PATH": PROFILE },
    });
    assert_eq!(on, expected);
}

#[test]
fn the_farm_is_made_of_the_libraries_and_the_loader() {
    let farm = evaluate(&system(
        "{ programs.pitstop = { enable = true; libraries = lib.mkForce [ (pkgs.zlib // { lib = pkgs.zstd; }) ]; }; }",
        "(farm of).arguments",
    ));
    let ld_so =
        format!("ln -s {} $out/share/nix-ld/lib/ld.so\n", store_path("glibc") + "/lib/ld-linux-x86-64.so.2");
    let expected = json!({
        "name": "pitstop-libraries",
        // The output that has the library.
        "paths": [store_path("zstd")],
        "pathsToLink": ["/lib"],
        "extraPrefix": "/share/nix-ld",
        "ignoreCollisions": true,
        "postBuild": ld_so,
    });
    assert_eq!(farm, expected);
}

#[test]
fn libraries_are_added_to_the_default_ones_put_in_front_or_put_in_their_place() {
    let libraries = |definition: &str| {
        let settings = format!("{{ programs.pitstop = {{ enable = true; libraries = {definition}; }}; }}");
        evaluate(&system(&settings, "names of.config.programs.pitstop.libraries"))
    };
    let default = evaluate(&system(
        "{ programs.pitstop.enable = true; }",
        "names of.config.programs.pitstop.libraries",
    ));
    let default = default.as_array().unwrap().clone();
    assert!(default.len() > 20, "{default:?}");

    let python = json!("python3");
    let added = libraries("[ pkgs.python3 ]");
    assert!(
        added.as_array().unwrap().contains(&python)
            && default.iter().all(|one| added.as_array().unwrap().contains(one))
    );
    let before = libraries("lib.mkBefore [ pkgs.python3 ]");
    assert_eq!(before.as_array().unwrap(), &[vec![python.clone()], default].concat());
    assert_eq!(libraries("lib.mkForce [ pkgs.python3 ]"), json!([python]));
}

#[test]
fn the_packages_are_those_that_one_names() {
    let named = evaluate(&system(
        "{ programs.pitstop = { enable = true; package = pkgs.hello; shim = pkgs.patchelf; }; }",
        "[ of.config.environment.ldso (builtins.head of.config.environment.systemPackages) ]",
    ));
    assert_eq!(named, json!([store_path("patchelf") + "/libexec/pitstop-ld", store_path("hello")]));
}

#[test]
fn sessions_get_no_variable_where_the_libraries_are_not_exposed() {
    let hidden = evaluate(&system(
        "{ programs.pitstop = { enable = true; exposeLibraries = false; }; }",
        "{ inherit (of.config.environment) variables; farm = (farm of).name; }",
    ));
    assert_eq!(hidden, json!({ "variables": {}, "farm": "pitstop-libraries" }));
}

#[test]
fn nix_ld_beside_it_is_refused_with_the_lines_that_mend_it() {
    let failed = "map (one: one.message) (lib.filter (one: !one.assertion) of.config.assertions)";
    let both =
        evaluate(&system("{ programs.pitstop.enable = true; programs.nix-ld.enable = true; }", failed));
    let messages: Vec<&str> =
        both.as_array().unwrap().iter().filter_map(|message| message.as_str()).collect();
    let [message] = messages[..] else { panic!("{messages:?}") };
    for words in [
        "remove `programs.nix-ld.enable = true;`",
        "move `programs.nix-ld.libraries` to",
        "`programs.pitstop.libraries`",
    ] {
        assert!(message.contains(words), "{message}");
    }
    let alone = evaluate(&system("{ programs.pitstop.enable = true; }", failed));
    assert_eq!(alone, json!([]));
    let only_nix_ld = evaluate(&system("{ programs.nix-ld.enable = true; }", failed));
    assert_eq!(only_nix_ld, json!([]));
}

#[test]
fn it_evaluates_where_nix_ld_has_no_module() {
    let without = evaluate(
        "let of = import (stand + \"/evaluate.nix\") {
           inherit lib; pkgs = packages \"26.05\"; withNixLd = false; settings.programs.pitstop.enable = true; };
         in map (one: one.assertion) of.config.assertions",
    );
    assert_eq!(without, json!([true]));
}

/// That the stand-in for the module system holds modules to what they declare, as nixpkgs' does.
#[test]
fn a_wrong_setting_is_an_error() {
    for (settings, complaint) in [
        ("{ programs.pitstop.librarys = [ ]; }", "undeclared options: programs.pitstop.librarys"),
        ("{ programs.pitstop.enable = \"yes\"; }", "a definition is not of type bool"),
        ("{ programs.pitstop.libraries = [ \"zlib\" ]; }", "a definition is not of type package"),
        (
            "{ programs.pitstop.enable = true; environment.ldso = \"/other\"; }",
            "conflicting definition values",
        ),
    ] {
        let error =
            try_evaluate(&system(settings, "{ inherit (of.config) environment programs; }")).unwrap_err();
        assert!(error.contains(complaint), "{settings}\n{error}");
    }
}
