//! The apt provider against the real apt and its archives, as whoever runs the tests and, for root, as an ordinary user
//! too. The machine's own state is never changed.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod provide_support;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pitstop_core::locate::{Candidate, Source, Suite, Witness};
use pitstop_host::files::SystemFiles;
use pitstop_host::provide::apt::{Apt, Pins};
use pitstop_host::provide::host::{self, Places};
use pitstop_host::provide::{Error, Event, Outcome, Provider, Want};
use provide_support::{require, want, with_context};
use tempfile::TempDir;

/// Set for the copy of this program that runs as another user.
const AS_ANOTHER: &str = "PITSTOP_TEST_AS_ANOTHER";

/// A machine like this one, which lacks the libraries of these tests and may lack lists or a network.
struct World {
    folder: TempDir,
    settings: String,
    apt: Apt,
}

impl World {
    fn new() -> Self {
        require(&[
            ("apt-get", "apt"),
            ("dpkg-deb", "dpkg"),
            ("setpriv", "util-linux"),
            ("unshare", "util-linux"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let status = fs_err::read_to_string("/var/lib/dpkg/status").unwrap();
        let lacks = ["libzbar0", "libv4l-0", "libv4lconvert0", "libodbc2", "libodbccr2"];
        let stanzas = status.split("\n\n").filter(|stanza| {
            let name = stanza.lines().find_map(|line| line.strip_prefix("Package: "));
            !name.is_some_and(|name| lacks.contains(&name))
        });
        fs_err::write(top.join("status"), stanzas.collect::<Vec<_>>().join("\n\n")).unwrap();
        let settings =
            format!("Dir::State::status \"{}\";\nAcquire::Retries \"0\";\n", top.join("status").display());
        let apt = Apt {
            suite: Suite::Debian12,
            cache: top.join("cache"),
            destination: top.join("venv/.pitstop/debs"),
            host: None,
            environment: vec![("APT_CONFIG".into(), top.join("apt.conf").into())],
            pins: Pins::default(),
        };
        let world = Self { folder, settings, apt };
        world.configure("");
        world
    }

    fn configure(&self, more: &str) {
        fs_err::write(self.folder.path().join("apt.conf"), format!("{}{more}\n", self.settings)).unwrap();
    }

    /// As in a slim container.
    fn without_lists() -> Self {
        let mut world = Self::new();
        let empty = world.folder.path().join("empty");
        fs_err::create_dir_all(empty.join("partial")).unwrap();
        writeln!(world.settings, "Dir::State::Lists \"{}\";", empty.display()).unwrap();
        world.configure("");
        world
    }

    fn lose_network(&self) {
        self.configure(
            "Acquire::http::Proxy \"http://127.0.0.1:9/\";\nAcquire::https::Proxy \"http://127.0.0.1:9/\";",
        );
    }

    fn unpack(&self, sonames: &[&str]) -> (Result<Outcome, Error>, Vec<Event>) {
        let wants: Vec<Want> = sonames.iter().map(|soname| want(soname)).collect();
        with_context(false, |context| self.apt.unpack(&wants, context))
    }
}

/// Runs one test of this program again as uid 65534, if this is root. True in that other process.
fn as_another(test: &str) -> bool {
    if std::env::var_os(AS_ANOTHER).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let command = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
        command
    };
    run_copy(test, &command);
    false
}

/// Runs one test in a copy of this program that any user can reach.
fn run_copy(test: &str, command: &dyn Fn(&Path) -> Command) {
    let folder = tempfile::tempdir().unwrap();
    fs_err::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("test");
    fs_err::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let output =
        command(&copy).args(["--exact", test]).env(AS_ANOTHER, "1").current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[track_caller]
fn check_zbar(world: &World, outcome: &Outcome) {
    assert_eq!(outcome.refused, []);
    let provision = &outcome.provisions[0];
    let Provider::Apt { package, folder, .. } = &provision.by else { panic!("{provision:?}") };
    assert_eq!(package, "libzbar0");
    assert!(folder.starts_with(&world.apt.destination) && provision.file.starts_with(folder));
    assert!(
        provision.file.ends_with("usr/lib/x86_64-linux-gnu/libzbar.so.0"),
        "{}",
        provision.file.display()
    );
    assert_eq!(provision.found.as_deref(), Some("libzbar.so.0"));
    assert!(provision.note.starts_with("libzbar0 "), "{}", provision.note);
    for soname in ["libv4l2.so.0", "libv4lconvert.so.0"] {
        let file = &provision.dependencies[soname];
        assert!(file.starts_with(&world.apt.destination) && file.exists(), "{}", file.display());
    }
    assert!(!provision.dependencies.contains_key("libc.so.6"));
    assert_eq!(leftovers(&world.apt.destination), Vec::<PathBuf>::new());
}

/// What is neither a package's folder nor anything that should be there.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

/// Loads a library with all its dependencies, in a Python that knows nothing of where they are.
fn load(outcome: &Outcome) {
    let provision = &outcome.provisions[0];
    let mut files: Vec<String> =
        provision.dependencies.values().map(|file| file.display().to_string()).collect();
    files.push(provision.file.display().to_string());
    // Any order will do when each is tried until it finds its own.
    let script = "
import ctypes, sys
left = sys.argv[1:]
for _ in range(len(left)):
    for file in list(left):
        try:
            ctypes.CDLL(file, ctypes.RTLD_GLOBAL)
            left.remove(file)
        except OSError as error:
            last = error
assert not left, last
";
    let output = Command::new("python3").args(["-c", script]).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_package_is_unpacked_with_the_dependencies_that_the_machine_lacks() {
    let world = World::new();
    let (outcome, events) = world.unpack(&["libzbar.so.0"]);
    let outcome = outcome.unwrap();
    check_zbar(&world, &outcome);
    assert_eq!(outcome.cost.downloaded, 3);
    assert!(outcome.cost.bytes > 200_000, "{}", outcome.cost);
    assert!(events.contains(&Event::Downloading("libzbar0".into())), "{events:?}");
    load(&outcome);
    let kept: Vec<_> =
        fs_err::read_dir(&world.apt.cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept, ["archives"]);
}

#[test]
fn an_ordinary_user_without_lists_gets_lists_of_their_own_and_needs_the_network_once() {
    if !as_another("an_ordinary_user_without_lists_gets_lists_of_their_own_and_needs_the_network_once") {
        return;
    }
    let world = World::without_lists();
    let (outcome, _) = world.unpack(&["libzbar.so.0", "libodbc.so.2"]);
    let outcome = outcome.unwrap();
    check_zbar(&world, &outcome);
    assert_eq!(outcome.provisions.len(), 2);
    load(&outcome);

    world.lose_network();
    let (again, events) = world.unpack(&["libzbar.so.0", "libodbc.so.2"]);
    let again = again.unwrap();
    assert_eq!(again.provisions, outcome.provisions);
    assert_eq!((again.cost.downloaded, again.cost.bytes), (0, 0));
    assert_eq!(events, [Event::Step("asking apt which packages are needed".into())]);
}

#[test]
fn without_a_network_apts_own_words_and_a_way_on() {
    for world in [World::new(), World::without_lists()] {
        world.lose_network();
        let error = world.unpack(&["libzbar.so.0"]).0.unwrap_err();
        assert!(matches!(error, Error::ToolFailed { .. }), "{error}");
        assert!(error.to_string().contains("Could not connect to 127.0.0.1:9"), "{error}");
        assert!(error.hint().unwrap().contains("network"), "{error}");
        assert_eq!(fs_err::read_dir(&world.apt.destination).unwrap().count(), 0);
    }
}

#[test]
fn an_unknown_package_is_passed_over_and_the_next_idea_taken() {
    let world = World::new();
    let candidate = |package: &str| Candidate {
        source: Source::Debian { suite: Suite::Debian12, package: package.into() },
        soname: "libzbar.so.0".into(),
        exact: true,
        reason: String::new(),
        told_by: Witness::Table,
    };
    let mut unknown = want("libzbar.so.0");
    unknown.candidates.candidates = vec![candidate("libzbar-nobody-has-this")];
    let mut known = want("libodbc.so.2");
    known.candidates.candidates.insert(0, candidate("libodbc-nobody-has-this"));
    let wants = [unknown, known, want("libc.so.6"), want("libnvidia-ml.so.1"), want("libnobody.so.1")];
    let outcome = with_context(false, |context| world.apt.unpack(&wants, context)).0.unwrap();
    let provided: Vec<&str> = outcome.provisions.iter().map(|provision| provision.soname.as_str()).collect();
    assert_eq!(provided, ["libodbc.so.2"]);
    assert_eq!(outcome.refused.len(), 4);
    let refused = outcome.refused.iter().find(|refused| refused.soname == "libzbar.so.0").unwrap();
    assert_eq!(refused.reason, "Unable to locate package libzbar-nobody-has-this");
    assert!(refused.hint.as_ref().unwrap().contains("apt update"));
}

#[test]
fn a_package_that_is_held_back_is_refused_in_apts_words() {
    let world = World::new();
    // A pin that forbids what libzbar0 needs, which is what a hold comes to.
    let preferences = world.folder.path().join("preferences");
    fs_err::write(&preferences, "Package: libv4l-0\nPin: version *\nPin-Priority: -1\n").unwrap();
    world.configure(&format!("Dir::Etc::preferences \"{}\";", preferences.display()));
    let outcome = world.unpack(&["libzbar.so.0", "libodbc.so.2"]).0.unwrap();
    assert_eq!(outcome.provisions[0].soname, "libodbc.so.2");
    let refused = &outcome.refused[0];
    assert!(refused.reason.contains("libzbar0 : Depends: libv4l-0"), "{refused:?}");
    assert!(refused.hint.is_some());
}

#[test]
fn a_folder_that_may_not_be_written_is_an_error_that_names_it() {
    if !as_another("a_folder_that_may_not_be_written_is_an_error_that_names_it") {
        return;
    }
    let mut world = World::new();
    world.apt.destination = PathBuf::from("/usr/lib/nobody-may-write-here");
    let error = world.unpack(&["libzbar.so.0"]).0.unwrap_err();
    assert!(error.to_string().contains("/usr/lib/nobody-may-write-here"), "{error}");
    assert!(error.hint().unwrap().contains("write"), "{error:?}");
}

#[test]
fn no_space_leaves_nothing_half_unpacked() {
    const TEST: &str = "no_space_leaves_nothing_half_unpacked";
    if std::env::var_os(AS_ANOTHER).is_none() {
        let command = |program: &Path| {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--mount", "--"]).arg(program);
            command
        };
        run_copy(TEST, &command);
        return;
    }
    let world = World::new();
    fs_err::create_dir_all(&world.apt.destination).unwrap();
    let mut mount = Command::new("mount");
    let status = mount.args(["-t", "tmpfs", "-o", "size=100k", "tmpfs"]).arg(&world.apt.destination).status();
    assert!(status.unwrap().success());
    let error = world.unpack(&["libzbar.so.0"]).0.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(error.hint().unwrap().contains("space"), "{error:?}");
    assert_eq!(leftovers(&world.apt.destination), Vec::<PathBuf>::new());
    assert!(!world.apt.destination.join("libzbar0").exists());
}

#[test]
fn installing_needs_root_and_says_what_it_would_install() {
    if !as_another("installing_needs_root_and_says_what_it_would_install") {
        return;
    }
    let world = World::new();
    let mut look_again = |_: &[Want]| Outcome::default();
    let wants = [want("libzbar.so.0")];
    let error =
        with_context(false, |context| world.apt.install(&wants, &mut look_again, context)).0.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("Run `sudo apt install libzbar0`"));
}

#[test]
fn root_installs_and_what_is_installed_is_found() {
    const TEST: &str = "root_installs_and_what_is_installed_is_found";
    // A root of its own over the machine's, so that nothing is installed for good.
    const OVERLAY: &str = "set -e; top=$1; shift
        mount -t tmpfs tmpfs $top
        mkdir $top/upper $top/work $top/root
        mount -t overlay overlay -o lowerdir=/,upperdir=$top/upper,workdir=$top/work $top/root
        mount --rbind /proc $top/root/proc
        mount --rbind /dev $top/root/dev
        exec chroot $top/root \"$@\"";
    if std::env::var_os(AS_ANOTHER).is_none() {
        let is_root = rustix::process::geteuid().is_root();
        assert!(is_root || std::env::var_os("CI").is_none(), "this test needs root");
        if is_root {
            let top = tempfile::tempdir().unwrap();
            let command = |program: &Path| {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--", "sh", "-c", OVERLAY, "sh"]).arg(top.path()).arg(program);
                command
            };
            run_copy(TEST, &command);
        }
        return;
    }
    let mut world = World::new();
    world.apt.environment.clear();
    let wants = [want("libzbar.so.0")];
    let mut look_again = |wants: &[Want]| {
        let places = Places::of_this_machine(&SystemFiles::new(), provide_support::X86_64);
        with_context(false, |context| host::provide(wants, &places, context)).0
    };
    let outcome =
        with_context(false, |context| world.apt.install(&wants, &mut look_again, context)).0.unwrap();
    let provision = &outcome.provisions[0];
    assert_eq!(provision.by, Provider::Installed { package: "libzbar0".into() });
    assert!(provision.file.ends_with("x86_64-linux-gnu/libzbar.so.0"), "{}", provision.file.display());
    assert!(outcome.cost.downloaded >= 1, "{}", outcome.cost);
}
