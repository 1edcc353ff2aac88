//! Caches written by ldconfig: read by us, printed by ldconfig, and looked up by the real loader.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use bstr::ByteSlice;
use pitstop_core::elf::Encoding;
use pitstop_core::ldso::cache::{self, Cache, Capabilities, Capability, NewEntry};
use support::image::Image;
use support::{Folder, host_loader, write};

/// A root with libraries, and the cache that ldconfig makes of it; `None` where there is no ldconfig.
fn world(name: &str, format: &str) -> Option<(Folder, Vec<u8>, String)> {
    let folder = Folder::new(name);
    let library = |soname: &str| Image { soname: Some(soname.to_owned()), ..Image::default() }.bytes();
    for (path, soname) in [
        ("lib/libx.so.9", "libx.so.9"),
        ("lib/libx.so.10", "libx.so.10"),
        ("lib/liby.so.1.5", "liby.so.1"),
        ("lib/glibc-hwcaps/x86-64-v2/liby.so.1.5", "liby.so.1"),
        ("lib/glibc-hwcaps/x86-64-v3/liby.so.1.5", "liby.so.1"),
        ("lib/glibc-hwcaps/x86-64-v3/libv.so.1", "libv.so.1"),
        ("lib/glibc-hwcaps/other/liby.so.1.5", "liby.so.1"),
        ("more/libx.so.9", "libx.so.9"),
        ("more/libz.so", "libz.so"),
    ] {
        write(&folder.path(path), &library(soname));
    }
    write(&folder.path("etc/ld.so.conf"), b"/lib\n/more\n");
    let ldconfig =
        ["/sbin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find(|path| Path::new(path).exists())?;
    support::run(
        ldconfig,
        ["-r", folder.text(), "-f", "/etc/ld.so.conf", "-C", "/etc/ld.so.cache", "-c", format, "-X"],
    );
    let bytes = std::fs::read(folder.path("etc/ld.so.cache")).unwrap();
    let output =
        Command::new(ldconfig).arg("-p").arg("-C").arg(folder.path("etc/ld.so.cache")).output().unwrap();
    Some((folder, bytes, String::from_utf8(output.stdout).unwrap()))
}

#[test]
fn entries_are_those_that_ldconfig_prints() {
    for format in ["new", "compat"] {
        let Some((_folder, bytes, printed)) = world(&format!("cache-{format}"), format) else { return };
        let cache = Cache::parse(&bytes, Encoding::Little).unwrap();
        let ours: Vec<(String, String)> =
            cache.entries().map(|entry| (entry.name.to_string(), entry.path.to_string())).collect();
        let theirs: Vec<(String, String)> = printed
            .lines()
            .filter_map(|line| {
                let (name, path) = line.strip_prefix('\t')?.split_once(" => ")?;
                Some((name.split(' ').next()?.to_owned(), path.to_owned()))
            })
            .collect();
        assert_eq!(ours, theirs);
        assert!(!ours.is_empty());
    }
}

#[test]
fn the_best_folder_that_the_processor_can_use_is_chosen() {
    let (Some((_folder, bytes, _)), Some(loader)) = (world("cache-choice", "new"), host_loader()) else {
        return;
    };
    let cache = Cache::parse(&bytes, Encoding::Little).unwrap();
    let look = |name: &str, hwcaps: &[&str]| {
        let hwcaps: Vec<String> = hwcaps.iter().map(|&name| name.to_owned()).collect();
        let capabilities = Capabilities { hwcaps: &hwcaps, legacy: None };
        cache.lookup(name.into(), loader.target, capabilities).map(|path| path.display().to_string())
    };
    assert_eq!(look("liby.so.1", &[]).as_deref(), Some("/lib/liby.so.1"));
    assert_eq!(look("liby.so.1", &["x86-64-v2"]).as_deref(), Some("/lib/glibc-hwcaps/x86-64-v2/liby.so.1.5"));
    let both = look("liby.so.1", &["x86-64-v3", "x86-64-v2"]);
    assert_eq!(both.as_deref(), Some("/lib/glibc-hwcaps/x86-64-v3/liby.so.1.5"));
    assert_eq!(look("libv.so.1", &["x86-64-v2"]), None);
    assert_eq!(look("libx.so.9", &[]).as_deref(), Some("/lib/libx.so.9"));
    assert_eq!(look("libx.so.10", &[]).as_deref(), Some("/lib/libx.so.10"));
    assert_eq!(look("libz.so", &[]).as_deref(), Some("/more/libz.so"));
    assert_eq!(look("libx.so.1", &[]), None);
}

#[test]
fn every_name_of_the_machines_cache_leads_where_the_loader_goes() {
    let Some(loader) = host_loader() else { return };
    let Some(cache) = &loader.cache else { return };
    let mut names: Vec<&str> = cache.entries().filter_map(|entry| entry.name.to_str().ok()).collect();
    names.dedup();
    let folder = Folder::new("cache-machine");
    // One program that needs them all asks the loader once.
    let needed = names.iter().map(|&name| name.to_owned()).collect();
    let program = Image { loader: Some(support::LOADER.to_owned()), needed, ..Image::default() };
    write(&folder.path("main"), &program.bytes());
    let answer = support::agree(&folder.path("main"), None, Path::new("/"));
    assert!(answer.fatal || answer.loaded.len() > 1, "{answer:?}");
}

#[test]
fn damaged_caches_neither_panic_nor_take_memory() {
    for format in ["new", "compat"] {
        let (Some((_folder, bytes, _)), Some(loader)) =
            (world(&format!("cache-damaged-{format}"), format), host_loader())
        else {
            return;
        };
        let look = |bytes: &[u8]| {
            if let Ok(cache) = Cache::parse(bytes, Encoding::Little) {
                for name in ["libx.so.9", "liby.so.1", "nothing", ""] {
                    let _: Option<PathBuf> =
                        cache.lookup(name.into(), loader.target, loader.capabilities()).map(Path::to_owned);
                }
                assert!(cache.entries().count() <= bytes.len());
                assert!(cache.hwcaps().count() <= bytes.len());
            }
        };
        for length in 0..bytes.len() {
            look(&bytes[..length]);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                look(&damaged);
            }
        }
    }
}

