//! `pitstop.lock` and the settings of a project, in the NixOS-like root, with the real Nix.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, Nixbox};

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The command, made to start inside the root.
fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

/// What the venvs' package does when it is imported.
const ASKS: &str = "import ctypes\nodbc = ctypes.CDLL('libodbc.so.2')\n";

/// A project in `p`, in the home of a machine.
struct Project(Machine<'static>);

impl Project {
    fn with(settings: &str) -> Self {
        pitstop();
        let this = Self(nixbox().machine().start().unwrap());
        this.sh("mkdir p");
        this.settings(settings);
        this.venv("one");
        this
    }

    fn settings(&self, settings: &str) {
        self.write("pitstop.toml", settings);
    }

    fn write(&self, name: &str, text: &str) {
        self.sh(&format!("mkdir -p $(dirname p/{name}) && cat >p/{name} <<'END'\n{text}\nEND"));
    }

    /// A venv whose package `asks` opens libodbc by name when it is imported.
    fn venv(&self, name: &str) {
        self.sh(&format!("python3.11 -m venv --without-pip p/{name}"));
        let site = format!("{name}/lib/python3.11/site-packages");
        self.write(&format!("{site}/asks/__init__.py"), ASKS);
        self.write(
            &format!("{site}/asks-1.0.dist-info/RECORD"),
            "asks/__init__.py,,\nasks-1.0.dist-info/RECORD,,",
        );
    }

    fn sh(&self, script: &str) -> String {
        let ran = self.0.sh(script).unwrap();
        assert!(ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs the command in the project; it must end with `status`. Gives all that it said.
    #[track_caller]
    fn pitstop(&self, arguments: &str, status: i32) -> String {
        let ran = self.0.sh(&format!("cd p && {} {arguments}", pitstop().display())).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(status), "{arguments}\n{said}");
        said
    }

    fn lock(&self) -> String {
        self.sh("cat p/pitstop.lock")
    }

    fn works(&self, venv: &str) -> bool {
        self.0
            .sh(&format!("env -i p/{venv}/bin/python -B -c 'import asks; asks.odbc.SQLAllocHandle'"))
            .unwrap()
            .ok
    }
}

/// The text of a field of a lock, such as `path`.
fn field(lock: &str, name: &str) -> String {
    let line = lock.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
    line.unwrap_or_else(|| panic!("no {name} in {lock}")).trim_end_matches('"').to_owned()
}

#[test]
fn what_nix_provided_is_locked_and_provided_again_elsewhere() {
    let project = Project::with("");
    assert!(!project.works("one"));
    project.pitstop("fix one", 0);
    assert!(project.works("one"));
    let lock = project.lock();
    for words in [
        "soname = \"libodbc.so.2\"",
        "provider = \"nix\"",
        "system = \"x86_64-linux\"",
        "narHash = \"sha256-",
        "told-by = \"the embedded table\"",
        "for = [\"asks\"]",
    ] {
        assert!(lock.contains(words), "{words}?\n{lock}");
    }
    let path = field(&lock, "path");
    assert!(project.sh("cat p/one/.pitstop/provided.json").contains(&path), "{lock}");
    // The hash is the store's own.
    let url = field(&lock, "url");
    let hash = project.sh(&format!(
        "nix --extra-experimental-features nix-command hash to-sri --type sha256 $(nix-store -q --hash {} | cut -d: -f2)",
        url.strip_prefix("path:").unwrap()
    ));
    assert_eq!(field(&lock, "narHash"), hash.trim());

    project.venv("two");
    project.pitstop("fix --locked two", 0);
    assert!(project.works("two"));
    assert!(project.sh("cat p/two/.pitstop/provided.json").contains(&path));
    project.pitstop("status two", 0);
    project.pitstop("fix two", 0);
    project.pitstop("undo one", 0);
    assert_eq!(project.lock(), lock, "the lock did not stay as it was");
}

#[test]
fn locked_refuses_another_store_path_and_changes_nothing() {
    let project = Project::with("");
    project.pitstop("fix one", 0);
    project.pitstop("undo one", 0);
    project.sh("sed -i 's|^path = \"/nix/store/.|&0|' p/pitstop.lock; cp p/pitstop.lock before");
    let tree = "cd p/one; find . -printf '%p %y %m %T@ %l\\n' | sort";
    let before = project.sh(tree);
    let said = project.pitstop("fix --locked one", 5);
    assert!(said.contains("libodbc.so.2: the lock has nix: ") && said.contains("here it is nix: "), "{said}");
    assert_eq!(project.sh(tree), before);
    project.sh("cmp p/pitstop.lock before");
    // Without it what is to be had is provided, which is said, and the lock stays.
    let said = project.pitstop("fix one", 0);
    assert!(said.contains("the lock has nix: ") && project.works("one"), "{said}");
    project.sh("cmp p/pitstop.lock before");
    assert!(project.pitstop("status one", 1).contains("not as locked"));
}

/// A package set in which unixODBC is another package than in nixbox's own, and so has another path.
fn set(number: u32) -> String {
    format!(
        r#"args: let set = import <nixpkgs> args; copy = set.runCommand "odbc-{number}" {{ }} ''
            export PATH=/usr/bin:/bin:/run/current-system/sw/bin
            mkdir $out
            cp -r ${{set.unixODBC.lib or set.unixODBC}}/lib $out/lib
        ''; in set // {{ unixODBC = copy; unixodbc = copy; mine = copy; }}"#
    )
}

#[test]
fn a_pin_holds_until_it_is_upgraded() {
    let project = Project::with("nixpkgs = './first'");
    project.write("first/default.nix", &set(1));
    project.write("second/default.nix", &set(2));
    project.pitstop("fix one", 0);
    let first = project.lock();
    assert!(field(&first, "path").ends_with("odbc-1") && field(&first, "url") == "path:first", "{first}");

    // The project goes on to another package set; what is locked stays.
    project.settings("nixpkgs = './second'");
    project.venv("two");
    project.pitstop("fix two", 0);
    assert_eq!(project.lock(), first);
    assert!(project.sh("cat p/two/.pitstop/provided.json").contains("odbc-1"));

    project.pitstop("fix --upgrade libother.so.1 two", 0);
    assert_eq!(project.lock(), first, "another library was upgraded");
    project.pitstop("fix --upgrade libodbc.so.2 two", 0);
    let second = project.lock();
    assert!(field(&second[second.find("[[").unwrap()..], "path").ends_with("odbc-2"), "{second}");
    project.pitstop("fix --upgrade two", 0);
    assert!(!project.lock().contains("first"), "{}", project.lock());
    // The other venv follows.
    assert!(project.pitstop("status one", 1).contains("not as locked"));
    project.pitstop("fix one", 0);
    assert!(project.sh("cat p/one/.pitstop/provided.json").contains("odbc-2") && project.works("one"));
    project.pitstop("fix --locked one", 0);
}

#[test]
fn a_pinned_attribute_is_the_one_that_is_taken_and_named() {
    let project = Project::with("nixpkgs = './set'\npins.'libodbc.so.2' = 'mine'");
    project.write("set/default.nix", &set(3));
    assert!(project.pitstop("check one", 1).contains("nix: mine"));
    project.pitstop("fix one", 0);
    assert_eq!(field(&project.lock(), "attribute"), "mine");
    assert_eq!(field(&project.lock(), "told-by"), "the project's settings");
    assert!(project.works("one"));
    // A pin that is changed counts at once, lock or not; one to nowhere is refused in Nix's own words.
    project.settings("nixpkgs = './set'\npins.'libodbc.so.2' = { nix = 'unixodbc', apt = 'whatever' }");
    project.pitstop("fix one", 0);
    assert_eq!(field(&project.lock(), "attribute"), "unixodbc");
    project.settings("nixpkgs = './set'\npins.'libodbc.so.2' = 'no-such-attribute'");
    let said = project.pitstop("fix one", 1);
    assert!(said.contains("no-such-attribute") && said.contains("no such package"), "{said}");
}

#[test]
fn the_lock_names_the_package_set_for_fhs_and_run_too() {
    let project = Project::with("");
    project.write("set/default.nix", &set(4));
    project.write("pitstop.lock", "version = 1\n[nixpkgs]\nurl = \"path:set\"");
    let said = project.pitstop("fhs --with unixODBC -- sh -c 'readlink -f /usr/lib/libodbc.so.2'", 0);
    assert!(said.contains("odbc-4"), "{said}");
    let said = project.pitstop("run --with unixODBC --print-env", 0);
    let farm = said.split('\'').nth(1).unwrap();
    assert!(project.sh(&format!("readlink -f {farm}/libodbc.so.2")).contains("odbc-4"), "{said}");
}
