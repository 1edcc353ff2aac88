//! What is named is no environment that can be used.

use std::fs;
use std::os::unix::fs::symlink;

use crate::snapshot::assert_same;
use crate::venv::Venv;

const COMMANDS: [&str; 4] = ["check", "fix", "undo", "status"];

#[test]
fn a_path_that_is_not_there_is_named_with_the_cause() {
    let venv = Venv::bare("v");
    for command in COMMANDS {
        let ran = venv.pitstop_on(command, &venv.beside("gone"));
        ran.ends(2, &["error: ", "/gone: ", "No such file or directory", "hint: "]);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_folder_or_a_file_that_is_no_environment_is_refused() {
    let venv = Venv::bare("v");
    fs::create_dir(venv.beside("folder")).unwrap();
    fs::write(venv.beside("file"), "text").unwrap();
    for command in COMMANDS {
        let ran = venv.pitstop_on(command, &venv.beside("folder"));
        ran.ends(2, &["/folder is neither a virtual environment", "pyvenv.cfg", "hint: "]);
        let ran = venv.pitstop_on(command, &venv.beside("file"));
        if command == "undo" {
            // A program of no environment may have been patched; this one was not.
            ran.ends(0, &["/file: pitstop has done nothing here"]);
            continue;
        }
        ran.ends(2, &["/file: ", "not a directory", "hint: "]);
        assert_eq!(ran.err.matches("not a directory").count(), 1, "the cause is said once: {ran:?}");
    }
}

#[test]
fn a_path_of_links_that_loop_is_refused() {
    let venv = Venv::bare("v");
    symlink("loop", venv.beside("loop")).unwrap();
    for command in COMMANDS {
        venv.pitstop_on(command, &venv.beside("loop")).ends(2, &["/loop: ", "symbolic links", "hint: "]);
    }
}

#[test]
fn a_broken_pyvenv_cfg_is_named_and_nothing_is_written() {
    let long = "x".repeat(1 << 20);
    for content in ["", "\n\n", "home\n", "version = 3.11\n", "\0\u{1b}[2J\0", long.as_str()] {
        let venv = Venv::lacking();
        fs::write(venv.root.join("pyvenv.cfg"), content).unwrap();
        let before = venv.snapshot();
        for command in COMMANDS {
            venv.pitstop(command).ends(2, &["/v/pyvenv.cfg cannot be used: ", "hint: "]);
        }
        assert_same(&before, &venv.snapshot(), content);
    }
}

#[test]
fn a_pyvenv_cfg_that_is_no_file_is_refused() {
    let venv = Venv::lacking();
    fs::remove_file(venv.root.join("pyvenv.cfg")).unwrap();
    fs::create_dir(venv.root.join("pyvenv.cfg")).unwrap();
    for command in COMMANDS {
        venv.pitstop(command).ends(2, &["/v/pyvenv.cfg: ", "hint: "]);
    }
    fs::remove_dir(venv.root.join("pyvenv.cfg")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(venv.root.join("pyvenv.cfg")).status().unwrap();
    assert!(made.success());
    for command in COMMANDS {
        venv.pitstop(command).ends(2, &["/v/pyvenv.cfg: ", "hint: "]);
    }
}

#[test]
fn a_tree_is_drawn_of_nothing_but_native_files() {
    let venv = Venv::lacking();
    let pipe = venv.beside("pipe.so");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    venv.pitstop_on("tree", &pipe).ends(2, &["/pipe.so is not a regular file", "hint: "]);
    venv.pitstop_on("tree", "/dev/zero".as_ref()).ends(2, &["/dev/zero is not a regular file", "hint: "]);
    venv.pitstop_on("tree", &venv.site).ends(2, &["is a folder", "hint: "]);
    fs::write(venv.beside("empty.so"), "").unwrap();
    venv.pitstop_on("tree", &venv.beside("empty.so")).ends(2, &["is not an ELF file", "hint: "]);
    let module = fs::read(venv.module()).unwrap();
    fs::write(venv.beside("short.so"), &module[..module.len() / 3]).unwrap();
    venv.pitstop_on("tree", &venv.beside("short.so")).ends(3, &["/short.so cannot be read: ", "hint: "]);
}

#[test]
fn an_environment_without_site_packages_is_refused() {
    let venv = Venv::lacking();
    fs::remove_dir_all(&venv.site).unwrap();
    for command in COMMANDS {
        venv.pitstop(command).ends(2, &["/v has no lib/python*/site-packages folder", "hint: "]);
    }
}

#[test]
fn a_venv_whose_python_is_gone_is_refused_with_the_path_of_that_python() {
    let venv = Venv::lacking();
    venv.link_python("/opt/gone/bin/python3");
    let before = venv.snapshot();
    for command in ["check", "check --static", "fix"] {
        venv.pitstop(command).ends(2, &["/v has no Python: ", "/v/bin/python", "No such file", "hint: "]);
    }
    venv.pitstop("status").ends(0, &["pitstop has done nothing here"]);
    assert_same(&before, &venv.snapshot(), "something was written");
}

#[test]
fn a_fix_can_be_undone_when_the_python_is_gone() {
    let venv = Venv::lacking();
    let before = venv.snapshot();
    let python = fs::read_link(venv.root.join("bin/python3")).unwrap();
    let other = fs::read_link(venv.python()).unwrap();
    let modified = fs::metadata(venv.root.join("bin")).unwrap().modified().unwrap();
    venv.pitstop("fix").ends(0, &["fixed"]);
    venv.link_python("/opt/gone/bin/python3");
    venv.pitstop("fix").ends(2, &["has no Python", "hint: "]);
    venv.pitstop("undo").ends(0, &["as it was before the fix"]);
    for (name, target) in [("python3", &python), ("python", &other)] {
        fs::remove_file(venv.root.join("bin").join(name)).unwrap();
        symlink(target, venv.root.join("bin").join(name)).unwrap();
    }
    fs::File::open(venv.root.join("bin")).unwrap().set_modified(modified).unwrap();
    let mut after = venv.snapshot();
    for name in ["bin/python", "bin/python3"] {
        after.insert(name.into(), before[std::path::Path::new(name)].clone());
    }
    assert_same(&before, &after, "undo left something");
}

#[test]
fn a_python_that_does_not_start_or_talks_nonsense_is_named_and_nothing_is_written() {
    let scripts = [
        "#!/bin/sh\nexit 7\n",
        "#!/bin/sh\necho 'no \u{1b}[2J such \u{1b}]0;title\u{7} thing' >&2; exit 1\n",
        "#!/bin/sh\nhead -c 100000 /dev/urandom; printf '{\"version\": 3'\n",
        "#!/bin/sh\necho '{}'\n",
        "#!/bin/sh\nkill -SEGV $$\n",
        "#!/gone/interpreter\n",
        "no program at all",
        "",
    ];
    for script in scripts {
        let venv = Venv::lacking();
        venv.replace_python(script);
        let before = venv.snapshot();
        for command in ["check", "fix"] {
            venv.pitstop(command).ends(2, &["/v/bin/python", "error: ", "hint: "]);
        }
        assert_same(&before, &venv.snapshot(), script);
    }
}
