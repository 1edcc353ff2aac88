//! Environments, caches and indexes made to harm: nothing outside the environment is written, nothing of theirs is run
//! that should not be, no secret is shown, and time and memory stay bounded.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::snapshot::{Snapshot, assert_same, snapshot};
use crate::venv::{Ran, Venv};

/// A folder beside the venv that nobody may touch, with a file.
fn outside(venv: &Venv) -> (PathBuf, Snapshot) {
    let folder = venv.beside("outside");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("kept"), "kept").unwrap();
    let before = snapshot(&folder);
    (folder, before)
}

/// Runs every command that changes an environment, and every one that looks.
fn every_command(venv: &Venv) {
    for words in ["check --static", "check", "status", "fix --dry-run", "fix", "status", "undo", "undo"] {
        let ran = venv.pitstop(words);
        assert!(matches!(ran.code, Some(0..=5)), "{words}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{words}: {ran:?}");
        assert!(ran.code != Some(5) || ran.err.contains("hint: "), "{words}: {ran:?}");
    }
}

#[test]
fn a_folder_of_the_environment_that_is_a_link_leads_no_write_outside() {
    for part in ["site-packages", "lib", "bin", ".pitstop", "__pycache__"] {
        let venv = Venv::lacking();
        let (folder, _) = outside(&venv);
        let place = match part {
            "site-packages" => venv.site.clone(),
            "lib" => venv.root.join("lib"),
            "__pycache__" => venv.site.join("__pycache__"),
            other => venv.root.join(other),
        };
        if place.exists() {
            // All of it, so that everything still works but for where it is.
            let moved = Command::new("mv").args([&place, &folder.join("moved")]).status().unwrap();
            assert!(moved.success());
            symlink(folder.join("moved"), &place).unwrap();
        } else {
            symlink(&folder, &place).unwrap();
        }
        let before = snapshot(&folder);
        every_command(&venv);
        assert_same(&before, &snapshot(&folder), part);
    }
}

#[test]
fn a_manifest_that_leads_out_of_the_environment_is_refused_and_takes_nothing_away() {
    let venv = Venv::lacking();
    let (folder, before) = outside(&venv);
    symlink(&folder, venv.root.join("out")).unwrap();
    symlink(folder.join("kept"), venv.root.join("file")).unwrap();
    fs::create_dir(venv.root.join(".pitstop")).unwrap();
    // SHA-256 of `kept`.
    let sum = "79f076abdd19a752db7267bfff2f9022161d120dea919fdaca2ffdfc24ca8c96";
    let absolute = folder.join("kept").display().to_string();
    for path in [
        "../outside/kept",
        &absolute,
        "out/kept",
        "file",
        "out/../../outside/kept",
        "lib/./../../outside/kept",
    ] {
        let entries = [
            format!(r#"{{"kind":"file","path":"{path}","mode":420,"sha256":["{sum}"]}}"#),
            format!(r#"{{"kind":"link","path":"{path}","targets":["kept"]}}"#),
            format!(r#"{{"kind":"folder","path":"{path}"}}"#),
            r#"{"kind":"claim","folder":"out","starts_with":"","ends_with":""}"#.to_owned(),
            r#"{"kind":"claim","folder":"../outside","starts_with":"","ends_with":""}"#.to_owned(),
        ];
        for entry in entries {
            for state in ["applied", "applying", "undoing"] {
                let manifest = format!(
                    r#"{{"schema":1,"pitstop":"0.1.0","state":"{state}","entries":[{entry}],"touched":[
                        {{"path":"out","before":{{"seconds":1,"nanoseconds":1}},"after":null}}]}}"#
                );
                fs::create_dir_all(venv.root.join(".pitstop")).unwrap();
                fs::write(venv.root.join(".pitstop/manifest.json"), &manifest).unwrap();
                for words in ["status", "undo"] {
                    let ran = venv.pitstop(words);
                    assert!(matches!(ran.code, Some(0..=5)), "{manifest}: {ran:?}");
                    assert!(!ran.err.contains("panicked"), "{manifest}: {ran:?}");
                }
                assert_same(&before, &snapshot(&folder), &manifest);
            }
        }
    }
    let _ = fs::remove_dir_all(venv.root.join(".pitstop"));
    venv.pitstop("fix").ends(0, &[]);
    venv.import().unwrap();
}

