//! What one loader knows: its own default folders, its cache, and what it makes of the machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::cache::{Cache, Capabilities, LegacyCapabilities};
use super::dst;
use crate::elf::Target;

/// Whose rules a loader follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// A loader, and all that its answers depend on besides files and the environment.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Whose rules it follows.
    pub flavour: Flavour,
    /// Its own path, as programs name it in `PT_INTERP`.
    pub path: PathBuf,
    /// The only kind of file that it loads.
    pub target: Target,
    /// glibc's release, where it could be read.
    pub version: Option<(u16, u16)>,
    /// The folders that it searches last, in order, without trailing slashes.
    pub system_dirs: Vec<PathBuf>,
    /// Where it looks for its cache. musl has none.
    pub cache_path: Option<PathBuf>,
    /// The cache, where there is one that it would accept.
    pub cache: Option<Cache>,
    /// Active glibc-hwcaps subdirectories, such as `x86-64-v3`, best first.
    pub hwcaps: Vec<String>,
    /// Capabilities for the subdirectories of glibc before 2.37, best first, such as `tls`, `haswell`, `x86_64`: it
    /// searches every combination of them. Empty for later ones.
    pub legacy_subdirectories: Vec<String>,
    /// Bits for legacy entries of the cache; `None` from glibc 2.37 on.
    pub legacy_capabilities: Option<LegacyCapabilities>,
    /// `$LIB`.
    pub lib: String,
    /// `$PLATFORM`.
    pub platform: Option<String>,
}

/// What `--list-diagnostics` says of the machine and of the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Diagnostics {
    system_dirs: Vec<PathBuf>,
    sysconfdir: Option<PathBuf>,
    version: Option<(u16, u16)>,
    hwcaps: Vec<String>,
    lib: Option<String>,
    platform: Option<String>,
    hwcap: u64,
    platform_bit: Option<u8>,
}

/// A loader's words that cannot be made sense of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoaderError {
    /// No `path.system_dirs` line, and no such list in `--help` either.
    #[error("the loader's diagnostics name no default folder")]
    NoSystemDirs,
    /// The file is not that of a loader.
    #[error("not a loader of glibc: it has no symbol _rtld_global")]
    NoLoader,
    /// No list of folders in the file.
    #[error("no list of default folders in the loader's file")]
    NoSystemDirsInFile,
}

impl Loader {
    /// A loader of glibc 2.33 or later, from what it prints.
    ///
    /// `diagnostics` is the output of `--list-diagnostics`, `help` that of `--help`. Where both name the default
    /// folders, `--help` is believed: it prints the list that is searched, the other a second copy of it.
    pub fn from_diagnostics(
        path: &Path,
        target: Target,
        diagnostics: &str,
        help: &str,
    ) -> Result<Loader, LoaderError> {
        let said = parse_diagnostics(diagnostics);
        let mut system_dirs = help_system_dirs(help);
        if system_dirs.is_empty() {
            system_dirs = said.system_dirs;
        }
        if system_dirs.is_empty() {
            return Err(LoaderError::NoSystemDirs);
        }
        let legacy = has_legacy_subdirectories(said.version);
        Ok(Loader {
            flavour: Flavour::Glibc,
            path: path.to_owned(),
            target,
            version: said.version,
            lib: said.lib.unwrap_or_else(|| lib_of(&system_dirs)),
            system_dirs,
            cache_path: help_cache_path(help).or(said.sysconfdir.map(|folder| folder.join("ld.so.cache"))),
            cache: None,
            hwcaps: said.hwcaps,
            legacy_subdirectories: if legacy { help_legacy_subdirectories(help) } else { Vec::new() },
            legacy_capabilities: legacy
                .then_some(LegacyCapabilities { hwcap: said.hwcap, platform_bit: said.platform_bit }),
            platform: said.platform,
        })
    }

    /// A glibc loader from the bytes of its file, for one that cannot be run here or shall not be.
    ///
    /// The default folders are the string table `system_dirs` of `elf/dl-load.c`, the cache is the string that ends in
    /// `/ld.so.cache`. What it would find out about the processor is told by `machine`.
    pub fn from_file(
        path: &Path,
        target: Target,
        bytes: &[u8],
        machine: &Machine,
    ) -> Result<Loader, LoaderError> {
        // All loaders of glibc export it, and nothing else does (`sysdeps/generic/ldsodefs.h`).
        if !bytes.contains_str("_rtld_global") {
            return Err(LoaderError::NoLoader);
        }
        let system_dirs = system_dirs_in(bytes).ok_or(LoaderError::NoSystemDirsInFile)?;
        let version = version_in(bytes);
        // The names are in every loader since 2.33, whatever the processor can do.
        let knows_hwcaps = version.is_none_or(|version| version >= (2, 33));
        Ok(Loader {
            flavour: Flavour::Glibc,
            path: path.to_owned(),
            target,
            version,
            lib: lib_of(&system_dirs),
            system_dirs,
            cache_path: cache_path_in(bytes),
            cache: None,
            hwcaps: if knows_hwcaps { machine.hwcaps.clone() } else { Vec::new() },
            legacy_subdirectories: if has_legacy_subdirectories(version) {
                machine.legacy_subdirectories.clone()
            } else {
                Vec::new()
            },
            legacy_capabilities: has_legacy_subdirectories(version).then_some(LegacyCapabilities::default()),
            platform: machine.platform.clone(),
        })
    }

