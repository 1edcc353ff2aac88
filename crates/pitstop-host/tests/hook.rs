//! The start-up hook in real venvs of every Python on this machine: an extension module that needs a library lying
//! where no loader looks fails to import, and imports once the hook is there.
//!
//! Pythons are taken from `PATH` by their usual names, and from `PITSTOP_TEST_PYTHONS` (paths, separated by colons).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
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
struct Python {
    path: PathBuf,
    id: PythonId,
}

static PYTHONS: LazyLock<Vec<Python>> = LazyLock::new(|| {
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

const LIBRARIES: [(&str, &str, &[&str]); 2] = [
    ("libpsfirst.so.1", "int ps_first(void) { return 20; }", &[]),
    (
        "libpstest.so.1",
        "int ps_first(void); int ps_answer(void) { return ps_first() + 22; }",
        &["libpsfirst.so.1"],
    ),
];

/// An extension module without `Python.h`, whose structures it repeats: a header is not installed everywhere.
const MODULE: &str = r#"
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

fn compile(folder: &Path, name: &str, source: &str, arguments: &[&OsStr]) {
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
struct Lab {
    top: TempDir,
    venv: PathBuf,
    site: PathBuf,
    python: Python,
}

impl Lab {
    fn new(python: &Python) -> Self {
        Self::named(python, OsStr::new("venv"), &[])
    }

    fn named(python: &Python, name: &OsStr, options: &[&str]) -> Self {
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

    fn data(&self) -> HookData {
        let elsewhere = self.top.path().join("elsewhere");
        HookData {
            python: self.python.id.clone(),
            libraries: LIBRARIES.iter().map(|(name, ..)| elsewhere.join(name)).collect(),
            files: BTreeMap::from([("pst.so".into(), vec![0, 1]), ("pkg/libdata.so".into(), vec![0, 1])]),
        }
    }

    fn fix(&self) -> &Self {
        self.fix_with(&self.data())
    }

    fn fix_with(&self, data: &HookData) -> &Self {
        let bytecode = compile_hook(&self.venv.join("bin/python")).unwrap();
        let site = Inside::new(self.site.strip_prefix(&self.venv).unwrap()).unwrap();
        let operations = hook::operations(Some(&site), data, Some(bytecode)).unwrap();
        Venv::lock(&self.venv).unwrap().apply(&Plan { operations }).unwrap();
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command.args(arguments).env_clear().stdin(Stdio::null()).current_dir(self.top.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs code in a Python of its own, which has to succeed without a word on standard error.
    fn good(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert!(ran.ok && ran.err.is_empty(), "{:?} {arguments:?}: {ran:?}", self.python);
        ran.out
    }
}

#[derive(Debug)]
struct Ran {
    ok: bool,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Python came up and did what it was told, with exactly one line of complaint.
    fn complains(&self, of: &str) {
        let ours: Vec<_> = self.err.lines().filter(|line| line.starts_with("pitstop: ")).collect();
        assert_eq!(ours.len(), 1, "{self:?}");
        assert!(ours[0].contains(of) && ours[0].contains("; run `pitstop fix "), "{of}: {self:?}");
    }
}

const IMPORT: &str = "import pst; print(pst.answer)";
/// What does not load must not do more than that.
const TRY: &str = "
try:
    import pst
except ImportError as error:
    print('failed', 'libpstest.so.1' in str(error))
else:
    print(pst.answer)
";

#[test]
fn fails_without_and_imports_with_in_a_clean_environment() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let before = lab.run(&["-c", IMPORT]);
        assert!(!before.ok && before.err.contains("libpstest.so.1: cannot open"), "{before:?}");
        let environment = "import os, subprocess; print(sorted(os.environ.items()))
print(subprocess.check_output(['env']).decode())";
        let clean = lab.good(&["-c", environment]);
        lab.fix();
        assert_eq!(lab.good(&["-c", IMPORT]), "42\n");
        assert_eq!(lab.good(&["-c", &format!("import pst\n{environment}")]), clean);
        Venv::lock(&lab.venv).unwrap().undo().unwrap();
        assert!(!lab.run(&["-c", IMPORT]).ok);
    }
}

#[test]
fn works_with_every_way_to_start_python() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        for options in ["-I", "-E", "-s", "-B", "-O", "-OO", "-u", "-bb", "-Wd", "-Xdev", "-Xutf8=0", "-q"] {
            assert_eq!(lab.good(&[options, "-Werror::ImportWarning", "-c", IMPORT]), "42\n", "{options}");
        }
        for options in ["-v", "-Ximporttime"] {
            assert_eq!(lab.run(&[options, "-c", IMPORT]).out, "42\n", "{options}");
        }
        // Without site there is no site-packages either.
        assert!(lab.run(&["-S", "-c", "import pst"]).err.contains("No module named"));
        for (name, value) in
            [("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONOPTIMIZE", "2"), ("PYTHONVERBOSE", "")]
        {
            let ran: Ran = lab.command(&["-c", IMPORT]).env(name, value).output().unwrap().into();
            assert!(ran.out == "42\n" && ran.err.is_empty(), "{name}: {ran:?}");
        }
        let app = lab.top.path().join("app");
        fs::create_dir(&app).unwrap();
        fs::write(app.join("__main__.py"), IMPORT).unwrap();
        lab.good(&["-m", "zipapp", "app"]);
        assert_eq!(lab.good(&["app.pyz"]), "42\n");
        // -O made Python write bytecode of its own; undo takes that, too.
        assert!(lab.site.join("__pycache__").read_dir().unwrap().count() > 1);
        Venv::lock(&lab.venv).unwrap().undo().unwrap();
        assert!(!lab.site.join("__pycache__").exists());
    }
}

#[test]
fn never_speaks_or_stops_python_without_standard_error() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let mut data = lab.data();
        data.libraries[0] = "/nonexistent/libpsfirst.so.1".into();
        lab.fix_with(&data);
        let closed = format!("exec '{}' -c \"$0\" 2>&-", lab.venv.join("bin/python").display());
        let ran: Ran = Command::new("sh").args(["-c", &closed, TRY]).env_clear().output().unwrap().into();
        assert!(ran.ok && ran.out.starts_with("failed"), "{ran:?}");
        for stream in ["None", "object()", "open(os.devnull)"] {
            let code = format!("import os, sys; sys.stderr = {stream}\n{TRY}\nsys.stderr = None");
            let ran = lab.run(&["-c", &code]);
            assert!(ran.ok && ran.err.is_empty() && ran.out.starts_with("failed"), "{ran:?}");
        }
    }
}

