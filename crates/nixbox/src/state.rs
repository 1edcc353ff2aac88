//! The state folder: the store, the package set in use, and what was built from it.

use std::path::{Path, PathBuf};

use crate::apt::Lists;
use crate::error::{Error, Result, stdout_of};
use crate::host::{self, NIX_CONF};
use crate::machine::{CHANNEL, MachineBuilder};
use crate::{requirements, set};

/// A store with the base system built, in which machines can be started.
#[derive(Debug)]
pub struct Nixbox {
    folder: PathBuf,
    key: String,
    system: System,
}

/// The store paths that every machine has.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) glibc: PathBuf,
    /// What is at /run/current-system/sw.
    pub(crate) profile: PathBuf,
    /// The package set itself.
    pub(crate) nixpkgs: PathBuf,
}

impl Nixbox {
    /// Opens the state folder of this user, building what is not there; `say` gets a line for each
    /// thing that takes long.
    pub fn open(say: &mut dyn FnMut(&str)) -> Result<Nixbox> {
        let folder = std::env::var_os("NIXBOX_DIR")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache/pitstop-nixbox")))
            .ok_or_else(|| Error::Broken("set NIXBOX_DIR: there is no home folder".to_owned()))?;
        Nixbox::open_in(&folder, say)
    }

    /// The same with a state folder of one's choice.
    pub fn open_in(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Nixbox> {
        requirements::check()?;
        for name in
            ["root/nix/store", "root/nix/var/nixbox/debs", "root/nix/var/nix/daemon-socket", "sets", "rooms"]
        {
            fs_err::create_dir_all(folder.join(name))?;
        }
        let folder = fs_err::canonicalize(folder)?;
        let lists = Lists::find(&folder.join("root/nix/var/nixbox"), say)?;
        let key = set::key(&lists)?;
        if let Some(system) = System::read(&folder.join("sets").join(&key)) {
            return Ok(Nixbox { folder, key, system });
        }
        let lock = fs_err::File::create(folder.join("lock"))?;
        lock.file().lock()?;
        // Another process may have built it while this one waited.
        let made = folder.join("sets").join(&key);
        let system = match System::read(&made) {
            Some(system) => system,
            None => build(&folder, &made, &lists, say)?,
        };
        Ok(Nixbox { folder, key, system })
    }

    /// A new machine, to be described and started.
    #[must_use]
    pub fn machine(&self) -> MachineBuilder<'_> {
        MachineBuilder::new(self)
    }

    /// Builds attributes of the package set on the host's side; returns the store path of each one's
    /// library output.
    pub fn build(&self, attributes: &[&str]) -> Result<Vec<PathBuf>> {
        let library = |name: &&str| format!("(lib.getLib {name})");
        let wanted: Vec<String> = attributes.iter().map(library).collect();
        let expression =
            format!("with import {} {{ }}; [ {} ]", self.system.nixpkgs.display(), wanted.join(" "));
        let what = format!("building {}", attributes.join(" "));
        let printed = host::run(&self.nix(), &what, &["nix-build", "--no-out-link", "-E", &expression])?;
        Ok(printed.lines().map(PathBuf::from).collect())
    }

    /// Puts a program built on this machine into the store so that it starts in a box: with the
    /// box's loader, and glibc and gcc's runtime in its RUNPATH. Returns its path in the box. A
    /// static program is only copied.
    pub fn adopt(&self, program: &Path) -> Result<PathBuf> {
        let name = program.file_name().ok_or_else(|| Error::Broken("a program has a name".to_owned()))?;
        let work = tempfile::Builder::new().prefix("adopt-").tempdir_in(self.rooms())?;
        let folder = work.path().join(name);
        let copy = folder.join("bin").join(name);
        fs_err::create_dir_all(folder.join("bin"))?;
        fs_err::copy(program, &copy)?;
        let dynamic =
            std::process::Command::new("patchelf").arg("--print-interpreter").arg(&copy).output()?;
        if dynamic.status.success() {
            let gcc = self.build(&["stdenv.cc.cc"])?;
            let glibc = self.system.glibc.join("lib");
            let mut runpath = glibc.clone().into_os_string();
            for library in &gcc {
                runpath.push(":");
                runpath.push(library.join("lib"));
            }
            let mut patch = std::process::Command::new("patchelf");
            patch.arg("--set-interpreter").arg(glibc.join("ld-linux-x86-64.so.2"));
            let output = patch.arg("--set-rpath").arg(runpath).arg(&copy).output()?;
            stdout_of(&format!("patching a copy of {}", program.display()), &output)?;
        }
        Ok(add(&self.nix(), &folder)?.join("bin").join(name))
    }

    pub(crate) fn nix(&self) -> PathBuf {
        self.folder.join("root/nix")
    }

    pub(crate) fn rooms(&self) -> PathBuf {
        self.folder.join("rooms")
    }

    pub(crate) fn etc(&self) -> PathBuf {
        self.folder.join("sets").join(&self.key).join("etc")
    }

    pub(crate) fn system(&self) -> &System {
        &self.system
    }
}

