//! The environment can be used, but something in it is not as it should be.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::snapshot::assert_same;
use crate::venv::{Venv, gcc};

/// Fixes, and takes it back: both well, whatever else lies in the environment.
#[track_caller]
fn is_fixed_and_undone(venv: &Venv, status: i32) {
    let before = venv.snapshot();
    venv.imports_not();
    venv.pitstop("fix").ends(status, &[]);
    venv.import().unwrap();
    venv.pitstop("undo").ends(0, &["as it was before the fix"]);
    assert_same(&before, &venv.snapshot(), "undo left something");
}

#[test]
fn a_record_that_leads_out_of_the_environment_leads_nowhere() {
    let venv = Venv::lacking();
    let module = format!("needy/{}", venv.module().file_name().unwrap().to_str().unwrap());
    let outside = venv.beside("outside.so");
    fs::copy(venv.module(), &outside).unwrap();
    let lines = [
        &module,
        "../../../../outside.so",
        outside.to_str().unwrap(),
        "/etc/passwd",
        "../../../../../../../../../../etc/passwd",
        "..",
        "/",
        "",
        "needy/../needy/__init__.py",
    ];
    venv.own("needy-1.0", &lines);
    let ran = venv.pitstop("check --json");
    let report = ran.ends(1, &[]).json();
    assert_eq!(report["missing"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["missing"][0]["needed_by"][0]["package"], "needy", "{report}");
    assert!(!ran.out.contains("outside.so") && !ran.out.contains("passwd"), "{report}");
    is_fixed_and_undone(&venv, 0);
    assert!(outside.exists());
}

#[test]
fn a_record_that_is_no_list_is_named_and_the_rest_is_fixed_nevertheless() {
    for record in [&b"\"never closed,,\n"[..], b"\xff\xfe\0\0,,,,\n\"a\"b,,", &[0; 4096]] {
        let venv = Venv::lacking();
        venv.write("needy-1.0.dist-info/RECORD", record);
        let ran = venv.pitstop("check");
        // What cannot be read as a list at all is said; what can lists nothing of ours.
        assert!(ran.code == Some(3) || ran.code == Some(1), "{ran:?}");
        if ran.code == Some(3) {
            ran.ends(3, &["needy-1.0.dist-info/RECORD could not be read: line 1", "hint: "]);
        }
        venv.pitstop("fix");
        venv.import().unwrap();
    }
}

#[test]
fn a_truncated_or_mangled_module_is_named_with_status_3_and_the_rest_is_fixed() {
    let good = fs::read(Venv::lacking().module()).unwrap();
    let mut mangled = good.clone();
    mangled[40..].fill(0xff);
    let suffix = ".cpython-311-x86_64-linux-gnu.so";
    for (what, bytes) in
        [("short", &good[..good.len() / 3]), ("header", &good[..20]), ("mangled", &mangled[..])]
    {
        let venv = Venv::lacking();
        let name = format!("needy/{what}{suffix}");
        venv.write(&name, bytes);
        venv.pitstop("check").ends(3, &[&name, "could not be read: ", "libpstest.so.1", "hint: "]);
        let report = venv.pitstop("check --json").ends(3, &[]).json();
        assert_eq!(report["unread"][0]["path"], name, "{report}");
        venv.pitstop("fix --dry-run").ends(3, &[&name, "could not be read: ", "hint: "]);
        is_fixed_and_undone(&venv, 3);
    }
}

#[test]
fn a_module_that_holds_no_program_at_all_is_named_with_status_3() {
    for content in ["", "<html>404</html>\n"] {
        let venv = Venv::lacking();
        venv.write("needy/broken.abi3.so", content);
        venv.pitstop("check").ends(3, &["needy/broken.abi3.so could not be read: ", "ELF", "hint: "]);
        is_fixed_and_undone(&venv, 3);
    }
    let venv = Venv::lacking();
    // A script for the linker is no module, and a table of pandas' is none either.
    venv.write("needy/libc.so", "/* GNU ld script */ INPUT(libc.so.6)");
    venv.write("needy/t.so.parquet", "PAR1");
    is_fixed_and_undone(&venv, 0);
}

#[test]
fn links_that_loop_or_lead_nowhere_are_passed_over() {
    let venv = Venv::lacking();
    symlink("loop.so", venv.site.join("loop.so")).unwrap();
    symlink("b.so", venv.site.join("a.so")).unwrap();
    symlink("a.so", venv.site.join("b.so")).unwrap();
    symlink("/gone/x.so", venv.site.join("dangling.so")).unwrap();
    symlink(".", venv.site.join("here")).unwrap();
    symlink("../..", venv.site.join("needy/up")).unwrap();
    symlink("/", venv.site.join("root")).unwrap();
    venv.pitstop("check").ends(1, &["1 library missing"]);
    is_fixed_and_undone(&venv, 0);
}

#[test]
fn pipes_sockets_and_devices_are_not_waited_for() {
    let venv = Venv::lacking();
    for name in ["pipe.so", "needy/pipe.abi3.so", "needy-1.0.dist-info/entry_points.txt", "sub.pth"] {
        assert!(Command::new("mkfifo").arg(venv.site.join(name)).status().unwrap().success());
    }
    fs::remove_file(venv.site.join("sub.pth")).unwrap();
    symlink("pipe.so", venv.site.join("to_pipe.so")).unwrap();
    symlink("/dev/zero", venv.site.join("zero.so")).unwrap();
    symlink("/dev/tty", venv.site.join("tty.so")).unwrap();
    let _listener = UnixListener::bind(venv.site.join("socket.so")).unwrap();
    let report = venv.pitstop("check --json").ends(1, &[]).json();
    assert_eq!(report["missing"].as_array().unwrap().len(), 1, "{report}");
    is_fixed_and_undone(&venv, 0);
}

#[test]
fn a_pipe_in_the_place_of_a_record_is_not_waited_for() {
    let venv = Venv::lacking();
    for name in ["needy-1.0.dist-info/RECORD", "needy-1.0.dist-info/METADATA"] {
        let path = venv.site.join(name);
        let _ = fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    venv.pitstop("check").ends(1, &["libpstest.so.1"]);
    is_fixed_and_undone(&venv, 0);
}

#[test]
fn names_that_would_move_the_cursor_are_shown_escaped() {
    let venv = Venv::named("v \u{1b}[2J\u{1b}]0;x\u{7}\n\u{9b}");
    let evil = venv.site.join("needy/\u{1b}[31mevil\n.abi3.so");
    fs::copy(venv.module(), &evil).unwrap();
    let broken = venv.site.join(OsStr::from_bytes(b"needy/\xff\x1b]8;;x\x07broken.abi3.so"));
    fs::write(&broken, "").unwrap();
    venv.write("n\u{1b}c-1.0.dist-info/RECORD", "\"never closed,,\n");
    venv.pitstop("check").ends(3, &["\\u{1b}"]);
    venv.pitstop("check --verbose").ends(3, &[]);
    venv.pitstop("fix --dry-run --verbose").ends(3, &[]);
    venv.pitstop("status").ends(0, &[]);
    venv.pitstop("fix --verbose").ends(3, &[]);
    venv.import().unwrap();
    venv.pitstop("status").ends(0, &["all in place"]);
    venv.pitstop("undo").ends(0, &[]);
    venv.pitstop_on("check", &venv.beside("\u{1b}[2Jgone")).ends(2, &["\\u{1b}[2Jgone"]);
    fs::write(venv.root.join("pyvenv.cfg"), "\u{1b}[2J").unwrap();
    venv.pitstop("check").ends(2, &["pyvenv.cfg cannot be used"]);
}

#[test]
fn a_soname_that_would_move_the_cursor_is_shown_escaped_and_loads_nothing() {
    let venv = Venv::lacking();
    let folder = venv.beside("made");
    fs::create_dir(&folder).unwrap();
    gcc(&folder, "int f(void) { return 0; }", "libevil.so", &["-Wl,-soname,lib\u{1b}[2J\nevil.so"]);
    gcc(&folder, "int f(void); int g(void) { return f(); }", "evil.abi3.so", &["-L.", "-levil"]);
    fs::copy(folder.join("evil.abi3.so"), venv.site.join("needy/evil.abi3.so")).unwrap();
    venv.pitstop("check").ends(1, &["\\u{1b}[2J\\nevil.so"]);
    venv.pitstop("fix --dry-run").ends(1, &["\\u{1b}[2J\\nevil.so"]);
}

#[test]
fn a_file_that_changes_or_vanishes_meanwhile_harms_nothing() {
    let venv = Venv::lacking();
    let good = fs::read(venv.module()).unwrap();
    let restless = venv.site.join("needy/restless.abi3.so");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_usize.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                match round % 4 {
                    0 => fs::write(&restless, &good).unwrap(),
                    1 => fs::OpenOptions::new().write(true).open(&restless).unwrap().set_len(100).unwrap(),
                    2 => fs::write(&restless, vec![0xff; 9000]).unwrap(),
                    _ => fs::remove_file(&restless).unwrap(),
                }
            }
        });
        for _ in 0..20 {
            let ran = venv.pitstop("check --json");
            assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
            assert!(ran.json()["missing"].to_string().contains("libpstest.so.1"), "{ran:?}");
        }
        let ran = venv.pitstop("fix");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(ran.code, Some(0 | 1 | 3)), "{ran:?}");
    });
    venv.import().unwrap();
    let _ = fs::remove_file(&restless);
    venv.pitstop("fix").ends(0, &[]);
    venv.import().unwrap();
}

#[test]
fn a_folder_nested_as_deep_as_paths_allow_is_walked() {
    let venv = Venv::lacking();
    let mut deep = venv.site.join("needy");
    for _ in 0..200 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::copy(venv.module(), deep.join("_x.abi3.so")).unwrap();
    venv.pitstop("check").ends(1, &["3 native files"]);
    is_fixed_and_undone(&venv, 0);
}
