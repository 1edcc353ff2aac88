//! What each thing found means.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pitstop_host::environment::Environment;
use pitstop_host::machine::{Machine, Namespaces, Nix, StandardLoader};
use serde::Serialize;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mark {
    /// There, and of use.
    Ok,
    /// Not there, or of no use.
    No,
    /// Something to know.
    Note,
}

/// A thing, and how it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// How.
    pub(super) mark: Mark,
    /// What; names a line for other programs too.
    pub(super) what: &'static str,
    /// In words.
    pub(super) detail: String,
}

/// The value of an environment variable.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

struct Findings {
    findings: Vec<Finding>,
    hints: Vec<String>,
}

impl Findings {
    fn add(&mut self, mark: Mark, what: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding { mark, what, detail: detail.into() });
    }

    fn hint(&mut self, hint: impl Into<String>) {
        self.hints.push(hint.into());
    }
}

/// All findings, and what to do next.
pub(super) fn of(machine: &Machine, variable: Variable<'_>) -> (Vec<Finding>, Vec<String>) {
    let mut found = Findings { findings: Vec::new(), hints: Vec::new() };
    system(machine, &mut found);
    standard_loader(machine, variable, &mut found);
    providers(machine, &mut found);
    namespaces(machine, &mut found);
    python(machine, variable, &mut found);
    driver(machine, &mut found);
    variables(variable, &mut found);
    (found.findings, found.hints)
}

fn system(machine: &Machine, found: &mut Findings) {
    let kernel = machine.kernel.as_deref().unwrap_or("unknown");
    let name = machine.distribution.as_deref().unwrap_or("it does not say what it is");
    found.add(Mark::Ok, "system", format!("{name}, Linux {kernel}, {}", machine.arch));
    let Some(loader) = &machine.loader else {
        found.add(Mark::No, "loader", "the loader of /bin/sh cannot be asked");
        return;
    };
    let version = match loader.version {
        Some((major, minor)) => format!("glibc {major}.{minor}"),
        None => "not glibc".to_owned(),
    };
    found.add(Mark::Ok, "loader", format!("{version}, {}", loader.path.display()));
    let folders: Vec<String> = loader.system_dirs.iter().map(|folder| folder.display().to_string()).collect();
    found.add(Mark::Ok, "default folders", folders.join(" "));
    match (&loader.cache_path, &loader.cache) {
        (Some(path), Some(cache)) => {
            let many = cache.entries().count();
            found.add(Mark::Ok, "loader's cache", format!("{}, {many} libraries", path.display()));
        }
        (Some(path), None) => {
            found.add(Mark::Note, "loader's cache", format!("there is no {}", path.display()));
        }
        (None, _) => found.add(Mark::Note, "loader's cache", "this loader has none"),
    }
}

fn standard_loader(machine: &Machine, variable: Variable<'_>, found: &mut Findings) {
    const WHAT: &str = "programs from elsewhere";
    let Some((path, what)) = &machine.standard_loader else { return };
    let path = path.display();
    match what {
        StandardLoader::Glibc => found.add(Mark::Ok, WHAT, format!("start: {path} is glibc's loader")),
        StandardLoader::PitstopLd => found.add(Mark::Ok, WHAT, format!("start: {path} is pitstop-ld")),
        StandardLoader::NixLd => {
            let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
            let farm = Path::new("/run/current-system/sw/share/nix-ld/lib").is_dir();
            if set("NIX_LD") || farm {
                found.add(Mark::Ok, WHAT, format!("start: {path} is nix-ld"));
            } else {
                let why = "but NIX_LD is not set and NixOS has no libraries for it";
                found.add(Mark::Note, WHAT, format!("{path} is nix-ld, {why}"));
            }
            found.hint("nix-ld serves programs only: Python packages need `pitstop fix` all the same");
        }
        StandardLoader::Stub => {
            found.add(Mark::No, WHAT, format!("do not start: {path} is NixOS's stub, which only says so"));
            found.hint(
                "`programs.nix-ld.enable = true;` in configuration.nix lets programs from elsewhere start",
            );
        }
        StandardLoader::Absent => {
            found.add(Mark::No, WHAT, format!("do not start: there is no {path}"));
            found.hint("Python packages need no such loader; programs in wheels (`ruff`, `node`) do");
        }
        StandardLoader::Unknown => found.add(Mark::Note, WHAT, format!("{path} is no loader that is known")),
    }
}

fn providers(machine: &Machine, found: &mut Findings) {
    match &machine.nix {
        Some(nix) => nix_findings(nix, found),
        None => found.add(Mark::Note, "nix", "not installed"),
    }
    match &machine.apt {
        Some(apt) if apt.lists > 0 => found.add(Mark::Ok, "apt", format!("{} package lists", apt.lists)),
        Some(_) => {
            found.add(Mark::No, "apt", "has no package lists");
            found.hint(
                "`sudo apt-get update` fetches the package lists that `pitstop fix` takes libraries from",
            );
        }
        None => found.add(Mark::Note, "apt", "not installed"),
    }
    if machine.nix.is_none() && machine.apt.is_none() {
        found.hint("without Nix or apt, `pitstop fix` can only use libraries that this machine has; Nix is at https://nixos.org/download");
    }
}

