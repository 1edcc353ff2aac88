//! Patching real programs of every kind that a linker makes: they run with the new loader and search path, other tools
//! read the same, and undoing gives every byte back.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bstr::{BStr, BString, ByteSlice};
use common::Made;
use pitstop_core::elf::{Elf, Source};
use pitstop_core::patch::{Change, Edit, Edited, Manner, Patch, PatchError, PathKind, plan};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A folder with a library `libgreet.so`, a loader of a long name, and programs that need the library.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder };
        this.write("greet.c", "int greet(void) { return 42; }");
        this.write(
            "main.c",
            "int greet(void); char big[SPACE]; int main(void) { return greet() + big[SPACE - 1]; }",
        );
        this.write("alone.c", "int main(void) { return 42; }");
        std::fs::create_dir(this.path("farm")).unwrap();
        this.gcc(&["-shared", "-fPIC", "-Wl,-soname,libgreet.so", "-o", "farm/libgreet.so", "greet.c"]);
        std::os::unix::fs::symlink(LOADER, this.loader()).unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn loader(&self) -> PathBuf {
        self.path("a-loader-whose-name-is-as-long-as-those-in-a-store-ld-linux-x86-64.so.2")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn gcc(&self, arguments: &[&str]) {
        let done = Command::new("gcc").current_dir(self.folder.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}\n{}", done.stderr.as_bstr());
    }

    /// A program that needs `libgreet.so` and does not find it, linked with `flags`.
    fn program(&self, flags: &[&str]) -> Vec<u8> {
        self.program_with(flags, "-DSPACE=100000")
    }

    fn program_with(&self, flags: &[&str], space: &str) -> Vec<u8> {
        let common = ["-o", "program", space, "main.c", "-Lfarm", "-lgreet"];
        self.gcc(&[&common[..], flags].concat());
        std::fs::read(self.path("program")).unwrap()
    }

    /// The loader and the farm.
    fn change(&self, program: &[u8]) -> Change {
        let loader = self.loader().into_os_string().into_encoded_bytes();
        Change { loader: Some(loader.into()), ..Change::default() }.with_folder(
            &Elf::read(program).unwrap(),
            self.path("farm").to_str().unwrap().into(),
            PathKind::Runpath,
        )
    }

    /// Runs a program's bytes; written by another process, so that no child of another test holds them open for writing.
    fn run(&self, bytes: &[u8]) -> Option<i32> {
        self.install(bytes);
        Command::new(self.path("patched")).env_clear().status().unwrap().code()
    }

    fn install(&self, bytes: &[u8]) {
        std::fs::write(self.path("bytes"), bytes).unwrap();
        let done = Command::new("install")
            .args(["-m", "755"])
            .args([self.path("bytes"), self.path("patched")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    fn says(&self, tool: &str, arguments: &[&str]) -> String {
        let done =
            Command::new(tool).args(arguments).arg(self.path("patched")).env("LC_ALL", "C").output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{tool}: {}", done.stderr.as_bstr());
        String::from_utf8(done.stdout).unwrap()
    }
}

/// A file's bytes as edits leave them.
fn bytes_of(source: &(impl Source + ?Sized)) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.size_bytes()).unwrap()];
    source.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn applied(program: &[u8], patch: &Patch) -> Vec<u8> {
    bytes_of(&Edited::new(program, &patch.edits, patch.new_length))
}

/// What undo remembers: the old bytes under each edit.
fn record(program: &[u8], patch: &Patch) -> Vec<Edit> {
    let kept = |edit: &Edit| {
        let start = usize::try_from(edit.offset).unwrap().min(program.len());
        let end = (start + edit.bytes.len()).min(program.len());
        Edit { offset: edit.offset, bytes: program[start..end].to_vec() }
    };
    patch.edits.iter().map(kept).filter(|edit| !edit.bytes.is_empty()).collect()
}

/// The whole way: patched, read by other tools, run, and undone.
fn survives(shop: &Workshop, program: &[u8], manner: Option<Manner>) -> Vec<u8> {
    survives_change(shop, program, shop.change(program), manner)
}

fn survives_change(shop: &Workshop, program: &[u8], change: Change, manner: Option<Manner>) -> Vec<u8> {
    let made = plan(program, &change).unwrap_or_else(|error| panic!("{error}"));
    if let Some(manner) = manner {
        assert_eq!(made.manner, manner);
    }
    let result = applied(program, &made);
    assert_ne!(shop.run(program), Some(42), "it runs without a patch, so this test shows nothing");
    assert_eq!(shop.run(&result), Some(42), "{:?}", made.manner);

    let (kind, path) = change.path.unwrap();
    let dynamic = shop.says("readelf", &["-Wd"]);
    let tag = if kind == PathKind::Rpath { "(RPATH)" } else { "(RUNPATH)" };
    let line = dynamic.lines().find(|line| line.contains(tag)).unwrap_or_else(|| panic!("{dynamic}"));
    assert!(line.ends_with(&format!("[{path}]")), "{line}");
    let segments = shop.says("readelf", &["-Wl"]);
    assert!(segments.contains(&format!("[Requesting program interpreter: {}]", shop.loader().display())));
    let elf = Elf::read(result.as_slice()).unwrap();
    assert_eq!(PathKind::of(&elf), Some(kind));

    let undone = bytes_of(&Edited::new(result.as_slice(), &record(program, &made), made.old_length));
    assert!(undone == program, "undo changed something");
    result
}

const KINDS: [&[&str]; 8] = [
    &["-pie", "-fPIE"],
    &["-no-pie"],
    &["-pie", "-fPIE", "-Wl,-z,noseparate-code"],
    &["-no-pie", "-Wl,-z,noseparate-code"],
    &["-pie", "-fPIE", "-Wl,-rpath,/opt/nowhere,--enable-new-dtags"],
    &["-pie", "-fPIE", "-Wl,-rpath,$ORIGIN/nowhere,--disable-new-dtags"],
    &["-no-pie", "-Wl,-z,max-page-size=0x200000", "-Wl,-z,norelro"],
    &["-pie", "-fPIE", "-Wl,-z,now", "-s"],
];

#[test]
fn programs_of_every_kind_run_patched_and_are_undone_to_the_byte() {
    let shop = Workshop::new();
    let mut manners = Vec::new();
    for flags in KINDS {
        for spare in ["-Wl,-z,separate-code", "-Wl,--spare-dynamic-tags=0"] {
            let program = shop.program(&[flags, &[spare]].concat());
            let patched = survives(&shop, &program, None);
            manners.push(if patched.len() == program.len() { Manner::Padding } else { Manner::Appended });
            // patchelf goes by section headers.
            let loader = shop.says("patchelf", &["--print-interpreter"]);
            assert_eq!(loader.trim(), shop.loader().to_str().unwrap());
            let path = shop.says("patchelf", &["--print-rpath"]);
            assert!(path.trim().ends_with("/farm"), "{path}");
        }
    }
    assert!(manners.contains(&Manner::Padding) && manners.contains(&Manner::Appended), "{manners:?}");
}

#[test]
fn a_search_path_keeps_its_kind_and_what_it_had() {
    let shop = Workshop::new();
    for (dtags, kind) in [("--enable-new-dtags", PathKind::Runpath), ("--disable-new-dtags", PathKind::Rpath)]
    {
        let program = shop.program(&[&format!("-Wl,-rpath,$ORIGIN/../lib,{dtags}")]);
        let patched = survives(&shop, &program, None);
        let elf = Elf::read(patched.as_slice()).unwrap();
        let path = BString::from(format!("$ORIGIN/../lib:{}", shop.path("farm").display()));
        let (rpath, runpath) = match kind {
            PathKind::Rpath => (Some(path), None),
            PathKind::Runpath => (None, Some(path)),
        };
        assert_eq!((elf.rpath, elf.runpath), (rpath, runpath));
    }
}

#[test]
fn what_a_library_with_a_search_path_of_its_own_lacks_is_found_once_the_program_needs_it_too() {
    let shop = Workshop::new();
    shop.write("outer.c", "int greet(void); int outer(void) { return greet(); }");
    shop.write("main.c", "int outer(void); int main(void) { return outer(); }");
    let own = ["-Wl,-soname,libouter.so", "-Wl,-rpath,$ORIGIN", "-Lfarm", "-lgreet"];
    shop.gcc(&[&["-shared", "-fPIC", "-o", "libouter.so", "outer.c"], &own[..]].concat());
    for flags in KINDS {
        for spare in ["-Wl,-z,separate-code", "-Wl,--spare-dynamic-tags=0", "-Wl,--spare-dynamic-tags=1"] {
            let own = ["-L.", "-louter", "-Wl,--unresolved-symbols=ignore-in-shared-libs"];
            let path = "-Wl,-rpath,$ORIGIN";
            shop.gcc(&[&["-o", "program", "main.c", spare, path], flags, &own[..]].concat());
            let program = std::fs::read(shop.path("program")).unwrap();
            let mut change = shop.change(&program);
            let farm_alone = plan(program.as_slice(), &change).unwrap();
            assert_ne!(shop.run(&applied(&program, &farm_alone)), Some(42), "{flags:?}");
            change.needed = vec!["libgreet.so".into()];
            survives_change(&shop, &program, change, None);
            let needed = shop.says("readelf", &["-Wd"]);
            assert!(needed.contains("Shared library: [libouter.so]"), "{needed}");
            assert!(needed.contains("Shared library: [libgreet.so]"), "{needed}");
        }
    }
}

#[test]
fn a_program_without_section_headers_is_patched() {
    let shop = Workshop::new();
    for kind in ["-pie", "-no-pie"] {
        let mut program = shop.program(&[kind]);
        program[40..48].fill(0);
        program[60..64].fill(0);
        survives(&shop, &program, None);
    }
}

#[test]
fn uninitialised_data_stays_zero_under_a_new_segment() {
    // The program's answer includes the last byte of 3 MB of zeros.
    let shop = Workshop::new();
    for kind in ["-pie", "-no-pie"] {
        let program = shop.program_with(&[kind, "-Wl,--spare-dynamic-tags=0"], "-DSPACE=3000000");
        survives(&shop, &program, Some(Manner::Appended));
    }
}

#[test]
fn a_loader_of_a_shorter_name_goes_over_the_old_one() {
    let shop = Workshop::new();
    shop.gcc(&[
        "-o",
        "program",
        "alone.c",
        "-Wl,--dynamic-linker=/nowhere/ld-of-a-long-name-that-leaves-room.so",
    ]);
    let program = std::fs::read(shop.path("program")).unwrap();
    let change = Change { loader: Some(LOADER.into()), ..Change::default() };
    let patch = plan(program.as_slice(), &change).unwrap();
    assert_eq!((patch.manner, patch.edits.len()), (Manner::InPlace, 1));
    shop.install(&program);
    assert!(Command::new(shop.path("patched")).status().is_err());
    assert_eq!(shop.run(&applied(&program, &patch)), Some(42));
}

#[test]
fn what_is_appended_to_a_program_stays_where_it_is_looked_for() {
    let shop = Workshop::new();
    let roomy = shop.program(&["-pie", "-Wl,-z,separate-code"]);
    let full = shop.program_with(&["-pie", "-Wl,--spare-dynamic-tags=0"], "-DSPACE=10");

    // In padding nothing moves.
    let secret = [roomy.as_slice(), b"a payload with its index at the end"].concat();
    let patched = survives(&shop, &secret, Some(Manner::Padding));
    assert_eq!(patched.len(), secret.len());
    assert!(patched.ends_with(b"a payload with its index at the end"));

    // Where there is no padding, only what is known to be found is buried.
    let secret = [full.as_slice(), b"a payload with its index at the end"].concat();
    let error = plan(secret.as_slice(), &shop.change(&secret)).unwrap_err();
    assert_eq!(error, PatchError::Tail(35));

    let script = shop.path("payload.zip");
    let code = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr('a', 'hello')";
    assert!(Command::new("python3").args(["-c", code]).arg(&script).status().unwrap().success());
    let zipped = [full.as_slice(), std::fs::read(&script).unwrap().as_slice()].concat();
    let patched = survives(&shop, &zipped, Some(Manner::Appended));
    shop.install(&patched);
    let code = "import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).read('a') == b'hello'";
    assert!(Command::new("python3").args(["-c", code]).arg(shop.path("patched")).status().unwrap().success());

    let mut appimage = [full.as_slice(), b"hsqs and a file system".as_slice()].concat();
    appimage[8..11].copy_from_slice(b"AI\x02");
    let patched = survives(&shop, &appimage, Some(Manner::Appended));
    assert_eq!(&patched[full.len()..][..22], b"hsqs and a file system");
}

#[test]
fn a_patch_can_be_patched() {
    let shop = Workshop::new();
    let program = shop.program(&["-pie", "-Wl,--spare-dynamic-tags=0"]);
    let once = survives(&shop, &program, Some(Manner::Appended));
    std::fs::rename(shop.path("farm"), shop.path("elsewhere")).unwrap();
    let change = Change::default().with_folder(
        &Elf::read(once.as_slice()).unwrap(),
        shop.path("elsewhere").to_str().unwrap().into(),
        PathKind::Runpath,
    );
    let patch = plan(once.as_slice(), &change).unwrap();
    assert_eq!(shop.run(&applied(&once, &patch)), Some(42));
}

#[test]
fn static_programs_and_those_of_other_machines_are_refused() {
    let shop = Workshop::new();
    let change = Change { loader: Some(LOADER.into()), ..Change::default() };
    let path = Change { path: Some((PathKind::Runpath, "/x".into())), ..Change::default() };
    shop.gcc(&["-static", "-o", "fixed", "alone.c"]);
    shop.gcc(&["-static-pie", "-o", "pie", "alone.c"]);
    for name in ["fixed", "pie"] {
        let program = std::fs::read(shop.path(name)).unwrap();
        assert_eq!(plan(program.as_slice(), &change), Err(PatchError::Static("PT_INTERP")));
    }
    let fixed = std::fs::read(shop.path("fixed")).unwrap();
    assert_eq!(plan(fixed.as_slice(), &path), Err(PatchError::Static("PT_DYNAMIC")));
    let made =
        |narrow, big| Made { narrow, big, machine: 3, interp: Some(b"/x\0".into()), ..Made::default() };
    for (narrow, big) in [(true, false), (false, true), (true, true)] {
        let program = made(narrow, big).build();
        assert_eq!(plan(program.as_slice(), &change), Err(PatchError::Unsupported), "{narrow} {big}");
    }
}

#[test]
fn a_loader_of_one_byte_counts_as_none() {
    // opencv's libQt5Core has such a segment: it holds the terminator alone.
    let qt = Made {
        machine: 62,
        interp: Some(vec![0]),
        strings: vec![(1, "libc.so.6".into())],
        ..Made::default()
    };
    let library = qt.build();
    let change = Change { path: Some((PathKind::Runpath, "/farm".into())), ..Change::default() };
    let patch = plan(library.as_slice(), &change).unwrap();
    let elf = Elf::read(applied(&library, &patch).as_slice()).unwrap();
    assert_eq!((elf.loader, elf.runpath), (None, Some("/farm".into())));
}

#[test]
fn strings_that_no_file_can_hold_are_refused() {
    let shop = Workshop::new();
    let program = shop.program(&["-pie"]);
    for bad in ["", "a\0b", &"x".repeat(4096)] {
        let change = Change { loader: Some(bad.into()), ..Change::default() };
        assert!(matches!(plan(program.as_slice(), &change), Err(PatchError::String(_))), "{bad:?}");
        let change = Change { needed: vec!["libz.so.1".into(), bad.into()], ..Change::default() };
        assert!(matches!(plan(program.as_slice(), &change), Err(PatchError::String(_))), "{bad:?}");
    }
}

/// A patch of any file is refused, or says what it should and is undone.
fn never_half_right(program: &[u8], change: &Change) {
    let Ok(made) = plan(program, change) else { return };
    let result = applied(program, &made);
    let (before, after) = (Elf::read(program).unwrap(), Elf::read(result.as_slice()).unwrap());
    assert_eq!(after, change.applied_to(&before));
    let undone = bytes_of(&Edited::new(result.as_slice(), &record(program, &made), made.old_length));
    assert!(undone == program);
}

#[test]
fn programs_cut_short_or_damaged_are_refused_or_patched_whole() {
    let shop = Workshop::new();
    for flags in [["-pie"].as_slice(), &["-no-pie", "-Wl,--spare-dynamic-tags=0"]] {
        let program = shop.program(flags);
        let change = shop.change(&program);
        for length in (0..program.len()).step_by(97) {
            never_half_right(&program[..length], &change);
        }
        // Every byte of the headers, turned in several ways.
        let headers = 64 + 56 * usize::from(u16::from_le_bytes([program[56], program[57]]));
        for at in 16..headers {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = program.clone();
                damaged[at] ^= flip;
                never_half_right(&damaged, &change);
            }
        }
        // And of the dynamic section.
        let at = (0..headers).find(|at| at % 56 == 8 && program[*at..][..4] == [2, 0, 0, 0]).unwrap();
        let offset = u64::from_le_bytes(program[at + 8..][..8].try_into().unwrap());
        let start = usize::try_from(offset).unwrap();
        for at in start..start + 16 * 30 {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = program.clone();
                damaged[at] ^= flip;
                never_half_right(&damaged, &change);
            }
        }
    }
}

