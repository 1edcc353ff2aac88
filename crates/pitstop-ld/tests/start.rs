//! Programs that have the shim as their loader start as they would with the real one.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::process::Command;

use support::{LOADER, Lab, bare, default_path, fail, shim, succeed};

#[test]
fn a_program_starts() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    assert_eq!(succeed(&mut bare(hello)), "Hello, world!\n");
}

#[test]
fn a_needed_library_is_found_only_by_the_shims_path() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    let (status, said) = fail(&mut bare(&show));
    assert_eq!(status, Some(127));
    assert!(said.contains("error while loading shared libraries: libprobe.so"), "{said}");
    succeed(bare(&show).env("NIX_LD_LIBRARY_PATH", &folder));
    succeed(bare(&show).env("NIX_LD_LIBRARY_PATH_x86_64_linux", &folder).env("NIX_LD_LIBRARY_PATH", "/none"));
}

#[test]
fn a_library_is_found_at_run_time_too() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let program = lab.program("dlopen", &["-ldl"]);
    let (status, said) = fail(&mut bare(&program));
    assert_eq!(status, Some(1));
    assert!(said.contains("libprobe.so: cannot open"), "{said}");
    assert_eq!(succeed(bare(&program).env("NIX_LD_LIBRARY_PATH", &folder)), "42\n");
    // After the trampoline has put the caller's value back, the loader still has the whole path.
    let mut command = bare(&program);
    assert_eq!(
        succeed(command.env("NIX_LD_LIBRARY_PATH", &folder).env("LD_LIBRARY_PATH", "/none:/nor")),
        "42\n"
    );
}

#[test]
fn the_callers_own_path_comes_first() {
    let lab = Lab::new();
    let show = lab.show(&lab.library("mine", &[]));
    lab.library("ours", &[]);
    let mut command = bare(&show);
    command.env("LD_LIBRARY_PATH", lab.path("mine")).env("NIX_LD_LIBRARY_PATH", lab.path("ours"));
    let said = succeed(&mut command);
    let loaded =
        |said: &str, folder: &str| said.contains(lab.path(folder).join("libprobe.so").to_str().unwrap());
    assert!(loaded(&said, "mine") && !loaded(&said, "ours"), "{said}");
    let said = succeed(bare(&show).env("NIX_LD_LIBRARY_PATH", lab.path("ours")));
    assert!(loaded(&said, "ours"), "{said}");
}

#[test]
fn the_default_path_holds_where_no_variable_names_one() {
    let lab = Lab::new();
    let show = lab.show(&lab.library("far", &[]));
    let mut command = bare("strace");
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.args(["-f", "-e", "trace=openat,open"]).arg(&show).env("NIX_LD_LIBRARY_PATH", "");
    let (_, said) = fail(&mut command);
    let tried = format!("\"{}/libprobe.so\"", default_path().display());
    assert!(said.contains(&tried), "{tried} is not in\n{said}");
}

#[test]
fn an_empty_element_goes_on_meaning_the_current_folder() {
    let lab = Lab::new();
    let folder = lab.library("here", &[]);
    let show = lab.show(&folder);
    for (path, works) in [("/none:", true), (":/none", true), (":", true), ("/none", false), ("", false)] {
        let real =
            bare(LOADER).arg(&show).env("LD_LIBRARY_PATH", path).current_dir(&folder).output().unwrap();
        assert_eq!(real.status.success(), works, "the real loader, {path:?}");
        let ours = bare(&show).env("LD_LIBRARY_PATH", path).current_dir(&folder).output().unwrap();
        assert_eq!(ours.status.success(), works, "the shim, {path:?}");
    }
}

#[test]
fn threads_posix_spawn_vfork_and_foreign_children_work() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    let spawn = lab.program("spawn", &["-pthread"]);
    let said = succeed(bare(spawn).arg(&show).env("NIX_LD_LIBRARY_PATH", &folder));
    assert!(said.ends_with("sixteen children\n"), "{said}");
}

#[test]
fn pythons_subprocess_starts_it() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let code = "import subprocess, sys; sys.stdout.write(subprocess.run(sys.argv[1:], check=True, \
                capture_output=True, text=True, close_fds=True, start_new_session=True).stdout)";
    assert_eq!(succeed(bare("/usr/bin/python3").args(["-c", code]).arg(hello)), "Hello, world!\n");
}