#[test]
fn the_sum_that_the_manifests_here_give_is_that_of_the_file() {
    use sha2::Digest as _;
    let sum = sha2::Sha256::digest(b"kept").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(sum, "79f076abdd19a752db7267bfff2f9022161d120dea919fdaca2ffdfc24ca8c96");
}

#[test]
fn a_home_that_leads_elsewhere_gets_nothing_run() {
    let venv = Venv::lacking();
    let home = venv.beside("home");
    fs::create_dir(&home).unwrap();
    let marker = venv.beside("marker");
    for name in ["python", "python3", "python3.11", "ldd", "ld.so"] {
        let script = venv.beside("script");
        fs::write(&script, format!("#!/bin/sh\ntouch {}\nexec /usr/bin/python3 \"$@\"\n", marker.display()))
            .unwrap();
        let made =
            Command::new("install").args(["-m", "755"]).args([&script, &home.join(name)]).status().unwrap();
        assert!(made.success());
    }
    let config = fs::read_to_string(venv.root.join("pyvenv.cfg")).unwrap();
    let evil = format!(
        "home = {0}\nexecutable = {0}/python3\ncommand = {0}/python3 -m venv\nbase-prefix = {0}\n",
        home.display()
    );
    let rest: Vec<&str> =
        config.lines().filter(|line| line.starts_with("version") || line.starts_with("include")).collect();
    fs::write(venv.root.join("pyvenv.cfg"), evil + &rest.join("\n") + "\n").unwrap();
    for words in ["check --static", "check", "status", "check --json", "fix --dry-run"] {
        let ran = venv.pitstop(words);
        assert!(matches!(ran.code, Some(0..=5)), "{words}: {ran:?}");
        assert!(!marker.exists(), "{words} ran what pyvenv.cfg names");
    }
}

#[test]
fn a_record_of_what_was_provided_is_checked_before_it_is_believed() {
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    let place = venv.root.join(".pitstop/provided.json");
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    let (folder, before) = outside(&venv);
    for (file, from) in [
        (folder.join("kept").display().to_string(), "wheel"),
        ("../outside/kept".to_owned(), "nix:evil"),
        ("/etc/passwd".to_owned(), "\u{1b}[2J"),
        ("/dev/zero".to_owned(), "wheel"),
        ("/proc/self/mem".to_owned(), "wheel"),
    ] {
        let mut evil = good.clone();
        evil["libraries"][0]["file"] = file.as_str().into();
        evil["libraries"][0]["from"] = from.into();
        fs::write(&place, evil.to_string()).unwrap();
        for words in ["check --static", "check", "status"] {
            let ran = venv.pitstop(words);
            assert!(matches!(ran.code, Some(0..=5)), "{words}, {file}: {ran:?}");
            let all = format!("{}{}", ran.out, ran.err);
            assert!(!all.contains(|c: char| c.is_control() && c != '\n'), "{ran:?}");
        }
        // What is no library with that name serves nobody: it is looked for anew.
        venv.pitstop("fix").ends(0, &[]);
        venv.import().unwrap_or_else(|words| panic!("{file}: {words}"));
        let after: serde_json::Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        assert_eq!(after["libraries"][0]["file"], good["libraries"][0]["file"], "{file}");
    }
    assert_same(&before, &snapshot(&folder), "something was written outside");
}

