use std::path::Path;

use pitstop_core::elf::{Class as Width, Encoding, Target};
use pitstop_core::files::FakeFiles;

use super::*;
use crate::provide::Interrupt;

const X86_64: Target = Target { class: Width::Bits64, encoding: Encoding::Little, machine: 62 };

fn want(soname: &str, versions: &[&str]) -> Want {
    Want {
        soname: soname.into(),
        target: X86_64,
        versions: versions.iter().map(|&version| version.into()).collect(),
        candidates: locate(soname),
    }
}

fn look(fixture: &str, cache: &[(&str, &str)], want: Want) -> Result<Provision, Refused> {
    let files = FakeFiles::new(fixture);
    let cache = cache.iter().map(|(soname, file)| ((*soname).to_owned(), PathBuf::from(file)));
    let places = Places::usual(&files, cache);
    let interrupt = Interrupt::default();
    let mut progress = |_| {};
    let mut context =
        Context { files: &files, accept_inexact: false, progress: &mut progress, interrupt: &interrupt };
    let mut outcome = provide(&[want], &places, &mut context);
    outcome.provisions.pop().ok_or_else(|| outcome.refused.pop().unwrap())
}

const DEBIAN: &str = "
    /usr/lib/x86_64-linux-gnu/libz.so.1 soname=libz.so.1 needed=libc.so.6 defines=ZLIB_1.2.9
    /usr/lib/x86_64-linux-gnu/libGL.so.1 soname=libGL.so.1 needed=libGLdispatch.so.0,libGLX.so.0,libc.so.6
    /usr/lib/x86_64-linux-gnu/libGLX.so.0 soname=libGLX.so.0 needed=libX11.so.6,libGLdispatch.so.0
    /usr/lib/x86_64-linux-gnu/libGLdispatch.so.0 soname=libGLdispatch.so.0
    /opt/x/libX11.so.6 soname=libX11.so.6
    /usr/lib/x86_64-linux-gnu/libc.so.6 soname=libc.so.6
    /usr/lib/x86_64-linux-gnu/libcuda.so.1 soname=libcuda.so.1
    /usr/lib/x86_64-linux-gnu/libpulse.so.0 needed=libpulsecommon.so runpath=$ORIGIN/pulseaudio
    /usr/lib/x86_64-linux-gnu/pulseaudio/libpulsecommon.so needed=libz.so.1
";

#[test]
fn a_library_of_the_host_comes_with_all_that_it_needs_but_the_libc() {
    let cache = [("libX11.so.6", "/opt/x/libX11.so.6")];
    let provision = look(DEBIAN, &cache, want("libGL.so.1", &[])).unwrap();
    assert_eq!(provision.file, Path::new("/usr/lib/x86_64-linux-gnu/libGL.so.1"));
    assert_eq!(provision.by, Provider::Host { rule: Rule::Folder });
    assert_eq!(provision.found.as_deref(), Some("libGL.so.1"));
    let names: Vec<&str> = provision.dependencies.keys().map(String::as_str).collect();
    assert_eq!(names, ["libGLX.so.0", "libGLdispatch.so.0", "libX11.so.6"]);
    assert_eq!(provision.dependencies["libX11.so.6"], Path::new("/opt/x/libX11.so.6"));
}

#[test]
fn a_library_finds_some_dependencies_by_its_own_search_path() {
    let provision = look(DEBIAN, &[], want("libpulse.so.0", &[])).unwrap();
    assert_eq!(provision.dependencies.keys().collect::<Vec<_>>(), ["libz.so.1"]);
}

#[test]
fn the_cache_is_asked_before_the_folders_and_every_entry_in_turn() {
    let fixture = format!("{DEBIAN}/c/32/libz.so.1 machine=i386\n/c/64/libz.so.1 soname=libz.so.1\n");
    let cache = [("libz.so.1", "/c/32/libz.so.1"), ("libz.so.1", "/c/64/libz.so.1")];
    let provision = look(&fixture, &cache, want("libz.so.1", &[])).unwrap();
    assert_eq!(provision.file, Path::new("/c/64/libz.so.1"));
    assert_eq!(provision.by, Provider::Host { rule: Rule::Cache });
}

#[test]
fn a_version_that_is_not_defined_is_a_refusal_with_its_reason() {
    assert!(look(DEBIAN, &[], want("libz.so.1", &["ZLIB_1.2.9"])).is_ok());
    let refused = look(DEBIAN, &[], want("libz.so.1", &["ZLIB_1.2.9", "ZLIB_9"])).unwrap_err();
    assert_eq!(refused.reason, "/usr/lib/x86_64-linux-gnu/libz.so.1 does not define ZLIB_9");
}

