//! Asking a loader what only it knows: its default folders, its cache, and what it makes of the processor.
//!
//! A loader that can run here is asked with `--list-diagnostics` and `--help`, which do no more than print. One that
//! cannot, or that is too old to know the question, is read: the answers stand in its file as strings.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use pitstop_core::elf::{Class, Elf, ElfError, Encoding, Target};
use pitstop_core::ldso::cache::Cache;
use pitstop_core::ldso::{Loader, LoaderError, Machine, is_musl, musl_path_file};

use crate::answers::Question;

/// The longest that a loader may take to print what it knows. It takes about a millisecond.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The most that is read of its answer, which has about 10 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The largest loader that is read; glibc's has 250 KiB, musl's, which is also its C library, 800 KiB.
const LOADER_BYTES_MAX: u64 = 64 << 20;
/// The largest cache that is read; one of a desktop has 150 KiB.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// A loader that could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Its file cannot be read.
    #[error("cannot read the loader {}", path.display())]
    Read {
        /// The loader.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no ELF file.
    #[error("the loader {} is no usable ELF file", path.display())]
    Elf {
        /// The loader.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// Its file has not what a loader's file has.
    #[error("{} is no loader that is known", path.display())]
    Unknown {
        /// The loader.
        path: PathBuf,
        /// What it lacks.
        source: LoaderError,
    },
}

/// Asks a loader, by running it where that is possible.
///
/// It is run with an empty environment, without standard input, for five seconds at most, and only if its file looks
/// like that of a glibc loader for this machine. What it said the last time counts while its file is unchanged.
pub fn ask(path: &Path) -> Result<Loader, AskError> {
    // What it makes of the processor is part of the answer, and a home folder may be shared between machines.
    let machine = format!("{:?}", own_machine());
    let question = Question::new([OsStr::new("loader"), path.as_os_str(), OsStr::new(&machine)]);
    if let Some(loader) = question.recall().and_then(|answers| from_answers(path, &answers)) {
        return Ok(with_cache(loader));
    }
    let (bytes, target) = read_loader(path)?;
    let read = from_bytes(path, target, &bytes);
    let askable = target == own_target() && bytes.contains_str("--list-diagnostics");
    let asked = match &read {
        Ok(loader) if askable && loader.version.is_some() => ask_glibc(path),
        _ => None,
    };
    let loader = asked.as_ref().and_then(|answers| from_answers(path, answers));
    if let (Some([diagnostics, help]), Some(_)) = (&asked, &loader) {
        question.keep(&[path.to_owned()], &[diagnostics, help]);
    }
    loader.map_or(read, Ok).map(with_cache)
}

/// The same without running anything.
pub fn read(path: &Path) -> Result<Loader, AskError> {
    let (bytes, target) = read_loader(path)?;
    from_bytes(path, target, &bytes).map(with_cache)
}

fn read_loader(path: &Path) -> Result<(Vec<u8>, Target), AskError> {
    let bytes = read_file(path, LOADER_BYTES_MAX)
        .map_err(|source| AskError::Read { path: path.to_owned(), source })?;
    let elf =
        Elf::read(bytes.as_slice()).map_err(|source| AskError::Elf { path: path.to_owned(), source })?;
    Ok((bytes, elf.target))
}

fn from_bytes(path: &Path, target: Target, bytes: &[u8]) -> Result<Loader, AskError> {
    if is_musl(path, bytes) {
        // A path file that is there but cannot be read leaves musl without any search path.
        let text = musl_path_file(path).and_then(|file| match read_file(&file, CACHE_BYTES_MAX) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) => Some(Vec::new()),
        });
        return Ok(Loader::musl(path, target, text.as_deref().map(ByteSlice::as_bstr)));
    }
    Loader::from_file(path, target, bytes, &machine(target))
        .map_err(|source| AskError::Unknown { path: path.to_owned(), source })
}

/// The answers to `--list-diagnostics` and to `--help`.
fn ask_glibc(path: &Path) -> Option<[Vec<u8>; 2]> {
    let deadline = Instant::now() + ANSWER_TIME;
    std::thread::scope(|scope| {
        let help = scope.spawn(|| output(path, "--help", deadline));
        let diagnostics = output(path, "--list-diagnostics", deadline);
        Some([diagnostics?, help.join().ok()??])
    })
}

/// Only a loader for this machine was asked.
fn from_answers(path: &Path, answers: &[Vec<u8>]) -> Option<Loader> {
    let [diagnostics, help] = answers else { return None };
    let (diagnostics, help) = (diagnostics.to_str_lossy(), help.to_str_lossy());
    Loader::from_diagnostics(path, own_target(), &diagnostics, &help).ok()
}

/// Reads the cache from where the loader looks for it. Without one, or with a damaged one, the loader goes on without.
fn with_cache(mut loader: Loader) -> Loader {
    let bytes = loader.cache_path.as_deref().and_then(|path| read_file(path, CACHE_BYTES_MAX).ok());
    loader.cache = bytes.and_then(|bytes| Cache::parse(&bytes, loader.target.encoding).ok());
    loader
}

