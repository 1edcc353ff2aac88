//! A venv that lacks one library, made without network: the module `needy._x` needs `libpstest.so.1`, which the package
//! `giver` of the same venv brings where no loader looks.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::snapshot::{Snapshot, snapshot};

/// A Python that every user of the machine can start.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
/// A command that runs longer hangs: none of these takes a second.
const HANGS_SECONDS: &str = "300";

/// An extension module without the headers of Python: one module definition, and a call into the library.
const MODULE: &str = "
    int pstest_value(void);
    void *PyModule_Create2(void *, int);
    static struct { long count; void *type, *init; long index; void *copy; const char *name, *doc; long size;
                    void *methods, *slots, *traverse, *clear, *free; } definition =
        { 1, 0, 0, 0, 0, \"_x\", 0, -1, 0, 0, 0, 0, 0 };
    void *PyInit__x(void) { return pstest_value() == 42 ? PyModule_Create2(&definition, 1013) : 0; }
";

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("standard output is text"),
            err: String::from_utf8(output.stderr).expect("standard error is text"),
        }
    }

    /// That it ended with `status`, that its words hold each of `words`, and that no control character came through.
    #[track_caller]
    pub(crate) fn ends(&self, status: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(status), "{self:?}");
        let all = format!("{}{}", self.out, self.err);
        assert!(!all.contains("panicked"), "{self:?}");
        assert!(!all.contains(|c: char| c.is_control() && c != '\n'), "{self:?}");
        for word in words {
            assert!(all.contains(word), "`{word}` is not in {self:?}");
        }
        self
    }

    /// The one JSON document that standard output is.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The native files, built once.
struct Built {
    module: Vec<u8>,
    library: Vec<u8>,
    suffix: String,
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = "int pstest_value(void) { return 42; }";
        gcc(folder.path(), library, "libpstest.so.1", &["-Wl,-soname,libpstest.so.1"]);
        gcc(folder.path(), MODULE, "_x.so", &["-L.", "-l:libpstest.so.1"]);
        let code = "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))";
        let suffix = Ran::of(Command::new(PYTHON).args(["-c", code]).output().unwrap());
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        Built { module: read("_x.so"), library: read("libpstest.so.1"), suffix: suffix.out.trim().to_owned() }
    })
}

/// Compiles C code to a shared library.
pub(crate) fn gcc(folder: &Path, code: &str, name: &str, options: &[&str]) {
    let source = folder.join(format!("{name}.c"));
    fs::write(&source, code).unwrap();
    let made = Command::new("gcc")
        .current_dir(folder)
        .args(["-shared", "-fPIC", "-o", name])
        .arg(&source)
        .args(options)
        .output()
        .expect("gcc is there");
    assert!(made.status.success(), "{made:?}");
}

/// A venv in a folder of its own.
pub(crate) struct Venv {
    folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) site: PathBuf,
}

impl Venv {
    /// The venv that lacks a library.
    pub(crate) fn lacking() -> Self {
        Self::named("v")
    }

    /// The same, its folder named so.
    pub(crate) fn named(name: &str) -> Self {
        let venv = Self::bare(name);
        let Built { module, library, suffix } = built();
        venv.write("needy/__init__.py", "");
        fs::write(venv.module(), module).unwrap();
        venv.own("needy-1.0", &["needy/__init__.py", &format!("needy/_x{suffix}")]);
        venv.write("giver/__init__.py", "");
        fs::write(venv.library(), library).unwrap();
        venv.own("giver-2.0", &["giver/__init__.py", "giver/libpstest.so.1"]);
        venv
    }

    /// A venv without packages.
    pub(crate) fn bare(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        let made = Command::new(PYTHON)
            .args(["-I", "-m", "venv", "--without-pip"])
            .arg(&root)
            .output()
            .expect("python3 is there");
        assert!(made.status.success(), "{made:?}");
        let lib = fs::read_dir(root.join("lib")).unwrap().next().unwrap().unwrap().path();
        let site = lib.join("site-packages");
        Self { folder, root, site }
    }