#[test]
fn serves_libraries_that_are_loaded_through_ctypes() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let name =
            "import sysconfig, os; name = os.path.join(sysconfig.get_path('purelib'), 'pkg', 'libdata.so')\n";
        let load = |code: &str| format!("{name}import ctypes\n{code}");
        assert!(!lab.run(&["-c", &load("ctypes.CDLL(name)")]).ok);
        lab.fix();
        for code in [
            "print(ctypes.CDLL(name).data())",
            "print(ctypes.cdll.LoadLibrary(name).data())",
            "print(ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL).data())",
            "print(ctypes.CDLL(os.path.join(os.path.dirname(name), '..', 'pkg', 'libdata.so')).data())",
            "os.chdir(os.path.dirname(name)); print(ctypes.CDLL('./libdata.so').data())",
            "import pathlib; print(ctypes.CDLL(str(pathlib.Path(name))).data())",
            "ctypes.CDLL(None); ctypes.CDLL('libc.so.6'); print(ctypes.CDLL(name).data())",
        ] {
            assert_eq!(lab.good(&["-c", &load(code)]), "42\n", "{code}");
        }
        // One frame of ours, and no chained exceptions.
        let ran = lab.run(&["-c", "import ctypes; ctypes.CDLL('/nonexistent/x.so')"]);
        assert_eq!(ran.err.matches("_pitstop").count(), 1, "{}", ran.err);
        assert_eq!(ran.err.matches("Traceback").count(), 1, "{}", ran.err);
    }
}

