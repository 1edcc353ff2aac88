//! What a machine is, and that its package set is real.
//!
//! These tests need Nix, bubblewrap and patchelf. Without one of them they fail and name it: a
//! test that skips itself says nothing.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "the helpers are part of the tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{HOME, Nixbox};

const NUMPY: &str = "numpy==1.26.2";

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| {
        Nixbox::open(&mut |line| eprintln!("nixbox: {line}")).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Runs a script in a fresh machine; it must succeed.
#[track_caller]
fn sh(script: &str) -> String {
    let ran = nixbox().machine().start().unwrap().sh(script).unwrap();
    assert!(ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Runs a script that must fail, and returns what it said.
#[track_caller]
fn fails(script: &str) -> String {
    let ran = nixbox().machine().start().unwrap().sh(script).unwrap();
    assert!(!ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
    ran.stderr
}

fn wheels() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
    nixbox::wheels::download(NUMPY, "3.11", &cache).unwrap()
}

#[test]
fn the_root_has_what_nixos_has_and_nothing_else() {
    assert_eq!(sh("ls /"), "bin\ndev\netc\nhome\nnix\nproc\nrun\ntmp\nusr\nvar\n");
    assert_eq!(sh("ls /bin /usr /usr/bin"), "/bin:\nsh\n\n/usr:\nbin\n\n/usr/bin:\nenv\n");
    assert_eq!(sh("cat /etc/os-release | grep ^ID="), "ID=nixos\n");
    for absent in ["/lib64", "/lib", "/usr/lib", "/etc/ld.so.cache", "/etc/ld.so.conf"] {
        fails(&format!("test -e {absent}"));
    }
}

#[test]
fn programs_run_as_an_ordinary_user_in_their_home() {
    assert_eq!(sh("id -u; id -un; pwd; touch it; ls"), format!("1000\nuser\n{HOME}\nit\n"));
    assert!(fails("touch /it").contains("Read-only file system"));
    assert!(fails("touch /nix/store/it").contains("Read-only file system"));
}

#[test]
fn a_foreign_program_does_not_start_and_says_what_nixos_says() {
    let machine = nixbox().machine().start().unwrap();
    std::fs::copy("/usr/bin/env", machine.home().join("foreign")).unwrap();
    let ran = machine.sh("./foreign").unwrap();
    assert_eq!(ran.code, Some(127));
    assert!(ran.stderr.contains("./foreign: cannot execute: required file not found"), "{}", ran.stderr);
}

#[test]
fn an_adopted_program_starts() {
    let adopted = nixbox().adopt(Path::new("/usr/bin/env")).unwrap();
    let machine = nixbox().machine().start().unwrap();
    let output = machine.command(&adopted).args(["-i", "A=1"]).arg(&adopted).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "A=1\n", "{output:?}");
}

#[test]
fn the_loader_looks_in_its_own_lib_only() {
    let diagnostics = sh("$(readlink /run/glibc)/lib/ld-linux-x86-64.so.2 --list-diagnostics");
    let folders: Vec<&str> = diagnostics
        .lines()
        .filter_map(|line| line.strip_prefix("path.system_dirs["))
        .filter_map(|line| line.split_once('='))
        .map(|(_, folder)| folder.trim_matches('"'))
        .collect();
    assert_eq!(folders[0], "/run/glibc////////lib/");
    assert!(folders[1..].iter().all(|folder| folder.starts_with("/-/")), "{folders:?}");
    fails("test -e /-");
}

#[test]
fn python_has_its_libraries_from_the_store() {
    sh("python3.11 -c 'import ssl, ctypes, sqlite3, zlib, lzma, bz2, readline, uuid, curses, pyexpat'");
    let prefix = sh("python3.11 -c 'import sys; print(sys.prefix)'");
    assert!(prefix.starts_with("/nix/store/"), "{prefix}");
    let path = sh("python3.11 -c 'import sys; print(sys.path[-1])'");
    assert_eq!(path, format!("{}/lib/python3.11/site-packages\n", prefix.trim_end()));
    let closure = sh("nix-store -qR $(readlink -f $(type -P python3.11))");
    assert!(closure.contains("-zlib-"), "{closure}");
    assert!(!closure.contains("-gcc-"), "{closure}");
    let maps = sh("python3.11 -c 'import sys; print(open(\"/proc/self/maps\").read())'");
    assert!(!maps.contains("libz.so.1") && !maps.contains("libstdc++"), "{maps}");
}

#[test]
fn numpy_fails_as_on_nixos_and_works_with_the_libraries_it_lacks() {
    let machine = nixbox().machine().bind(wheels(), "/wheels", false).start().unwrap();
    let made = machine
        .sh(&format!(
            "python3.11 -m venv npenv; npenv/bin/pip install --no-index --find-links /wheels {NUMPY}"
        ))
        .unwrap();
    assert!(made.ok, "{}{}", made.stdout, made.stderr);
    let site_packages = machine.home().join("npenv/lib/python3.11/site-packages/numpy");
    assert!(site_packages.is_dir());

    let import = "npenv/bin/python -c 'import numpy; print(numpy.__version__)'";
    let without = machine.sh(import).unwrap();
    assert!(!without.ok);
    let words = "libz.so.1: cannot open shared object file: No such file or directory";
    assert!(without.stderr.contains(words), "{}", without.stderr);

    let with = machine
        .sh(&format!(
            "nix-build '<nixpkgs>' -A zlib -A stdenv.cc.cc.lib -o lacks
             LD_LIBRARY_PATH=$PWD/lacks/lib:$PWD/lacks-2-lib/lib {import}"
        ))
        .unwrap();
    assert_eq!(with.stdout.lines().last(), Some("1.26.2"), "{}", with.stderr);
}

#[test]
fn a_package_is_built_when_it_is_asked_for() {
    let listed = sh("nix-build '<nixpkgs>' -A zlib >/dev/null 2>&1; ls result/lib");
    assert_eq!(listed.lines().take(2).collect::<Vec<_>>(), ["libz.so", "libz.so.1"]);
}

#[test]
fn the_closure_of_a_library_has_what_it_needs() {
    let closure = sh("nix-store -qR $(nix-build '<nixpkgs>' -A xorg.libX11 2>/dev/null)");
    for name in ["libxcb", "libXau", "libXdmcp", "glibc", "libX11"] {
        assert!(closure.contains(&format!("-{name}-")), "{name} is not in\n{closure}");
    }
}

#[test]
fn a_library_is_in_the_output_where_nixpkgs_has_it() {
    let machine = nixbox().machine().start().unwrap();
    let of = |expression: &str| {
        let script = format!("nix-build --no-out-link -E 'with import <nixpkgs> {{}}; {expression}'");
        let ran = machine.sh(&script).unwrap();
        assert!(ran.ok, "{}", ran.stderr);
        ran.stdout.trim().to_owned()
    };
    let listing = |path: &str| machine.sh(&format!("ls {path}/lib 2>/dev/null || true")).unwrap().stdout;
    let [out, lib] = [of("dbus"), of("lib.getLib dbus")];
    assert!(lib.ends_with("-lib"), "{lib}");
    assert!(listing(&lib).contains("libdbus-1.so.3"));
    assert!(!listing(&out).contains("libdbus-1.so.3"));
    // bin is openssl's first output, and its library is in out.
    assert!(of("openssl").ends_with("-bin"));
    assert!(listing(&of("lib.getLib openssl")).contains("libssl.so.3"));
    assert!(listing(&of("stdenv.cc.cc.lib")).contains("libstdc++.so.6"));
    assert!(of("zlib.dev").ends_with("-dev"));
}

#[test]
fn what_nixpkgs_refuses_is_refused_in_its_words() {
    let machine = nixbox().machine().start().unwrap();
    for (attribute, words, setting) in [
        ("unfree", "has an unfree license (‘unfree’), refusing to evaluate", "allowUnfree = true;"),
        (
            "insecure",
            "is marked as insecure, refusing to evaluate",
            "permittedInsecurePackages = [ \"insecure-0.2.5\" ];",
        ),
        ("broken", "is marked as broken, refusing to evaluate", "allowBroken = true;"),
    ] {
        let refused = machine.sh(&format!("nix-build '<nixpkgs>' -A nixbox.{attribute}")).unwrap();
        assert!(!refused.ok && refused.stderr.contains(words), "{}", refused.stderr);
        let expression = format!("(import <nixpkgs> {{ config = {{ {setting} }}; }}).nixbox.{attribute}");
        let allowed = machine.sh(&format!("nix-build -E '{expression}'")).unwrap();
        assert!(allowed.ok, "{}", allowed.stderr);
    }
}

#[test]
fn a_name_that_moved_warns_or_refuses() {
    let machine = nixbox().machine().start().unwrap();
    let gone = machine.sh("nix-instantiate '<nixpkgs>' -A xlibs").unwrap();
    assert!(gone.stderr.contains("'xlibs' has been renamed to/replaced by 'xorg'"), "{}", gone.stderr);
    let moved = machine.sh("nix-instantiate '<nixpkgs>' -A xxHash").unwrap();
    assert!(moved.ok && moved.stderr.contains("'xxHash' has been renamed to 'xxhash'"), "{}", moved.stderr);
    let new = machine.sh("nix-instantiate '<nixpkgs>' -A xxhash").unwrap();
    assert_eq!((new.stdout, new.stderr.contains("renamed")), (moved.stdout, false));
}

#[test]
fn evaluation_is_lazy_and_fast() {
    let names = "zlib libGL glib gtk3 unixODBC dbus fontconfig openssl curl cups xorg.libX11 qt5.qtbase systemd nss \
                 nspr alsa-lib util-linux cairo pango freetype";
    let script = format!(
        "nix-instantiate --eval --strict -E 'with import <nixpkgs> {{}}; map (p: (lib.getLib p).outPath) [ {names} ]'"
    );
    let machine = nixbox().machine().start().unwrap();
    let started = std::time::Instant::now();
    let ran = machine.sh(&script).unwrap();
    assert!(ran.ok, "{}", ran.stderr);
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
    assert!(started.elapsed().as_secs_f64() < 2.0, "{:?}", started.elapsed());
}

#[test]
fn nix_shell_puts_a_library_path_and_programs_in_place() {
    let machine = nixbox().machine().start().unwrap();
    let shell = "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell {
        packages = [ pkgs.patchelf ];
        LD_LIBRARY_PATH = pkgs.lib.makeLibraryPath [ pkgs.zlib ];
        shellHook = \"echo hooked\";
    }";
    std::fs::write(machine.home().join("shell.nix"), shell).unwrap();
    let ran = machine.sh("nix-shell --run 'ls $LD_LIBRARY_PATH/libz.so.1; type -P patchelf' 2>&1").unwrap();
    assert!(ran.ok && ran.stdout.contains("/lib/libz.so.1\n/nix/store/"), "{}", ran.stdout);
    assert!(ran.stdout.contains("hooked"), "{}", ran.stdout);
}

#[test]
fn a_flake_reference_needs_no_network() {
    assert_eq!(sh("nix build nixpkgs#libffi && ls result/lib | grep -x libffi.so.8"), "libffi.so.8\n");
}

#[test]
fn there_is_no_network_unless_asked_for() {
    assert_eq!(sh("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
}

#[test]
fn machines_run_side_by_side() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = ["libpng", "libffi", "expat", "lz4"]
            .map(|name| scope.spawn(move || sh(&format!("nix-build --no-out-link '<nixpkgs>' -A {name}"))))
            .into_iter()
            .collect();
        for thread in threads {
            assert!(thread.join().unwrap().starts_with("/nix/store/"));
        }
    });
}