    /// A musl loader. `path_file` holds the text of [`musl_path_file`], `None` where there is no such file.
    #[must_use]
    pub fn musl(path: &Path, target: Target, path_file: Option<&BStr>) -> Loader {
        let folders = path_file.unwrap_or(b"/lib:/usr/local/lib:/usr/lib".as_bstr());
        Loader {
            flavour: Flavour::Musl,
            path: path.to_owned(),
            target,
            version: None,
            system_dirs: dst::musl_elements(folders)
                .iter()
                .map(|folder| path_from(folder.as_bstr()))
                .collect(),
            cache_path: None,
            cache: None,
            hwcaps: Vec::new(),
            legacy_subdirectories: Vec::new(),
            legacy_capabilities: None,
            lib: String::new(),
            platform: None,
        }
    }

    /// The subdirectories of each search folder in the order in which they are searched, before the folder itself
    /// (`_dl_important_hwcaps`).
    #[must_use]
    pub fn subdirectories(&self) -> Vec<String> {
        let mut subdirectories: Vec<String> =
            self.hwcaps.iter().map(|name| format!("glibc-hwcaps/{name}")).collect();
        // The power set: from all of them down to the last alone; more than this never occurred.
        let legacy: Vec<&String> = self.legacy_subdirectories.iter().take(8).collect();
        for set in (1..1usize << legacy.len()).rev() {
            let chosen =
                legacy.iter().enumerate().filter(|(place, _)| set >> (legacy.len() - 1 - place) & 1 == 1);
            subdirectories.push(chosen.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("/"));
        }
        subdirectories
    }

    /// What it can use, for its cache.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities<'_> {
        Capabilities { hwcaps: &self.hwcaps, legacy: self.legacy_capabilities }
    }
}

/// What a glibc loader finds out about the processor that it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Active glibc-hwcaps subdirectories, best first.
    pub hwcaps: Vec<String>,
    /// Legacy capabilities, best first, `tls` and the platform included.
    pub legacy_subdirectories: Vec<String>,
    /// `AT_PLATFORM`, or what the loader puts in its place.
    pub platform: Option<String>,
}

/// glibc 2.37 gave up `tls`, `haswell` and their like ("legacy hwcaps subdirectories", NEWS for 2.37).
fn has_legacy_subdirectories(version: Option<(u16, u16)>) -> bool {
    version.is_some_and(|version| version < (2, 37))
}

/// Where musl keeps its search path: beside the loader's own prefix, `etc/ld-musl-ARCH.path` (`load_library`).
///
/// `None` where the file name of the loader does not say for which architecture it is.
#[must_use]
pub fn musl_path_file(loader: &Path) -> Option<PathBuf> {
    let name = loader.file_name()?.as_bytes();
    let architecture = name.strip_prefix(b"ld-musl-")?.strip_suffix(b".so.1")?;
    let prefix = loader.parent()?.parent().unwrap_or(Path::new("/"));
    let name = [&b"ld-musl-"[..], architecture, b".path"].concat();
    Some(prefix.join("etc").join(OsStr::from_bytes(&name)))
}

fn path_from(bytes: &BStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(dst::without_trailing_slashes(bytes)))
}

/// Lines of `key=value`, values being numbers in hexadecimal or quoted strings (`_dl_print_diagnostics`).
fn parse_diagnostics(text: &str) -> Diagnostics {
    let mut said = Diagnostics::default();
    let (mut subdirs, mut active) = (String::new(), 0);
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let number = || value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let string = || unquote(value);
        match key {
            "path.sysconfdir" => said.sysconfdir = string().map(|folder| path_from(folder.as_bstr())),
            "version.version" => said.version = string().and_then(|text| parse_version(text.as_bstr())),
            "dl_dst_lib" => said.lib = string().map(|lib| lib.to_string()),
            "dl_platform" => said.platform = string().map(|platform| platform.to_string()),
            "dl_hwcap" => said.hwcap = number().unwrap_or(0),
            "dl_string_platform" => {
                said.platform_bit = number().and_then(|bit| u8::try_from(bit).ok()).filter(|bit| *bit < 64);
            }
            "dl_hwcaps_subdirs" => subdirs = string().unwrap_or_default().to_string(),
            "dl_hwcaps_subdirs_active" => active = number().unwrap_or(0),
            _ if key.starts_with("path.system_dirs[") => {
                said.system_dirs.extend(string().map(|folder| path_from(folder.as_bstr())));
            }
            _ => {}
        }
    }
    let names = subdirs.split(':').filter(|name| !name.is_empty()).take(64).enumerate();
    said.hwcaps = names.filter(|(bit, _)| active >> bit & 1 == 1).map(|(_, name)| name.to_owned()).collect();
    said
}

