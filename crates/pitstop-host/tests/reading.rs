//! Walking a tree and opening paths, on a tree with everything that a real one may hold.

#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitstop_core::elf::ElfError;
use pitstop_core::files::{Files as _, Opened};
use pitstop_host::files::{SystemFiles, defines_symbol};
use pitstop_host::walk::{Tree, is_never_loaded, walk};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// An ELF file that is certainly at hand.
fn this_test() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn strings(paths: &[PathBuf]) -> Vec<&str> {
    paths.iter().map(|path| path.to_str().unwrap()).collect()
}

fn native(tree: &Tree) -> Vec<&str> {
    tree.files.iter().map(|file| file.path.to_str().unwrap()).collect()
}

#[test]
fn native_files_are_found_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let elf = fs::read(this_test()).unwrap();
    for path in ["bin/ruff", "lib/a.so", "lib/libq.so.0.0.0", "lib/x.dat", "lib/__pycache__/_cffi.so"] {
        write(root, path, &elf);
    }
    write(root, "lib/table.so.parquet", b"PAR1");
    write(root, "lib/script.so", b"INPUT(libz.so.1)");
    write(root, "lib/empty.so", b"");
    write(root, "lib/short.so", b"\x7fELF");
    write(root, "lib/module.py", &elf);
    write(root, "lib/a-1.dist-info/RECORD", b"");
    write(root, "lib/a-1.dist-info/METADATA", b"");
    write(root, "lib/RECORD", b"");
    write(root, "lib/b.egg-info", b"");
    write(root, "lib/c.egg-info/PKG-INFO", b"");
    for threads in [0, 1, 2, 8] {
        let tree = walk(root, threads);
        let expected = [
            "bin/ruff",
            "lib/__pycache__/_cffi.so",
            "lib/a.so",
            "lib/libq.so.0.0.0",
            "lib/short.so",
            "lib/x.dat",
        ];
        assert_eq!(native(&tree), expected);
        for file in &tree.files {
            assert_eq!(file.facts.is_err(), file.path == Path::new("lib/short.so"));
            assert!(!file.outside && file.aliases.is_empty());
        }
        assert_eq!(strings(&tree.records), ["lib/a-1.dist-info/RECORD"]);
        assert_eq!(strings(&tree.metadata), ["lib/a-1.dist-info/METADATA"]);
        assert_eq!(strings(&tree.egg_infos), ["lib/b.egg-info", "lib/c.egg-info"]);
        assert!(tree.unreadable.is_empty(), "{:?}", tree.unreadable);
    }
}

#[test]
fn links_are_further_paths_of_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = &folder.path().join("tree");
    let elf = fs::read(this_test()).unwrap();
    write(root, "lib/libx.so.1.2", &elf);
    write(folder.path(), "cache/b.so", &elf);
    symlink("libx.so.1.2", root.join("lib/liba.so")).unwrap();
    symlink("lib", root.join("lib64")).unwrap();
    symlink(".", root.join("lib/loop")).unwrap();
    symlink("circle", root.join("circle")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("/dev/null", root.join("device")).unwrap();
    symlink("../../cache/b.so", root.join("lib/b.so")).unwrap();
    fs::hard_link(root.join("lib/libx.so.1.2"), root.join("same")).unwrap();
    fifo(&root.join("pipe.so"));
    symlink("pipe.so", root.join("pipe2.so")).unwrap();
    let tree = walk(root, 2);
    assert_eq!(native(&tree), ["lib/b.so", "lib/libx.so.1.2"]);
    assert!(tree.files[0].outside && !tree.files[1].outside);
    assert_eq!(strings(&tree.files[1].aliases), ["same", "lib/liba.so"]);
    assert!(tree.unreadable.is_empty(), "{:?}", tree.unreadable);
}