#[test]
fn kept_answers_of_somebody_else_are_not_believed() {
    let venv = Venv::lacking();
    let answers = venv.beside("cache/pitstop/answers");
    venv.pitstop("check").ends(1, &["libpstest.so.1"]);
    // Whatever lies there: a link, a folder, a pipe, other words, and of any size.
    fs::create_dir_all(&answers).unwrap();
    for entry in fs::read_dir(&answers).unwrap().map(|entry| entry.unwrap().path()) {
        let good = fs::read(&entry).unwrap();
        let secret = venv.beside("secret");
        fs::write(&secret, &good).unwrap();
        fs::remove_file(&entry).unwrap();
        symlink(&secret, &entry).unwrap();
        venv.pitstop("check").ends(1, &["libpstest.so.1"]);
        let _ = fs::remove_file(&entry);
        assert!(Command::new("mkfifo").arg(&entry).status().unwrap().success());
        venv.pitstop("check").ends(1, &["libpstest.so.1"]);
        let _ = fs::remove_file(&entry);
        File::create(&entry).unwrap().set_len(1 << 40).unwrap();
        venv.pitstop("check").ends(1, &["libpstest.so.1"]);
        let _ = fs::remove_file(&entry);
        assert_eq!(fs::read(&secret).unwrap(), good, "a link was written through");
    }
}

/// What must appear nowhere.
const SECRETS: [&str; 6] =
    ["s3cr3t-token", "hunter2-pip", "hunter2-uv", "hunter2-proxy", "tok3n-nixpkgs", "tok3n-cache"];

#[test]
fn no_secret_of_the_environment_reaches_a_report_or_a_file() {
    let venv = Venv::lacking();
    venv.write("asker/__init__.py", "import ctypes\nctypes.CDLL('libnobody-has-it.so.7')\n");
    venv.own("asker-1.0", &["asker/__init__.py"]);
    let root = venv.root.to_str().unwrap();
    let output = venv.beside("index");
    fs::create_dir(&output).unwrap();
    let output = output.join("files");
    let nixpkgs = "https://me:tok3n-nixpkgs@127.0.0.1:9/nixpkgs.tar.gz";
    let cache = "http://me:tok3n-cache@127.0.0.1:9";
    let empty = venv.beside("none");
    fs::write(&empty, "").unwrap();
    let paths = venv.beside("paths");
    fs::write(&paths, "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a-1\n").unwrap();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["check", root],
        vec!["check", "--static", root],
        vec!["fix", "--dry-run", root],
        vec!["fix", root],
        vec!["status", root],
        vec!["why", "libpstest.so.1", root],
        vec!["tree", venv.python().to_str().unwrap().to_owned().leak()],
        vec!["doctor"],
        vec!["locate", "libpstest.so.1"],
        vec!["fix", "--nixpkgs", nixpkgs, "--provider", "nix", root],
        vec!["index", "info"],
        vec!["undo", root],
    ];
    let (output, paths) = (output.to_str().unwrap(), paths.to_str().unwrap());
    commands.push(vec![
        "index",
        "build",
        "--cache",
        cache,
        "--store-paths",
        paths,
        "--output",
        output,
        "--retries",
        "0",
    ]);
    commands.push(vec!["index", "update", "--url", cache, "--output", output]);
    for command in &commands {
        for more in [&[][..], &["--json"], &["--verbose"]] {
            let words: Vec<&str> = command.iter().chain(more).copied().collect();
            let mut run = venv.around(&["timeout", "300"], &words);
            run.env("SECRET_TOKEN", SECRETS[0]).env("AWS_SECRET_ACCESS_KEY", SECRETS[0]);
            run.env("PIP_INDEX_URL", format!("https://me:{}@127.0.0.1:9/simple", SECRETS[1]));
            run.env("UV_INDEX_URL", format!("https://me:{}@127.0.0.1:9/simple", SECRETS[2]));
            run.env("https_proxy", format!("http://me:{}@127.0.0.1:9", SECRETS[3]));
            run.env("NIX_PATH", format!("nixpkgs=https://me:{}@127.0.0.1:9/x.tar.gz", SECRETS[4]));
            let ran = Ran::of(run.output().unwrap());
            for secret in SECRETS {
                assert!(
                    !ran.out.contains(secret) && !ran.err.contains(secret),
                    "{words:?}: {secret} in {ran:?}"
                );
            }
            assert!(matches!(ran.code, Some(0..=5)), "{words:?}: {ran:?}");
        }
    }
    let files = hold_no_secret([venv.root.clone(), venv.beside("cache"), venv.beside("index")].into());
    assert!(files > 10, "{files} files were looked at: too few to show anything");
}

