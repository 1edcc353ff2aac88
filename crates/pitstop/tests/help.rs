//! Help, completions and manual pages, as shells and typesetters take them.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::path::Path;
use std::process::{Command, Output};

fn pitstop(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pitstop")).args(arguments).output().unwrap()
}

/// What the command prints, which must succeed.
fn said(arguments: &[&str]) -> String {
    let output = pitstop(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the completions for a shell in it.
fn completions(shell: &str, file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), said(&["completions", shell])).unwrap();
    folder
}

/// Runs a shell in that folder; what it says, which must be no complaint.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(folder)
        .env("HOME", folder)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_explains_topics_and_commands() {
    let whole = said(&["help"]);
    for line in ["Write shell.nix", "Topics (pitstop help TOPIC):", "  imports ", "  containers "] {
        assert!(whole.contains(line), "{line}?\n{whole}");
    }
    assert!(said(&["help", "numpy"]).starts_with("Why an import fails\n"));
    assert_eq!(said(&["help", "fix"]), said(&["fix", "--help"]));
    assert_eq!(said(&["help", "index", "build"]), said(&["index", "build", "--help"]));
    let output = pitstop(&["help", "nope"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("`nope`") && errors.contains("choosing") && output.stdout.is_empty(), "{errors}");
}

#[test]
fn bash_completes_commands_options_topics_and_shells() {
    let folder = completions("bash", "pitstop.bash");
    let complete = |line: &str| {
        let script = "source ./pitstop.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                      \"$(complete -p pitstop | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\" \"$1\" \"${!#}\" \"${@: -2:1}\"; \
                      echo \"${COMPREPLY[@]}\"";
        let words: Vec<&str> = line.split(' ').collect();
        run(folder.path(), "bash", &[&["-c", script, "bash"], &words[..]].concat())
    };
    assert_eq!(complete("pitstop sh"), "shell\n");
    assert_eq!(complete("pitstop shell --fl"), "--flake\n");
    assert_eq!(complete("pitstop help cho"), "choosing\n");
    assert_eq!(complete("pitstop completions nu"), "nushell\n");
    assert_eq!(complete("pitstop index im"), "import\n");
    // What only pitstop itself says is not offered.
    assert!(!complete("pitstop run --").contains("handed-over"));
}

#[test]
fn zsh_reads_its_completions_as_a_function() {
    let folder = completions("zsh", "_pitstop");
    run(folder.path(), "zsh", &["-n", "_pitstop"]);
    let script = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo $_comps[pitstop]; \
                  autoload +X _pitstop; functions _pitstop | grep -c 'shell)'";
    let said = run(folder.path(), "zsh", &["-f", "-c", script]);
    assert!(said.starts_with("_pitstop\n") && !said.ends_with("\n0\n"), "{said}");
}

#[test]
fn fish_completes_commands_and_topics() {
    let folder = completions("fish", "pitstop.fish");
    let complete = |line: &str| {
        run(
            folder.path(),
            "fish",
            &["--no-config", "-c", &format!("source pitstop.fish; complete -C '{line}'")],
        )
    };
    assert!(complete("pitstop sh").starts_with("shell\tWrite shell.nix"), "{}", complete("pitstop sh"));
    assert!(complete("pitstop help cho").starts_with("choosing"));
    assert!(complete("pitstop shell --fl").starts_with("--flake"));
}

#[test]
fn nushell_is_told_of_every_command() {
    let text = said(&["completions", "nushell"]);
    for command in ["check", "fix", "shell", "index build", "help"] {
        assert!(text.contains(&format!("export extern \"pitstop {command}\" [")), "{command}");
    }
    assert!(text.contains("choosing"), "no topics");
    assert_eq!(text.matches(['{', '[', '(']).count(), text.matches(['}', ']', ')']).count());
}

#[test]
fn every_manual_page_is_set_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man/man1");
    said(&["man", "--output", into.to_str().unwrap()]);
    let mut names: Vec<String> =
        into.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in ["pitstop.1", "pitstop-fix.1", "pitstop-index-build.1", "pitstop-shell.1"] {
        assert!(names.iter().any(|it| it == name), "{name}? {names:?}");
    }
    for name in &names {
        let text = run(&into, "groff", &["-man", "-ww", "-Tutf8", "-P-cbou", name]);
        assert!(text.contains("NAME\n") && text.contains("SYNOPSIS\n"), "{name}\n{text}");
        assert!(!text.contains("handed"), "{name}: what is hidden");
    }
    let main = run(&into, "groff", &["-man", "-ww", "-Tutf8", "-P-cbou", "pitstop.1"]);
    for part in [
        "pitstop-index(1)",
        "EXIT STATUS 0 All is well 1 Something is missing",
        "VENV/.pitstop/manifest.json",
        "ld.so(8)",
    ] {
        let words = main.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{part}?\n{main}");
    }
    assert_eq!(
        said(&["man", "index", "build"]),
        std::fs::read_to_string(into.join("pitstop-index-build.1")).unwrap()
    );
    assert_eq!(pitstop(&["man", "nope"]).status.code(), Some(2));
    assert_eq!(pitstop(&["man", "--output", "/proc/nowhere"]).status.code(), Some(2));
}
