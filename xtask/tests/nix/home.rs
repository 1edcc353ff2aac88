//! The home-manager module.

use serde_json::json;

use crate::{evaluate, store_path};

fn home(settings: &str) -> serde_json::Value {
    evaluate(&format!(
        "let of = import (stand + \"/home.nix\") {{ inherit lib; pkgs = packages \"26.05\"; settings = {settings}; }};
         in {{ inherit (of.config.home) packages sessionVariables; }}"
    ))
}

#[test]
fn a_user_gets_the_command_and_only_on_demand_libraries() {
    assert_eq!(home("{ }"), json!({ "packages": [], "sessionVariables": {} }));
    let enabled = home("{ programs.pitstop.enable = true; }");
    assert_eq!(enabled, json!({ "packages": [store_path("pitstop")], "sessionVariables": {} }));

    let exposed = home("{ programs.pitstop = { enable = true; exposeLibraries = true; }; }");
    let farm = "/home/user/.nix-profile/share/nix-ld/lib";
    let expected = json!({
        "packages": [store_path("pitstop"), store_path("pitstop-libraries")],
        "sessionVariables": { "NIX_LD": format!("{farm}/ld.so"), "NIX_LD_LIBRARY_PATH": farm },
    });
    assert_eq!(exposed, expected);
}
