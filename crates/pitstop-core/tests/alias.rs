//! Stand-ins for libraries, loaded by the real loader into a real Python, and read by `readelf`, `ldd` and ourselves.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bstr::{BString, ByteSlice as _};
use pitstop_core::alias::{AliasError, library};
use pitstop_core::elf::{Class, Elf, Encoding, Target};
use tempfile::TempDir;

const X86_64: Target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };

/// The machine the tests run on, where that is one a stand-in can be made for.
fn native() -> Target {
    Elf::read(fs::read("/proc/self/exe").unwrap().as_slice()).unwrap().target
}

const FOO: &str = "int foo(void) { return 42; }";
const MODULE: &str = "int foo(void); int call(void) { return foo(); }";

/// Loads the module, then the stand-in, then the module again; says what came of each.
const LOAD: &str = "
import _ctypes, ctypes, sys
alias, module = sys.argv[1:]
try:
    ctypes.CDLL(module)
    print('before: loaded')
except OSError as error:
    print('before:', error)
try:
    _ctypes.dlopen(alias, 0)
    print('after:', ctypes.CDLL(module).call())
except OSError as error:
    print('after:', error)
print('executable:', [line for line in open('/proc/self/maps') if '[stack]' in line and 'x' in line.split()[1]])
";

/// A folder with what a compiler made in it.
struct Shop(TempDir);

impl Shop {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a shared library, whose folder is made if need be.
    fn compile(&self, name: impl AsRef<Path>, code: &str, arguments: &[&OsStr]) -> PathBuf {
        let (output, source) = (self.path(name), self.path("source.c"));
        fs::create_dir_all(output.parent().unwrap()).unwrap();
        fs::write(&source, code).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&output).arg(&source).args(arguments);
        assert!(gcc.status().unwrap().success(), "{gcc:?}");
        output
    }

    /// `foo`, in a library with this soname and version script.
    fn foo(&self, name: impl AsRef<Path>, soname: Option<&str>, versions: Option<&str>) -> PathBuf {
        let script = self.path("versions.map");
        fs::write(&script, versions.unwrap_or_default()).unwrap();
        let mut arguments = Vec::from_iter(soname.map(|soname| format!("-Wl,-soname,{soname}")));
        arguments.extend(versions.map(|_| format!("-Wl,--version-script,{}", script.display())));
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        self.compile(name, FOO, &arguments)
    }

    /// A module that needs `foo` of `libfoo.so.4`, which is nowhere to be found.
    fn module(&self, versions: Option<&str>) -> PathBuf {
        let linked = self.foo("linked/libfoo.so.4", Some("libfoo.so.4"), versions);
        let module = self.compile("module.so", MODULE, &[linked.as_os_str()]);
        fs::remove_file(linked).unwrap();
        module
    }

    /// A stand-in for `libfoo.so.4`.
    fn alias(&self, file: &Path) -> PathBuf {
        let alias = self.path("alias.so");
        fs::write(&alias, library("libfoo.so.4".into(), file, native()).unwrap()).unwrap();
        alias
    }
}

