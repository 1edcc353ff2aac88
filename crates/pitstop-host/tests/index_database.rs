//! nix-index's databases as files: written, read, and read where they are broken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use pitstop_core::index::database::{self as format, Fault};
use pitstop_core::index::search::{Options, Query};
use pitstop_core::index::{Entry, Node, Origin, Package, StorePath, frcode};
use pitstop_host::index::database::{Error, Reader, Writer};

fn package(number: usize) -> Package {
    Package {
        path: StorePath {
            store_dir: "/nix/store".into(),
            hash: format!("{number:032}"),
            name: format!("package-{number}"),
        },
        origin: Origin {
            attribute: format!("package{number}"),
            output: "out".into(),
            toplevel: !number.is_multiple_of(3),
            system: Some("x86_64-linux".into()),
        },
    }
}

/// So many files, which share more and less of their paths.
fn entries(number: usize, files: usize) -> Vec<Entry> {
    let file = |at: usize| Entry {
        path: format!("/lib/{:x}/file-{at}", at.wrapping_mul(2_654_435_761) >> 7).into(),
        node: Node::Regular { size: (at * number) as u64, executable: at.is_multiple_of(2) },
    };
    (0..files).map(file).collect()
}

type Packages = Vec<(Package, Vec<Entry>)>;

fn write(path: &Path, packages: &[(Package, Vec<Entry>)]) {
    let mut writer = Writer::create(path, 3, 0).unwrap();
    for (package, entries) in packages {
        writer.add(package, entries).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), fs::metadata(path).unwrap().len());
}

fn read(path: &Path) -> (Packages, Result<(), Error>) {
    let mut packages = Vec::new();
    let reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) => return (packages, Err(error)),
    };
    let ended = reader.for_each(
        |_| true,
        |package, entries| {
            packages.push((package.clone(), std::mem::take(entries)));
            ControlFlow::Continue(())
        },
    );
    (packages, ended)
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let long = Entry { path: format!("/{}", "n".repeat(400_000)).into(), node: Node::Directory { size: 0 } };
    let mut packages: Packages = (0..400).map(|number| (package(number), entries(number, 100))).collect();
    // Longer than any block on its way.
    packages[200].1.push(long);
    write(&path, &packages);
    let (found, ended) = read(&path);
    ended.unwrap();
    assert!(found == packages, "{} packages", found.len());
}

#[test]
fn reading_ends_where_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let packages: Packages = (0..400).map(|number| (package(number), entries(number, 100))).collect();
    write(&path, &packages);
    let mut seen = 0;
    let each = |_: &Package, _: &mut Vec<Entry>| {
        seen += 1;
        if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Reader::open(&path).unwrap().for_each(|_| true, each).unwrap();
    assert_eq!(seen, 7);
}

#[test]
fn a_database_that_is_not_finished_leaves_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    write(&path, &[(package(1), entries(1, 3))]);
    let mut writer = Writer::create(&path, 3, 1).unwrap();
    writer.add(&package(2), &entries(2, 3)).unwrap();
    drop(writer);
    assert_eq!(read(&path).0, [(package(1), entries(1, 3))]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn a_damaged_stream_gives_what_stood_before_the_damage_and_says_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let packages: Packages = (0..400).map(|number| (package(number), entries(number, 100))).collect();
    write(&path, &packages);
    let whole = fs::read(&path).unwrap();
    let half = whole.len() / 2;
    let mut torn = whole.clone();
    torn[half..half + 64].fill(0xff);
    for (bytes, what) in [(&whole[..half], "cut off"), (&torn[..], "torn")] {
        fs::write(&path, bytes).unwrap();
        let (found, ended) = read(&path);
        assert!(!found.is_empty() && packages.starts_with(&found), "{what}: {}", found.len());
        let Err(Error::Packed { offset, unpacked, .. }) = ended else { panic!("{what}: {ended:?}") };
        let near = (half - half / 4) as u64..=(whole.len()) as u64;
        assert!(near.contains(&offset) && unpacked > offset, "{what}: {offset} of {}", whole.len());
    }
}

/// A file with this stream in it.
fn packed(path: &Path, stream: &[u8]) {
    let packed = zstd::encode_all(stream, 3).unwrap();
    fs::write(path, [&format::header()[..], &packed].concat()).unwrap();
}

/// What a search for all paths that hold a slash gives.
fn search(path: &Path) -> (Vec<Entry>, Result<(), Error>) {
    let options = Options { patterns: vec!["/".into()], all: true, no_group: true, ..Options::default() };
    let query = Query::new(options).unwrap();
    let mut found = Vec::new();
    let ended = Reader::open(path).and_then(|reader| {
        reader.search(&query, |_, entry| {
            found.push(entry.clone());
            ControlFlow::Continue(())
        })
    });
    (found, ended)
}

#[test]
fn a_name_of_ten_megabytes_is_read_and_one_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let mut stream = Vec::new();
    format::write(&package(1), &entries(1, 3), &mut stream).unwrap();
    let good = stream.len() as u64;
    let name = [b"/".to_vec(), vec![b'n'; 10 << 20]].concat();
    let long = Entry { path: name.into(), node: Node::Directory { size: 1 } };
    format::write(&package(2), [&long], &mut stream).unwrap();
    packed(&path, &stream);
    let (found, ended) = search(&path);
    ended.unwrap();
    assert!(found.len() == 4 && found.contains(&long));

    stream.truncate(usize::try_from(good).unwrap());
    stream.extend_from_slice(b"1r\0\0/");
    stream.resize(stream.len() + (40 << 20), b'n');
    packed(&path, &stream);
    for (found, ended) in [(search(&path).0.len(), search(&path).1), (3 * read(&path).0.len(), read(&path).1)]
    {
        assert_eq!(found, 3, "what stands before it is given");
        let Err(Error::Content { source, .. }) = ended else { panic!("{ended:?}") };
        assert_eq!(source, format::Error { offset: good, fault: frcode::Error::TooLong.into() });
    }
}

#[test]
fn what_is_no_package_and_entries_without_one_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let mut good = Vec::new();
    format::write(&package(1), &entries(1, 3), &mut good).unwrap();
    let at = good.len() as u64;
    let cases: [(&[u8], u64, Fault); 3] = [
        (b"1r\0\0/x\np\0\0[1]\n", at + 7, Fault::Package),
        (b"1r\0\0/x\n", at, Fault::NoPackage),
        (b"1r\0\0/x\n\xff\xff", at + 7, frcode::Error::CutOff.into()),
    ];
    for (bytes, offset, fault) in cases {
        packed(&path, &[&good, bytes].concat());
        let (found, ended) = search(&path);
        assert_eq!(found.len(), 3);
        let Err(Error::Content { source, .. }) = ended else { panic!("{ended:?}") };
        assert_eq!(source, format::Error { offset, fault });
    }
}