impl System {
    /// What an earlier build left in its folder; nothing unless it was finished.
    fn read(made: &Path) -> Option<System> {
        let text = fs_err::read_to_string(made.join("ready")).ok()?;
        let mut lines = text.lines().map(PathBuf::from);
        Some(System { glibc: lines.next()?, profile: lines.next()?, nixpkgs: lines.next()? })
    }
}

/// Generates the package set, puts it into the store, and builds the system that every box boots.
fn build(folder: &Path, made: &Path, lists: &Lists, say: &mut dyn FnMut(&str)) -> Result<System> {
    let nix = folder.join("root/nix");
    say("working out the package set");
    let fresh = tempfile::Builder::new().prefix("set-").tempdir_in(folder.join("sets"))?;
    let source = fresh.path().join("nixpkgs");
    set::write(&source, &lists.index()?)?;
    let settings = nix.join("var/nixbox");
    let jobs = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    fs_err::write(settings.join("nix.conf"), format!("{NIX_CONF}max-jobs = {jobs}\n"))?;
    lists.show_to_builders(&settings)?;
    let nixpkgs = add(&nix, &source)?;

    say("building the base system, which takes some minutes the first time");
    let root =
        format!("/nix/var/nix/gcroots/nixbox-{}", made.file_name().unwrap_or_default().to_string_lossy());
    let expression = format!(
        "with import {} {{ config = {{ }}; }}; [ glibc nixbox.system (lib.getLib stdenv.cc.cc) stdenv ]",
        nixpkgs.display()
    );
    let printed =
        host::run(&nix, "building the base system", &["nix-build", "--out-link", &root, "-E", &expression])?;
    let [glibc, profile, ..] = &printed.lines().map(PathBuf::from).collect::<Vec<_>>()[..] else {
        return Err(Error::Broken(format!("nix-build printed no store paths: {printed}")));
    };
    let system = System { glibc: glibc.clone(), profile: profile.clone(), nixpkgs };
    link_channel(&nix, &system.nixpkgs, &root)?;
    write_etc(&fresh.path().join("etc"), &system.nixpkgs)?;
    let paths = [&system.glibc, &system.profile, &system.nixpkgs];
    fs_err::write(fresh.path().join("ready"), paths.map(|path| format!("{}\n", path.display())).concat())?;
    // Only a finished set gets the name under which it is looked for.
    if made.exists() {
        fs_err::remove_dir_all(made)?;
    }
    fs_err::rename(fresh.keep(), made)?;
    Ok(system)
}

/// Adds a folder to the store.
fn add(nix: &Path, folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default();
    let inside = Path::new("/tmp").join(name);
    let mut command = host::builder(nix, None);
    command.env("PATH", host::search_path());
    command.arg("--ro-bind").arg(folder).arg(&inside).args(["--", "nix-store", "--add"]).arg(&inside);
    let printed = stdout_of("adding a folder to the store", &command.output()?)?;
    Ok(PathBuf::from(printed.trim()))
}

/// `<nixpkgs>`: the channel of the last set that was built, and a root that keeps this one.
fn link_channel(nix: &Path, nixpkgs: &Path, root: &str) -> Result<()> {
    let inside = |path: &str| nix.join(path.trim_start_matches("/nix/"));
    for link in [inside(CHANNEL), inside(&format!("{root}-nixpkgs"))] {
        if let Some(parent) = link.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let fresh = link.with_extension("new");
        let _ = fs_err::remove_file(&fresh);
        fs_err::os::unix::fs::symlink(nixpkgs, &fresh)?;
        fs_err::rename(&fresh, &link)?;
    }
    Ok(())
}

/// The box's `/etc`.
fn write_etc(etc: &Path, nixpkgs: &Path) -> Result<()> {
    fs_err::create_dir_all(etc.join("nix"))?;
    fs_err::create_dir_all(etc.join("ssl/certs"))?;
    let registry = format!(
        "{{\"version\":2,\"flakes\":[{{\"from\":{{\"type\":\"indirect\",\"id\":\"nixpkgs\"}},\
         \"to\":{{\"type\":\"path\",\"path\":\"{}\"}}}}]}}\n",
        nixpkgs.display()
    );
    // A file, so that no flake command asks the network for the global registry.
    let client = "sandbox = false\nsubstituters =\nexperimental-features = nix-command flakes\n\
                  flake-registry = /etc/nix/registry.json\n";
    let files = [
        ("NIXOS", ""),
        ("os-release", "NAME=NixOS\nID=nixos\nPRETTY_NAME=\"NixOS 26.05 (nixbox)\"\nVERSION_ID=\"26.05\"\n"),
        ("passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
        ("group", "root:x:0:\nusers:x:100:\nuser:x:1000:\n"),
        ("hosts", "127.0.0.1 localhost nixbox\n::1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("resolv.conf", ""),
        ("ssl/certs/ca-certificates.crt", ""),
        ("nix/nix.conf", client),
        ("nix/registry.json", &registry),
    ];
    for (name, text) in files {
        fs_err::write(etc.join(name), text)?;
    }
    Ok(())
}
