//! The real loader, asked; and our answer in the same words.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

pub mod image;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use pitstop_core::elf::Elf;
use pitstop_core::files::{FileId, Files, Opened};
use pitstop_core::ldso::{Environment, Loader, Loading, Outcome, Process, Rule, Shortfall};
use pitstop_host::loader;

pub const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// The loader of this machine; `None` where that is not glibc's for x86-64, and then nothing can be compared.
pub fn host_loader() -> Option<Arc<Loader>> {
    static ASKED: OnceLock<Option<Arc<Loader>>> = OnceLock::new();
    ASKED.get_or_init(|| loader::ask(Path::new(LOADER)).ok().map(Arc::new)).clone()
}

/// A folder that goes away with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, below: &str) -> PathBuf {
        let path = self.0.join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The disk, each file read once.
#[derive(Default)]
pub struct Disk(Mutex<HashMap<PathBuf, Opened>>);

impl Files for Disk {
    fn open(&self, path: &Path) -> Opened {
        if let Some(known) = self.0.lock().unwrap().get(path) {
            return known.clone();
        }
        let opened = match std::fs::metadata(path).and_then(|meta| Ok((meta, std::fs::read(path)?))) {
            Err(_) => Opened::Absent,
            Ok((meta, bytes)) => match Elf::read(bytes.as_slice()) {
                Ok(elf) => Opened::Elf(FileId { device: meta.dev(), inode: meta.ino() }, Arc::new(elf)),
                Err(error) => Opened::Unusable(error.to_string().into()),
            },
        };
        self.0.lock().unwrap().insert(path.to_owned(), opened.clone());
        opened
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// What a start comes to: comparable between us and the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Paths in the order of loading, without the program, the loader and the vDSO.
    pub loaded: Vec<PathBuf>,
    /// Names, sorted; each as often as it was looked for.
    pub missing: Vec<String>,
    /// "VERSION for FILE", sorted.
    pub versions: Vec<String>,
    /// Whether it gave up at a file.
    pub fatal: bool,
}

/// Asks the loader. `program` has a `PT_INTERP` and is started, or the loader is told to load it.
pub fn real(program: &Path, through_loader: bool, library_path: Option<&str>, folder: &Path) -> Answer {
    let mut command = if through_loader {
        let mut command = Command::new(LOADER);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("LD_TRACE_LOADED_OBJECTS", "1").current_dir(folder);
    command.envs(library_path.map(|path| ("LD_LIBRARY_PATH", path)));
    let output = loop {
        match command.output() {
            // Another test's thread has just forked, and its child holds our file open for writing until its exec.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut answer = Answer::default();
    for line in out.lines().map(str::trim) {
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        if path == "not found" {
            answer.missing.push(name.to_owned());
            continue;
        }
        let path = path.split_once(" (0x").map_or(path, |(path, _)| path);
        if ![LOADER, "linux-vdso.so.1", "statically linked"].contains(&path) {
            answer.loaded.push(PathBuf::from(path));
        }
    }
    for line in errors.lines() {
        if let Some((before, rest)) = line.split_once("version `")
            && !before.ends_with("weak ")
            && let Some((version, by)) = rest.split_once("' not found (required by ")
        {
            answer.versions.push(format!("{version} for {}", by.trim_end_matches(')')));
        }
        answer.fatal |= line.contains("error while loading shared libraries");
    }
    answer.missing.sort();
    answer.versions.sort();
    answer
}

/// Our answer to the same question.
pub fn ours(program: &Path, library_path: Option<&str>, folder: &Path) -> Answer {
    let disk = Disk::default();
    let environment = Environment {
        library_path: library_path.map(Into::into),
        current_dir: folder.to_owned(),
        ..Environment::default()
    };
    let process = Process::start(host_loader().unwrap(), &disk, program, environment).unwrap();
    answer(process.at_start(), program)
}

/// A start in comparable form.
pub fn answer(start: &Loading, program: &Path) -> Answer {
    let fatal = start.needs.iter().find(|need| matches!(need.outcome, Outcome::Unusable { .. }));
    if fatal.is_some() {
        return Answer { fatal: true, ..Answer::default() };
    }
    let objects = start.objects.iter().filter(|object| object.rule != Rule::Given);
    let loaded = objects.map(|object| object.path.to_path_buf()).collect();
    let mut missing: Vec<String> = start.unmet().map(|need| start.soname(need).to_string()).collect();
    missing.sort();
    let undefined = start.version_problems.iter().filter(|problem| problem.shortfall == Shortfall::Undefined);
    let mut versions: Vec<String> = undefined
        .map(|problem| {
            let by = &start.object(problem.by).path;
            // The loader calls the program by the name under which it was started.
            let by = if problem.by.0 == 0 { program.display() } else { by.display() };
            format!("{} for {by}", problem.version)
        })
        .collect();
    versions.sort();
    Answer { loaded, missing, versions, fatal: false }
}

/// Compares both on a program that is started by the kernel.
#[track_caller]
pub fn agree(program: &Path, library_path: Option<&str>, folder: &Path) -> Answer {
    let real = real(program, false, library_path, folder);
    let mut ours = ours(program, library_path, folder);
    if real.fatal {
        ours = Answer { fatal: ours.fatal, ..Answer::default() };
    }
    assert_eq!(ours, real, "ours (left) and the loader's (right) for {}", program.display());
    real
}

/// Runs a program and fails the test with its words where it fails.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a file, its parents too, and makes it executable.
pub fn write(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