#[test]
fn every_way_to_link_works() {
    let lab = Lab::new();
    for more in
        [&["-Wl,-z,now"][..], &["-no-pie"], &["-Wl,-z,lazy"], &["-Wl,-z,execstack"], &["-pthread", "-ldl"]]
    {
        assert_eq!(succeed(&mut bare(lab.program("hello", more))), "Hello, world!\n", "{more:?}");
    }
    // These do not ask for a loader; the shim must not mind being named where nobody reads it.
    for more in [&["-static-pie"][..], &["-static"]] {
        assert_eq!(succeed(&mut bare(lab.gcc("hello", "static", more))), "Hello, world!\n", "{more:?}");
    }
}

#[test]
fn two_megabytes_of_arguments_and_variables_pass() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    // The shell, and not this test, whose own stack limit may be too small for it.
    let script = r#"
        v=$(head -c 65000 /dev/zero | tr '\0' v)
        for i in $(seq 16); do export V$i=$v; done
        exec "$0" $(seq -f %050.0f 20000)"#;
    let mut command = bare("/usr/bin/prlimit");
    command.args(["--stack=67108864", "sh", "-c", script]).arg(&show);
    let said = succeed(command.env("PATH", "/usr/bin:/bin").env("NIX_LD_LIBRARY_PATH", &folder));
    assert_eq!(said.lines().filter(|line| line.starts_with('A')).count(), 20_001);
    assert_eq!(said.lines().filter(|line| line.starts_with("EV")).count(), 16);
    assert!(!said.contains("\n!"), "{said}");
}

#[test]
fn long_paths_pass() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    // Around the size up to which the text lies on the stack, and the longest that the kernel takes.
    for len in (700..1_000).step_by(7).chain([5_000, 100_000]) {
        let filler = format!("/{}", "n".repeat(len));
        let path = format!("{filler}:{}", folder.display());
        let said = succeed(bare(&show).env("NIX_LD_LIBRARY_PATH", &path).env("LD_LIBRARY_PATH", "/mine"));
        assert!(said.contains("\nG/mine\n") && !said.contains("\n!"), "{len}");
        let said = succeed(bare(&show).env("NIX_LD_LIBRARY_PATH", &path));
        assert!(said.contains("\nG(unset)\n") && !said.contains("\n!"), "{len}");
    }
}

#[test]
fn a_small_stack_is_enough_where_it_is_for_the_real_loader() {
    let lab = Lab::new();
    let hello = lab.program("hello", &[]);
    let real = succeed(Command::new("prlimit").args(["--stack=65536", LOADER]).arg(&hello));
    let ours = succeed(Command::new("prlimit").arg("--stack=65536").arg(&hello));
    assert_eq!((real.as_str(), ours.as_str()), ("Hello, world!\n", "Hello, world!\n"));
}

#[test]
fn tools_name_the_program() {
    let lab = Lab::new();
    let hello = lab.program("hello", &["-g"]);
    let said = |command: &mut Command| {
        let output = command.env("LC_ALL", "C").output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "break main", "-ex", "run", "-ex", "info proc", "-ex", "backtrace"]);
    let words = said(gdb.arg(&hello));
    assert!(words.contains(&format!("exe = '{}'", hello.display())), "{words}");
    assert!(words.contains("#0  main"), "{words}");
    let words = said(Command::new("strace").args(["-e", "trace=execve"]).arg(&hello));
    assert!(words.contains(&format!("execve(\"{}\"", hello.display())), "{words}");
    assert_eq!(words.matches("execve(").count(), 1, "no second exec: {words}");
    let data = lab.path("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "20000", "-o"]).arg(&data).arg(&hello);
    succeed(&mut perf);
    let words = said(Command::new("perf").args(["script", "-F", "comm", "-i"]).arg(&data));
    assert!(words.lines().any(|line| line.trim() == "hello"), "{words}");
}

#[test]
fn the_real_loader_takes_the_shims_place_in_the_process() {
    let lab = Lab::new();
    let folder = lab.library("far", &[]);
    let show = lab.show(&folder);
    let said = succeed(bare(&show).env("NIX_LD_LIBRARY_PATH", &folder).arg("one"));
    let real = std::fs::canonicalize(LOADER).unwrap();
    let path = show.display();
    for line in
        [format!("B{}", real.display()), format!("X{path}"), format!("A{path}\nAone"), format!("N{path}")]
    {
        assert!(said.contains(&format!("\n{line}\n")), "{line}\n{said}");
    }
    for line in said.lines().filter(|line| line.starts_with('M')) {
        let rights = line.split(' ').nth(1).unwrap();
        assert!(!(rights.contains('w') && rights.contains('x')), "{line}");
        assert!(!(line.ends_with(shim().to_str().unwrap()) && rights.contains('w')), "{line}");
    }
}
