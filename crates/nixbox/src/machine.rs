//! One NixOS-like root: what is in it, and how a program is started there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::Nixbox;
use crate::error::Result;
use crate::host::{Bind, Daemon, search_path};
use crate::store_copy::StoreCopy;

/// The user's folder in every machine.
pub const HOME: &str = "/home/user";

/// The file in a machine's folder that its owner holds locked.
const ROOM_LOCK: &str = "lock";

/// How old a machine's folder must be before it can be taken for left behind: a new one may not be
/// locked yet.
const ROOM_AGE_MIN: Duration = Duration::from_mins(1);

/// Removes the folders of machines whose owners were killed.
pub(crate) fn sweep(rooms: &Path) -> Result<()> {
    for room in fs_err::read_dir(rooms)? {
        let room = room?.path();
        // Another process may be sweeping too: what cannot be read or removed is left.
        let Ok(lock) = fs_err::File::open(room.join(ROOM_LOCK)) else { continue };
        let age =
            lock.metadata().and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > ROOM_AGE_MIN) && lock.file().try_lock().is_ok() {
            drop(StoreCopy { nix: room.join("nix") });
            let _ = fs_err::remove_dir_all(&room);
        }
    }
    Ok(())
}

/// Where NixOS has the channel that `<nixpkgs>` means.
pub(crate) const CHANNEL: &str = "/nix/var/nix/profiles/per-user/root/channels/nixos";

/// What a machine is to have; made by [`Nixbox::machine`].
#[derive(Debug)]
pub struct MachineBuilder<'a> {
    nixbox: &'a Nixbox,
    binds: Vec<Bind>,
    network: bool,
    home: Option<PathBuf>,
    root: bool,
    own_store: bool,
    profile: Option<PathBuf>,
    ldso: Option<PathBuf>,
}

impl<'a> MachineBuilder<'a> {
    pub(crate) fn new(nixbox: &'a Nixbox) -> Self {
        MachineBuilder {
            nixbox,
            binds: Vec::new(),
            network: false,
            home: None,
            root: false,
            own_store: false,
            profile: None,
            ldso: None,
        }
    }

    /// Shows the host's `from` at `to`, which may not lie in `/nix`.
    #[must_use]
    pub fn bind(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>, writable: bool) -> Self {
        self.binds.push(Bind { from: from.into(), to: to.into(), writable });
        self
    }

    /// Lets programs reach the network. They cannot unless this is asked for.
    #[must_use]
    pub fn network(mut self, on: bool) -> Self {
        self.network = on;
        self
    }

    /// Uses this folder of the host as the home, instead of an empty one that is deleted at the end.
    #[must_use]
    pub fn home(mut self, folder: impl Into<PathBuf>) -> Self {
        self.home = Some(folder.into());
        self
    }

    /// Runs programs as user 0 of the machine instead of as an ordinary user.
    #[must_use]
    pub fn root(mut self, on: bool) -> Self {
        self.root = on;
        self
    }

    /// Gives the machine a store of its own, with all that the shared one has: for what would take
    /// paths from other machines, such as `nix-collect-garbage`. Takes a second or so.
    #[must_use]
    pub fn own_store(mut self, on: bool) -> Self {
        self.own_store = on;
        self
    }

    /// Has this store path at `/run/current-system/sw`, instead of the base system alone: NixOS's `environment.systemPackages`.
    #[must_use]
    pub fn profile(mut self, path: impl Into<PathBuf>) -> Self {
        self.profile = Some(path.into());
        self
    }

    /// Links to this program where foreign programs look for their loader: NixOS's `environment.ldso`.
    #[must_use]
    pub fn ldso(mut self, program: impl Into<PathBuf>) -> Self {
        self.ldso = Some(program.into());
        self
    }

    /// Starts the machine's nix-daemon.
    pub fn start(mut self) -> Result<Machine<'a>> {
        let room = tempfile::Builder::new().prefix("machine-").tempdir_in(self.nixbox.rooms())?;
        let lock = fs_err::File::create(room.path().join(ROOM_LOCK))?;
        lock.file().lock()?;
        let home = self.home.take().unwrap_or_else(|| room.path().join("home"));
        let sockets = room.path().join("sockets");
        fs_err::create_dir_all(&home)?;
        fs_err::create_dir_all(&sockets)?;
        let mut binds = vec![Bind { from: home.clone(), to: PathBuf::from(HOME), writable: true }];
        binds.append(&mut self.binds);
        let system = self.nixbox.system();
        let shared = self.nixbox.nix();
        let store_copy = if self.own_store { Some(StoreCopy::new(&shared, room.path())?) } else { None };
        let nix = store_copy.as_ref().map_or(shared, |copy| copy.nix.clone());
        let daemon = Daemon::start(&nix, &system.glibc, sockets, &binds)?;
        Ok(Machine {
            nixbox: self.nixbox,
            binds,
            network: self.network,
            home,
            root: self.root,
            profile: self.profile.unwrap_or_else(|| system.profile.clone()),
            ldso: self.ldso,
            nix,
            _daemon: daemon,
            _store_copy: store_copy,
            room,
            _lock: lock,
        })
    }
}

