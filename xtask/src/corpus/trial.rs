//! One package: installed and used before a fix, after it, and on the control.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nixbox::wheels;
use serde::{Deserialize, Serialize};

use super::Bench;
use super::list::Package;
use crate::output_of;

/// The Python of the root and of the control.
const PYTHON: &str = "3.11";

/// How much of what a program said is kept, in characters.
const WORDS: usize = 2000;

/// How a use of a package ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) ok: bool,
    /// The end of what it said, where it failed.
    pub(super) words: String,
}

/// What came of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) package: String,
    pub(super) rank: u32,
    /// What was installed.
    pub(super) version: String,
    #[serde(rename = "use")]
    pub(super) code: String,
    pub(super) before: Ended,
    pub(super) after: Ended,
    pub(super) control: Ended,
    /// The exit status of `pitstop fix`, and what it said.
    pub(super) fix: Option<i32>,
    pub(super) fix_words: String,
    /// The libraries that were provided.
    pub(super) provided: Vec<String>,
    /// See [`fingerprint`].
    pub(super) made_with: String,
}

impl Outcome {
    /// Whether the use after the fix ended as the control's did.
    pub(super) fn is_mended(&self) -> bool {
        self.after.ok == self.control.ok
    }

    /// It, in one line.
    pub(super) fn line(&self) -> String {
        let word = |ended: &Ended| if ended.ok { "works" } else { "fails" };
        format!(
            "{:<28} before {}, after {}, control {}",
            format!("{} {}", self.package, self.version),
            word(&self.before),
            word(&self.after),
            word(&self.control)
        )
    }
}

/// What tells a build of pitstop from another.
pub(super) fn fingerprint(program: &Path) -> Result<String> {
    let sum = output_of(Command::new("sha256sum").arg(program))?;
    Ok(sum.split(' ').next().unwrap_or_default().to_owned())
}

/// Tries one package.
pub(super) fn run(bench: &Bench<'_>, package: &Package) -> Result<Outcome> {
    let wheels = wheels::download(&package.name, PYTHON, &bench.folder.join("wheels"))?;
    let version = version(&wheels, &package.name)?;
    let (before, fix, after) = in_the_root(bench, package, &wheels)?;
    let control = on_the_control(bench, package, &wheels)?;
    let report: serde_json::Value = serde_json::from_str(&fix.stdout).unwrap_or_default();
    let provided = report["provided"].as_array().into_iter().flatten();
    let provided = provided.filter_map(|library| library["soname"].as_str().map(str::to_owned)).collect();
    Ok(Outcome {
        package: package.name.clone(),
        rank: package.rank,
        version,
        code: package.code.clone(),
        before,
        after,
        control,
        fix: fix.code,
        fix_words: tail(&fix.stderr),
        provided,
        made_with: bench.made_with.clone(),
    })
}

fn in_the_root(bench: &Bench<'_>, package: &Package, wheels: &Path) -> Result<(Ended, nixbox::Ran, Ended)> {
    let machine = bench.nixbox.machine().bind(wheels, "/wheels", false).start()?;
    let made = machine.sh(&install("/wheels", &package.name))?;
    ensure!(made.ok, "installing it in the root failed: {}", tail(&made.stderr));
    let use_it = || -> Result<Ended> {
        let ran = machine.sh(&format!("mkdir -p w; cd w; {}", used(&package.code)))?;
        Ok(ended(ran.ok, &ran.stdout, &ran.stderr))
    };
    let before = use_it()?;
    let fix = machine.sh(&format!("{} fix --json v", bench.pitstop.display()))?;
    let after = use_it()?;
    Ok((before, fix, after))
}

fn on_the_control(bench: &Bench<'_>, package: &Package, wheels: &Path) -> Result<Ended> {
    let home = tempfile::tempdir_in(&bench.folder)?;
    // The user of the control is another than this one where this is root.
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let made = bench.control.sh(home.path(), wheels, &install("/mnt/wheels", &package.name))?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "installing it in the control failed: {}", tail(&said));
    let script = format!("mkdir -p w; cd w; {}", used(&package.code));
    let ran = bench.control.sh(home.path(), wheels, &script)?;
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    Ok(ended(ran.status.success(), &stdout, &stderr))
}

fn install(wheels: &str, name: &str) -> String {
    format!(
        "python{PYTHON} -m venv v && v/bin/pip install -q --no-compile --no-index --find-links {wheels} '{name}'"
    )
}

/// A script that runs code with no variable set but the ones that programs of any system have.
fn used(code: &str) -> String {
    let quoted = code.replace('\'', r"'\''");
    format!("env -i HOME=$PWD PATH=/usr/bin:/bin ../v/bin/python -B -c '{quoted}' 2>&1")
}

fn ended(ok: bool, stdout: &str, stderr: &str) -> Ended {
    Ended { ok, words: if ok { String::new() } else { tail(&format!("{stdout}{stderr}")) } }
}

/// The end of a text.
fn tail(text: &str) -> String {
    let text = text.trim_end();
    let skip = text.chars().count().saturating_sub(WORDS);
    text.chars().skip(skip).collect()
}

/// The version of the package's own wheel among those that were fetched for it.
fn version(wheels: &Path, name: &str) -> Result<String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    for entry in std::fs::read_dir(wheels)? {
        let file = entry?.file_name();
        let file = file.to_string_lossy();
        let mut parts = file.split('-');
        if parts.next().is_some_and(|part| plain(part) == plain(name)) {
            return parts.next().map(str::to_owned).context("a wheel without a version");
        }
    }
    anyhow::bail!("{}: no wheel of {name}", wheels.display())
}
