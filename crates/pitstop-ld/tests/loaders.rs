//! Other loaders than this machine's: an older and a newer glibc's, from Debian's archive.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Lab, bare, shim, succeed};

/// Where this machine's apt gets Debian from.
fn mirror() -> String {
    let format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"];
    let said = Command::new("apt-get").args(format).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    // The archive of security updates has no old releases' base packages.
    let first = text.lines().find(|line| !line.contains("security"));
    first.expect("apt gets Debian from somewhere").to_owned()
}

/// The folder of the C library of a Debian release, fetched once: apt itself checks the archive's signature.
fn glibc(suite: &str) -> PathBuf {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("glibc-{suite}"));
    let root = state.join("root");
    if !root.exists() {
        let apt = state.join("apt");
        fs::create_dir_all(apt.join("lists/partial")).unwrap();
        fs::create_dir_all(apt.join("cache/archives/partial")).unwrap();
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let line = format!("deb [arch=amd64 signed-by={keys}] {} {suite} main\n", mirror());
        fs::write(apt.join("sources.list"), line).unwrap();
        fs::write(apt.join("status"), "").unwrap();
        let folder = apt.display();
        let settings = format!(
            "Dir::Etc::SourceList \"{folder}/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\n\
             Dir::State::Lists \"{folder}/lists\";\nDir::State::Status \"{folder}/status\";\n\
             Dir::Cache \"{folder}/cache\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n\
             APT::Sandbox::User \"\";\nAcquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
        fs::write(apt.join("apt.conf"), settings).unwrap();
        let apt_get = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(arguments).env("APT_CONFIG", apt.join("apt.conf")).current_dir(&apt);
            succeed(&mut command);
        };
        apt_get(&["-q=2", "update"]);
        apt_get(&["-q=2", "download", "libc6"]);
        let package = fs::read_dir(&apt).unwrap().map(|entry| entry.unwrap().path());
        let package =
            package.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).unwrap();
        let fresh = state.join("new");
        succeed(Command::new("dpkg-deb").arg("-x").arg(package).arg(&fresh));
        fs::rename(fresh, &root).unwrap();
    }
    ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
        .map(|folder| root.join(folder))
        .into_iter()
        .find(|folder| folder.join("libc.so.6").exists())
        .unwrap()
}

/// Runs programs with that C library and its loader.
fn works_with(suite: &str, version: &str) {
    let glibc = glibc(suite);
    let loader = glibc.join("ld-linux-x86-64.so.2");
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let path = format!("{}:{}", glibc.display(), folder.display());
    let with = |program: &Path| {
        let mut command = bare(program);
        command.env("NIX_LD", &loader).env("NIX_LD_LIBRARY_PATH", &path);
        command
    };
    // Linked with that C library, so that nothing of a newer one is asked for.
    let file = |name: &str| glibc.join(name).display().to_string();
    let (libc, libdl, here) = (file("libc.so.6"), file("libdl.so.2"), folder.display().to_string());
    let with_libc = ["-nodefaultlibs", "-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed", "-L", &here];
    let show = lab.program("show", &[&with_libc[..], &["-lprobe", &libc, "-lgcc"]].concat());
    for callers in [None, Some("/mine"), Some("")] {
        let mut command = with(&show);
        callers.map(|path| command.env("LD_LIBRARY_PATH", path));
        let said = succeed(&mut command);
        assert!(said.contains(&format!("\nG{}\n", callers.unwrap_or("(unset)"))), "{said}");
        assert!(!said.contains("\n!"), "{said}");
        assert!(said.contains(glibc.join("libc").to_str().unwrap()), "another C library\n{said}");
    }
    let dlopen = lab.program("dlopen", &[&with_libc[..], &[&libdl, &libc, "-lgcc"]].concat());
    assert_eq!(succeed(&mut with(&dlopen)), "42\n");
    // By hand: that loader's own words.
    let mut command = bare(shim());
    let said = succeed(command.arg(glibc.join("libc.so.6")).env("NIX_LD", &loader));
    assert!(said.contains(&format!("version {version}")), "{said}");
    let said = succeed(bare(shim()).arg(&show).env("NIX_LD", &loader).env("NIX_LD_LIBRARY_PATH", &path));
    assert!(said.contains("\nG(unset)\n"), "{said}");
}

#[test]
fn an_older_glibc() {
    works_with("bullseye", "2.31");
}

#[test]
fn the_glibc_of_the_issue() {
    works_with("bookworm", "2.36");
}

#[test]
fn a_newer_glibc() {
    works_with("trixie", "2.41");
}
