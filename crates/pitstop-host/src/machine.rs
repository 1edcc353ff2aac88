//! What this machine is and what is set up on it: everything is asked at once, and nothing may take long or fail.

mod nix;
mod programs;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use bstr::ByteSlice;
use pitstop_core::files::{Files, Opened};
use pitstop_core::ldso::Loader;

use crate::files::SystemFiles;
use crate::{child, loader};

pub use nix::{Nix, nix_setting};
pub use programs::{Program, in_path};

/// The longest that any one program is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest loader that is looked into.
const LOADER_BYTES_MAX: u64 = 16 << 20;

/// What lies where programs of other Linux systems look for their loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardLoader {
    /// Nothing, or a link that leads nowhere.
    Absent,
    /// The loader of glibc.
    Glibc,
    /// nix-ld: hands over to a real loader, with the libraries of `NIX_LD_LIBRARY_PATH`.
    NixLd,
    /// pitstop's own.
    PitstopLd,
    /// NixOS's stub, which only says that such programs do not run.
    Stub,
    /// Something else.
    Unknown,
}

/// Whether unprivileged user namespaces can be made: what runs a program in a root of its own needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// One was made.
    Work,
    /// The kernel refuses, for this reason.
    Refused(String),
    /// No program is here to try it with; what the kernel's settings say does not forbid it.
    Untried,
}

/// The package lists of apt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apt {
    /// `apt-get`.
    pub program: PathBuf,
    /// How many package lists there are. Without any, no package can be looked up or fetched.
    pub lists: usize,
}

/// What was found out.
#[derive(Debug)]
pub struct Machine {
    /// `PRETTY_NAME` of os-release.
    pub distribution: Option<String>,
    /// The release of the kernel.
    pub kernel: Option<String>,
    /// The kind of processor.
    pub arch: &'static str,
    /// The loader of this machine's own programs.
    pub loader: Option<Loader>,
    /// Where programs of other Linux systems look for their loader; `None` for processors that have no such place.
    pub standard_loader: Option<(PathBuf, StandardLoader)>,
    /// Nix.
    pub nix: Option<Nix>,
    /// apt.
    pub apt: Option<Apt>,
    /// User namespaces.
    pub namespaces: Namespaces,
    /// `python3`, `uv` and `pip`, in this order; those that are found.
    pub programs: Vec<Program>,
    /// Where this machine's GPU driver has put `libcuda.so.1`, `libGLX_nvidia.so.0` and their like.
    pub driver_folders: Vec<PathBuf>,
    /// The files by which OpenGL's dispatch (libglvnd) and Vulkan's loader find what drives the GPU.
    pub dispatch: Vec<PathBuf>,
    /// Whether the kernel has an NVIDIA driver, or the device of WSL.
    pub has_gpu_device: bool,
}

