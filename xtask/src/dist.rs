//! What people download: the wheel for PyPI, a tarball, and their checksums, in `target/dist`.
//!
//! The command in both is static: it needs no loader, which is what a NixOS without a shim has not. The same sources
//! give the same bytes; their time is that of the commit, or `SOURCE_DATE_EPOCH`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, run};

/// What the static command is built for. Named, so that cargo gives build scripts and macros, which cannot be static, no
/// flags that are meant for the command.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// glibc and all else in the program itself, whose start so takes a third less time. There is no musl here that rustc could
/// link against, and glibc's memory allocator and string functions are the faster ones. Equal functions are kept once, and
/// relocations packed (`DT_RELR`; the glibc that is linked in knows them from 2.36 on): fewer pages to read and to keep.
const STATIC: &str =
    "-C target-feature=+crt-static -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs";
/// The builder of wheels, from PyPI.
const BUILDERS: [&str; 2] = ["maturin>=1.9,<2", "wheel>=0.45,<1"];
/// What lies in the tarball beside the programs.
const WORDS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];
/// Shells, and what their completions are called.
const SHELLS: [(&str, &str); 4] =
    [("bash", "pitstop.bash"), ("zsh", "_pitstop"), ("fish", "pitstop.fish"), ("nushell", "pitstop.nu")];

/// Makes everything. `--profile NAME` builds with another profile of cargo than `release`.
pub(crate) fn run_words(words: &[OsString]) -> Result<()> {
    let profile = match words.iter().map(|word| word.to_str()).collect::<Option<Vec<_>>>().as_deref() {
        Some([]) => "release",
        Some(["--profile", name]) => *name,
        _ => bail!("dist takes --profile NAME, and nothing else"),
    };
    let time = time()?;
    let dist = target_folder().join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    fs::create_dir_all(&dist)?;
    // maturin's flags differ from cargo's: what it has built is taken, not built again.
    wheel(profile, &time, &dist)?;
    tarball(&place(profile), &time, &dist)?;
    checksums(&dist)
}

/// The static command, built.
pub(crate) fn command(profile: &str) -> Result<PathBuf> {
    run(static_cargo(&cargo())
        .args(["build", "--locked", "--quiet", "--target", TARGET, "--profile", profile])
        .args(["--package", "pitstop"])
        .current_dir(root()))?;
    Ok(place(profile))
}

/// Where the static command is, once it is built.
fn place(profile: &str) -> PathBuf {
    // cargo's own names for its folders.
    let folder = if profile == "dev" { "debug" } else { profile };
    target_folder().join(TARGET).join(folder).join("pitstop")
}

fn static_cargo(program: &OsString) -> Command {
    let mut command = Command::new(program);
    // Flags for all targets would win over it.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", STATIC);
    command
}

/// The wheel: maturin's, and its name then says that it runs on musl systems too, since it needs no libc.
fn wheel(profile: &str, time: &str, dist: &Path) -> Result<()> {
    let tools = target_folder().join("dist-tools");
    let program = |name: &str| tools.join("bin").join(name);
    if !program("maturin").exists() || !program("wheel").exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&tools))?;
        run(Command::new(program("pip")).args(["install", "--quiet"]).args(BUILDERS))?;
    }
    run(static_cargo(&program("maturin").into())
        .args(["build", "--locked", "--target", TARGET, "--profile", profile])
        .args(["--compatibility", "manylinux_2_17", "--out"])
        .arg(dist)
        .env("SOURCE_DATE_EPOCH", time)
        .current_dir(root().join("python")))?;
    let made = only_file(dist, "whl")?;
    run(Command::new(program("wheel"))
        .args(["tags", "--remove", "--platform-tag", "+musllinux_1_1_x86_64"])
        .arg(made)
        .env("SOURCE_DATE_EPOCH", time))
}

fn tarball(command: &Path, time: &str, dist: &Path) -> Result<()> {
    run(Command::new(cargo())
        .args([
            "build",
            "--locked",
            "--profile",
            "shim",
            "--package",
            "pitstop-ld",
            "--features",
            "standalone",
        ])
        .current_dir(root()))?;
    let shim = target_folder().join("shim/pitstop-ld");
    let name = format!("pitstop-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let work = target_folder().join("dist-work");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let folder = work.join(&name);
    fs::create_dir_all(&folder)?;
    for file in
        [command, &shim].into_iter().chain(WORDS.map(|word| root().join(word)).iter().map(PathBuf::as_path))
    {
        let to = folder.join(file.file_name().context("a file has a name")?);
        fs::copy(file, &to).with_context(|| format!("{} could not be copied", file.display()))?;
    }
    // The program tells of itself.
    run(Command::new(command).args(["man", "--quiet", "--output"]).arg(folder.join("man")))?;
    fs::create_dir(folder.join("completions"))?;
    for (shell, name) in SHELLS {
        let output = Command::new(command).args(["completions", shell]).output()?;
        ensure!(output.status.success(), "no completions for {shell}");
        fs::write(folder.join("completions").join(name), output.stdout)?;
    }
    run(Command::new("tar")
        .args(["--create", "--sort=name", "--format=posix", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--mode=u=rwX,go=rX"])
        .arg(format!("--mtime=@{time}"))
        // gzip's header would have the time, too.
        .args(["--use-compress-program", "gzip --no-name --best", "--file"])
        .arg(dist.join(format!("{name}.tar.gz")))
        .arg("--directory")
        .arg(&work)
        .arg(&name))?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn checksums(dist: &Path) -> Result<()> {
    let mut names: Vec<OsString> =
        fs::read_dir(dist)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    let output = Command::new("sha256sum").args(&names).current_dir(dist).output()?;
    ensure!(output.status.success(), "sha256sum failed: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(dist.join("SHA256SUMS"), &output.stdout)?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    println!("xtask: all in {}", dist.display());
    Ok(())
}

/// The time of the sources, in seconds since 1970.
fn time() -> Result<String> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output()?;
    ensure!(output.status.success(), "git does not say of when the sources are: set SOURCE_DATE_EPOCH");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn only_file(folder: &Path, end: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([file]) => Ok(file),
        Err(found) => bail!("{} .{end} files in {}, where one was to be", found.len(), folder.display()),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo builds.
fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
