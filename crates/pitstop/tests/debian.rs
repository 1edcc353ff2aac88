//! `pitstop try` on a plain Debian that has Python and nothing graphical: two imports that fail for want of libraries
//! work in the end, for root and for everybody else, whatever apt knows.
//!
//! The Debian is a real one, made by debootstrap once, with the network and the settings of this machine.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a Debian on which people use venvs has.
const INSTALLED: &str = "--include=python3,python3-venv,ca-certificates";
/// An ordinary user.
const USER: u32 = 1000;

/// Runs a command and gives its status and all that it said.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// The same for a command that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let (status, said) = run(command);
    assert_eq!(status, Some(0), "{command:?}\n{said}");
    said
}

/// A command that needs root.
fn as_root(program: &str) -> Command {
    let id = succeed(Command::new("id").arg("-u"));
    if id.trim() == "0" {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "--preserve-env", program]);
    command
}

/// The suite to install: this machine's, so that what is built here starts there.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| release.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    if field("ID=") == "debian" { field("VERSION_CODENAME=").to_owned() } else { "trixie".to_owned() }
}

/// Where this machine's apt gets Debian from; nothing where it gets none, and debootstrap knows by itself.
fn mirror() -> Option<String> {
    let format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"];
    let codename = format!("Codename: {}", suite());
    let said = Command::new("apt-get").args(format).arg(codename).output().ok()?;
    String::from_utf8(said.stdout).ok()?.lines().next().map(str::to_owned)
}

/// The installed Debian, made when it is first asked for. Nothing is ever written into it.
fn debian() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{}", suite()));
        if !root.exists() {
            let fresh = root.with_extension(format!("new-{}", std::process::id()));
            let mut debootstrap = as_root("debootstrap");
            debootstrap.args(["--variant=minbase", INSTALLED, &suite()]).arg(&fresh).args(mirror());
            succeed(&mut debootstrap);
            fs::rename(&fresh, &root).unwrap();
        }
        root
    })
}

/// A copy of the Debian that a test may do anything to.
struct Machine {
    folder: tempfile::TempDir,
    user: u32,
}

impl Machine {
    fn new(user: u32) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let machine = Self { folder, user };
        succeed(as_root("cp").args(["-a", "--reflink=auto"]).arg(debian()).arg(machine.root()));
        // How this machine's apt reaches its archives: a proxy, credentials.
        let settings = machine.folder.path().join("settings");
        fs::write(&settings, succeed(Command::new("apt-config").args(["dump", "Acquire"]))).unwrap();
        succeed(as_root("cp").arg(&settings).arg(machine.root().join("etc/apt/apt.conf.d/90machine")));
        for name in ["etc/apt/auth.conf", "etc/apt/auth.conf.d", "etc/pip.conf"] {
            let from = Path::new("/").join(name);
            if from.exists() {
                let to = machine.root().join(name);
                succeed(as_root("cp").args(["-rT"]).arg(from).arg(to));
            }
        }
        machine.sh_as(0, "mkdir -p /home/user /pip && chown 1000:1000 /home/user");
        let caches = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-pip-{user}"));
        fs::create_dir_all(&caches).unwrap();
        succeed(as_root("chown").arg(format!("{user}:{user}")).arg(&caches));
        machine
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs a script that must succeed as a user of the machine.
    #[track_caller]
    fn sh_as(&self, user: u32, script: &str) -> String {
        succeed(self.command(user).args(["sh", "-euc", script]))
    }

    /// Runs a script as the machine's user.
    fn sh(&self, script: &str) -> (Option<i32>, String) {
        run(self.command(self.user).args(["sh", "-euc", script]))
    }

    fn command(&self, user: u32) -> Command {
        let mut command = as_root("bwrap");
        command.arg("--bind").arg(self.root()).args(["/", "--dev", "/dev", "--proc", "/proc"]);
        command.args(["--unshare-pid", "--die-with-parent", "--clearenv", "--chdir", "/"]);
        command.args(["--ro-bind", env!("CARGO_BIN_EXE_pitstop"), "/usr/local/bin/pitstop"]);
        for path in ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl", "/usr/local/share/ca-certificates"] {
            command.args(["--ro-bind-try", path, path]);
        }
        let home = if user == 0 { "/root" } else { "/home/user" };
        if let Some(own) = env::var_os("HOME") {
            let from = Path::new(&own).join(".config/pip");
            command.arg("--ro-bind-try").arg(from).arg(format!("{home}/.config/pip"));
        }
        for (name, value) in env::vars().filter(|(name, _)| is_of_the_network(name)) {
            // Some name a file or a folder of this machine.
            if Path::new(&value).is_absolute() && !value.starts_with("/etc/ssl") {
                command.args(["--ro-bind-try", &value, &value]);
            }
            command.args(["--setenv", &name, &value]);
        }
        let caches = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-pip-{user}"));
        command.arg("--bind-try").arg(caches).arg("/pip").args(["--setenv", "PIP_CACHE_DIR", "/pip"]);
        command.args(["--setenv", "HOME", home, "--setenv", "PATH"]);
        command.args(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--"]);
        command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Files of other users are in it.
        let _ = as_root("rm").arg("-rf").arg(self.root()).status();
    }
}

