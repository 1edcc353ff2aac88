//! The index as a file: when it is built, when it is taken, and what becomes of a damaged one.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Barrier;

use pitstop_core::index::{Entry, Node, Origin, Package, StorePath};

use super::*;
use crate::index::database;

/// A database in which each of these attributes has a library named after it.
fn database(path: &Path, attributes: &[&str]) {
    let mut writer = database::Writer::create(path, 1, 0).unwrap();
    for attribute in attributes {
        let package = Package {
            path: StorePath {
                store_dir: "/nix/store".into(),
                hash: "0".repeat(32),
                name: format!("{attribute}-1.0"),
            },
            origin: Origin {
                attribute: (*attribute).into(),
                output: "out".into(),
                toplevel: true,
                system: Some("x86_64-linux".into()),
            },
        };
        let node = Node::Regular { size: 9, executable: true };
        let entries = ["/bin/x", "/lib/libshared.so.1", &format!("/lib/lib{attribute}.so.1")]
            .map(|path| Entry { path: path.into(), node: node.clone() });
        writer.add(&package, &entries).unwrap();
    }
    writer.finish().unwrap();
}

struct Lab {
    _folder: tempfile::TempDir,
    cache: PathBuf,
    input: Input,
}

impl Lab {
    fn new(attributes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        database(&files, attributes);
        let cache = folder.path().join("cache/index");
        Self { cache, input: Input::Nix(files), _folder: folder }
    }

    fn database(&self) -> &Path {
        &self.input.files()[0]
    }

    fn open(&self) -> Index {
        Index::of(&self.input, &self.cache, &mut |_| {}).unwrap()
    }

    fn attributes(index: &mut Index, soname: &str) -> Vec<String> {
        let holders = index.holders(soname.as_bytes(), &mut |_| {}).unwrap();
        holders.into_iter().map(|holder| holder.package.origin.attribute).collect()
    }
}

#[test]
fn an_index_is_built_on_first_use_and_taken_again() {
    let lab = Lab::new(&["b", "a"]);
    let mut built = lab.open();
    assert_eq!(built.freshness(), Freshness::Built);
    assert_eq!(Lab::attributes(&mut built, "libshared.so.1"), ["a", "b"]);
    assert_eq!(Lab::attributes(&mut built, "liba.so.1"), ["a"]);
    assert!(Lab::attributes(&mut built, "x").is_empty());
    let mut taken = lab.open();
    assert_eq!(taken.freshness(), Freshness::Current);
    assert_eq!(Lab::attributes(&mut taken, "libb.so.1"), ["b"]);
    let made = taken.sonames().made();
    assert_eq!(made.digest, <[u8; 32]>::from(Sha256::digest(std::fs::read(lab.database()).unwrap())));
    // Nothing else is left in the folder but the lock.
    let names: Vec<_> =
        std::fs::read_dir(&lab.cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_changed_database_makes_a_new_index_and_who_has_the_old_one_open_reads_on() {
    let lab = Lab::new(&["old"]);
    let mut before = lab.open();
    database(lab.database(), &["new"]);
    let mut after = lab.open();
    assert_eq!(after.freshness(), Freshness::Built);
    assert_eq!(Lab::attributes(&mut after, "libshared.so.1"), ["new"]);
    assert_eq!(Lab::attributes(&mut before, "libshared.so.1"), ["old"]);
}

#[test]
fn a_damaged_index_is_built_anew_and_never_answers_wrongly() {
    let lab = Lab::new(&["a"]);
    let path = lab.open().path().to_owned();
    let whole = std::fs::read(&path).unwrap();
    let mut in_a_block = whole.clone();
    *in_a_block.last_mut().unwrap() ^= 1;
    for (what, bytes) in [
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("another format", b"not an index".to_vec()),
        ("another version", [&whole[..8], &[9], &whole[9..]].concat()),
        ("a damaged block", in_a_block),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let mut index = lab.open();
        assert_eq!(Lab::attributes(&mut index, "liba.so.1"), ["a"], "{what}");
        // But for when it was built, it is what it was.
        assert_eq!(std::fs::read(&path).unwrap().len(), whole.len(), "{what}");
    }
}

#[test]
fn a_damaged_index_whose_source_is_unknown_is_an_error_that_names_it() {
    let lab = Lab::new(&["a"]);
    let path = lab.open().path().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut index = Index::at(&path).unwrap().unwrap();
    let error = index.holders(b"liba.so.1", &mut |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Unusable { path: named, .. } if *named == path), "{error:?}");
}

#[test]
fn many_who_come_at_once_all_get_an_index() {
    let lab = Lab::new(&["a", "b", "c"]);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let mut index = lab.open();
                assert_eq!(Lab::attributes(&mut index, "libshared.so.1"), ["a", "b", "c"]);
            });
        }
    });
    assert_eq!(lab.open().freshness(), Freshness::Current);
}

