//! Venvs of every Python on this machine, with an extension module that needs a library lying where no loader looks.
//!
//! Pythons are taken from `PATH` by their usual names, and from `PITSTOP_TEST_PYTHONS` (paths, separated by colons).

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use fs_err as fs;
use pitstop_core::plan::hook::{self, HookData, PythonId};
use pitstop_core::plan::{Inside, Plan};
use pitstop_host::apply::{Venv, compile_hook};
use tempfile::TempDir;

/// An interpreter, with what the tests have to know of it.
#[derive(Clone, Debug)]
pub struct Python {
    pub path: PathBuf,
    pub id: PythonId,
}

pub static PYTHONS: LazyLock<Vec<Python>> = LazyLock::new(|| {
    let mut candidates: Vec<PathBuf> = ["python3".to_owned()]
        .into_iter()
        .chain((8..=15).map(|minor| format!("python3.{minor}")))
        .map(PathBuf::from)
        .collect();
    candidates.extend(std::env::split_paths(&std::env::var_os("PITSTOP_TEST_PYTHONS").unwrap_or_default()));
    let mut found: Vec<Python> = Vec::new();
    for path in candidates {
        let code = "import sys; print(sys.version_info[1]); print(sys.base_prefix)";
        let Ok(output) = Command::new(&path).args(["-I", "-c", code]).output() else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        let (Some(Ok(minor)), Some(prefix)) = (lines.next().map(str::parse::<u32>), lines.next()) else {
            continue;
        };
        let id = PythonId { version: (3, minor), base_prefix: prefix.into() };
        if minor >= 8 && !found.iter().any(|other| other.id == id) {
            found.push(Python { path, id });
        }
    }
    assert!(!found.is_empty(), "no python3 here");
    found
});

pub const LIBRARIES: [(&str, &str, &[&str]); 2] = [
    ("libpsfirst.so.1", "int ps_first(void) { return 20; }", &[]),
    (
        "libpstest.so.1",
        "int ps_first(void); int ps_answer(void) { return ps_first() + 22; }",
        &["libpsfirst.so.1"],
    ),
];

/// An extension module without `Python.h`, whose structures it repeats: a header is not installed everywhere.
pub const MODULE: &str = r#"
typedef struct { long count; void *type; void *init; long index; void *copy; } Base;
typedef struct { int slot; void *value; } Slot;
typedef struct { Base base; const char *name, *doc; long size; void *methods; Slot *slots; void *a, *b, *c; } Def;
extern int PyModule_AddIntConstant(void *, const char *, long);
extern void *PyModuleDef_Init(Def *);
extern int ps_answer(void);
static int fill(void *module) { return PyModule_AddIntConstant(module, "answer", ps_answer()); }
static Slot slots[] = {{2, fill},
#ifdef OWN_GIL
    {3, (void *)2},
#endif
    {0, 0}};
static Def def = {{1}, "pst", 0, 0, 0, slots};
void *PyInit_pst(void) { return PyModuleDef_Init(&def); }
"#;

pub fn compile(folder: &Path, name: &str, source: &str, arguments: &[&OsStr]) {
    let input = folder.join("source.c");
    fs::write(&input, source).unwrap();
    let output = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.join(name))
        .arg(&input)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(input).unwrap();
}

/// A venv with `pst.so` and `pkg/libdata.so`, both needing `libpstest.so.1`, which lies elsewhere.
pub struct Lab {
    pub top: TempDir,
    pub venv: PathBuf,
    pub site: PathBuf,
    pub python: Python,
}

impl Lab {
    pub fn new(python: &Python) -> Self {
        Self::named(python, OsStr::new("venv"), &[])
    }

    pub fn named(python: &Python, name: &OsStr, options: &[&str]) -> Self {
        let top = TempDir::new().unwrap();
        let venv = top.path().join(name);
        let made = Command::new(&python.path)
            .args(["-I", "-m", "venv", "--without-pip"])
            .args(options)
            .arg(&venv)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let site = venv.join(format!("lib/python3.{}/site-packages", python.id.version.1));
        let libraries = top.path().join("elsewhere");
        fs::create_dir(&libraries).unwrap();
        for (library, source, needs) in LIBRARIES {
            let soname = format!("-Wl,-soname,{library}");
            let needs: Vec<_> = needs.iter().map(|need| libraries.join(need)).collect();
            let mut arguments: Vec<&OsStr> = vec![soname.as_ref()];
            arguments.extend(needs.iter().map(|need| need.as_os_str()));
            compile(&libraries, library, source, &arguments);
        }
        fs::create_dir(site.join("pkg")).unwrap();
        let needed = libraries.join("libpstest.so.1");
        let own_gil = if python.id.version.1 >= 12 { "-DOWN_GIL" } else { "-DNONE" };
        let arguments = [needed.as_os_str(), "-Wl,--allow-shlib-undefined".as_ref(), own_gil.as_ref()];
        compile(&site, "pst.so", MODULE, &arguments);
        compile(
            &site.join("pkg"),
            "libdata.so",
            "int ps_answer(void); int data(void) { return ps_answer(); }",
            &[needed.as_os_str()],
        );
        Self { top, venv, site, python: python.clone() }
    }

    pub fn data(&self) -> HookData {
        let elsewhere = self.top.path().join("elsewhere");
        HookData {
            python: self.python.id.clone(),
            libraries: LIBRARIES.iter().map(|(name, ..)| elsewhere.join(name)).collect(),
            files: BTreeMap::from([("pst.so".into(), vec![0, 1]), ("pkg/libdata.so".into(), vec![0, 1])]),
            names: BTreeMap::new(),
        }
    }

    pub fn fix(&self) -> &Self {
        self.fix_with(&self.data())
    }

    pub fn fix_with(&self, data: &HookData) -> &Self {
        let bytecode = compile_hook(&self.venv.join("bin/python")).unwrap();
        let site = Inside::new(self.site.strip_prefix(&self.venv).unwrap()).unwrap();
        let operations = hook::operations(Some(&site), data, Some(bytecode)).unwrap();
        Venv::lock(&self.venv).unwrap().apply(&Plan { operations }).unwrap();
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command.args(arguments).env_clear().stdin(Stdio::null()).current_dir(self.top.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs code in a Python of its own, which has to succeed without a word on standard error.
    pub fn good(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert!(ran.ok && ran.err.is_empty(), "{:?} {arguments:?}: {ran:?}", self.python);
        ran.out
    }
}

#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Python came up and did what it was told, with exactly one line of complaint.
    pub fn complains(&self, of: &str) {
        let ours: Vec<_> = self.err.lines().filter(|line| line.starts_with("pitstop: ")).collect();
        assert_eq!(ours.len(), 1, "{self:?}");
        assert!(ours[0].contains(of) && ours[0].contains("; run `pitstop fix "), "{of}: {self:?}");
    }
}

pub const IMPORT: &str = "import pst; print(pst.answer)";
/// What does not load must not do more than that.
pub const TRY: &str = "
try:
    import pst
except ImportError as error:
    print('failed', 'libpstest.so.1' in str(error))
else:
    print(pst.answer)
";