/// Variables that say how packages are reached from here.
fn is_of_the_network(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let files = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    name.starts_with("PIP_") || name.ends_with("_PROXY") || files.contains(&name.as_str())
}

/// Tries both packages, on a machine that was prepared so.
fn try_works(user: u32, prepare: &str) {
    let machine = Machine::new(user);
    machine.sh_as(0, prepare);
    let (status, said) = machine.sh("cd; pitstop try opencv-python pyodbc");
    assert_eq!(status, Some(0), "{said}");
    for words in ["libodbc.so.2", "import cv2: works", "import pyodbc: works"] {
        assert!(said.contains(words), "{said}");
    }
    let (status, said) = machine.sh("ls -A /tmp /var/tmp");
    assert!(status == Some(0) && !said.contains("pitstop"), "something was left: {said}");
}

#[test]
fn without_pitstop_the_imports_fail() {
    let machine = Machine::new(USER);
    let (status, said) = machine.sh("cd; python3 -m venv v; v/bin/pip install -q opencv-python pyodbc 2>&1
         for module in cv2 pyodbc; do v/bin/python -c \"import $module\" && exit 9; done; true");
    assert_eq!(status, Some(0), "{said}");
    let words = "cannot open shared object file: No such file or directory";
    assert!(said.contains(&format!("libodbc.so.2: {words}")), "{said}");
    // Which of its libraries comes first changes with the wheel.
    assert_eq!(said.matches(words).count(), 2, "{said}");
}

#[test]
fn root_tries_packages() {
    try_works(0, "true");
}

#[test]
fn an_ordinary_user_tries_packages() {
    try_works(USER, "true");
}

#[test]
fn a_lock_holds_debian_packages_to_version_and_hash() {
    let machine = Machine::new(USER);
    let venv = |name: &str| {
        let script =
            format!("cd; mkdir -p p; python3 -m venv p/{name}; p/{name}/bin/pip install -q pyodbc 2>&1");
        let (status, said) = machine.sh(&script);
        assert_eq!(status, Some(0), "{said}");
    };
    let well = |script: &str| {
        let (status, said) = machine.sh(&format!("cd ~/p; {script}"));
        assert_eq!(status, Some(0), "{script}\n{said}");
        said
    };
    venv("one");
    well("touch pitstop.toml; pitstop fix one; one/bin/python -c 'import pyodbc'");
    let first = well("cat pitstop.lock");
    for words in [
        "soname = \"libodbc.so.2\"",
        "provider = \"apt\"",
        "version = \"",
        "sha256 = \"",
        "for = [\"pyodbc\"]",
    ] {
        assert!(first.contains(words), "{words}?\n{first}");
    }
    // The hash is that of the very archive.
    let package = "$(grep -A3 libodbc.so.2 pitstop.lock | sed -n 's/^package = .\\(.*\\).$/\\1/p')";
    let archive = well(&format!(
        "cd /tmp; cp ~/p/pitstop.lock .; apt-get -q download {package} >&2; sha256sum libodbc*.deb | cut -c-64"
    ));
    assert!(first.contains(archive.lines().next().unwrap()), "{archive}\n{first}");

    // Another machine of the team is on NixOS: what it has locked stays.
    let nix = "[[library]]\nsoname = \"libodbc.so.2\"\nprovider = \"nix\"\nsystem = \"x86_64-linux\"\n\
               attribute = \"unixODBC\"\npath = \"/nix/store/x-unixodbc\"\n";
    well(&format!("printf '{}' >>pitstop.lock", nix.replace('\n', "\\n")));
    venv("two");
    well("pitstop fix --locked two; two/bin/python -c 'import pyodbc'; pitstop status two; pitstop fix one");
    assert!(well("cat pitstop.lock").contains("unixodbc"));

    // A version that is not to be had: locked, it is an error; else what is there is taken, and the lock stays.
    well("sed -i 's/^version = \"/&99:/' pitstop.lock && cp pitstop.lock before");
    venv("three");
    let (status, said) = machine.sh("cd ~/p; pitstop fix --locked three");
    assert_eq!(status, Some(5), "{said}");
    assert!(said.contains("the lock has apt: ") && said.contains("apt has no version 99:"), "{said}");
    well("test ! -e three/.pitstop && cmp pitstop.lock before");
    let said = well("pitstop fix three; cmp pitstop.lock before; three/bin/python -c 'import pyodbc'");
    assert!(said.contains("the lock has apt: "), "{said}");
    well("pitstop fix three --upgrade; pitstop fix --locked three");
    assert!(!well("cat pitstop.lock").contains("99:"));
}