/// Reads a regular file. Others are refused, since reading a pipe could take for ever.
fn read_file(path: &Path, size_bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(size_bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > size_bytes_max {
        return Err(std::io::Error::other(format!("larger than {size_bytes_max} bytes")));
    }
    Ok(bytes)
}

/// What a program prints, or `None` where it fails or takes too long.
fn output(program: &Path, argument: &str, deadline: Instant) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .arg(argument)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let pipe = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // The thread ends when the child does, or with what it can read of a child that never ends.
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let result = pipe.take(ANSWER_BYTES_MAX).read_to_end(&mut text);
        let _ = sender.send(result.map(|_| text));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let text = receiver.recv_timeout(left).ok().and_then(Result::ok);
    let succeeded = text.is_some() && wait_until(&mut child, deadline);
    if !succeeded {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    text
}

/// Whether a child succeeds before a deadline.
fn wait_until(child: &mut Child, deadline: Instant) -> bool {
    // It has closed its output, so it is about to end.
    let mut pause = Duration::from_micros(50);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Ok(None) | Err(_) => return false,
        }
    }
}

/// What programs like this one are built for.
fn own_target() -> Target {
    use object::elf;
    let machine = match std::env::consts::ARCH {
        "x86_64" => elf::EM_X86_64,
        "x86" => elf::EM_386,
        "aarch64" => elf::EM_AARCH64,
        "arm" => elf::EM_ARM,
        "riscv64" => elf::EM_RISCV,
        "powerpc64" => elf::EM_PPC64,
        "s390x" => elf::EM_S390,
        "loongarch64" => elf::EM_LOONGARCH,
        _ => elf::EM_NONE,
    };
    Target {
        class: if cfg!(target_pointer_width = "64") { Class::Bits64 } else { Class::Bits32 },
        encoding: if cfg!(target_endian = "big") { Encoding::Big } else { Encoding::Little },
        machine: machine.0,
    }
}

/// What a glibc loader would find out about this processor; nothing where the loader is for another one.
fn machine(target: Target) -> Machine {
    if target == own_target() { own_machine() } else { Machine::default() }
}

/// `init_cpu_features` and `_dl_hwcaps_subdirs_active` of `sysdeps/x86`.
#[cfg(target_arch = "x86_64")]
fn own_machine() -> Machine {
    macro_rules! has {
        ($($feature:tt)*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    let v2 = has!("cmpxchg16b" "popcnt" "sse3" "sse4.1" "sse4.2" "ssse3");
    let v3 = v2 && has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe");
    let v4 = v3 && has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    let named = [("x86-64-v4", v4), ("x86-64-v3", v3), ("x86-64-v2", v2)];
    // Other makers' processors have neither name, whatever they can do.
    let intel = is_intel();
    let haswell = intel && has!("avx2" "bmi1" "bmi2" "lzcnt" "movbe" "popcnt");
    let platform = if haswell { "haswell" } else { "x86_64" };
    let legacy = [("tls", true), (platform, true), ("avx512_1", intel && v4), ("x86_64", true)];
    let active = |list: &[(&str, bool)]| {
        list.iter().filter(|(_, active)| *active).map(|(name, _)| (*name).to_owned()).collect()
    };
    Machine {
        hwcaps: active(&named),
        legacy_subdirectories: active(&legacy),
        platform: Some(platform.to_owned()),
    }
}

/// Whether Intel made this processor: `arch_kind_intel` of `init_cpu_features`.
#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn own_machine() -> Machine {
    Machine { platform: Some(std::env::consts::ARCH.to_owned()), ..Machine::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    #[test]
    fn a_loader_that_is_not_there_is_named() {
        let error = ask(Path::new("/nowhere/ld.so")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/ld.so"), "{error}");
    }

    #[test]
    fn a_program_is_no_loader_and_is_not_run() {
        let error = ask(Path::new("/bin/true")).unwrap_err();
        assert!(matches!(error, AskError::Unknown { .. }), "{error}");
    }

    #[test]
    fn a_text_file_and_a_device_are_no_loaders() {
        assert!(matches!(ask(Path::new("/etc/passwd")).unwrap_err(), AskError::Elf { .. }));
        assert!(matches!(ask(Path::new("/dev/zero")).unwrap_err(), AskError::Read { .. }));
    }

    #[test]
    fn reading_the_file_gives_what_running_it_gives() {
        let (Ok(asked), Ok(read)) = (ask(Path::new(LOADER)), read(Path::new(LOADER))) else { return };
        assert_eq!(asked.system_dirs, read.system_dirs);
        assert_eq!(asked.cache_path, read.cache_path);
        assert_eq!(asked.version, read.version);
        assert_eq!(asked.lib, read.lib);
        assert_eq!(asked.platform, read.platform);
        assert_eq!(asked.subdirectories(), read.subdirectories());
        assert!(asked.cache.is_some_and(|cache| cache.entries().next().is_some()));
    }

    #[test]
    fn a_child_that_never_ends_is_ended() {
        let deadline = Instant::now() + Duration::from_millis(100);
        assert_eq!(output(Path::new("/bin/sleep"), "60", deadline), None);
    }
}
