use super::*;

const REV: &str = "0123456789abcdef0123456789abcdef01234567";

fn systems() -> Systems {
    Systems { nix: "x86_64-linux".into(), apt: "debian-12-amd64".into() }
}

fn locked(soname: &str, origin: Origin, whom: &[&str]) -> Locked {
    let needed_by = whom.iter().map(|it| (*it).to_owned()).collect();
    Locked { soname: soname.into(), origin, told_by: Some("the embedded table".into()), needed_by }
}

fn nix(system: &str, path: &str) -> Origin {
    let set =
        LockedSet { rev: Some(REV.into()), nar_hash: Some("sha256-AAAA".into()), ..LockedSet::default() };
    Origin::Nix { system: system.into(), attribute: "unixODBC".into(), path: path.into(), set }
}

fn apt(system: &str, version: &str) -> Origin {
    let sha256 = Some("ab".repeat(32));
    Origin::Apt { system: system.into(), package: "libodbc2".into(), version: version.into(), sha256 }
}

/// A lock of a team on NixOS and Debian.
fn teams() -> Lock {
    let mut lock = Lock::default();
    lock.add(locked("libz.so.1", Origin::Python, &["numpy"]));
    lock.add(locked("libodbc.so.2", nix("x86_64-linux", "/nix/store/a-unixodbc"), &["pyodbc"]));
    lock.add(locked("libodbc.so.2", apt("debian-12-amd64", "2.3.11-2"), &["pyodbc"]));
    lock.nixpkgs = Some(LockedSet { rev: Some(REV.into()), ..LockedSet::default() });
    lock
}

#[test]
fn what_is_written_is_sorted_reads_back_and_has_every_fact() {
    let lock = teams();
    let text = lock.to_text();
    let expected = format!(
        "{HEADER}version = 1\n\n[nixpkgs]\nrev = \"{REV}\"\n\n\
         [[library]]\nsoname = \"libodbc.so.2\"\nprovider = \"nix\"\nsystem = \"x86_64-linux\"\nattribute = \"unixODBC\"\n\
         path = \"/nix/store/a-unixodbc\"\nrev = \"{REV}\"\nnarHash = \"sha256-AAAA\"\ntold-by = \"the embedded table\"\n\
         for = [\"pyodbc\"]\n\n\
         [[library]]\nsoname = \"libodbc.so.2\"\nprovider = \"apt\"\nsystem = \"debian-12-amd64\"\npackage = \"libodbc2\"\n\
         version = \"2.3.11-2\"\nsha256 = \"{}\"\ntold-by = \"the embedded table\"\nfor = [\"pyodbc\"]\n\n\
         [[library]]\nsoname = \"libz.so.1\"\nprovider = \"python\"\ntold-by = \"the embedded table\"\nfor = [\"numpy\"]\n",
        "ab".repeat(32)
    );
    assert_eq!(text, expected);
    assert_eq!(Lock::parse(&text).unwrap(), lock);
}

#[test]
fn the_order_in_which_things_were_provided_does_not_show() {
    let lock = teams();
    let mut other = Lock { nixpkgs: lock.nixpkgs.clone(), ..Lock::default() };
    lock.libraries().iter().rev().for_each(|locked| other.add(locked.clone()));
    assert_eq!(other.to_text(), lock.to_text());
}

#[test]
fn what_is_locked_stays_and_learns_who_else_needs_it() {
    let mut lock = teams();
    lock.add(locked("libodbc.so.2", apt("debian-12-amd64", "9.9"), &["turbodbc"]));
    let kept = lock.from("libodbc.so.2", Giver::Apt, &systems()).unwrap();
    assert!(kept.origin.is_same(&apt("debian-12-amd64", "2.3.11-2")), "{kept:?}");
    assert_eq!(kept.needed_by.iter().collect::<Vec<_>>(), ["pyodbc", "turbodbc"]);
}

#[test]
fn another_kind_of_machine_has_entries_of_its_own() {
    let mut lock = teams();
    lock.add(locked("libodbc.so.2", apt("ubuntu-24.04-amd64", "2.3.12"), &[]));
    lock.add(locked("libodbc.so.2", nix("aarch64-linux", "/nix/store/b-unixodbc"), &[]));
    assert_eq!(lock.of("libodbc.so.2", &systems()).count(), 2);
    lock.forget(&systems(), &|_| true);
    let left: Vec<_> = lock.libraries().iter().filter_map(|locked| locked.origin.system()).collect();
    assert_eq!(left, ["aarch64-linux", "ubuntu-24.04-amd64"]);
}

#[test]
fn the_same_library_is_told_by_path_or_version_and_hash() {
    assert!(nix("x86_64-linux", "/a").is_same(&nix("x86_64-linux", "/a")));
    assert!(!nix("x86_64-linux", "/a").is_same(&nix("x86_64-linux", "/b")));
    assert!(!apt("s", "1").is_same(&apt("s", "2")));
    let other_bytes = Origin::Apt {
        system: "s".into(),
        package: "libodbc2".into(),
        version: "1".into(),
        sha256: Some("cd".repeat(32)),
    };
    assert!(!apt("s", "1").is_same(&other_bytes));
    assert!(!Origin::Python.is_same(&Origin::Host));
}

