//! The start-up hook where things are not as they should be: it says one line at most, and Python starts. And what the
//! hook costs.

mod lab;

use std::process::Command;

use fs_err as fs;
use pitstop_core::plan::hook::{self, PythonId};

use lab::{IMPORT, LIBRARIES, Lab, MODULE, PYTHONS, Ran, TRY, compile};

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
            if end % 31 != 0 && whole[end] != b'\n' {
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