/// As in Pythons that are one static executable.
#[test]
fn serves_a_ctypes_that_is_built_in() {
    let code = r#"
import sys, types
importer = sys.modules['_frozen_importlib'].BuiltinImporter
opened = []
def create(spec):
    module = types.ModuleType(spec.name)
    module.dlopen = lambda name, mode=0: opened.append(name)
    return module
importer.create_module = staticmethod(create)
stored = vars(importer)['create_module']
sys.builtin_module_names += ('_ctypes',)
sys.path.insert(0, sys.argv[1])
import _pitstop
assert '_ctypes' not in sys.modules
spec = types.SimpleNamespace(name='_ctypes')
other = importer.create_module(types.SimpleNamespace(name='other'))
assert not hasattr(other.dlopen, 'pitstop')
module = importer.create_module(spec)
assert vars(importer)['create_module'] is stored
seen = []
_pitstop._prepare = seen.append
module.dlopen('/a/../b.so', 1); module.dlopen('libc.so.6'); module.dlopen(None)
print(seen, opened)
"#;
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        let printed = lab.good(&["-S", "-c", code, lab.site.to_str().unwrap()]);
        assert_eq!(printed, "['/b.so'] ['/a/../b.so', 'libc.so.6', None]\n");
    }
}

#[test]
fn works_in_children_threads_and_subinterpreters() {
    let processes = "
import multiprocessing, sys
def work(queue):
    import pst
    queue.put(pst.answer)
if __name__ == '__main__':
    for method in ['fork', 'spawn', 'forkserver']:
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        child = context.Process(target=work, args=(queue,))
        child.start(); child.join()
        print(queue.get())
";
    let threads = "
import threading, sys
sys.setswitchinterval(1e-6)
import ctypes, sysconfig
ready = threading.Barrier(16)
answers = []
def work(number):
    ready.wait()
    if number % 2:
        import pst
        answers.append(pst.answer)
    else:
        answers.append(ctypes.CDLL(sysconfig.get_path('purelib') + '/pkg/libdata.so').data())
every = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for one in every: one.start()
for one in every: one.join()
print(set(answers), len(answers))
";
    let interpreters = "
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
for _ in range(3):
    one = interpreters.create()
    failed = interpreters.run_string(one, 'import pst; assert pst.answer == 42')
    assert not failed, failed
    interpreters.destroy(one)
import pst
print(pst.answer)
";
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        fs::write(lab.top.path().join("processes.py"), processes).unwrap();
        assert_eq!(lab.good(&["-Wignore", "processes.py"]), "42\n42\n42\n");
        for _ in 0..5 {
            assert_eq!(lab.good(&["-c", threads]), "{42} 16\n");
        }
        assert_eq!(lab.good(&["-Wignore", "-c", interpreters]), "42\n");
    }
}

#[test]
fn is_installed_once_and_leaves_no_names() {
    let code = "
import site, sys, builtins, pkgutil, importlib
import importlib.machinery
create = importlib.machinery.ExtensionFileLoader.create_module
site.main()
site.addsitedir(sys.argv[1])
importlib.reload(sys.modules['_pitstop'])
del sys.modules['_pitstop']
import _pitstop
if hasattr(pkgutil, 'resolve_name'):
    pkgutil.resolve_name('_pitstop:install')()
_pitstop.install()
assert importlib.machinery.ExtensionFileLoader.create_module is create
import ctypes
assert not hasattr(ctypes._dlopen.__closure__[0].cell_contents, 'pitstop')
assert not [name for name in dir(builtins) if 'pitstop' in name.lower()]
import pst
print(pst.answer)
";
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        assert_eq!(lab.good(&["-c", code, lab.site.to_str().unwrap()]), "42\n");
    }
}

#[test]
fn tracebacks_show_no_frame_of_the_hook() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        let other = "open(sys.argv[1] + '/bad.so', 'w').close()\nimport bad";
        let ran = lab.run(&["-c", &format!("import sys\n{other}"), lab.site.to_str().unwrap()]);
        assert!(!ran.ok && ran.err.contains("file too short"), "{}", ran.err);
        for word in ["_pitstop", "frozen importlib"] {
            assert!(!ran.err.contains(word), "{}", ran.err);
        }
    }
}