#[test]
fn who_finds_another_building_takes_the_old_index() {
    let lab = Lab::new(&["old"]);
    let path = lab.open().path().to_owned();
    database(lab.database(), &["new"]);
    let lock = build::Lock::try_take(&path).unwrap().unwrap();
    let mut index = lab.open();
    assert_eq!(index.freshness(), Freshness::Old);
    assert_eq!(Lab::attributes(&mut index, "libshared.so.1"), ["old"]);
    drop(lock);
    assert_eq!(lab.open().freshness(), Freshness::Built);
}

#[test]
fn a_build_that_fails_leaves_what_was_there() {
    let lab = Lab::new(&["a"]);
    let path = lab.open().path().to_owned();
    let inode = std::fs::metadata(&path).unwrap().ino();
    let whole = std::fs::read(lab.database()).unwrap();
    std::fs::write(lab.database(), &whole[..whole.len() - 5]).unwrap();
    let failed = Index::of(&lab.input, &lab.cache, &mut |_| {}).unwrap_err();
    assert!(matches!(failed, Error::Build(BuildError::Database(_))), "{failed:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn a_database_that_changes_while_it_is_read_makes_no_index() {
    let lab = Lab::new(&["a", "b"]);
    let path = lab.database().to_owned();
    let mut change = |_| {
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    let failed = Index::of(&lab.input, &lab.cache, &mut change).unwrap_err();
    assert!(matches!(failed, Error::Build(BuildError::Changed { .. })), "{failed:?}");
    assert!(!lab.input.place(&lab.cache).exists());
}

#[test]
fn where_nothing_can_be_kept_the_database_answers_all_the_same() {
    let lab = Lab::new(&["a"]);
    // A file stands where the folder would be: nobody, root included, can make it.
    std::fs::write(lab.cache.parent().unwrap(), "").unwrap();
    let mut index = lab.open();
    assert_eq!(index.freshness(), Freshness::Passing);
    assert_eq!(Lab::attributes(&mut index, "liba.so.1"), ["a"]);
}

#[test]
fn debians_lists_become_an_index_of_packages() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("Contents-amd64");
    let text = "usr/lib/x86_64-linux-gnu/libfoo.so.1 libs/libfoo1\nusr/lib/x86_64-linux-gnu/libbar.so libdevel/libbar-dev,libs/libfoo1\nusr/bin/foo utils/foo\n";
    std::fs::write(&list, text).unwrap();
    let input = Input::Debian { lists: vec![list], architecture: "amd64".into() };
    let mut index = Index::of(&input, folder.path(), &mut |_| {}).unwrap();
    let holders = index.holders(b"libbar.so", &mut |_| {}).unwrap();
    let told: Vec<_> = holders
        .iter()
        .map(|holder| (holder.package.origin.attribute.as_str(), holder.package.origin.output.as_str()))
        .collect();
    assert_eq!(told, [("libbar-dev", "libdevel"), ("libfoo1", "libs")]);
    assert_eq!(holders[1].folder, "/usr/lib/x86_64-linux-gnu");
    assert_eq!(index.sonames().counts().packages, 2);
}