/// A NixOS-like root with a daemon of its own; both end when this is dropped.
#[derive(Debug)]
pub struct Machine<'a> {
    nixbox: &'a Nixbox,
    binds: Vec<Bind>,
    network: bool,
    home: PathBuf,
    root: bool,
    profile: PathBuf,
    ldso: Option<PathBuf>,
    nix: PathBuf,
    // In this order they end: the daemon, its store, the folder that has its socket.
    _daemon: Daemon,
    _store_copy: Option<StoreCopy>,
    room: tempfile::TempDir,
    // Held by the living, so that what the dead left can be told apart.
    _lock: fs_err::File,
}

/// What a program in the machine did.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with status 0.
    pub ok: bool,
    /// Its status; absent when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Machine<'_> {
    /// The host's folder that is the user's home in the machine.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command that runs `program` in the machine, in the home folder. Arguments, environment and
    /// standard streams are set on it as on any command; the environment starts as a login's there.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_in(HOME, program)
    }

    /// The same, in another folder of the machine.
    #[must_use]
    pub fn command_in(&self, folder: impl AsRef<Path>, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(find_bwrap());
        self.environment(&mut command);
        self.namespaces(&mut command);
        self.root_file_system(&mut command);
        command.arg("--chdir").arg(folder.as_ref()).arg("--").arg(program);
        command
    }

    /// Runs a script with the machine's `bash -e`, without input.
    pub fn sh(&self, script: &str) -> Result<Ran> {
        let output = self.command("bash").args(["-e", "-c", script]).stdin(Stdio::null()).output()?;
        Ok(output.into())
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear();
        command.envs([
            ("PATH", "/run/current-system/sw/bin"),
            ("HOME", HOME),
            ("USER", if self.root { "root" } else { "user" }),
            ("LANG", "C.UTF-8"),
            ("NIX_REMOTE", "daemon"),
            ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
            ("NIX_SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ]);
        // The set itself: the channel is that of the set which was built last, and there may be several.
        command.env("NIX_PATH", format!("nixpkgs={}", self.nixbox.system().nixpkgs.display()));
        command.env("TERM", std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()));
        if self.network {
            for name in ["http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL"] {
                if let Some(value) = std::env::var_os(name) {
                    command.env(name, value);
                }
            }
        }
    }

    fn namespaces(&self, command: &mut Command) {
        let id = if self.root { "0" } else { "1000" };
        command.args(["--unshare-user", "--uid", id, "--gid", id]);
        command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "nixbox"]);
        command.arg("--die-with-parent");
        if !self.network {
            command.arg("--unshare-net");
        }
    }

    /// Nothing is here that NixOS does not have: no `/lib64` (unless [`MachineBuilder::ldso`] asked for it), no `/lib`, no `/usr/lib`, no ld.so.cache.
    fn root_file_system(&self, command: &mut Command) {
        let system = self.nixbox.system();
        // Folders that bwrap makes on the way to something else would be closed to others.
        for folder in ["/bin", "/home", "/run", "/run/current-system", "/usr", "/usr/bin", "/var", "/var/tmp"]
        {
            command.args(["--perms", "0755", "--dir", folder]);
        }
        command.arg("--ro-bind").arg(&self.nix).arg("/nix");
        command.args(["--tmpfs", "/nix/var/nixbox"]);
        command.arg("--ro-bind").arg(self.room.path().join("sockets")).arg("/nix/var/nix/daemon-socket");
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        command.args(["--perms", "1777", "--tmpfs", "/tmp", "--perms", "1777", "--tmpfs", "/var/tmp"]);
        command.arg("--symlink").arg(&system.glibc).arg("/run/glibc");
        command.arg("--symlink").arg(&self.profile).arg("/run/current-system/sw");
        command.arg("--symlink").arg(system.profile.join("bin/bash")).arg("/bin/sh");
        command.arg("--symlink").arg(system.profile.join("bin/env")).arg("/usr/bin/env");
        if let Some(program) = &self.ldso {
            command.args(["--perms", "0755", "--dir", "/lib64"]);
            command.arg("--symlink").arg(program).arg("/lib64/ld-linux-x86-64.so.2");
        }
        command.arg("--ro-bind").arg(self.nixbox.etc()).arg("/etc");
        if self.network {
            for file in ["/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"] {
                command.args(["--ro-bind-try", file, file]);
            }
        }
        for bind in &self.binds {
            bind.apply(command);
        }
        command.args(["--remount-ro", "/"]);
    }
}

/// bwrap by its full path, for the command's environment is the machine's.
fn find_bwrap() -> PathBuf {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join("bwrap"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("bwrap"))
}