#[test]
fn a_link_in_the_home_keeps_a_store_path_alive() {
    let machine = nixbox().machine().start().unwrap();
    let ran = machine.sh("nix-build '<nixpkgs>' -A zlib; nix-store -q --roots result").unwrap();
    assert!(ran.stdout.contains(&format!("{HOME}/result -> ")), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn garbage_is_collected_in_a_store_of_ones_own() {
    let machine = nixbox().machine().own_store(true).start().unwrap();
    let script = "nix-build '<nixpkgs>' -A libffi -o kept; lost=$(nix-build --no-out-link '<nixpkgs>' -A nixbox.foreignPython)
        nix-collect-garbage; ls kept/lib/libffi.so.8; ! test -e $lost; python3.11 -c 'import ssl'; echo $lost >lost";
    let ran = machine.sh(script).unwrap();
    assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
    let lost = std::fs::read_to_string(machine.home().join("lost")).unwrap();
    // Nobody else has lost anything: the shared store may have it or not, but is whole.
    sh(&format!(
        "nix-store -q --requisites /run/glibc/; ! test -e {} || nix-store --verify-path {0}",
        lost.trim()
    ));
}

#[test]
fn a_foreign_python_is_at_hand() {
    let machine = nixbox().machine().start().unwrap();
    let ran = machine.sh("nix-build '<nixpkgs>' -A nixbox.foreignPython; patchelf --print-interpreter result/bin/python3.11; result/bin/python3.11").unwrap();
    assert!(ran.stdout.contains("/lib64/ld-linux-x86-64.so.2"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(127), "{}", ran.stderr);
}

#[test]
fn a_killed_owner_leaves_no_process_behind() {
    // A test cannot kill itself and look on: another process of this very program owns the machine.
    if std::env::var_os("NIXBOX_TEST_HANG").is_some() {
        let machine = nixbox().machine().start().unwrap();
        println!("{}", machine.home().parent().unwrap().display());
        machine.sh("nix-store --version; sleep 1000").unwrap();
        return;
    }
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_owner_leaves_no_process_behind", "--nocapture"])
        .env("NIXBOX_TEST_HANG", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(owner.stdout.take().unwrap()));
    let room =
        lines.map_while(Result::ok).find_map(|line| line.find('/').map(|at| line[at..].to_owned())).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(running(&room) > 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    gone(&room);
    // Its folder is all that a killed process leaves.
    std::fs::remove_dir_all(&room).unwrap();
}

#[test]
fn no_process_is_left_behind() {
    let mark = format!("nixbox-test-{}", std::process::id());
    let machine = nixbox().machine().start().unwrap();
    let folder = machine.home().parent().unwrap().to_owned();
    // A background program of the machine would outlive its shell, were it not for the namespace.
    let ran = machine
        .sh(&format!("(exec -a {mark} sleep 1000) & nix-store -q --roots /run/glibc/ >/dev/null"))
        .unwrap();
    assert!(ran.ok, "{}", ran.stderr);
    assert!(running(&folder.to_string_lossy()) > 0, "the daemon is named by its folder");
    drop(machine);
    gone(&mark);
    gone(&folder.to_string_lossy());
    assert!(!folder.exists());
}

/// Waits until no process has `mark`.
#[track_caller]
fn gone(mark: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while running(mark) > 0 {
        assert!(std::time::Instant::now() < deadline, "something of {mark} is left");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// How many processes have `mark` in their command line or in what they mounted.
fn running(mark: &str) -> usize {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter(|entry| entry.file_name().to_string_lossy() != own)
        .filter(|entry| {
            let text = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(mark);
            has(&text("cmdline")) || has(&text("mountinfo"))
        })
        .count()
}