impl Machine {
    /// Looks around. All that takes time is done at once.
    #[must_use]
    pub fn look() -> Self {
        thread::scope(|scope| {
            let nix = scope.spawn(nix::look);
            let namespaces = scope.spawn(namespaces);
            let programs = scope.spawn(programs::look);
            let apt = scope.spawn(apt);
            let own = own_loader();
            Self {
                distribution: distribution(),
                kernel: line(Path::new("/proc/sys/kernel/osrelease")),
                arch: std::env::consts::ARCH,
                standard_loader: standard_loader_path().map(|path| {
                    let what = standard_loader(&path);
                    (path, what)
                }),
                driver_folders: driver_folders(own.as_ref()),
                dispatch: dispatch(Path::new("/")),
                has_gpu_device: ["/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg"]
                    .iter()
                    .any(|path| Path::new(path).exists()),
                loader: own,
                nix: joined(nix),
                apt: joined(apt),
                namespaces: joined(namespaces),
                programs: joined(programs),
            }
        })
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

fn distribution() -> Option<String> {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read(path).ok())?;
    pretty_name(&String::from_utf8_lossy(&text))
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    value("PRETTY_NAME=").or_else(|| value("ID="))
}

/// The loader of the shell, which is there on every system.
pub(crate) fn own_loader() -> Option<Loader> {
    let files = SystemFiles::new();
    let Opened::Elf(_, elf) = files.open(&fs::canonicalize("/bin/sh").ok()?) else { return None };
    loader::ask(&elf.loader.as_ref()?.to_path_lossy()).ok()
}

/// The path that the ABI of each processor lays down for `PT_INTERP`.
pub(crate) fn standard_loader_path() -> Option<PathBuf> {
    let path = match std::env::consts::ARCH {
        "x86_64" => "/lib64/ld-linux-x86-64.so.2",
        "x86" => "/lib/ld-linux.so.2",
        "aarch64" => "/lib/ld-linux-aarch64.so.1",
        "arm" => "/lib/ld-linux-armhf.so.3",
        "riscv64" => "/lib/ld-linux-riscv64-lp64d.so.1",
        "powerpc64" => "/lib64/ld64.so.2",
        "s390x" => "/lib/ld64.so.1",
        "loongarch64" => "/lib64/ld-linux-loongarch-lp64d.so.1",
        _ => return None,
    };
    Some(PathBuf::from(path))
}

pub(crate) fn standard_loader(path: &Path) -> StandardLoader {
    let Ok(real) = fs::canonicalize(path) else { return StandardLoader::Absent };
    let regular = fs::metadata(&real).is_ok_and(|found| found.is_file() && found.len() <= LOADER_BYTES_MAX);
    let bytes = if regular { fs::read(&real).unwrap_or_default() } else { Vec::new() };
    recognise(&real, &bytes)
}

/// Says what a loader is, by what only its kind has.
fn recognise(path: &Path, bytes: &[u8]) -> StandardLoader {
    let path = path.as_os_str().as_bytes();
    if bytes.contains_str("_rtld_global") {
        StandardLoader::Glibc
    } else if path.contains_str("pitstop-ld") || bytes.contains_str("pitstop-ld") {
        StandardLoader::PitstopLd
    } else if path.contains_str("stub-ld") || bytes.contains_str("nix.dev/permalink/stub-ld") {
        StandardLoader::Stub
    } else if path.contains_str("nix-ld") || bytes.contains_str("NIX_LD") {
        StandardLoader::NixLd
    } else {
        StandardLoader::Unknown
    }
}

fn namespaces() -> Namespaces {
    let number = |path: &str| line(Path::new(path)).and_then(|text| text.parse::<u64>().ok());
    for path in ["/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone"] {
        if number(path) == Some(0) {
            return Namespaces::Refused(format!("{path} is 0"));
        }
    }
    let tries: [(&str, &[&str]); 2] = [
        ("unshare", &["--user", "--map-root-user", "true"]),
        ("bwrap", &["--unshare-user", "--ro-bind", "/", "/", "true"]),
    ];
    for (name, arguments) in tries {
        let Some(program) = in_path(name) else { continue };
        let Ok(finished) = child::run(Command::new(program).args(arguments), PATIENCE) else { continue };
        if finished.status.success() {
            return Namespaces::Work;
        }
        let restricted = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
        return Namespaces::Refused(match number(restricted) {
            Some(1) => format!("{restricted} is 1"),
            _ => finished.last_words(),
        });
    }
    Namespaces::Untried
}

fn apt() -> Option<Apt> {
    let program = in_path("apt-get")?;
    let lists = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().filter_map(Result::ok);
    let lists = lists.filter(|entry| entry.file_name().as_bytes().contains_str("_Packages")).count();
    Some(Apt { program, lists })
}

/// The folders that hold the libraries of the GPU driver: of NixOS, of WSL, else where the loader finds them.
fn driver_folders(loader: Option<&Loader>) -> Vec<PathBuf> {
    const NAMES: [&str; 3] = ["libcuda.so.1", "libGLX_nvidia.so.0", "libnvidia-ml.so.1"];
    let has = |folder: &Path| NAMES.iter().any(|name| folder.join(name).exists());
    let fixed = ["/run/opengl-driver/lib", "/usr/lib/wsl/lib"].map(PathBuf::from);
    let system = loader.map(|loader| loader.system_dirs.clone()).unwrap_or_default();
    let mut folders: Vec<PathBuf> = fixed.into_iter().chain(system).filter(|folder| has(folder)).collect();
    if let Some(loader) = loader
        && let Some(cache) = &loader.cache
    {
        for name in NAMES {
            let found = cache.lookup(name.as_bytes().as_bstr(), loader.target, loader.capabilities());
            folders.extend(found.and_then(Path::parent).filter(|folder| folder.exists()).map(Path::to_owned));
        }
    }
    // One folder may go by two names, such as /lib and /usr/lib.
    let mut seen = Vec::new();
    folders.retain(|folder| {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    folders
}

/// Where libglvnd and Vulkan's loader look for files that name a driver's library: of NixOS, then of any other Linux.
const DISPATCH_FOLDERS: [&str; 6] = [
    "run/opengl-driver/share/glvnd/egl_vendor.d",
    "etc/glvnd/egl_vendor.d",
    "usr/share/glvnd/egl_vendor.d",
    "run/opengl-driver/share/vulkan/icd.d",
    "etc/vulkan/icd.d",
    "usr/share/vulkan/icd.d",
];

fn dispatch(root: &Path) -> Vec<PathBuf> {
    let entries = |folder: &str| {
        let mut files: Vec<PathBuf> = fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        files
    };
    DISPATCH_FOLDERS.iter().flat_map(|folder| entries(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_known_by_what_it_says() {
        let plain = Path::new("/lib64/ld-linux-x86-64.so.2");
        let store = |name: &str| PathBuf::from(format!("/nix/store/0-{name}/libexec/x"));
        assert_eq!(recognise(plain, b"..._rtld_global..."), StandardLoader::Glibc);
        assert_eq!(recognise(&store("nix-ld-2.0"), b""), StandardLoader::NixLd);
        assert_eq!(recognise(plain, b"..NIX_LD_LIBRARY_PATH"), StandardLoader::NixLd);
        assert_eq!(recognise(&store("stub-ld-x86_64"), b""), StandardLoader::Stub);
        assert_eq!(recognise(&store("pitstop-ld-0.1"), b"NIX_LD"), StandardLoader::PitstopLd);
        assert_eq!(recognise(plain, b""), StandardLoader::Unknown);
        assert_eq!(standard_loader(Path::new("/nowhere/ld.so")), StandardLoader::Absent);
    }

    #[test]
    fn what_names_a_driver_is_found_where_nixos_and_others_keep_it() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "run/opengl-driver/share/glvnd/egl_vendor.d/50_mesa.json",
            "usr/share/vulkan/icd.d/nvidia_icd.json",
            "usr/share/vulkan/icd.d/radeon.json",
        ];
        for name in names.iter().chain(&["etc/vulkan/icd.d/README", "usr/share/vulkan/other.json"]) {
            fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(dispatch(root.path()), names.map(|name| root.path().join(name)));
        assert_eq!(dispatch(Path::new("/nonexistent")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_distribution_is_named_as_it_names_itself() {
        let name = |text| pretty_name(text);
        assert_eq!(name("ID=nixos\nPRETTY_NAME=\"NixOS 25.05\"\n").as_deref(), Some("NixOS 25.05"));
        assert_eq!(name("PRETTY_NAME=\nID=void\n").as_deref(), Some("void"));
        assert_eq!(name(""), None);
    }

    #[test]
    fn this_machine_has_a_loader_and_a_kernel() {
        let machine = Machine::look();
        assert!(machine.kernel.is_some_and(|kernel| !kernel.is_empty()));
        assert!(machine.loader.is_some_and(|loader| !loader.system_dirs.is_empty()));
    }
}
