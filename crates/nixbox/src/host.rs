//! The builder's side: this machine's own programs with the box's store mounted at `/nix`.
//!
//! Real Nix builds there, with apt, dpkg and patchelf at hand. The machine's own `/nix`, if it has
//! one, is not seen, and nothing outside the state folder is written.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, stdout_of};

/// Top-level folders that a Debian program may need. Not `/home`, `/root` or `/tmp`: there the
/// daemon sees what the box sees, so that a link in the box's home keeps a store path alive.
const SEEN: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "opt"];

/// How long the daemon may take to open its socket.
const DAEMON_START_MAX: Duration = Duration::from_secs(20);

/// Settings for the Nix that builds. No build users, for there may be no root; no sandbox, for the
/// builders run apt; nobody trusted, as an ordinary user of NixOS is not.
pub(crate) const NIX_CONF: &str = "\
sandbox = false
build-users-group =
substituters =
trusted-users =
allowed-users = *
experimental-features = nix-command flakes
fsync-metadata = false
";

/// One folder of the host shown elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) writable: bool,
}

impl Bind {
    pub(crate) fn apply(&self, command: &mut Command) {
        command.arg(if self.writable { "--bind" } else { "--ro-bind" }).arg(&self.from).arg(&self.to);
    }
}

/// A command line that runs a program on the builder's side; the program and its arguments follow.
pub(crate) fn builder(nix: &Path, glibc: Option<&Path>) -> Command {
    let mut command = Command::new("bwrap");
    command.env_clear();
    for name in SEEN {
        let path = Path::new("/").join(name);
        match path.symlink_metadata() {
            Ok(facts) if facts.is_symlink() => {
                if let Ok(to) = path.read_link() {
                    command.arg("--symlink").arg(to).arg(&path);
                }
            }
            Ok(facts) if facts.is_dir() => {
                command.arg("--bind").arg(&path).arg(&path);
            }
            _ => {}
        }
    }
    command.args(["--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc", "--tmpfs", "/tmp"]);
    command.args(["--dir", "/run", "--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]);
    if let Some(glibc) = glibc {
        command.arg("--symlink").arg(glibc).arg("/run/glibc");
    }
    command.arg("--bind").arg(nix).arg("/nix").args(["--chdir", "/"]);
    for (name, value) in [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/tmp"),
        ("NIX_CONF_DIR", "/nix/var/nixbox"),
        ("NIX_USER_CONF_FILES", "/dev/null"),
        ("NIX_REMOTE", "local"),
        ("LC_ALL", "C.UTF-8"),
    ] {
        command.args(["--setenv", name, value]);
    }
    for name in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.arg("--setenv").arg(name).arg(value);
        }
    }
    command
}

/// Runs a Nix command on the builder's side and returns what it printed.
pub(crate) fn run(nix: &Path, what: &str, program: &[&str]) -> Result<String> {
    let mut command = builder(nix, None);
    command.arg("--die-with-parent").arg("--").args(program);
    // bwrap itself is looked for in the caller's PATH, which env_clear took away.
    command.env("PATH", search_path());
    let output = command.stdin(Stdio::null()).output()?;
    stdout_of(what, &output)
}

/// The caller's `PATH`, with the folders where Debian keeps system programs.
pub(crate) fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// A running nix-daemon, ended when this is dropped, and also when this process is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    supervisor: Child,
    sockets: PathBuf,
}

/// Ends the daemon when standard input ends, which the kernel sees to whatever becomes of the
/// process that holds the other end. (A parent-death signal would come when the starting *thread* ends.)
/// The daemon's own children end with their clients.
const SUPERVISOR: &str = "nix-daemon </dev/null & daemon=$!; read -r _; kill $daemon; wait $daemon";

impl Daemon {
    /// Starts a daemon that listens in the folder `sockets` and sees `binds` where the box does.
    pub(crate) fn start(nix: &Path, glibc: &Path, sockets: PathBuf, binds: &[Bind]) -> Result<Daemon> {
        let mut command = builder(nix, Some(glibc));
        command.env("PATH", search_path());
        command.arg("--bind").arg(&sockets).arg("/nix/var/nix/daemon-socket");
        let seen = |bind: &&Bind| !SEEN.iter().any(|name| bind.to.starts_with(Path::new("/").join(name)));
        for bind in binds.iter().filter(seen) {
            bind.apply(&mut command);
        }
        command.args(["--", "/bin/sh", "-c", SUPERVISOR]);
        let log = fs_err::File::create(sockets.with_extension("log"))?;
        let (log, _) = log.into_parts();
        let supervisor = command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut daemon = Daemon { supervisor, sockets };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.sockets.join("socket").exists() {
            let ended = self.supervisor.try_wait()?;
            if ended.is_some() || started.elapsed() > DAEMON_START_MAX {
                let log = fs_err::read_to_string(self.sockets.with_extension("log")).unwrap_or_default();
                return Err(Error::Broken(format!("nix-daemon opened no socket:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // The supervisor ends by itself; a failure to wait leaves nothing that could be done.
        let _ = self.supervisor.wait();
    }
}
