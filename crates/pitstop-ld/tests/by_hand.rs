//! The shim started by hand does what the real loader does, with the shim's search path.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::process::Command;

use support::{LOADER, Lab, bare, default_path, fail, plain, shim, succeed};

/// A program with an ordinary loader, whose library only a search path finds.
fn ordinary(lab: &Lab) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = lab.library("far", &[]);
    (lab.gcc("show", "show", &["-L", folder.to_str().unwrap(), "-lprobe"]), folder)
}

#[test]
fn a_program_gets_its_libraries_and_a_clean_environment() {
    let lab = Lab::new();
    let (show, folder) = ordinary(&lab);
    let said = succeed(bare(shim()).arg(&show).args(["one", "two"]).env("NIX_LD_LIBRARY_PATH", &folder));
    let path = show.display();
    assert!(said.contains(&format!("\nA{path}\nAone\nAtwo\n")), "{said}");
    assert!(said.contains("\nG(unset)\n"), "{said}");
    let variables: Vec<&str> = said.lines().filter(|line| line.starts_with('E')).collect();
    assert_eq!(variables, [format!("ENIX_LD_LIBRARY_PATH={}", folder.display())]);
    // As with the real one, /proc/self/exe is the loader's.
    let real = std::fs::canonicalize(LOADER).unwrap();
    assert!(said.contains(&format!("\nX{}\n", real.display())), "{said}");
    assert!(
        !said.lines().any(|line| line.starts_with('C') && line.contains("LD_LIBRARY_PATH=/none")),
        "{said}"
    );
}

#[test]
fn the_callers_variable_counts_and_the_callers_option_replaces_it() {
    let lab = Lab::new();
    let (show, folder) = ordinary(&lab);
    succeed(bare(shim()).arg(&show).env("LD_LIBRARY_PATH", &folder));
    succeed(bare(shim()).arg("--library-path").arg(&folder).arg(&show));
    let mut command = bare(shim());
    command.args(["--library-path", "/none"]).arg(&show).env("NIX_LD_LIBRARY_PATH", &folder);
    let (status, said) = fail(&mut command);
    assert_eq!(status, Some(127));
    assert!(said.contains("libprobe.so: cannot open shared object file"), "{said}");
}

#[test]
fn options_are_the_real_loaders() {
    let lab = Lab::new();
    let (show, folder) = ordinary(&lab);
    let hello = lab.gcc("hello", "hello", &[]);
    let path = folder.to_str().unwrap();
    let preload = folder.join("libprobe.so");
    let (show, hello, preload) = (show.to_str().unwrap(), hello.to_str().unwrap(), preload.to_str().unwrap());
    let lists: [&[&str]; 6] = [
        &["--list", show],
        &["--verify", show],
        &["--version"],
        &["--preload", preload, hello],
        &["--argv0", "another", show],
        &["--inhibit-cache", "--list", show],
    ];
    // Addresses differ from run to run.
    let shown = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let keeps = |word: &&str| !word.starts_with("(0x");
        let lines = text.lines().filter(|line| !line.starts_with('M'));
        lines.map(|line| line.split(' ').filter(keeps).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    for arguments in lists {
        let real = bare(LOADER).args(arguments).env("LD_LIBRARY_PATH", path).output().unwrap();
        let ours = bare(shim()).args(arguments).env("LD_LIBRARY_PATH", path).output().unwrap();
        assert_eq!(shown(&ours.stdout), shown(&real.stdout), "{arguments:?}");
        assert_eq!(ours.status, real.status, "{arguments:?}");
        assert!(real.status.success(), "{arguments:?}");
    }
}

#[test]
fn the_real_loaders_help_tells_our_path() {
    let said = succeed(
        bare(shim()).arg("--help").env("NIX_LD_LIBRARY_PATH", "/ours").env("LD_LIBRARY_PATH", "/mine"),
    );
    assert!(said.starts_with(&format!("Usage: {LOADER} [OPTION]")), "{said}");
    let (mine, ours) = (said.find("\n  /mine (").unwrap(), said.find("\n  /ours (").unwrap());
    assert!(mine < ours, "{said}");
}

#[test]
fn an_unknown_program_is_the_real_loaders_error() {
    let real = bare(LOADER).arg("/no/such").output().unwrap();
    let ours = bare(shim()).arg("/no/such").output().unwrap();
    assert_eq!(ours.status, real.status);
    let said = String::from_utf8_lossy(&ours.stderr).into_owned();
    assert!(said.contains("/no/such: cannot open shared object file"), "{said}");
}

#[test]
fn a_missing_loader_names_the_program_and_not_the_shim() {
    let (status, said) = fail(bare(plain()).args(["--argv0", "x", "/bin/true"]));
    assert_eq!(status, Some(127));
    assert!(
        said.starts_with("pitstop-ld: cannot start /bin/true: the loader /run/current-system/"),
        "{said}"
    );
}

#[test]
fn with_no_program_it_says_what_it_is_and_what_it_honours() {
    let (status, said) = fail(&mut bare(shim()));
    assert_eq!(status, Some(127));
    for words in [
        "NIX_LD_x86_64_linux\n",
        "else NIX_LD,",
        "NIX_LD_LIBRARY_PATH_x86_64_linux\n",
        "NIX_LD_LOG=",
        "pitstop-libs",
        LOADER,
        default_path().to_str().unwrap(),
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    let output = Command::new(shim()).output().unwrap();
    assert!(output.stdout.is_empty());
}