#[test]
fn what_cannot_be_read_is_told() {
    let tree = walk(Path::new("/nowhere/at/all"), 2);
    assert_eq!(tree.unreadable.len(), 1);
    assert_eq!(tree.unreadable[0].cause.kind(), std::io::ErrorKind::NotFound);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "secret.so", b"x");
    write(folder.path(), "closed/a.so", b"x");
    fs::set_permissions(folder.path().join("secret.so"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let tree = walk(folder.path(), 2);
    let root_reads_all = File::open(folder.path().join("secret.so")).is_ok();
    let told: Vec<_> = tree.unreadable.iter().map(|it| it.path.to_str().unwrap()).collect();
    assert_eq!(told, if root_reads_all { vec![] } else { vec!["closed", "secret.so"] });
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_tree_that_changes_under_the_walk() {
    let folder = tempfile::tempdir().unwrap();
    let elf = fs::read(this_test()).unwrap();
    let end = Instant::now() + Duration::from_millis(300);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0_u32.. {
                if Instant::now() > end {
                    break;
                }
                let name = format!("f{}/x{}.so", turn % 7, turn % 13);
                write(folder.path(), &name, &elf[..elf.len().min(turn as usize * 100 % 20_000)]);
                let _ = fs::remove_dir_all(folder.path().join(format!("f{}", (turn + 3) % 7)));
            }
        });
        while Instant::now() < end {
            let tree = walk(folder.path(), 2);
            assert!(tree.files.iter().all(|file| file.facts != Err(ElfError::NotElf)));
        }
    });
}

#[test]
fn opening_as_a_loader_does() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "text.so", b"INPUT(libz.so.1)");
    write(root, "real.so", &fs::read(this_test()).unwrap());
    symlink("real.so", root.join("link.so")).unwrap();
    symlink("self.so", root.join("self.so")).unwrap();
    fs::create_dir(root.join("folder.so")).unwrap();
    fifo(&root.join("fifo.so"));
    let files = SystemFiles::new();
    let open = |name: &str| files.open(&root.join(name));
    for absent in ["none.so", "self.so", "folder.so", "real.so/x", &"n".repeat(300)] {
        assert!(matches!(open(absent), Opened::Absent), "{absent}");
    }
    let Opened::Unusable(why) = open("text.so") else { panic!() };
    assert_eq!(&*why, "not an ELF file");
    let Opened::Unusable(why) = open("fifo.so") else { panic!() };
    assert_eq!(&*why, "not a regular file");
    let (Opened::Elf(id, facts), Opened::Elf(same, also)) = (open("real.so"), open("link.so")) else {
        panic!()
    };
    assert!(id == same && Arc::ptr_eq(&facts, &also), "read once");
    assert!(files.is_folder(root) && files.is_folder(&root.join("folder.so")));
    assert!(!files.is_folder(&root.join("real.so")) && !files.is_folder(&root.join("none")));
    // The world stands still, found or not.
    write(root, "none.so", b"late");
    fs::remove_file(root.join("real.so")).unwrap();
    assert!(matches!(open("none.so"), Opened::Absent));
    assert!(matches!(open("real.so"), Opened::Elf(..)));
}

#[test]
fn what_a_walk_has_read_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.so", &fs::read(this_test()).unwrap());
    symlink("a.so", folder.path().join("b.so")).unwrap();
    let tree = walk(folder.path(), 2);
    let files = SystemFiles::new();
    files.remember(&tree);
    fs::remove_file(folder.path().join("a.so")).unwrap();
    for name in ["a.so", "b.so"] {
        let Opened::Elf(_, facts) = files.open(&folder.path().join(name)) else { panic!("{name}") };
        assert!(Arc::ptr_eq(&facts, tree.files[0].facts.as_ref().unwrap()));
    }
}

#[test]
fn symbols_of_files() {
    assert_eq!(defines_symbol(&this_test(), b"PyInit_none").unwrap(), Ok(false));
    let error = defines_symbol(Path::new("/nowhere"), b"x").unwrap_err().to_string();
    assert!(error.starts_with("/nowhere: "), "{error}");
}

#[test]
fn names_that_leave_a_doubt_are_opened() {
    for name in ["a.py", "numpy.h", "x.so.py", ".py"] {
        assert!(is_never_loaded(name.as_ref()), "{name}");
    }
    for name in ["ruff", "a.so", "a.so.1", "x.so.parquet", "node.node", "blob.bin", "a.exe", "py", "A.PY", ""]
    {
        assert!(!is_never_loaded(name.as_ref()), "{name}");
    }
}
