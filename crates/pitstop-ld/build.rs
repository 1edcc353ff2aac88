//! Link arguments of the shim, and the two paths that are built into it.

use std::env;

/// Each setting that may be changed at build time, with nix-ld's value for it.
const DEFAULTS: [(&str, &str); 2] = [
    ("PITSTOP_LD_DEFAULT", "/run/current-system/sw/share/nix-ld/lib/ld.so"),
    ("PITSTOP_LD_DEFAULT_LIBRARY_PATH", "/run/current-system/sw/share/nix-ld/lib"),
];

fn main() {
    for (name, default) in DEFAULTS {
        println!("cargo::rerun-if-env-changed={name}");
        let value = env::var(name).unwrap_or_else(|_| default.to_owned());
        // The loader is opened from whatever folder the program was started in.
        assert!(value.starts_with('/'), "{name} must be an absolute path, and is {value:?}");
        println!("cargo::rustc-env={name}={value}");
    }
    println!("cargo::rerun-if-changed=shim.ld");
    let script = env::current_dir().map(|folder| folder.join("shim.ld").display().to_string());
    let script = script.unwrap_or_else(|error| panic!("no current folder: {error}"));
    let arguments = [
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        "-Wl,-z,now,-z,relro,-z,noexecstack,-z,text,--no-dynamic-linker,--build-id=none,--orphan-handling=error",
        &format!("-Wl,-T,{script}"),
    ];
    for argument in arguments {
        // Of this package, only the shim is a binary; its tests are linked as ever.
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