#[test]
fn overlapping_segments_are_refused() {
    let shop = Workshop::new();
    let mut program = shop.program(&["-pie"]);
    let count = usize::from(u16::from_le_bytes([program[56], program[57]]));
    let loads: Vec<usize> = (0..count).map(|index| 64 + 56 * index).filter(|at| program[*at] == 1).collect();
    // The second begins where the first does.
    let vaddr: [u8; 8] = program[loads[0] + 16..][..8].try_into().unwrap();
    program[loads[1] + 16..][..8].copy_from_slice(&vaddr);
    let error = plan(program.as_slice(), &shop.change(&program)).unwrap_err();
    assert_eq!(error, PatchError::Odd("its segments overlap, or are not in order"));
}

/// A file that counts what is read of it.
struct Counted {
    file: std::fs::File,
    read: std::sync::atomic::AtomicU64,
}

impl Source for Counted {
    fn size_bytes(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, std::sync::atomic::Ordering::Relaxed);
        self.file.read_exact_at(buffer, offset)
    }
}

#[test]
fn of_a_large_program_only_what_matters_is_read() {
    let shop = Workshop::new();
    shop.write("large.s", ".section .rodata\n.skip 64000000, 1\n.section .note.GNU-stack,\"\",@progbits\n");
    shop.program(&["-pie", "large.s", "-Wl,--spare-dynamic-tags=0"]);
    let file = std::fs::File::open(shop.path("program")).unwrap();
    let counted = Counted { file, read: 0.into() };
    assert!(counted.size_bytes() > 64_000_000);
    let patch = plan(&counted, &shop.change(&std::fs::read(shop.path("program")).unwrap())).unwrap();
    assert_eq!(patch.manner, Manner::Appended);
    let read = counted.read.into_inner();
    assert!(read < 200_000, "{read} bytes were read");
    let program = std::fs::read(shop.path("program")).unwrap();
    survives(&shop, &program, Some(Manner::Appended));
}

#[test]
fn every_dynamic_program_of_this_machine_can_be_patched_and_undone() {
    let mut count = 0;
    let change = |elf: &Elf| {
        let loader = "/nix/store/0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c-glibc-2.40-66/lib/ld-linux-x86-64.so.2";
        Change { loader: Some(loader.into()), ..Change::default() }.with_folder(
            elf,
            BStr::new("$ORIGIN/../.pitstop/farm"),
            PathKind::Runpath,
        )
    };
    for entry in Path::new("/usr/bin").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let Ok(program) = std::fs::read(&path) else { continue };
        let Ok(elf) = Elf::read(program.as_slice()) else { continue };
        if elf.loader.is_none() || program.len() > 4 << 20 {
            continue;
        }
        let change = change(&elf);
        let made =
            plan(program.as_slice(), &change).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let result = applied(&program, &made);
        let undone = bytes_of(&Edited::new(result.as_slice(), &record(&program, &made), made.old_length));
        assert!(undone == program, "{}", path.display());
        count += 1;
    }
    assert!(count > 50, "{count}");
}