    /// The module that needs the library.
    pub(crate) fn module(&self) -> PathBuf {
        self.site.join(format!("needy/_x{}", built().suffix))
    }

    /// The library that it needs.
    pub(crate) fn library(&self) -> PathBuf {
        self.site.join("giver/libpstest.so.1")
    }

    /// The venv's Python.
    pub(crate) fn python(&self) -> PathBuf {
        self.root.join("bin/python")
    }

    /// A path beside the venv, for what tests leave there.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in site-packages.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.site.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Lists files in the `RECORD` of a package.
    pub(crate) fn own(&self, package: &str, files: &[&str]) {
        let lines: String = files.iter().map(|file| format!("{file},,\n")).collect();
        self.write(&format!("{package}.dist-info/RECORD"), lines);
    }

    /// The machine's Python, installed a second time beside the venv, without pip: as by a version manager.
    pub(crate) fn other_python(&self) -> PathBuf {
        let real = fs::canonicalize(PYTHON).unwrap();
        let (name, root) = (real.file_name().unwrap().to_owned(), self.beside("other"));
        if root.exists() {
            return root.join("bin").join(name);
        }
        for folder in ["bin", "lib"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(&real, root.join("bin").join(&name)).unwrap();
        let library = root.join("lib").join(&name);
        fs::create_dir(&library).unwrap();
        for entry in fs::read_dir(Path::new("/usr/lib").join(&name)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name() != Some(OsStr::new("sitecustomize.py")) {
                symlink(&path, library.join(path.file_name().unwrap())).unwrap();
            }
        }
        // Debian's Python has Debian's packages, wherever it lies.
        let without =
            "import sys\nsys.path[:] = [path for path in sys.path if 'dist-packages' not in path]\n";
        fs::write(library.join("sitecustomize.py"), without).unwrap();
        root.join("bin").join(name)
    }

    /// A folder with wheels as an installer takes them: of both packages, and of `wants`, which depends on both.
    pub(crate) fn wheels(&self) -> PathBuf {
        let folder = self.beside("wheels");
        fs::create_dir_all(&folder).unwrap();
        let module = (format!("needy/_x{}", built().suffix), built().module.as_slice());
        let needy = [("needy/__init__.py".to_owned(), b"".as_slice()), module];
        write_wheel(&folder, "needy", "1.0", "", &needy);
        let library = ("giver/libpstest.so.1".to_owned(), built().library.as_slice());
        write_wheel(
            &folder,
            "giver",
            "2.0",
            "",
            &[("giver/__init__.py".to_owned(), b"".as_slice()), library],
        );
        write_wheel(&folder, "wants", "1.0", "Requires-Dist: needy>=1\nRequires-Dist: giver\n", &[]);
        folder
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        snapshot(&self.root)
    }

    /// Puts another Python in the place of the venv's: a script.
    pub(crate) fn replace_python(&self, script: &str) {
        for name in ["python", "python3"] {
            let path = self.root.join("bin").join(name);
            let _ = fs::remove_file(&path);
            write_program(&path, script);
        }
    }

    /// Puts a link there instead.
    pub(crate) fn link_python(&self, target: &str) {
        for name in ["python", "python3"] {
            let path = self.root.join("bin").join(name);
            let _ = fs::remove_file(&path);
            symlink(target, &path).unwrap();
        }
    }

    /// Whether `import needy._x` works in the venv's Python, with no variable set; its last words where it does not.
    pub(crate) fn import(&self) -> Result<(), String> {
        let mut command = Command::new(self.python());
        let ran = Ran::of(command.env_clear().args(["-B", "-c", "import needy._x"]).output().unwrap());
        if ran.code == Some(0) && ran.err.is_empty() { Ok(()) } else { Err(ran.err) }
    }

    #[track_caller]
    pub(crate) fn imports_not(&self) {
        let words = self.import().unwrap_err();
        let expected =
            "ImportError: libpstest.so.1: cannot open shared object file: No such file or directory\n";
        assert!(words.ends_with(expected), "{words}");
    }

    /// The command, its words first, as the user of the test.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        self.around(&[], words)
    }

