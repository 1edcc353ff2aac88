//! A root in another sandbox, and another sandbox in a root.

use crate::Root;

#[test]
fn it_nests_with_bwrap_and_with_nix_shell_either_way() {
    for as_root in [false, true] {
        let root = Root::with(&[], as_root);
        root.well("nix-build '<nixpkgs>' -A bubblewrap -o bwrap");
        let look = "ls /usr/lib/libz.so.1 /bin/sh";
        let fhs = "pitstop fhs --with zlib --";
        let bwrap = "bwrap/bin/bwrap --dev-bind / / --unshare-user --unshare-pid --";
        let shell = |command: &str| format!("nix-shell -p zlib --run '{command}'");
        for command in [
            format!("{bwrap} {fhs} {look}"),
            format!("{fhs} {bwrap} {look}"),
            shell(&format!("{fhs} {look}")),
            format!("{fhs} {}", shell(look)),
            format!("{bwrap} {fhs} {bwrap} {fhs} {look}"),
        ] {
            let said = root.well(&command);
            assert!(said.contains("/usr/lib/libz.so.1") && said.contains("/bin/sh"), "{command}\n{said}");
        }
        let load = "python3.11 -c \"import ctypes; ctypes.CDLL(\\\"libodbc.so.2\\\")\"";
        let run = "pitstop run --with libodbc.so.2 --";
        for command in [
            format!("{bwrap} {run} {load}"),
            format!("{run} {bwrap} {load}"),
            shell(&format!("{run} {load}")),
        ] {
            root.well(&command);
        }
    }
}
