//! Installing what the tests need on Debian, and saying so.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run;

/// What beside nixbox's own needs the tests use: a compiler for the loader's fixtures, Python with venv, a plain Debian
/// made by debootstrap, tools that look at a program which the shim has started, a web server and packers for binary caches, a file
/// system that another process serves, direnv, shells that are given completions, what typesets manual pages, and a browser that looks at pictures.
const PACKAGES: &[&str] = &[
    "gcc",
    "libc6-dev",
    "binutils",
    "python3",
    "python3-venv",
    "python3-pip",
    "strace",
    "faketime",
    "gdb",
    "linux-perf",
    "libcap2-bin",
    "util-linux",
    "debootstrap",
    "debian-archive-keyring",
    "nginx-light",
    "xz-utils",
    "zstd",
    "brotli",
    "bindfs",
    "direnv",
    "zsh",
    "fish",
    "groff-base",
    "chromium-headless-shell",
    "fonts-dejavu-core",
];

/// Installs the Debian packages that are not there. Needs root for that, and nothing where all are there.
pub(crate) fn debian_packages() -> Result<()> {
    let requirements = nixbox::requirements();
    let wanted = PACKAGES.iter().copied().chain(requirements.iter().copied());
    let missing: Vec<&str> = wanted.filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("xtask: installing what the tests need: {}", missing.join(" "));
    let uid = Command::new("id").arg("-u").output()?.stdout;
    let sudo: &[&str] = if uid == b"0\n" { &[] } else { &["sudo"] };
    let apt = |arguments: &[&str]| {
        let mut words =
            sudo.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).chain(arguments);
        let Some(first) = words.next() else { bail!("no command") };
        run(Command::new(first).args(words).stdin(Stdio::null()))
    };
    // Where the lists are old, a package may be gone from the mirror; where there are none, it is not known.
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)
}

fn installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev}", package]).output();
    status.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}
