//! What `cargo xtask dist` makes: it installs and works where there is no loader, and it is the same twice.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nixbox::{Nixbox, wheels};

/// Runs the chore; gives the checksums and the folder. `PITSTOP_DIST_PROFILE` names a profile that is built faster than
/// the one that people get.
fn make() -> (String, PathBuf) {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let profile = std::env::var("PITSTOP_DIST_PROFILE").unwrap_or_else(|_| "release".to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["dist", "--profile", &profile])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    let folder = fs::canonicalize(target.join("dist")).unwrap();
    (fs::read_to_string(folder.join("SHA256SUMS")).unwrap(), folder)
}

/// A copy of what the chore made: it is made once.
fn dist() -> &'static (String, PathBuf) {
    static MADE: OnceLock<(String, PathBuf)> = OnceLock::new();
    MADE.get_or_init(|| {
        let (first, _) = make();
        let (sums, folder) = make();
        assert_eq!(first, sums, "the same sources came to other bytes");
        (sums, folder)
    })
}

#[test]
fn a_wheel_and_a_tarball_are_made_with_their_checksums() {
    let (sums, folder) = dist();
    let mut names: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    names.sort_unstable();
    let version = env!("CARGO_PKG_VERSION");
    let systems = "manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_1_x86_64";
    let wheel = format!("pitstop-{version}-py3-none-{systems}.whl");
    assert_eq!(names, [&wheel, &format!("pitstop-{version}-x86_64-linux.tar.gz")]);
    let listed = Command::new("tar").arg("-tzf").arg(folder.join(names[1])).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let told = ["man/pitstop-fix.1", "completions/_pitstop", "completions/pitstop.nu"];
    for name in ["pitstop", "pitstop-ld", "README.md", "LICENSE-MIT", "LICENSE-APACHE"].iter().chain(&told) {
        assert!(listed.lines().any(|line| line.ends_with(&format!("-linux/{name}"))), "{name}: {listed}");
    }
}

#[test]
fn in_a_nixos_without_any_loader_the_wheel_installs_and_fixes_numpy() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
    let numpy = wheels::download("numpy==1.26.2", "3.11", &cache).unwrap();
    let nixbox = Nixbox::open(&mut |_| {}).unwrap();
    let machine =
        nixbox.machine().bind(&dist().1, "/dist", false).bind(numpy, "/wheels", false).start().unwrap();
    let sh = |script: &str| {
        let ran = machine.sh(script).unwrap();
        assert!(ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    sh("test ! -e /lib64 && python3.11 -m venv v");
    sh("v/bin/pip install -q --no-index --find-links /dist --find-links /wheels numpy==1.26.2 pitstop");
    assert!(!machine.sh("v/bin/python -c 'import numpy'").unwrap().ok, "it works without a fix");
    assert!(sh("v/bin/pitstop --version").starts_with("pitstop "));
    sh("env -u VIRTUAL_ENV v/bin/python -m pitstop fix");
    sh("env -i v/bin/python -c 'import numpy'");
    sh("v/bin/python -m pitstop undo");
    sh(
        "VIRTUAL_ENV=$PWD/v v/bin/pitstop fix && env -i v/bin/python -c 'import numpy' && v/bin/pitstop undo v",
    );
    sh("v/bin/pip uninstall -q -y pitstop");
    assert_eq!(sh("find v -iname '*pitstop*'"), "", "something was left");
}

#[test]
fn the_wheel_works_on_this_debian_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = "/usr/bin/python3 -m venv v && v/bin/pip install -q --no-index --find-links \"$0\" pitstop
        v/bin/pitstop --version && v/bin/python -m pitstop check && v/bin/pip uninstall -q -y pitstop
        test -z \"$(find v -iname '*pitstop*')\"";
    let output =
        Command::new("sh").args(["-euc", script]).arg(&dist().1).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}