#[test]
fn drivers_come_from_the_driver_folders_first_and_nothing_else_does() {
    let fixture = format!(
        "{DEBIAN}
        /run/opengl-driver/lib/libcuda.so.1 soname=libcuda.so.1
        /run/opengl-driver/lib/libexpat.so.1 soname=libexpat.so.1
        /usr/lib/wsl/lib/libcuda.so.1 soname=libcuda.so.1"
    );
    let provision = look(&fixture, &[], want("libcuda.so.1", &[])).unwrap();
    assert_eq!(provision.file, Path::new("/run/opengl-driver/lib/libcuda.so.1"));
    assert_eq!(provision.by, Provider::Host { rule: Rule::Driver });
    assert!(look(&fixture, &[], want("libexpat.so.1", &[])).is_err());
    let wsl = look("/usr/lib/wsl/lib/libcuda.so.1", &[], want("libcuda.so.1", &[])).unwrap();
    assert_eq!(wsl.file, Path::new("/usr/lib/wsl/lib/libcuda.so.1"));
    let plain = look(DEBIAN, &[], want("libcuda.so.1", &[])).unwrap();
    assert_eq!(plain.by, Provider::Host { rule: Rule::Folder });
    let refused = look("folder /usr/lib", &[], want("libnvidia-ml.so.1", &[])).unwrap_err();
    assert!(refused.reason.contains("GPU driver") && refused.hint.is_some(), "{refused:?}");
}

#[test]
fn nix_ld_has_its_libraries_on_nixos() {
    let fixture = "/nix/store/x-zlib/lib/libz.so.1 soname=libz.so.1
        link /run/current-system/sw/share/nix-ld/lib/libz.so.1 -> /nix/store/x-zlib/lib/libz.so.1";
    let provision = look(fixture, &[], want("libz.so.1", &[])).unwrap();
    assert_eq!(provision.by, Provider::Host { rule: Rule::NixLd });
}

#[test]
fn the_libc_and_odd_names_are_refused() {
    for soname in ["libc.so.6", "../../usr/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/libz.so.1", ""] {
        assert!(look(DEBIAN, &[], want(soname, &[])).is_err(), "{soname}");
    }
    let damaged = "unusable /usr/lib/libz.so.1 too short";
    let refused = look(damaged, &[], want("libz.so.1", &[])).unwrap_err();
    assert_eq!(refused.reason, "/usr/lib/libz.so.1: too short");
}

#[test]
fn what_a_machine_without_a_driver_lacks_is_required_of_nobody() {
    let missing = |soname: &str| pitstop_core::diagnose::Missing {
        soname: soname.into(),
        versions: std::collections::BTreeSet::new(),
        askers: Vec::new(),
        named_by: Vec::new(),
        optional: soname.contains("nvidia"),
        in_wheels: Vec::new(),
    };
    let settled = |fixture: &str| {
        let files = FakeFiles::new(fixture);
        let drivers = Drivers::at(&files, X86_64, Places::usual(&files, []));
        let sonames = ["libcuda.so.1", "libnvidia-ml.so.1", "libz.so.1"];
        let mut diagnosis =
            pitstop_core::diagnose::Diagnosis { missing: sonames.map(missing).into(), ..Default::default() };
        drivers.settle(&mut diagnosis);
        diagnosis.required().map(|missing| missing.soname.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(settled("folder /usr/lib"), ["libz.so.1"]);
    // What it has is at hand, and provided whether or not the code could do without.
    for folder in ["/run/opengl-driver/lib", "/usr/lib/wsl/lib", "/usr/lib/x86_64-linux-gnu"] {
        let both = format!("{folder}/libcuda.so.1 soname=libcuda.so.1\n{folder}/libnvidia-ml.so.1 x");
        let both = both.replace(" x", " soname=libnvidia-ml.so.1");
        assert_eq!(settled(&both), ["libcuda.so.1", "libnvidia-ml.so.1", "libz.so.1"], "{folder}");
    }
}

#[test]
fn a_driver_that_is_not_here_is_told_in_one_line() {
    let note = |sonames: &[&str]| drivers::note(&sonames.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(note(&[]), None);
    let words = note(&["libcuda.so.1", "libnvidia-ml.so.1", "libcudadebugger.so.1"]).unwrap();
    assert!(words.contains("no GPU driver") && words.contains("libcuda.so.1 and 2 more"), "{words}");
}