/// Fails where a file below one of these folders holds a secret; says how many files there are.
fn hold_no_secret(mut open: Vec<PathBuf>) -> usize {
    let mut files = 0;
    while let Some(path) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_file() {
            let bytes = fs::read(&path).unwrap();
            files += 1;
            for secret in SECRETS {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds {secret}", path.display());
            }
        }
    }
    files
}

/// Runs a command, and gives the most memory that it or a child of it held at once, in KiB (`getrusage`).
fn measured(venv: &Venv, words: &[&str]) -> (Ran, u64) {
    let script = "import resource, subprocess, sys\n\
        ended = subprocess.run(sys.argv[2:])\n\
        open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
        sys.exit(ended.returncode)\n";
    let told = venv.beside("rusage");
    let before = ["timeout", "300", "/usr/bin/python3", "-I", "-c", script, told.to_str().unwrap()];
    let ran = Ran::of(venv.around(&before, words).output().unwrap());
    (ran, fs::read_to_string(&told).unwrap().parse().unwrap())
}

/// A file that claims to be long, begins with some bytes, and takes no room.
fn sparse(path: &Path, start: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, start).unwrap();
    File::options().write(true).open(path).unwrap().set_len(64 << 30).unwrap();
}

#[test]
fn files_that_claim_to_have_64_gib_take_no_memory_to_speak_of() {
    let venv = Venv::lacking();
    sparse(&venv.site.join("needy-1.0.dist-info/RECORD"), b"needy/_x.so,,\n");
    sparse(&venv.site.join("needy-1.0.dist-info/METADATA"), b"Name: needy\n");
    sparse(&venv.site.join("needy-1.0.dist-info/top_level.txt"), b"needy\n");
    sparse(&venv.site.join("huge-1.0.dist-info/RECORD"), b"huge/__init__.py,,\n");
    sparse(&venv.site.join("huge/__init__.py"), b"import ctypes; ctypes.CDLL('libz.so.1')\n");
    sparse(&venv.site.join("needy/huge.abi3.so"), b"\x7fELF");
    sparse(&venv.site.join("trap.pth"), b"import os\n");
    let (plain, most) = (Venv::lacking(), 400 << 10);
    let (_, usual) = measured(&plain, &["check", plain.root.to_str().unwrap()]);
    for words in [&["check", "--static"][..], &["check"], &["why", "libpstest.so.1"]] {
        let words: Vec<&str> = words.iter().copied().chain([venv.root.to_str().unwrap()]).collect();
        let (ran, memory) = measured(&venv, &words);
        assert!(matches!(ran.code, Some(0..=5)), "{words:?}: {ran:?}");
        assert!(memory < most, "{words:?} held {memory} KiB, where {usual} is usual");
    }
    let ran = venv.pitstop("check");
    ran.ends(
        3,
        &["libpstest.so.1", "needy-1.0.dist-info/RECORD could not be read: longer than any such file"],
    );
    // The manifest and what else pitstop itself reads back.
    let venv = Venv::lacking();
    venv.pitstop("fix").ends(0, &[]);
    for name in [".pitstop/manifest.json", ".pitstop/provided.json", "pyvenv.cfg"] {
        let path = venv.root.join(name);
        let good = fs::read(&path).unwrap();
        sparse(&path, &good);
        for words in [["status"], ["undo"], ["check"]] {
            if name == "pyvenv.cfg" && words == ["check"] {
                // Its Python reads all of it itself.
                continue;
            }
            let words = [words[0], venv.root.to_str().unwrap()];
            let (ran, memory) = measured(&venv, &words);
            assert!(matches!(ran.code, Some(0..=5)), "{name}, {words:?}: {ran:?}");
            assert!(memory < most, "{name}, {words:?} held {memory} KiB");
        }
        fs::write(&path, good).unwrap();
    }
}