#[test]
fn a_conflict_is_told_with_its_line() {
    let text = format!("version = 1\n<<<<<<< HEAD\n{}=======\n>>>>>>> other\n", teams().to_text());
    let error = Lock::parse(&text).unwrap_err();
    assert_eq!(error, LockError::Conflict { line: 2 });
    assert!(error.hint().contains("both sides"));
}

#[test]
fn a_newer_lock_is_told_as_such_whatever_else_is_in_it() {
    let error = Lock::parse("version = 2\n[new]\nx = 1\n").unwrap_err();
    assert_eq!(error, LockError::Newer { version: 2 });
    assert!(error.to_string().contains("version 2") && error.hint().contains("newer pitstop"));
}

#[test]
fn nonsense_is_named() {
    let library = |rest: &str| format!("version = 1\n[[library]]\n{rest}\n");
    for (text, words) in [
        ("version = 'x'".to_owned(), "version"),
        ("version = 0".to_owned(), "there never was"),
        ("what = 1".to_owned(), "what"),
        ("[nixpkgs]\nrevision = 'x'".to_owned(), "revision"),
        (library("provider = 'nix'"), "soname"),
        (library("soname = '../x'\nprovider = 'host'"), "no soname"),
        (library("soname = 'a.so'\nprovider = 'dnf'"), "no provider \"dnf\""),
        (library("soname = 'a.so'\nprovider = 'apt'\nsystem = 's'\npackage = 'p'"), "it has no `version`"),
        (library("soname = 'a.so'\nprovider = 'host'\nrev = 'x'"), "`rev` says nothing"),
        (library("soname = 'a.so'\nprovider = 'host'\nfrom = 'x'"), "from"),
        (
            library("soname = 'a.so'\nprovider = 'host'\n[[library]]\nsoname = 'a.so'\nprovider = 'host'"),
            "twice",
        ),
        ("version = ".to_owned(), "line 1"),
    ] {
        let error = Lock::parse(&text).unwrap_err();
        assert!(
            matches!(error, LockError::Nonsense(_)) && error.to_string().contains(words),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_lock_that_only_names_the_package_set_is_one() {
    let lock = Lock::parse("[nixpkgs]\nurl = \"path:pkgs\"\n").unwrap();
    assert_eq!(lock.nixpkgs.unwrap().url.as_deref(), Some("path:pkgs"));
    assert_eq!(Lock::parse("").unwrap(), Lock::default());
}

fn package(attribute: &str, system: &str, output: &str) -> LockedPackage {
    let set = LockedSet { rev: Some(REV.into()), ..LockedSet::default() };
    LockedPackage { attribute: attribute.into(), system: system.into(), outputs: vec![output.into()], set }
}

#[test]
fn packages_stand_behind_the_libraries_and_stay_as_they_were_locked() {
    let mut lock = teams();
    lock.add_package(package("gcc", "x86_64-linux", "/nix/store/a-gcc"));
    lock.add_package(package("bash", "aarch64-linux", "/nix/store/b-bash"));
    lock.add_package(package("gcc", "x86_64-linux", "/nix/store/c-gcc"));
    let text = lock.to_text();
    let expected = format!(
        "[[package]]\nattribute = \"bash\"\nsystem = \"aarch64-linux\"\noutputs = [\"/nix/store/b-bash\"]\nrev = \"{REV}\"\n\n\
         [[package]]\nattribute = \"gcc\"\nsystem = \"x86_64-linux\"\noutputs = [\"/nix/store/a-gcc\"]\nrev = \"{REV}\"\n"
    );
    assert!(text.ends_with(&expected), "{text}");
    assert_eq!(Lock::parse(&text).unwrap(), lock);
    assert_eq!(lock.package("gcc", &systems()).unwrap().outputs, ["/nix/store/a-gcc"]);
    assert_eq!(lock.package("bash", &systems()), None, "it is another machine's");
    lock.forget_packages(&systems());
    assert_eq!(lock.package("gcc", &systems()), None);
    assert!(lock.to_text().contains("b-bash"));
}

#[test]
fn a_package_that_no_pitstop_wrote_is_refused() {
    let refused = |rest: &str| {
        let text =
            format!("version = 1\n[[package]]\nattribute = \"gcc\"\nsystem = \"x86_64-linux\"\n{rest}");
        Lock::parse(&text).unwrap_err().to_string()
    };
    assert!(refused("outputs = []\n").contains("no `outputs`"));
    for path in ["--option", "store/a-gcc", "/nix/store/../../etc", "/", ""] {
        assert!(refused(&format!("outputs = [{path:?}]\n")).contains("is no store path"), "{path}");
    }
    assert!(refused("outputs = [\"/nix/store/a\"]\npath = \"x\"\n").contains("path"));
    let one = "[[package]]\nattribute = \"gcc\"\nsystem = \"x86_64-linux\"\noutputs = [\"/nix/store/a\"]\n";
    let twice = Lock::parse(&format!("version = 1\n{one}{one}")).unwrap_err().to_string();
    assert!(twice.contains("twice"), "{twice}");
}
