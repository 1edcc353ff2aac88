//! Every ELF file of a folder, resolved by us and by the real loader, file by file.
//!
//! Programs and libraries of the machine are traced; extension modules are opened in a child of a real Python, which
//! reports what came in, or the loader's words. `PITSTOP_CORPUS` names a virtual environment to take the modules from;
//! without it those of the machine's own Python are taken.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::{Environment, Outcome, Process, no_fallback};
use support::{Disk, LOADER, answer, host_loader, real};

/// Opens each path of standard input in a child of its own, and prints what that maps besides, or the error.
const DRIVER: &str = r"
import os, sys, _ctypes
def mapped():
    with open('/proc/self/maps') as maps:
        return [line.split(None, 5)[5].strip() for line in maps if '/' in line]
before = set(mapped())
print('LOADED', *sorted(before), sep='\t', flush=True)
for path in sys.stdin:
    path = path.strip()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _ctypes.dlopen(path, 1)
            words = 'NEW\t' + '\t'.join(sorted({name for name in mapped() if name not in before}))
        except OSError as error:
            words = 'ERROR\t' + str(error).replace('\n', ' ')
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    words = b''
    while chunk := os.read(read, 65536):
        words += chunk
    os.close(read)
    os.waitpid(child, 0)
    print('FILE', path, words.decode(), sep='\t', flush=True)
";

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => files_below(&path, found),
            Ok(meta) if meta.is_file() => found.push(path),
            _ => {}
        }
    }
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path)
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic))
        .is_ok_and(|()| magic == *b"\x7fELF")
}

