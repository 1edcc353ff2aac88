//! How long 600 modules with closures of 60 objects take, given warm facts: `cargo run --release -p pitstop-core
//! --features testing --example bench_ldso`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pitstop_core::elf::{Class, Encoding, Target};
use pitstop_core::files::FakeFiles;
use pitstop_core::ldso::{Environment, Loader, Process, no_fallback};

const ROOTS: usize = 600;
const LIBRARIES: usize = 59;

fn world() -> FakeFiles {
    let mut text = String::from("/app/main needed=libc.so.6\n/lib/libc.so.6 soname=libc.so.6 defines=");
    let versions: Vec<String> = (2..40).map(|minor| format!("GLIBC_2.{minor}")).collect();
    text.push_str(&versions.join(","));
    text.push('\n');
    for library in 0..LIBRARIES {
        let needs: Vec<String> =
            (1..=5).map(|step| format!("lib{}.so.1", (library * 2 + step) % LIBRARIES)).collect();
        let _ = writeln!(
            text,
            "/site/x.libs/lib{library}.so.1 soname=lib{library}.so.1 needed={},libc.so.6 \
             wants=libc.so.6:GLIBC_2.2,GLIBC_2.17",
            needs.join(",")
        );
    }
    for root in 0..ROOTS {
        let _ = writeln!(
            text,
            "/site/p{}/m{root}.so needed=lib0.so.1,libc.so.6 rpath=$ORIGIN/../x.libs wants=libc.so.6:GLIBC_2.2",
            root % 40
        );
    }
    FakeFiles::new(&text)
}

fn main() -> std::io::Result<()> {
    let target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };
    let loader = Loader::from_diagnostics(
        Path::new("/lib/ld.so"),
        target,
        "path.system_dirs[0x0]=\"/lib/\"\nversion.version=\"2.40\"\n",
        "",
    );
    let files = world();
    let (Ok(loader), program) = (loader, Path::new("/app/main")) else { return Ok(()) };
    let roots: Vec<PathBuf> =
        (0..ROOTS).map(|root| PathBuf::from(format!("/site/p{}/m{root}.so", root % 40))).collect();
    let Ok(process) = Process::start(Arc::new(loader), &files, program, Environment::default()) else {
        return Ok(());
    };
    for round in 0..6 {
        let begun = Instant::now();
        let objects: usize =
            roots.iter().map(|root| process.load(root, None, &no_fallback).objects.len()).sum();
        let time = begun.elapsed();
        writeln!(
            std::io::stdout(),
            "round {round}: {objects} objects in {:.2} ms",
            time.as_secs_f64() * 1e3
        )?;
    }
    Ok(())
}