fn nix_findings(nix: &Nix, found: &mut Findings) {
    let version = nix.version.as_deref().unwrap_or("which does not say its version");
    found.add(Mark::Ok, "nix", format!("{version}, {}", nix.program.display()));
    match (nix.daemon, nix.owns_store) {
        (Some(true), _) => found.add(Mark::Ok, "nix daemon", "answers"),
        (_, true) => found.add(Mark::Ok, "nix daemon", "not needed: this user owns the store"),
        (Some(false), false) => {
            found.add(Mark::No, "nix daemon", "does not answer");
            found.hint("start the Nix daemon: `sudo systemctl start nix-daemon`");
        }
        (None, false) => {
            found.add(Mark::No, "nix daemon", "there is none, and this user may not write to the store");
            found.hint("start the Nix daemon: `sudo systemctl start nix-daemon`");
        }
    }
    let features = if nix.features.is_empty() { "none".to_owned() } else { nix.features.join(" ") };
    found.add(Mark::Note, "nix experimental features", features);
    match (&nix.nixpkgs, nix.registry) {
        (Some(path), _) => found.add(Mark::Ok, "nix package set", format!("<nixpkgs> is {}", path.display())),
        (None, true) => found.add(Mark::Ok, "nix package set", "nixpkgs of this machine's flake registry"),
        (None, false) => {
            found.add(
                Mark::Note,
                "nix package set",
                "no <nixpkgs>; the flake registry of the network is asked",
            );
            found.hint("`nix-channel --add https://nixos.org/channels/nixos-unstable nixpkgs && nix-channel --update`, or --nixpkgs, names a package set");
        }
    }
}

fn namespaces(machine: &Machine, found: &mut Findings) {
    const WHAT: &str = "user namespaces";
    match &machine.namespaces {
        Namespaces::Work => found.add(Mark::Ok, WHAT, "can be made"),
        Namespaces::Refused(why) => found.add(Mark::No, WHAT, format!("cannot be made: {why}")),
        Namespaces::Untried => {
            found.add(
                Mark::Note,
                WHAT,
                "not tried: neither unshare nor bwrap is here; no setting forbids them",
            );
        }
    }
}

fn python(machine: &Machine, variable: Variable<'_>, found: &mut Findings) {
    for name in ["python3", "uv", "pip"] {
        match machine.programs.iter().find(|program| program.name == name) {
            Some(program) => {
                let version = program.version.as_ref().map(|version| format!("{version}, "));
                let path = program.path.display();
                found.add(Mark::Ok, name, format!("{}{path}", version.unwrap_or_default()));
            }
            None if name == "python3" => found.add(Mark::No, name, "not on the PATH"),
            None => found.add(Mark::Note, name, "not on the PATH"),
        }
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let active = variable("VIRTUAL_ENV").filter(|active| !active.is_empty());
    match (Environment::implied(active.as_deref(), &here), active) {
        (Ok(environment), active) => {
            let how = if active.is_some() { "active" } else { "not active, but nearby" };
            found.add(Mark::Ok, "environment", format!("{} ({how})", environment.root.display()));
            found.hint("`pitstop check` says what this environment lacks");
        }
        (Err(error), Some(_)) => {
            found.add(Mark::No, "environment", error.to_string());
            found.hint(error.hint());
        }
        (Err(_), None) => {
            found.add(Mark::Note, "environment", "none is active, and there is no .venv here or above");
            found.hint("`pitstop check VENV` says what an environment lacks");
        }
    }
}

fn driver(machine: &Machine, found: &mut Findings) {
    const WHAT: &str = "GPU driver";
    let folders: Vec<String> =
        machine.driver_folders.iter().map(|folder| folder.display().to_string()).collect();
    match (folders.is_empty(), machine.has_gpu_device) {
        (false, _) => found.add(Mark::Ok, WHAT, format!("its libraries are in {}", folders.join(" and "))),
        (true, true) => {
            found.add(Mark::No, WHAT, "the kernel has it, but its libraries (libcuda.so.1) are nowhere");
            found.hint("install the libraries of your GPU driver (`hardware.graphics.enable = true;` on NixOS): no package can stand in for them");
        }
        (true, false) => found.add(Mark::Note, WHAT, "none of NVIDIA's"),
    }
    let part = |of: &str| -> Vec<String> {
        let its = machine.dispatch.iter().filter(|file| file.to_string_lossy().contains(of));
        its.map(|file| file.display().to_string()).collect()
    };
    for (what, of) in [("OpenGL vendors", "/glvnd/"), ("Vulkan drivers", "/vulkan/")] {
        match part(of) {
            files if files.is_empty() => found.add(Mark::Note, what, "none"),
            files => found.add(Mark::Ok, what, files.join(" ")),
        }
    }
}

fn variables(variable: Variable<'_>, found: &mut Findings) {
    let value = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    };
    if let Some(path) = value("LD_LIBRARY_PATH") {
        let why = "it leaks into every program that you start, and breaks those with other libraries";
        found.add(Mark::Note, "LD_LIBRARY_PATH", format!("{path} ({why})"));
        found.hint("`pitstop fix` needs no LD_LIBRARY_PATH: unset it where it was set for Python's sake");
    }
    if let Some(preload) = value("LD_PRELOAD") {
        found.add(Mark::Note, "LD_PRELOAD", format!("{preload} (loaded into every program that you start)"));
    }
    for name in ["NIX_LD", "NIX_LD_LIBRARY_PATH"] {
        if let Some(value) = value(name) {
            found.add(Mark::Note, name, value);
        }
    }
}