/// A string as `_dl_diagnostics_print_string` writes it: `\"`, `\\`, and three octal digits for bytes beyond ASCII.
fn unquote(quoted: &str) -> Option<BString> {
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut plain = BString::default();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            plain.push(first);
            continue;
        }
        let octal = rest.get(..3).and_then(|digits| u8::from_str_radix(digits.to_str().ok()?, 8).ok());
        if let Some(byte) = octal {
            plain.push(byte);
            rest = &rest[3..];
        } else if let Some((&escaped, after)) = rest.split_first() {
            plain.push(escaped);
            rest = after;
        }
    }
    Some(plain)
}

/// `2.36`, `2.42.9000`.
fn parse_version(text: &BStr) -> Option<(u16, u16)> {
    let mut parts = text.to_str().ok()?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

/// The folders marked "(system search path)".
fn help_system_dirs(help: &str) -> Vec<PathBuf> {
    help.lines()
        .filter_map(|line| line.trim_start().strip_suffix(" (system search path)"))
        .map(PathBuf::from)
        .collect()
}

/// The path in "(libraries located via …)".
fn help_cache_path(help: &str) -> Option<PathBuf> {
    let line = help
        .lines()
        .find_map(|line| line.trim().strip_prefix("(libraries located via ")?.strip_suffix(')'))?;
    Some(PathBuf::from(line))
}

/// The "Legacy HWCAP subdirectories" that are searched. glibc composes paths with `tls` first, then the platform, then
/// the capabilities from the highest bit down, while it prints the platform first.
fn help_legacy_subdirectories(help: &str) -> Vec<String> {
    let mut lines = help.lines().skip_while(|line| !line.starts_with("Legacy HWCAP subdirectories"));
    lines.next();
    let mut names = Vec::new();
    for line in lines.take_while(|line| line.starts_with("  ")) {
        let Some((name, marks)) = line.trim().split_once(' ') else { continue };
        if !marks.contains("searched") {
            continue;
        }
        if name == "tls" {
            names.insert(0, name.to_owned());
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

/// `DL_DST_LIB` where it is not printed: the last part of the loader's own library folder (`slibdir`), two parts on
/// systems that keep libraries by architecture.
fn lib_of(system_dirs: &[PathBuf]) -> String {
    let Some(first) = system_dirs.first() else { return "lib".to_owned() };
    let parts: Vec<&BStr> = first.iter().map(|part| part.as_bytes().as_bstr()).collect();
    match parts.as_slice() {
        [.., lib, triplet] if *lib == "lib" && triplet.contains(&b'-') => format!("lib/{triplet}"),
        [.., last] => last.to_string(),
        [] => "lib".to_owned(),
    }
}

/// The longest run of adjacent strings that all look like `/…/`, one of them naming a library folder.
fn system_dirs_in(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    const FOLDERS_MAX: usize = 64;
    let mut best: Vec<&[u8]> = Vec::new();
    let mut run: Vec<&[u8]> = Vec::new();
    for string in bytes.split(|&byte| byte == 0).chain([&b""[..]]) {
        let is_folder = string.len() > 1
            && string.starts_with(b"/")
            && string.ends_with(b"/")
            && string.iter().all(|byte| byte.is_ascii_graphic());
        if is_folder && run.len() < FOLDERS_MAX {
            run.push(string);
            continue;
        }
        if run.len() > best.len() && run.iter().any(|folder| folder.contains_str("lib")) {
            best = std::mem::take(&mut run);
        }
        run.clear();
    }
    (!best.is_empty()).then(|| best.iter().map(|folder| path_from(folder.as_bstr())).collect())
}

/// The string that ends in `/ld.so.cache`.
fn cache_path_in(bytes: &[u8]) -> Option<PathBuf> {
    let end = bytes.find(b"/ld.so.cache\0")? + b"/ld.so.cache".len();
    let start = bytes[..end].rfind_byte(0).map_or(0, |zero| zero + 1);
    bytes[start..end].starts_with(b"/").then(|| PathBuf::from(OsStr::from_bytes(&bytes[start..end])))
}

/// The release in the banner: "… stable release version 2.36."
fn version_in(bytes: &[u8]) -> Option<(u16, u16)> {
    let start = bytes.find(b"release version ")? + b"release version ".len();
    let text = &bytes[start..bytes.len().min(start + 16)];
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    parse_version(text[..end].trim_end_with(|c| c == '.').as_bstr())
}

/// Whether the file of a loader is musl's: it is its C library as well, and names itself so.
#[must_use]
pub fn is_musl(path: &Path, bytes: &[u8]) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"))
        || bytes.contains_str("musl libc (")
}
