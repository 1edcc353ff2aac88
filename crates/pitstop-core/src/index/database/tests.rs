use super::*;
use crate::index::{Origin, StorePath};

fn package(name: &str) -> Package {
    Package {
        path: StorePath {
            store_dir: "/nix/store".into(),
            hash: "0123456789abcdfghijklmnpqrsvwxyz".into(),
            name: name.into(),
        },
        origin: Origin { attribute: name.into(), output: "out".into(), toplevel: true, system: None },
    }
}

fn file(path: &str, size: u64) -> Entry {
    Entry { path: path.into(), node: Node::Regular { size, executable: false } }
}

fn zlib() -> Vec<Entry> {
    vec![
        Entry { path: "".into(), node: Node::Directory { size: 1 } },
        Entry { path: "/lib".into(), node: Node::Directory { size: 2 } },
        Entry { path: "/lib/libz.so.1".into(), node: Node::Symlink { target: "libz.so.1.3.1".into() } },
        Entry { path: "/lib/libz.so.1.3.1".into(), node: Node::Regular { size: 104_984, executable: true } },
    ]
}

type Packages = Vec<(Package, Vec<Entry>)>;

/// Reads a stream that comes in pieces of so many bytes.
fn read(stream: &[u8], piece: usize) -> (Packages, Result<(), Error>) {
    let (mut reader, mut packages, mut held) = (Reader::default(), Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        held.extend_from_slice(piece);
        let fed = reader.feed(
            &held,
            |_| true,
            |package, entries| {
                packages.push((package.clone(), std::mem::take(entries)));
                ControlFlow::Continue(())
            },
        );
        match fed {
            Ok(read) => held.drain(..read),
            Err(error) => return (packages, Err(error)),
        };
    }
    let end = reader.finish(&held);
    (packages, end)
}

#[test]
fn packages_come_back_whatever_the_pieces() {
    let all = [(package("zlib-1.3.1"), zlib()), (package("a"), vec![file("/lib/liba.so", 7)])];
    let mut stream = Vec::new();
    for (package, entries) in &all {
        write(package, entries, &mut stream).unwrap();
    }
    for piece in [1, 2, 3, 7, 64, stream.len()] {
        let (packages, end) = read(&stream, piece);
        assert_eq!((packages.as_slice(), end), (&all[..], Ok(())), "{piece}");
    }
}

#[test]
fn a_package_without_files_is_left_out() {
    let mut stream = Vec::new();
    write(&package("empty"), &[], &mut stream).unwrap();
    assert!(stream.is_empty());
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_stream_as_it_was() {
    let mut stream = b"before".to_vec();
    let entries = [file("/good", 1), file("/bad\nname", 1)];
    assert_eq!(write(&package("a"), &entries, &mut stream), Err(frcode::Error::Unwritable));
    assert_eq!(stream, b"before");
}

#[test]
fn only_what_is_kept_is_given_and_reading_stops_where_told() {
    let mut stream = Vec::new();
    for name in ["a", "b", "c"] {
        write(&package(name), &[file("/x", 1), file(&format!("/lib{name}.so"), 1)], &mut stream).unwrap();
    }
    write(&package("none"), &[file("/x", 1)], &mut stream).unwrap();
    let mut seen = Vec::new();
    let keep = |path: &BStr| path.ends_with(b".so");
    let mut reader = Reader::default();
    let read = reader
        .feed(&stream, keep, |package, entries| {
            seen.push((package.path.name.clone(), entries[0].path.to_string()));
            if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, [("a".into(), "/liba.so".into()), ("b".into(), "/libb.so".into())]);
    assert!(read < stream.len());
}

#[test]
fn each_fault_is_told_with_its_place_and_what_stood_before_it_is_given() {
    let mut whole = Vec::new();
    write(&package("zlib"), &zlib(), &mut whole).unwrap();
    let good = whole.len() as u64;
    let cases: [(&[u8], u64, Fault); 5] = [
        (b"1q\0\0/x\n", good, Fault::Entry),
        (b"1r\0\0/x\np\0\0{\"attr\":1}\n", good + 7, Fault::Package),
        (b"1r\0\0/x\n2r\0\x01y\n", good, Fault::NoPackage),
        (b"1r\0\0/x", good, Fault::Lines(frcode::Error::CutOff)),
        (b"1r\0\0/x\n1r\0\x09\n", good + 7, Fault::Lines(frcode::Error::Shared { shared: 9, length: 2 })),
    ];
    for (bytes, offset, fault) in cases {
        let stream = [&whole, bytes].concat();
        let (packages, end) = read(&stream, stream.len());
        assert_eq!(packages, [(package("zlib"), zlib())], "{fault}");
        assert_eq!(end, Err(Error { offset, fault }));
    }
}

#[test]
fn another_format_and_another_version_are_told_apart() {
    assert_eq!(check_header(&header()), Ok(()));
    assert_eq!(check_header(b"NIXI\x02\0\0\0\0\0\0\0"), Err(HeaderError::Version(2)));
    for other in [&b"NIXI"[..], b"", b"NIXI\x01", b"!<arch>\ndebian"] {
        assert_eq!(check_header(other), Err(HeaderError::Magic), "{other:?}");
    }
}