    /// The command, run by another one.
    pub(crate) fn around<S: AsRef<OsStr>>(
        &self,
        before: &[&str],
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        let first = before.iter().map(OsString::from);
        let own = std::iter::once(OsString::from(env!("CARGO_BIN_EXE_pitstop")));
        let mut all = first.chain(own).chain(words.into_iter().map(|word| word.as_ref().to_owned()));
        let mut command = Command::new(all.next().unwrap());
        command.args(all).current_dir(self.folder.path());
        for name in ["VIRTUAL_ENV", "NO_COLOR", "CLICOLOR_FORCE", "LD_LIBRARY_PATH"] {
            command.env_remove(name);
        }
        command.env("XDG_CACHE_HOME", self.beside("cache"));
        command
    }

    /// Runs `pitstop WORD… VENV`.
    pub(crate) fn pitstop(&self, words: &str) -> Ran {
        self.pitstop_on(words, &self.root)
    }

    /// Runs `pitstop WORD… PATH`.
    pub(crate) fn pitstop_on(&self, words: &str, path: &Path) -> Ran {
        let words = words.split_whitespace().map(OsStr::new).chain([path.as_os_str()]);
        Ran::of(self.around(&["timeout", HANGS_SECONDS], words).output().unwrap())
    }

    /// Runs `pitstop WORD… VENV` as an ordinary user, who owns all of it.
    pub(crate) fn pitstop_as_nobody(&self, words: &str) -> Ran {
        if !is_root() {
            return self.pitstop(words);
        }
        // The command may lie where only its owner can reach it.
        let own = self.beside("pitstop");
        fs::copy(env!("CARGO_BIN_EXE_pitstop"), &own).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "timeout", HANGS_SECONDS]);
        command.arg(&own).args(words.split_whitespace()).arg(&self.root).current_dir(self.folder.path());
        command.env_remove("VIRTUAL_ENV").env("HOME", self.folder.path()).env_remove("XDG_CACHE_HOME");
        Ran::of(command.output().expect("setpriv is there"))
    }

    /// Gives the venv and the folder around it to an ordinary user.
    pub(crate) fn give_to_nobody(&self) {
        if is_root() {
            let mut chown = Command::new("chown");
            assert!(chown.args(["-Rh", "65534:65534"]).arg(self.folder.path()).status().unwrap().success());
        }
    }
}

/// Writes a wheel for every Python.
pub(crate) fn write_wheel(
    folder: &Path,
    name: &str,
    version: &str,
    requires: &str,
    files: &[(String, &[u8])],
) {
    let path = folder.join(format!("{name}-{version}-py3-none-any.whl"));
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    let mut record = String::new();
    let mut add = |path: &str, bytes: &[u8]| {
        zip.start_file(path, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
        record += &format!("{path},,\n");
    };
    for (path, bytes) in files {
        add(path, bytes);
    }
    let info = format!("{name}-{version}.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}");
    add(&format!("{info}/METADATA"), metadata.as_bytes());
    let wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    add(&format!("{info}/WHEEL"), wheel);
    record += &format!("{info}/RECORD,,\n");
    zip.start_file(format!("{info}/RECORD"), SimpleFileOptions::default()).unwrap();
    zip.write_all(record.as_bytes()).unwrap();
    zip.finish().unwrap();
}

/// Whether this process may do anything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Writes a program by another process's hand. Were it ours, a child that another test's thread has just forked would hold
/// the file open for writing, and whoever starts it meanwhile would be told that it is busy.
fn write_program(path: &Path, script: &str) {
    let source = path.with_extension("source");
    fs::write(&source, script).unwrap();
    let installed = Command::new("install").args(["-m", "755"]).args([&source, path]).status().unwrap();
    assert!(installed.success());
    fs::remove_file(&source).unwrap();
}