/// What Python says of the module before and after the stand-in.
fn load(alias: &Path, module: &Path) -> (String, String) {
    let mut python = Command::new("/usr/bin/python3");
    let said = said(python.args(["-I", "-c", LOAD]).arg(alias).arg(module));
    let line = |name: &str| {
        said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert_eq!(line("executable: "), "[]");
    (line("before: "), line("after: "))
}

/// Standard output of a command that succeeds and complains of nothing.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.env("LC_ALL", "C").output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{command:?}: {}", stderr.as_bstr());
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_module_finds_another_version_by_the_name_it_needs() {
    let shop = Shop::new();
    let module = shop.module(None);
    let cannot = "libfoo.so.4: cannot open shared object file: No such file or directory";
    for (name, soname, versions) in [
        ("libfoo.so.5", Some("libfoo.so.5"), None),
        ("libfoo.so.5", Some("libfoo.so.5"), Some("FOO_5 { foo; };")),
        ("libfoo.so.4", None, None),
        ("libfoo.so", Some("other.so"), None),
    ] {
        let real = shop.foo(Path::new("store").join(name), soname, versions);
        assert_eq!(load(&real, &module), (cannot.into(), cannot.into()), "{name}, {soname:?}");
        let expected = (cannot.into(), "42".into());
        assert_eq!(load(&shop.alias(&real), &module), expected, "{name}, {soname:?}");
    }
}

#[test]
fn versions_are_asked_of_the_real_library() {
    let shop = Shop::new();
    let module = shop.module(Some("FOO_4 { foo; };"));
    let needs = Elf::read(fs::read(&module).unwrap().as_slice()).unwrap().version_needs;
    assert!(needs.iter().any(|need| need.file == "libfoo.so.4" && need.versions[0].name == "FOO_4"));
    let undefined = format!("{}: undefined symbol: foo, version FOO_4", module.display());
    for (soname, versions, expected) in [
        (Some("libfoo.so.5"), None, "42"),
        (None, None, "42"),
        (Some("libfoo.so.5"), Some("FOO_4 { foo; };"), "42"),
        (Some("libfoo.so.5"), Some("FOO_4 { foo; }; FOO_5 { other; } FOO_4;"), "42"),
        // It has versions, and the symbol is in none of them.
        (Some("libfoo.so.5"), Some("FOO_5 { other; };"), "42"),
        (Some("libfoo.so.5"), Some("FOO_5 { foo; };"), undefined.as_str()),
        // That the library knows the version does not help where the symbol is in another.
        (Some("libfoo.so.5"), Some("FOO_4 { other; }; FOO_5 { foo; } FOO_4;"), undefined.as_str()),
    ] {
        let real = shop.foo("store/libfoo.so.5", soname, versions);
        let (_, after) = load(&shop.alias(&real), &module);
        assert_eq!(after, expected, "{soname:?} {versions:?}");
    }
}

#[test]
fn a_program_hears_of_missing_versions_and_dies_at_the_call_where_they_differ() {
    let shop = Shop::new();
    let linked = shop.foo("linked/libfoo.so.4", Some("libfoo.so.4"), Some("FOO_4 { foo; };"));
    let (program, source) = (shop.path("program"), shop.path("program.c"));
    let code = "#include <stdio.h>\nint foo(void); int main(void) { puts(\"up\"); fflush(stdout); return foo() - 42; }";
    fs::write(&source, code).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-Wl,-z,lazy", "-o"]).arg(&program).arg(&source).arg(&linked);
    assert!(gcc.status().unwrap().success());
    for (versions, status, complaint) in
        [(None, 0, "no version information available"), (Some("FOO_5 { foo; };"), 127, "symbol lookup error")]
    {
        let real = shop.foo("store/libfoo.so.5", Some("libfoo.so.5"), versions);
        fs::rename(shop.alias(&real), &linked).unwrap();
        let folder = linked.parent().unwrap();
        let output = Command::new(&program).env("LD_LIBRARY_PATH", folder).output().unwrap();
        assert_eq!(output.stdout.as_bstr(), "up\n");
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(output.stderr.contains_str(complaint), "{output:?}");
    }
}

#[test]
fn ldd_follows_it_to_the_real_library() {
    let shop = Shop::new();
    let module = shop.module(None);
    let real = shop.foo("store/libfoo.so.5", Some("libfoo.so.5"), None);
    let alias = shop.path("linked/libfoo.so.4");
    fs::rename(shop.alias(&real), &alias).unwrap();
    let printed = said(Command::new("ldd").arg(&module).env("LD_LIBRARY_PATH", alias.parent().unwrap()));
    let found = |start: &str| printed.lines().any(|line| line.trim().starts_with(start));
    assert!(found(&format!("libfoo.so.4 => {} (0x", alias.display())), "{printed}");
    assert!(found(&format!("{} (0x", real.display())), "{printed}");
}

#[test]
fn a_path_is_refused_where_the_loader_would_open_another_and_nowhere_else() {
    let shop = Shop::new();
    let module = shop.module(None);
    let folders = [
        (true, "a b"),
        (true, "a:b"),
        (true, "a;b,c\\\"'"),
        (true, "ünïcode"),
        (true, "a$b"),
        (true, "$"),
        (true, "$$"),
        (true, "$ORIGINAL"),
        (true, "$LIB_"),
        (true, "$LIB64"),
        (true, "$lib"),
        (true, "${LIB"),
        (true, "${LIBRARY}"),
        (true, "${ LIB}"),
        (true, "ORIGIN"),
        (false, "$ORIGIN"),
        (false, "x$LIB"),
        (false, "$LIB:y"),
        (false, "$LIB.d"),
        (false, "$PLATFORM-1"),
        (false, "$$LIB"),
        (false, "$LIBé"),
        (false, "${LIB}rary"),
        (false, "${ORIGIN}"),
        (false, "a$b${PLATFORM}"),
    ];
    for (fine, folder) in folders {
        let real = shop.foo(Path::new(folder).join("libfoo.so.5"), Some("libfoo.so.5"), None);
        let made = library("libfoo.so.4".into(), &real, native());
        assert_eq!(made.is_ok(), fine, "{folder}: {made:?}");
        // What would come of it: the bytes for a harmless path of the same length, with the path put in.
        let wanted = real.as_os_str().as_bytes();
        let harmless = wanted.replace("$", "_");
        let forged =
            library("libfoo.so.4".into(), Path::new(OsStr::from_bytes(&harmless)), native()).unwrap();
        let forged = forged.replace(&harmless, wanted);
        assert!(made.is_err() || made.as_ref() == Ok(&forged));
        let alias = shop.path("alias.so");
        fs::write(&alias, forged).unwrap();
        let (_, after) = load(&alias, &module);
        assert_eq!(after == "42", fine, "{folder}: {after}");
    }
}

#[test]
fn every_machine_gets_a_file_that_readelf_and_we_read() {
    let shop = Shop::new();
    let (soname, path) = ("libfoo.so.4", "/nix/store/xyz-foo-5/lib/libfoo.so.5");
    let little = |class, machine| Target { class, encoding: Encoding::Little, machine };
    for (target, name, flags, size) in [
        (X86_64, "X86-64", "0x0", 447),
        (little(Class::Bits64, 183), "AArch64", "0x0", 447),
        (little(Class::Bits32, 3), "Intel 80386", "0x0", 279),
        (little(Class::Bits32, 40), "ARM", "0x5000000, Version5 EABI", 279),
        (little(Class::Bits64, 243), "RISC-V", "0x4, double-float ABI", 447),
        (Target { encoding: Encoding::Big, ..little(Class::Bits64, 183) }, "AArch64", "0x0", 447),
        (
            Target { encoding: Encoding::Big, ..little(Class::Bits32, 40) },
            "ARM",
            "0x5000000, Version5 EABI",
            279,
        ),
    ] {
        let bytes = library(soname.into(), Path::new(path), target).unwrap();
        assert_eq!(bytes.len(), size + soname.len() + path.len(), "{name}");
        assert_eq!(library(soname.into(), Path::new(path), target).as_ref(), Ok(&bytes));
        let facts = Elf {
            dynamic: true,
            soname: Some(BString::from(soname)),
            needed: vec![BString::from(path)],
            ..Elf::bare(target)
        };
        assert_eq!(Elf::read(bytes.as_slice()), Ok(facts), "{name}");
        assert_eq!(pitstop_core::elf::defines_symbol(bytes.as_slice(), b"foo"), Ok(false));
        let file = shop.path("alias.so");
        fs::write(&file, bytes).unwrap();
        let printed =
            said(Command::new("readelf").args(["-W", "-h", "-l", "-d", "-s", "-D", "-I"]).arg(&file));
        let printed = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let printed: Vec<_> = printed.collect();
        let has = |part: &str| printed.iter().any(|line| line.contains(part));
        for part in [
            &format!("Shared library: [{path}]"),
            &format!("Library soname: [{soname}]"),
            "(GNU_HASH)",
            "(HASH)",
            "(STRTAB)",
            "(SYMTAB)",
            "(STRSZ)",
            "(SYMENT)",
            name,
            &format!("Flags: {flags}"),
            "Symbol table for image contains 1 entry:",
        ] {
            assert!(has(part), "{name}: no {part} in {printed:#?}");
        }
        for kind in ["LOAD 0x0", "DYNAMIC 0x0", "GNU_STACK 0x0"] {
            let line = printed.iter().find(|line| line.starts_with(kind)).unwrap();
            assert!(line.contains(" RW 0x"), "{name}: {line}");
        }
    }
}

#[test]
fn what_no_loader_could_use_is_refused_with_a_reason() {
    let file = Path::new("/lib/libfoo.so.5");
    for name in ["", "lib/foo.so", "libfoo\0.so", &"x".repeat(256)] {
        assert_eq!(library(name.into(), file, X86_64), Err(AliasError::NotName(name.into())));
    }
    let refused = |path: &str| library("libfoo.so.4".into(), Path::new(path), X86_64).unwrap_err();
    assert_eq!(refused("lib/libfoo.so.5"), AliasError::NotAbsolute("lib/libfoo.so.5".into()));
    assert_eq!(refused("/lib\0/libfoo.so.5"), AliasError::NotPath("/lib\0/libfoo.so.5".into()));
    let long = format!("/{}", "x".repeat(4095));
    assert_eq!(refused(&long), AliasError::NotPath(long.as_str().into()));
    assert!(library("libfoo.so.4".into(), Path::new(&long[..4095]), X86_64).unwrap().len() < 2 * 4096);
    let message =
        "\"/a$LIB/x\": the loader replaces $LIB in a path; link to the library from a folder without it";
    assert!(matches!(refused("/a${LIB}/x"), AliasError::Token { token: "LIB", .. }));
    assert_eq!(refused("/a$LIB/x").to_string(), message);
    let sparc = Target { machine: 2, ..X86_64 };
    assert_eq!(library("libfoo.so.4".into(), file, sparc), Err(AliasError::Machine(2)));
}
