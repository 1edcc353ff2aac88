//! The rules of glibc's and musl's loaders, on file systems written as text.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::BStr;
use pitstop_core::elf::{Class, Encoding, Target};
use pitstop_core::files::{FakeFiles, FileId, Files, Opened};
use pitstop_core::ldso::{
    Environment, Loader, Loading, ObjectIndex, Outcome, Process, Rule, Shortfall, StartError, Verdict,
    no_fallback,
};

const X86_64: Target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };

fn glibc() -> Arc<Loader> {
    let text = "path.system_dirs[0x0]=\"/lib64/\"\nversion.version=\"2.40\"\ndl_dst_lib=\"lib64\"\n\
                dl_hwcaps_subdirs=\"x86-64-v4:x86-64-v3\"\ndl_hwcaps_subdirs_active=0x2\ndl_platform=\"haswell\"\n";
    Arc::new(Loader::from_diagnostics(Path::new("/lib64/ld.so"), X86_64, text, "").unwrap())
}

fn musl() -> Arc<Loader> {
    Arc::new(Loader::musl(Path::new("/lib/ld-musl-x86_64.so.1"), X86_64, None))
}

fn start<'f>(loader: Arc<Loader>, files: &'f FakeFiles, library_path: Option<&str>) -> Process<'f> {
    let environment = Environment { library_path: library_path.map(Into::into), ..Environment::default() };
    Process::start(loader, files, Path::new("/app/main"), environment).unwrap()
}

/// What came in, and the names that stay open.
fn story(loading: &Loading) -> (Vec<String>, Vec<String>) {
    let objects = loading.objects.iter().filter(|object| object.rule != Rule::Given);
    let missing = loading.unmet().map(|need| loading.soname(need).to_string());
    (objects.map(|object| object.path.display().to_string()).collect(), missing.collect())
}

#[track_caller]
fn expect(loading: &Loading, loaded: &[&str], missing: &[&str]) {
    let (ours, open) = story(loading);
    assert_eq!(ours, loaded);
    assert_eq!(open, missing);
}

#[test]
fn what_is_opened_inherits_from_the_program_but_not_from_the_caller() {
    let files = FakeFiles::new(
        "/app/main needed=libcaller.so rpath=/app/lib
         /app/lib/libcaller.so rpath=/caller
         /app/lib/libp.so
         /caller/libq.so
         /mod/m.so needed=libp.so,libq.so",
    );
    let process = start(glibc(), &files, None);
    let caller = Some(ObjectIndex(1));
    assert_eq!(&*process.objects()[1].path, Path::new("/app/lib/libcaller.so"));
    expect(
        &process.load(Path::new("/mod/m.so"), caller, &no_fallback),
        &["/mod/m.so", "/app/lib/libp.so"],
        &["libq.so"],
    );
    let by_name = process.load(Path::new("libq.so"), caller, &no_fallback);
    expect(&by_name, &["/caller/libq.so"], &[]);
    assert_eq!(process.load(Path::new("libq.so"), None, &no_fallback).root, Outcome::Missing);
}

#[test]
fn a_bundled_library_is_reached_through_its_importers_rpath() {
    let files = FakeFiles::new(
        "/app/main
         /site/np/core.so needed=libgfortran.so rpath=$ORIGIN/../np.libs
         /site/np.libs/libgfortran.so needed=libquadmath.so
         /site/np.libs/libquadmath.so",
    );
    let process = start(glibc(), &files, None);
    let loading = process.load(Path::new("/site/np/core.so"), None, &no_fallback);
    assert!(loading.succeeds());
    let last = loading.objects.last().unwrap();
    assert_eq!(
        last.rule,
        Rule::Rpath { of: loading.first_index(), folder: Path::new("/site/np/../np.libs").into() }
    );
    let alone = process.load(Path::new("/site/np.libs/libgfortran.so"), None, &no_fallback);
    expect(&alone, &["/site/np.libs/libgfortran.so"], &["libquadmath.so"]);
}