#[test]
fn moves_and_copies_with_the_venv() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let inner = lab.venv.join(".pitstop/lib");
        let mut data = lab.data();
        let locked = Venv::lock(&lab.venv).unwrap();
        locked.begin().unwrap();
        drop(locked);
        fs::create_dir_all(&inner).unwrap();
        for library in &mut data.libraries {
            let target = inner.join(library.file_name().unwrap());
            fs::rename(&library, &target).unwrap();
            *library = hook::seen_from(&lab.site, &lab.venv, &target);
            assert!(library.is_relative());
        }
        lab.fix_with(&data);
        assert_eq!(lab.good(&["-c", IMPORT]), "42\n");
        let moved = lab.top.path().join("moved");
        fs::rename(&lab.venv, &moved).unwrap();
        let ran: Ran =
            Command::new(moved.join("bin/python")).args(["-c", IMPORT]).env_clear().output().unwrap().into();
        assert!(ran.out == "42\n" && ran.err.is_empty(), "{ran:?}");
        let link = lab.top.path().join("link");
        std::os::unix::fs::symlink(&moved, &link).unwrap();
        let ran: Ran =
            Command::new(link.join("bin/python")).args(["-c", IMPORT]).env_clear().output().unwrap().into();
        assert!(ran.out == "42\n" && ran.err.is_empty(), "{ran:?}");
        assert!(Venv::lock(&moved).unwrap().undo().unwrap().differences.is_empty());
        assert!(!moved.join(".pitstop").exists());
    }
}

#[test]
fn any_path_will_do() {
    let names = [b"sp ace\ttab\\t\nline".as_slice(), "zwölf".as_bytes(), b"not\xfftext"];
    for python in PYTHONS.iter() {
        for name in names {
            let lab = Lab::named(python, OsStr::new("venv"), &[]);
            let (venv, elsewhere) =
                (lab.top.path().join(OsStr::from_bytes(name)), lab.top.path().join("elsewhere"));
            // pyvenv.cfg has no way to write a newline, so the venv is made elsewhere and moved.
            fs::rename(&lab.venv, &venv).unwrap();
            let mut lab = lab;
            lab.site = venv.join(lab.site.strip_prefix(&lab.venv).unwrap());
            lab.venv = venv;
            let named = elsewhere.join(OsStr::from_bytes(name));
            fs::create_dir(&named).unwrap();
            let mut data = lab.data();
            for library in &mut data.libraries {
                let to = named.join(library.file_name().unwrap());
                fs::rename(&library, &to).unwrap();
                *library = to;
            }
            let module = OsString::from("p\\t ").into_string().unwrap();
            fs::create_dir(lab.site.join(&module)).unwrap();
            fs::rename(lab.site.join("pst.so"), lab.site.join(&module).join("pst.so")).unwrap();
            let wanted = data.files.remove(Path::new("pst.so")).unwrap();
            data.files.insert(Path::new(&module).join("pst.so"), wanted);
            lab.fix_with(&data);
            let code = r"import importlib; print(importlib.import_module('p\\t .pst').answer)";
            for variables in [&[][..], &[("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0")]]
            {
                let ran: Ran =
                    lab.command(&["-c", code]).envs(variables.iter().copied()).output().unwrap().into();
                assert!(ran.out == "42\n" && ran.err.is_empty(), "{python:?} {name:?}: {ran:?}");
            }
        }
    }
}

#[test]
fn sees_the_site_packages_of_another_environment() {
    for python in PYTHONS.iter() {
        let lab = Lab::named(python, OsStr::new("venv"), &["--system-site-packages"]);
        lab.fix();
        assert_eq!(lab.good(&["-c", IMPORT]), "42\n");
        // From another venv, the hook of which knows nothing of this one.
        let other = Lab::new(python);
        other.fix();
        fs::remove_file(other.site.join("pst.so")).unwrap();
        let mut command = other.command(&["-c", IMPORT]);
        let ran: Ran = command.env("PYTHONPATH", &lab.site).output().unwrap().into();
        assert!(ran.out == "42\n" && ran.err.is_empty(), "{ran:?}");
        let code = format!("import site, sys; site.addsitedir(sys.argv[1])\n{IMPORT}");
        assert_eq!(other.good(&["-c", &code, lab.site.to_str().unwrap()]), "42\n");
    }
}