#[test]
fn what_we_write_is_read_by_ldconfig_as_what_it_wrote_itself() {
    let Some((folder, bytes, printed)) = world("cache-written", "new") else { return };
    let read = Cache::parse(&bytes, Encoding::Little).unwrap();
    // In another order, for sorting is the writer's.
    let mut entries: Vec<NewEntry> = read.to_new().collect();
    entries.reverse();
    let written = cache::write(&entries, Encoding::Little, "pitstop").unwrap();
    let ours = Cache::parse(&written, Encoding::Little).unwrap();
    let list = |cache: &Cache| {
        let entries = cache.entries();
        entries.map(|it| (it.name.to_string(), it.path.to_string(), it.flags, it.hwcap)).collect::<Vec<_>>()
    };
    let hwcaps = |cache: &Cache| cache.hwcaps().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(hwcaps(&ours), hwcaps(&read));
    assert!(!hwcaps(&ours).is_empty());
    // Of two paths for one name ldconfig keeps the order of its folders; here that was turned round.
    let (mut ours, mut theirs) = (list(&ours), list(&read));
    assert_eq!(
        ours.iter().map(|it| &it.0).collect::<Vec<_>>(),
        theirs.iter().map(|it| &it.0).collect::<Vec<_>>()
    );
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);

    let file = folder.path("ours.cache");
    write(&file, &written);
    let ldconfig = ["/sbin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find(|path| Path::new(path).exists());
    let output = Command::new(ldconfig.unwrap()).arg("-p").arg("-C").arg(&file).output().unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|line| line.starts_with('\t')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(sorted(&said), sorted(&printed), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Cache generated by: pitstop"), "{said}");
}

#[test]
fn the_real_loader_finds_by_it_what_it_would_not_find_and_the_best_for_the_processor() {
    let Some(loader) = host_loader() else { return };
    let folder = Folder::new("cache-loader");
    let library = |soname: &str| Image { soname: Some(soname.to_owned()), ..Image::default() }.bytes();
    let names = ["libpit.so.9", "libpit.so.10", "libpit2.so"];
    let kind = cache::flags::default(loader.target);
    let mut entries = Vec::new();
    let mut add = |path: &str, name: &str, capability: Capability| {
        write(&folder.path(path), &library(name));
        let path = folder.path(path).to_str().unwrap().to_owned();
        entries.push(NewEntry { name: name.into(), path: path.into(), flags: kind, capability });
    };
    for name in names {
        add(&format!("plain/{name}"), name, Capability::Bits(0));
        for subdirectory in ["x86-64-v2", "x86-64-v3", "x86-64-v4", "other"] {
            let capability = Capability::Subdirectory { name: subdirectory.to_owned(), isa_level: 0 };
            add(&format!("plain/glibc-hwcaps/{subdirectory}/{name}"), name, capability);
        }
    }
    entries.extend(loader.cache.iter().flat_map(Cache::to_new));
    let file = folder.path("ours.cache");
    let written = cache::write(&entries, loader.target.encoding, "pitstop").unwrap();
    write(&file, &written);
    let ours = Cache::parse(&written, loader.target.encoding).unwrap();

    let needed = names.iter().map(|&name| name.to_owned()).collect();
    let program = Image { loader: Some(support::LOADER.to_owned()), needed, ..Image::default() };
    write(&folder.path("main"), &program.bytes());
    let trace = |with: &[&str]| {
        let mut command = Command::new("bwrap");
        command.args(["--dev-bind", "/", "/"]).args(with).args(["--setenv", "LD_TRACE_LOADED_OBJECTS", "1"]);
        let output = command.arg(folder.path("main")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let alone = trace(&[]);
    assert_eq!(alone.matches("not found").count(), names.len(), "{alone}");
    let at = loader.cache_path.as_ref().unwrap().to_str().unwrap().to_owned();
    let said = trace(&["--ro-bind", file.to_str().unwrap(), &at]);
    for name in names {
        let best = ours.lookup(name.into(), loader.target, loader.capabilities()).unwrap();
        assert!(
            said.contains(&format!("{name} => {} ", best.display())),
            "{name}: {}\n{said}",
            best.display()
        );
        let has_level = loader.hwcaps.iter().any(|name| name == "x86-64-v2");
        assert_eq!(best.to_str().unwrap().contains("glibc-hwcaps"), has_level);
    }
}
