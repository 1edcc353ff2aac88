//! Whether Nix is here, answers, and knows a package set. Its files are read; only its version is asked of itself.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use super::{PATIENCE, in_path};
use crate::child;

const SOCKET: &str = "/nix/var/nix/daemon-socket/socket";
/// Included files are read to this depth.
const INCLUDES_MAX: usize = 4;

/// Nix, as it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nix {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: Option<String>,
    /// Whether its daemon takes connections; `None` where there is no socket, as in a single-user installation.
    pub daemon: Option<bool>,
    /// Whether this user can write to the store without a daemon.
    pub owns_store: bool,
    /// Experimental features that its settings turn on.
    pub features: Vec<String>,
    /// What `<nixpkgs>` stands for.
    pub nixpkgs: Option<PathBuf>,
    /// Whether a registry file of this machine or user names `nixpkgs`. Without one Nix asks the network for it.
    pub registry: bool,
}

pub(super) fn look() -> Option<Nix> {
    let program = in_path("nix").or_else(|| in_path("nix-store"))?;
    let mut command = Command::new(&program);
    let finished = child::run(command.arg("--version").env_remove("LD_LIBRARY_PATH"), PATIENCE).ok();
    let version = finished.filter(|finished| finished.status.success()).and_then(|finished| {
        String::from_utf8_lossy(&finished.stdout).split_whitespace().last().map(str::to_owned)
    });
    let owns_store = rustix::fs::access("/nix/var/nix/db", rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::access("/nix/store", rustix::fs::Access::WRITE_OK).is_ok();
    Some(Nix {
        program,
        version,
        daemon: Path::new(SOCKET).exists().then(daemon_answers),
        owns_store,
        features: features(),
        nixpkgs: nixpkgs(),
        registry: registry(),
    })
}

/// Connecting waits where the daemon has stopped taking connections, so it is done beside.
fn daemon_answers() -> bool {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(UnixStream::connect(SOCKET).is_ok()));
    receiver.recv_timeout(PATIENCE).unwrap_or(false)
}

fn configuration_folder() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")))
}

fn system_folder() -> PathBuf {
    env::var_os("NIX_CONF_DIR").map_or_else(|| PathBuf::from("/etc/nix"), PathBuf::from)
}

fn features() -> Vec<String> {
    let mut settings = String::new();
    let user = configuration_folder().map(|folder| folder.join("nix/nix.conf"));
    for file in [Some(system_folder().join("nix.conf")), user].into_iter().flatten() {
        read_with_includes(&file, INCLUDES_MAX, &mut settings);
    }
    settings.push_str(&env::var("NIX_CONFIG").unwrap_or_default());
    nix_setting(&settings, "experimental-features")
}

fn read_with_includes(file: &Path, depth: usize, settings: &mut String) {
    let Ok(text) = fs::read_to_string(file) else { return };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("include" | "!include"), Some(path)) if depth > 0 => {
                let path = file.parent().unwrap_or(Path::new("/")).join(path);
                read_with_includes(&path, depth - 1, settings);
            }
            _ => {
                settings.push_str(line);
                settings.push('\n');
            }
        }
    }
}

/// The words of a setting in the text of a `nix.conf`: `name = a b` sets them, `extra-name = c` adds to them.
#[must_use]
pub fn nix_setting(text: &str, name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim();
        let extra = key.strip_prefix("extra-") == Some(name);
        if key == name {
            words.clear();
        }
        if key == name || extra {
            words.extend(value.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Where Nix would find `<nixpkgs>`, of what is a folder here: `NIX_PATH`, else the channels.
fn nixpkgs() -> Option<PathBuf> {
    if let Some(path) = env::var_os("NIX_PATH").filter(|path| !path.is_empty()) {
        return on_search_path(&path);
    }
    let channels = "/nix/var/nix/profiles/per-user/root/channels";
    let user = env::var_os("HOME").map(|home| PathBuf::from(home).join(".nix-defexpr/channels/nixpkgs"));
    user.into_iter()
        .chain([Path::new(channels).join("nixpkgs"), Path::new(channels).join("nixos")])
        .find(|folder| folder.join("default.nix").exists())
}

fn on_search_path(path: &OsString) -> Option<PathBuf> {
    let path = path.to_str()?;
    // A colon stands inside URLs too.
    let elements = path.split(':').filter(|element| !element.starts_with("//"));
    let found = elements.map(|element| match element.split_once('=') {
        Some(("nixpkgs", value)) => PathBuf::from(value),
        Some(_) => PathBuf::new(),
        None => Path::new(element).join("nixpkgs"),
    });
    let mut named = found.filter(|path| !path.as_os_str().is_empty());
    // `nixpkgs=flake:nixpkgs` and URLs are no folders, but they are set.
    named.find(|path| path.exists() || !path.is_absolute())
}

fn registry() -> bool {
    let user = configuration_folder().map(|folder| folder.join("nix/registry.json"));
    [Some(system_folder().join("registry.json")), user]
        .into_iter()
        .flatten()
        .any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("\"nixpkgs\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_counts_and_extras_are_added() {
        let text = "experimental-features = old\nexperimental-features = nix-command # flakes\n\
                    extra-experimental-features = flakes\nother-experimental-features = x\n";
        assert_eq!(nix_setting(text, "experimental-features"), ["nix-command", "flakes"]);
        assert!(nix_setting("", "experimental-features").is_empty());
    }

    #[test]
    fn nixpkgs_is_found_by_name_or_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let nixpkgs = folder.path().join("nixpkgs");
        fs_err::create_dir(&nixpkgs).unwrap();
        let find = |text: String| on_search_path(&OsString::from(text));
        assert_eq!(find(format!("x=/y:nixpkgs={}", nixpkgs.display())), Some(nixpkgs.clone()));
        assert_eq!(find(folder.path().display().to_string()), Some(nixpkgs));
        assert_eq!(find("nixpkgs=/nowhere".to_owned()), None);
        assert_eq!(find("nixpkgs=flake:nixpkgs".to_owned()), Some(PathBuf::from("flake")));
    }

    #[test]
    fn included_files_count_and_a_ring_of_them_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs_err::write(&one, "!include other\n").unwrap();
        fs_err::write(&other, "experimental-features = flakes\ninclude one\n").unwrap();
        let mut settings = String::new();
        read_with_includes(&one, INCLUDES_MAX, &mut settings);
        assert_eq!(nix_setting(&settings, "experimental-features"), ["flakes"]);
    }
}