#[test]
fn an_ordinary_user_tries_packages_where_apt_knows_none_yet() {
    try_works(USER, "rm -rf /var/lib/apt/lists/*");
}

const USES_ZLIB: &str = r"
#include <stdio.h>
#include <zlib.h>
int main(void) { puts(zlibVersion()); return zlibVersion()[0] != '1'; }
";

/// What a person does with packages that are not installed and cannot be: loads a library, starts programs, compiles with
/// headers, goes in again from within. Nothing of it is there outside.
fn packages_are_there_inside(user: u32) {
    let machine = Machine::new(user);
    let well = |script: &str| {
        let (status, said) = machine.sh(&format!("cd; {script}"));
        assert_eq!(status, Some(0), "{script}\n{said}");
        said
    };
    let load = "python3 -c 'import ctypes; ctypes.CDLL(\"libodbc.so.2\"); print(\"loaded\")'";
    assert_ne!(machine.sh(load).0, Some(0), "it loads without help");
    for how in
        ["fhs --with libodbc2", "fhs --with libodbc.so.2", "run --with libodbc2", "run --with libodbc.so.2"]
    {
        assert!(well(&format!("pitstop {how} -- {load}")).contains("loaded"), "{how}");
    }
    // What rests on files that changed within the last two seconds, as this Debian's did, is not kept.
    well(
        "for turn in $(seq 200); do pitstop fhs --with libodbc2 -- true\n\
         grep -la libodbc2 $(grep -la pitstop/fhs/ ~/.cache/pitstop/answers/*) && break || true; done 2>/dev/null",
    );
    // Again, where apt may not be asked.
    machine.sh_as(0, "chmod 0 /usr/bin/apt-get /usr/bin/dpkg-deb");
    assert!(well(&format!("pitstop fhs --with libodbc2 -- {load}")).contains("loaded"));
    machine.sh_as(0, "chmod 755 /usr/bin/apt-get /usr/bin/dpkg-deb");

    machine.sh_as(0, "mkdir -p /usr/local/own && chmod 777 /usr/local/own");
    well(&format!("cat >z.c <<'EOF'\n{USES_ZLIB}\nEOF"));
    let said = well(
        "pitstop fhs --with gcc --with libc6-dev --with zlib1g-dev -- sh -c 'cc -o z z.c -lz && ./z && touch /usr/local/own/x \
         && ls -l /usr/bin/python3 && ldconfig -p | head -1 && ls /usr/local/bin/pitstop && pwd'",
    );
    assert!(said.contains("1.") && said.contains("/usr/local/bin/pitstop"), "{said}");
    // More roots in each other than the kernel lays overlays upon each other.
    let said = well(&format!(
        "pitstop fhs --with libodbc2 -- pitstop fhs --with libodbc2 -- pitstop fhs --with libodbc2 -- \
         pitstop fhs --with gcc --with libc6-dev --with zlib1g-dev -- sh -c \"cc -o z2 z.c -lz && ./z2 && {}\"",
        load.replace('"', "\\\"")
    ));
    assert!(said.contains("loaded"), "{said}");
    let (status, said) =
        machine.sh("cat /proc/mounts; ls /usr/bin/gcc /usr/lib/*/libodbc.so.2 /usr/include/zlib.h");
    assert!(status != Some(0) && !said.contains("overlay /usr"), "something is seen outside: {said}");
}

#[test]
fn root_has_packages_inside_that_are_not_installed() {
    packages_are_there_inside(0);
}

#[test]
fn an_ordinary_user_has_packages_inside_that_are_not_installed() {
    packages_are_there_inside(USER);
}

#[test]
fn what_a_debian_has_not_is_named() {
    let machine = Machine::new(USER);
    for (with, word) in [
        ("libnobody99", "libnobody99"),
        ("unixODBC", "unixODBC is no name of a Debian package"),
        ("gcc-", "gcc- is no name of a Debian package"),
        ("libnobody.so.99", "libnobody.so.99"),
        ("./nowhere", "nowhere"),
    ] {
        let (status, said) = machine.sh(&format!("cd; pitstop fhs --with {with} -- true"));
        assert_eq!(status, Some(127), "{with}: {said}");
        assert!(said.contains("error") && said.contains(word), "{with}: {said}");
    }
    // Nothing is needed, so nothing is made.
    let (status, said) =
        machine.sh("cd; pitstop fhs -- readlink /proc/self/ns/mnt /proc/1/ns/mnt | uniq | wc -l");
    assert!(status == Some(0) && said.trim() == "1", "{said}");
}
