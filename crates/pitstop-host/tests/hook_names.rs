//! The start-up hook serving what Python code asks for by name, in real venvs of every Python on this machine.

mod lab;

use fs_err as fs;
use pitstop_host::apply::Venv;

use lab::{IMPORT, LIBRARIES, Lab, PYTHONS};

/// A lab whose code asks for `libpstest.so.1` by name, and finds `libm.so.6` without help.
fn lab(python: &lab::Python) -> Lab {
    let lab = Lab::new(python);
    let mut data = lab.data();
    data.files.clear();
    data.names.insert("libpstest.so.1".to_owned(), vec![0, 1]);
    data.names.insert("libm.so.6".to_owned(), Vec::new());
    lab.fix_with(&data);
    lab
}

const ASK: &str = "import ctypes; print(ctypes.CDLL('libpstest.so.1').ps_answer())";

#[test]
fn a_library_that_was_provided_is_found_by_every_name_that_debian_would_know() {
    for python in PYTHONS.iter() {
        let bare = Lab::new(python);
        assert!(bare.run(&["-c", ASK]).err.contains("libpstest.so.1: cannot open"));
        let lab = lab(python);
        for code in [
            ASK,
            "import ctypes; print(ctypes.CDLL('libpstest.so').ps_answer())",
            "import ctypes; print(ctypes.cdll.LoadLibrary('libpstest.so.1').ps_answer())",
            "import ctypes; print(ctypes.cdll['libpstest.so.1'].ps_answer())",
            "import ctypes; print(ctypes.PyDLL('libpstest.so.1', ctypes.RTLD_GLOBAL).ps_answer())",
            "import ctypes.util as u, ctypes; print(ctypes.CDLL(u.find_library('pstest')).ps_answer())",
            "from ctypes.util import find_library as f; import ctypes; f('pstest'); print(ctypes.CDLL('libpstest.so.1').ps_answer())",
            "import _ctypes, ctypes; print(ctypes.CDLL(None, handle=_ctypes.dlopen('libpstest.so.1', 2)).ps_answer())",
        ] {
            assert_eq!(lab.good(&["-c", code]), "42\n", "{python:?} {code}");
        }
        let answers = "from ctypes.util import find_library as f; print(f('pstest'), f('m'), f('psnone'))";
        assert_eq!(lab.good(&["-c", answers]), "libpstest.so.1 libm.so.6 None\n");
        Venv::lock(&lab.venv).unwrap().undo().unwrap();
        assert!(!lab.run(&["-c", ASK]).ok);
    }
}

#[test]
fn find_library_finds_what_the_loader_has_where_there_is_no_ldconfig() {
    for python in PYTHONS.iter() {
        let lab = lab(python);
        let code = "from ctypes.util import find_library as f; print(f('m'), f('pstest'))";
        let ran: lab::Ran = lab.command(&["-c", code]).env("PATH", "/nonexistent").output().unwrap().into();
        assert_eq!(ran.out, "libm.so.6 libpstest.so.1\n", "{ran:?}");
    }
}

/// A package that loads its own first is not disturbed: the process has one library of a name.
#[test]
fn what_is_loaded_already_is_what_its_name_means() {
    for python in PYTHONS.iter() {
        let lab = lab(python);
        let soname = "-Wl,-soname,libpstest.so.1";
        lab::compile(
            &lab.site.join("pkg"),
            "libpstest.so.1",
            "int ps_answer(void) { return 7; }",
            &[soname.as_ref()],
        );
        let code = "import ctypes, sysconfig, os
ctypes.CDLL(os.path.join(sysconfig.get_path('purelib'), 'pkg', 'libpstest.so.1'))
print(ctypes.CDLL('libpstest.so.1').ps_answer())";
        assert_eq!(lab.good(&["-c", code]), "7\n");
    }
}

#[test]
fn nothing_is_loaded_or_read_before_somebody_asks() {
    for python in PYTHONS.iter() {
        let lab = lab(python);
        let maps = "print('pstest' in open('/proc/self/maps').read())";
        assert_eq!(lab.good(&["-c", maps]), "False\n");
        assert_eq!(lab.good(&["-c", &format!("import ctypes, ctypes.util\n{maps}")]), "False\n");
        let finders = "import sys; before = list(sys.meta_path)\nimport ctypes, ctypes.util\nprint(sys.meta_path == before)";
        assert_eq!(lab.good(&["-c", finders]), "True\n");
    }
}

#[test]
fn errors_are_as_they_are_without_the_hook() {
    for python in PYTHONS.iter() {
        let (bare, lab) = (Lab::new(python), lab(python));
        for code in [
            "import ctypes; ctypes.CDLL('libpsnone.so.1')",
            "import ctypes; ctypes.CDLL('')",
            "import ctypes; ctypes.CDLL('a\\0b')",
            "import ctypes; ctypes.CDLL(3.5)",
            "import ctypes; ctypes.CDLL('/nonexistent/libpstest.so.1')",
            "import ctypes.util; ctypes.util.find_library(None)",
        ] {
            let last = |lab: &Lab| lab.run(&["-c", code]).err.trim().lines().last().map(str::to_owned);
            assert_eq!(last(&lab), last(&bare), "{code}");
        }
    }
}

#[test]
fn a_library_that_is_gone_is_one_line_and_the_error_stays_the_programs_own() {
    for python in PYTHONS.iter() {
        let lab = lab(python);
        for (library, ..) in LIBRARIES {
            fs::remove_file(lab.top.path().join("elsewhere").join(library)).unwrap();
        }
        let ran = lab.run(&["-c", ASK]);
        assert!(!ran.ok && ran.err.contains("OSError"), "{ran:?}");
        assert_eq!(ran.err.matches("pitstop:").count(), 1, "{ran:?}");
    }
}

#[test]
fn a_missing_library_of_a_module_is_told_with_what_mends_it() {
    for python in PYTHONS.iter() {
        let lab = lab(python);
        let ran = lab.run(&["-c", IMPORT]);
        assert!(ran.err.contains("libpstest.so.1: cannot open shared object file"), "{ran:?}");
        let line = format!(
            "pitstop: libpstest.so.1 is missing for pst.so; run `pitstop fix {}`",
            lab.venv.display()
        );
        assert!(ran.err.ends_with(&format!("{line}\n")), "{ran:?}");
    }
}