#[test]
fn what_something_else_will_have_loaded_lets_the_walk_go_on() {
    let files = FakeFiles::new(
        "/app/main
         /m.so needed=libz.so.1 rpath=/inherited
         /given/libz.so.1 soname=libz.so.1 needed=libmore.so,libz.so.1
         /inherited/libmore.so",
    );
    let process = start(glibc(), &files, None);
    let Opened::Elf(m, _) = files.open(Path::new("/m.so")) else { panic!() };
    let fallback = |soname: &BStr, asker: FileId| {
        (soname == "libz.so.1" && asker == m).then(|| PathBuf::from("/given/libz.so.1"))
    };
    let loading = process.load(Path::new("/m.so"), None, &fallback);
    // It is opened by its path, so it inherits nothing.
    expect(&loading, &["/m.so", "/given/libz.so.1"], &["libmore.so"]);
    assert_eq!(loading.objects[1].rule, Rule::Fallback);
}

#[test]
fn a_need_that_the_process_has_loaded_is_met_before_any_search() {
    let files = FakeFiles::new(
        "/app/main needed=libssl.so.3 runpath=/python
         /python/libssl.so.3 soname=libssl.so.3 defines=OPENSSL_3.0
         /m.so needed=libssl.so.3 rpath=/bundled wants=libssl.so.3:OPENSSL_3.0,OPENSSL_3.2 weak=libssl.so.3:W
         /bundled/libssl.so.3 soname=libssl.so.3 defines=OPENSSL_3.0,OPENSSL_3.2",
    );
    let process = start(glibc(), &files, None);
    let loading = process.load(Path::new("/m.so"), None, &no_fallback);
    expect(&loading, &["/m.so"], &[]);
    let problems: Vec<_> = loading
        .version_problems
        .iter()
        .map(|problem| (problem.version.to_string(), problem.shortfall))
        .collect();
    assert_eq!(
        problems,
        [("OPENSSL_3.2".into(), Shortfall::Undefined), ("W".into(), Shortfall::WeakUndefined)]
    );
    assert!(!loading.succeeds());
}

#[test]
fn a_version_of_a_library_that_nobody_loads_is_fatal() {
    let files = FakeFiles::new("/app/main\n/m.so wants=libgone.so:V_1");
    let process = start(glibc(), &files, None);
    let loading = process.load(Path::new("/m.so"), None, &no_fallback);
    assert_eq!(loading.version_problems[0].shortfall, Shortfall::NotLoaded);
}

#[test]
fn what_proc_maps_shows_counts_as_loaded() {
    let files = FakeFiles::new("/app/main\n/elsewhere/libz.so.1 soname=libz.so.1\n/m.so needed=libz.so.1");
    let mut process = start(glibc(), &files, None);
    assert!(!process.load(Path::new("/m.so"), None, &no_fallback).succeeds());
    process.add_loaded(["/elsewhere/libz.so.1", "/app/main", "/nowhere"]);
    assert_eq!(process.objects().len(), 2);
    assert!(process.load(Path::new("/m.so"), None, &no_fallback).succeeds());
}

#[test]
fn one_walk_leaves_nothing_behind_for_the_next() {
    let files = FakeFiles::new("/app/main\n/a.so needed=liba.so rpath=/a\n/b.so needed=liba.so\n/a/liba.so");
    let process = start(glibc(), &files, None);
    for _ in 0..3 {
        expect(&process.load(Path::new("/a.so"), None, &no_fallback), &["/a.so", "/a/liba.so"], &[]);
        expect(&process.load(Path::new("/b.so"), None, &no_fallback), &["/b.so"], &["liba.so"]);
    }
}

#[test]
fn walks_may_run_at_once() {
    let files = FakeFiles::new("/app/main\n/a.so needed=liba.so rpath=/a\n/a/liba.so");
    let process = start(glibc(), &files, None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(process.load(Path::new("/a.so"), None, &no_fallback).succeeds()));
        }
    });
}