#[test]
fn every_library_of_the_machine_is_traced_alike() {
    let Some(loader) = host_loader() else { return };
    let mut files = Vec::new();
    files_below(Path::new("/usr/lib/x86_64-linux-gnu"), &mut files);
    files_below(Path::new("/usr/bin"), &mut files);
    files.retain(|path| is_elf(path));
    // All of them take half a minute; each run takes an even share of them.
    let all = std::env::var_os("PITSTOP_CORPUS_ALL").is_some();
    let step = if all { 1 } else { files.len().div_ceil(250).max(1) };
    let files: Vec<PathBuf> = files.into_iter().step_by(step).collect();
    let disk = Disk::default();
    let (next, compared) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Opened::Elf(_, elf) = disk.open(path) else { continue };
                    if elf.target != loader.target
                        || !elf.dynamic
                        || path.file_name() == Path::new(LOADER).file_name()
                    {
                        continue;
                    }
                    let real = real(path, true, None, Path::new("/"));
                    let process =
                        Process::start(loader.clone(), &disk, path, Environment::default()).unwrap();
                    let mut ours = answer(process.at_start(), path);
                    ours.fatal = real.fatal && ours.fatal;
                    compared.fetch_add(1, Ordering::Relaxed);
                    if ours != real {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{}\nours {ours:#?}\nreal {real:#?}", path.display()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} files compared, {} differ", compared.load(Ordering::Relaxed), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The Python of the corpus, and the folder of its modules.
fn corpus() -> Option<(PathBuf, Vec<PathBuf>)> {
    if let Some(venv) = std::env::var_os("PITSTOP_CORPUS") {
        let venv = PathBuf::from(venv);
        return Some((venv.join("bin/python3"), vec![venv.join("lib")]));
    }
    let python = PathBuf::from("/usr/bin/python3");
    python.exists().then(|| (python, vec!["/usr/lib/python3".into(), "/usr/lib/python3.11".into()]))
}

#[test]
fn every_module_opened_in_a_child_python_brings_in_the_same_files() {
    let (Some(loader), Some((python, folders))) = (host_loader(), corpus()) else { return };
    let mut files = Vec::new();
    for folder in &folders {
        files_below(folder, &mut files);
    }
    let disk = Disk::default();
    files.retain(|path| {
        path.to_string_lossy().contains(".so")
            && matches!(disk.open(path), Opened::Elf(_, elf) if elf.target == loader.target && elf.dynamic)
    });
    let mut child = Command::new(&python)
        .args(["-I", "-c", DRIVER])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let list = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n") + "\n";
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut lines = output.lines();
    let mapped = lines.next().unwrap().split('\t').skip(1);

    let program = std::fs::canonicalize(&python).unwrap();
    let mut process = Process::start(loader, &disk, &program, Environment::default()).unwrap();
    assert!(process.at_start().succeeds());
    process.add_loaded(mapped.filter(|path| *path != program.to_str().unwrap()));
    let (mut compared, mut opened, mut failures) = (0, 0, Vec::new());
    for line in lines {
        let mut fields = line.split('\t');
        let (Some("FILE"), Some(path), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            panic!("{line}");
        };
        compared += 1;
        let ours = process.load(Path::new(path), None, &no_fallback);
        if kind == "NEW" {
            opened += 1;
            let real: BTreeSet<PathBuf> =
                fields.filter(|path| disk.open(Path::new(path)).is_elf()).map(PathBuf::from).collect();
            let mine: BTreeSet<PathBuf> =
                ours.objects.iter().map(|object| std::fs::canonicalize(&object.path).unwrap()).collect();
            // A library may have opened others when it was initialised, which no file tells.
            if !ours.succeeds() || !mine.is_subset(&real) || !explained(&real, &mine, &disk) {
                failures
                    .push(format!("{path}\nours {mine:#?}\nreal {real:#?}\nunmet {:?}", ours.unmet().next()));
            }
            continue;
        }
        let words = fields.next().unwrap_or_default();
        if kind.is_empty() {
            // Its initialiser ended the child; the loader was done by then.
            assert!(ours.succeeds(), "{path}");
            continue;
        }
        let expected = words.contains("undefined symbol") && ours.succeeds()
            || said(&ours).iter().any(|name| words.contains(name.as_str()));
        if !expected {
            failures.push(format!("{path}\nreal: {words}\nours: {:?}", said(&ours)));
        }
    }
    println!("{compared} modules compared, {opened} opened, {} differ", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

trait IsElf {
    fn is_elf(&self) -> bool;
}

impl IsElf for Opened {
    fn is_elf(&self) -> bool {
        matches!(self, Opened::Elf(..))
    }
}

/// Whether the files that came in besides ours can have been opened by code alone.
fn explained(real: &BTreeSet<PathBuf>, mine: &BTreeSet<PathBuf>, disk: &Disk) -> bool {
    let rest: Vec<&PathBuf> = real.difference(mine).collect();
    // Whatever code opens is nobody's need: if one of ours needs it, we ought to have found it.
    let needed = |path: &&PathBuf| {
        let Opened::Elf(_, elf) = disk.open(path) else { return false };
        mine.iter().any(|mine| {
            let Opened::Elf(_, by) = disk.open(mine) else { return false };
            elf.soname.as_ref().is_some_and(|soname| by.needed.contains(soname))
        })
    };
    !rest.iter().any(needed)
}

/// What the loader's message should name: the first need that is not met, or version.
fn said(ours: &pitstop_core::ldso::Loading) -> Vec<String> {
    let mut said = Vec::new();
    match &ours.root {
        Outcome::Unusable { path, why } => said.push(format!("{}: {why}", path.display())),
        Outcome::Missing => said.push("cannot open shared object file".into()),
        _ => {}
    }
    match ours.unmet().next() {
        Some(need) => match &need.outcome {
            Outcome::Unusable { path, .. } => said.push(path.display().to_string()),
            _ => said.push(format!("{}: ", ours.soname(need))),
        },
        None => said.extend(
            ours.version_problems
                .iter()
                .filter(|problem| problem.shortfall.is_fatal())
                .take(1)
                .map(|problem| format!("version `{}' not found", problem.version)),
        ),
    }
    said
}
