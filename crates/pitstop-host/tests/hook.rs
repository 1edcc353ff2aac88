//! The start-up hook in real venvs of every Python on this machine: an extension module that needs a library lying
//! where no loader looks fails to import, and imports once the hook is there.

mod lab;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use pitstop_core::plan::hook;
use pitstop_host::apply::Venv;

use lab::{IMPORT, Lab, MODULE, PYTHONS, Ran, compile};

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
    let code = r"
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
";
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
name = sysconfig.get_path('purelib') + '/pkg/libdata.so'  # not in the threads: sysconfig is not made for that
ready = threading.Barrier(16)
answers = []
def work(number):
    ready.wait()
    if number % 2:
        import pst
        answers.append(pst.answer)
    else:
        answers.append(ctypes.CDLL(name).data())
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
            let inner = elsewhere.join(OsStr::from_bytes(name));
            fs::create_dir(&inner).unwrap();
            let mut data = lab.data();
            for library in &mut data.libraries {
                let to = inner.join(library.file_name().unwrap());
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
            compile(&lab.site, "good.so", &MODULE.replace("pst", "good").replace("ps_answer()", "1"), &[]);
            let plain = [("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0")];
            for variables in [&[][..], &plain] {
                let run = |code| lab.command(&["-c", code]).envs(variables.iter().copied()).output().unwrap();
                if !run("import good").status.success() {
                    // Python 3.12 itself loads nothing from a path that its locale cannot decode.
                    continue;
                }
                let ran: Ran = run(code).into();
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