#[test]
fn every_probe_of_a_need_can_be_told() {
    let files = FakeFiles::new(
        "/app/main
         /m.so needed=liba.so runpath=/nowhere:/a
         /a/liba.so machine=aarch64
         /v/x.so
         folder /lib64",
    );
    let process = start(glibc(), &files, Some("/v"));
    let loading = process.load(Path::new("/m.so"), None, &no_fallback);
    let probes = process.probes(&loading, loading.first_index(), "liba.so".into());
    let told: Vec<_> = probes
        .iter()
        .map(|probe| (probe.rule, probe.path.to_str().unwrap(), probe.verdict.clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("LD_LIBRARY_PATH", "/v/liba.so", Verdict::Absent),
            ("RUNPATH", "/nowhere", Verdict::NoFolder),
            ("RUNPATH", "/a/liba.so", Verdict::OtherMachine),
            ("default", "/lib64/liba.so", Verdict::Absent),
        ]
    );
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    let files = FakeFiles::new("unusable /app/main not an ELF file\n/arm/main machine=aarch64");
    let started = |program: &str| {
        Process::start(glibc(), &files, Path::new(program), Environment::default()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(started("/app/main"), StartError::Unusable { .. }));
    assert!(matches!(started("/none"), StartError::Absent(_)));
    assert!(matches!(started("/arm/main"), StartError::OtherTarget { .. }));
}

#[test]
fn the_loader_itself_is_found_by_its_soname() {
    let files = FakeFiles::new(
        "/app/main needed=ld-linux.so.2 loader=/lib64/ld.so\n/lib64/ld.so soname=ld-linux.so.2\n/m.so needed=ld-linux.so.2",
    );
    let process = start(glibc(), &files, None);
    assert_eq!(process.objects().len(), 2);
    assert!(process.load(Path::new("/m.so"), None, &no_fallback).succeeds());
}

#[test]
fn musl_hears_the_variable_first_and_inherits_runpaths() {
    let files = FakeFiles::new(
        "/app/main needed=liba.so runpath=/r
         /r/liba.so needed=libb.so
         /v/liba.so needed=libb.so
         /r/libb.so",
    );
    expect(start(musl(), &files, None).at_start(), &["/r/liba.so", "/r/libb.so"], &[]);
    expect(start(musl(), &files, Some("/v")).at_start(), &["/v/liba.so", "/r/libb.so"], &[]);
}

#[test]
fn musl_serves_the_names_of_the_c_library_itself() {
    let files = FakeFiles::new(
        "/app/main needed=libc.so,libm.so.6,libpthread.so.0,libcrypt.so.1
         /lib/ld-musl-x86_64.so.1
         /lib/libm.so.6",
    );
    expect(start(musl(), &files, None).at_start(), &[], &["libcrypt.so.1"]);
}

#[test]
fn musl_knows_libraries_by_file_name_and_not_by_soname() {
    let files = FakeFiles::new(
        "/app/main needed=liba.so.1,libz.so,liba.so.2
         /lib/liba.so.1 soname=libz.so
         link /lib/liba.so.2 -> liba.so.1",
    );
    expect(start(musl(), &files, None).at_start(), &["/lib/liba.so.1"], &["libz.so"]);
}

#[test]
fn musl_lets_what_is_opened_inherit_from_the_program() {
    let files = FakeFiles::new(
        "/app/main runpath=/r
         /r/libp.so
         /m.so needed=libp.so wants=libp.so:NONE
         /odd.so needed=libp.so runpath=$LIB
         /lib/libp.so machine=i386",
    );
    let process = start(musl(), &files, None);
    let loading = process.load(Path::new("/m.so"), None, &no_fallback);
    expect(&loading, &["/m.so", "/r/libp.so"], &[]);
    assert!(loading.succeeds(), "versions are not looked at");
    assert!(process.load(Path::new("/odd.so"), None, &no_fallback).succeeds());
}