#[test]
fn data_that_does_not_fit_is_ignored_with_one_line() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let mut data = lab.data();
        lab.fix();
        let path = lab.site.join(hook::DATA_NAME);
        let whole = data.to_bytes();
        for wrong in [python.id.version.1 + 1, 1] {
            data.python.version.1 = wrong;
            fs::write(&path, data.to_bytes()).unwrap();
            let ran = lab.run(&["-c", TRY]);
            ran.complains("the Python of this environment has changed");
            assert_eq!(ran.out, "failed True\n");
        }
        data.python = PythonId { version: python.id.version, base_prefix: "/other".into() };
        fs::write(&path, data.to_bytes()).unwrap();
        lab.run(&["-c", TRY]).complains("the Python of this environment has changed");
        for end in 0..whole.len() {
            if end % 7 != 0 && whole[end] != b'\n' {
                continue;
            }
            fs::write(&path, &whole[..end]).unwrap();
            let ran = lab.run(&["-c", TRY]);
            assert!(ran.ok, "{ran:?}");
            ran.complains("is damaged");
        }
        let text = String::from_utf8(whole).unwrap();
        for (from, to) in [
            ("pitstop 1", "pitstop 2"),
            ("\nend", "\nmore\ta\tb\nend"),
            ("\t0 1", "\t0 2"),
            ("\t0 1", "\t0 -1"),
            ("\t0 1", "\t0  1"),
            ("\t0 1", "\t"),
            ("library\t1", "library\t7"),
            ("end\n", "end\n\n"),
        ] {
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            lab.run(&["-c", TRY]).complains("is damaged");
        }
        fs::remove_file(&path).unwrap();
        lab.run(&["-c", TRY]).complains("is gone");
        fs::create_dir(&path).unwrap();
        lab.run(&["-c", TRY]).complains("Is a directory");
        // And where nothing of it is needed, not a word.
        assert_eq!(lab.good(&["-c", "import json, ctypes, ssl; print(1)"]), "1\n");
    }
}

#[test]
fn a_library_that_is_gone_is_told_and_the_rest_still_works() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        for (name, _, _) in LIBRARIES.iter().rev() {
            fs::remove_file(lab.top.path().join("elsewhere").join(name)).unwrap();
            let ran = lab.run(&["-c", TRY]);
            ran.complains(name);
            assert!(ran.out.starts_with("failed"), "{ran:?}");
        }
    }
}

#[test]
fn a_hook_that_is_damaged_does_not_stop_python() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        lab.fix();
        fs::remove_file(lab.site.join(hook::SOURCE_NAME)).unwrap();
        let ran = lab.run(&["-c", "print(1)"]);
        assert!(ran.ok && ran.out == "1\n", "{ran:?}");
    }
}

#[test]
fn costs_no_failing_look_at_any_path() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("PITSTOP_MUST_WORK").is_none(), "no strace here");
        return;
    }
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let failing = |code: &str| {
            let log = lab.top.path().join("strace.log");
            let output = Command::new("strace")
                .args(["-f", "-e", "trace=%file", "-o"])
                .arg(&log)
                .arg(lab.venv.join("bin/python"))
                .args(["-I", "-c", code])
                .env_clear()
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(" = -1 ")).count()
        };
        let codes = ["import json", "import decimal, ctypes, sqlite3", "import good, ctypes"];
        compile(&lab.site, "good.so", &MODULE.replace("pst", "good").replace("ps_answer()", "1"), &[]);
        let before = codes.map(failing);
        lab.fix();
        let after = codes.map(failing);
        // `site` opens and imports what is there: nothing is looked for in vain.
        let more: Vec<_> =
            before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before)).collect();
        assert_eq!(more, [0, 0, 0], "{python:?}");
    }
}

#[test]
fn holds_64_libraries_and_2000_files() {
    for python in PYTHONS.iter() {
        let lab = Lab::new(python);
        let mut data = lab.data();
        for number in 2..64 {
            let (name, soname) = (format!("libps{number}.so"), format!("-Wl,-soname,libps{number}.so"));
            let source = format!("int ps_{number};");
            compile(&lab.top.path().join("elsewhere"), &name, &source, &[soname.as_ref()]);
            data.libraries.push(lab.top.path().join("elsewhere").join(name));
        }
        for number in 0..2000 {
            let name = format!("pkg/sub/module{number}.cpython-3x-x86_64-linux-gnu.so");
            data.files.insert(name.into(), (number % 60..64).collect());
        }
        data.files.insert("pst.so".into(), (0..64).collect());
        lab.fix_with(&data);
        assert_eq!(lab.good(&["-c", IMPORT]), "42\n");
        let code = "import pst; print(sum('libps' in line for line in open('/proc/self/maps')) >= 64)";
        assert_eq!(lab.good(&["-c", code]), "True\n");
    }
}
