use super::*;

fn listing(root: &str) -> String {
    format!(r#"{{"version":1,"root":{root}}}"#)
}

fn paths(text: impl AsRef<[u8]>) -> Vec<String> {
    let entries = parse(text.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    entries.iter().map(|entry| entry.path.to_string()).collect()
}

fn error(text: impl AsRef<[u8]>) -> String {
    parse(text.as_ref()).unwrap_err().to_string()
}

#[test]
fn a_tree_becomes_its_files() {
    let text = listing(
        r#"{"type":"directory","entries":{
            "lib":{"type":"directory","entries":{
                "libz.so.1":{"type":"symlink","target":"libz.so.1.3"},
                "libz.so.1.3":{"type":"regular","size":125312,"executable":true,"narOffset":584}}},
            "README":{"type":"regular","size":0,"narOffset":9},
            "empty":{"type":"directory","entries":{}}}}"#,
    );
    let entries = parse(text.as_bytes()).unwrap();
    let expected = [
        ("", Node::Directory { size: 3 }),
        ("/README", Node::Regular { size: 0, executable: false }),
        ("/empty", Node::Directory { size: 0 }),
        ("/lib", Node::Directory { size: 2 }),
        ("/lib/libz.so.1", Node::Symlink { target: "libz.so.1.3".into() }),
        ("/lib/libz.so.1.3", Node::Regular { size: 125_312, executable: true }),
    ];
    let expected = expected.map(|(path, node)| Entry { path: path.into(), node });
    assert_eq!(entries, expected);
}

#[test]
fn keys_may_come_in_any_order_and_new_ones_are_passed_over() {
    // Nix sorts the keys since it writes them by another library.
    let text = r#"{"new":[1,{"a":[null,-1.5e3,"]"]}],"root":{"entries":{"a":{"narOffset":1,"size":7,"type":"regular","acl":{}}},"type":"directory"},"version":1}"#;
    assert_eq!(paths(text), ["", "/a"]);
}

#[test]
fn a_store_path_may_be_one_file() {
    assert_eq!(paths(listing(r#"{"type":"regular","size":3}"#)), [""]);
}

#[test]
fn names_are_bytes_and_escapes_are_read() {
    let mut text = br#"{"version":1,"root":{"type":"directory","entries":{"\u00e9\ud83d\ude00\"\\\n":{"type":"regular","size":1},""#.to_vec();
    text.extend_from_slice(b"\xff\xfe");
    text.extend_from_slice(br#"":{"type":"symlink","target":""#);
    text.extend_from_slice(b"\x80");
    text.extend_from_slice(br#""}}}}"#);
    let entries = parse(&text).unwrap();
    assert_eq!(entries[1].path, "/é😀\"\\\n");
    assert_eq!(entries[2].path, b"/\xff\xfe".as_slice());
    assert_eq!(entries[2].node, Node::Symlink { target: b"\x80".as_slice().into() });
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    let deep = r#"{"type":"directory","entries":{"a":"#.repeat(1_000_000);
    assert!(error(listing(&deep)).ends_with("a path is longer than 4096 bytes"));
    let brackets = format!(r#"{{"version":1,"other":{}"#, "[".repeat(5_000_000));
    assert!(error(brackets).ends_with("it ends too early"));
}

#[test]
fn a_small_file_cannot_unfold_to_a_large_one() {
    let deep = r#"{"type":"directory","entries":{"a":"#.repeat(2000);
    let many: Vec<String> =
        (0..10_000).map(|name| format!(r#""{name}":{{"type":"regular","size":1}}"#)).collect();
    let text = listing(&format!(
        r#"{deep}{{"type":"directory","entries":{{{}}}}}{}"#,
        many.join(","),
        "}}".repeat(2000)
    ));
    assert!(error(text).ends_with("its paths are more than 16 times as long as itself"));
}

#[test]
fn what_no_store_path_can_hold_is_refused() {
    let named = |name: &str| {
        error(listing(&format!(
            r#"{{"type":"directory","entries":{{"{name}":{{"type":"regular","size":1}}}}}}"#
        )))
    };
    for name in ["", ".", "..", "a/b", r"a\u0000"] {
        assert!(named(name).contains("a file cannot be called"), "{name}");
    }
    let twice =
        r#"{"type":"directory","entries":{"a":{"type":"regular","size":1},"a":{"type":"regular","size":2}}}"#;
    assert!(error(listing(twice)).ends_with("`/a` is listed twice"));
    for (root, words) in [
        (r#"{"type":"socket"}"#, "type `socket`"),
        (r#"{"type":"regular"}"#, "no `size`"),
        (r#"{"type":"regular","size":-1}"#, "a whole number is expected"),
        (r#"{"type":"regular","size":99999999999999999999}"#, "a whole number is expected"),
        (r#"{"type":"directory"}"#, "no `entries`"),
        (r#"{"type":"symlink"}"#, "no `target`"),
        (r#"{"size":1}"#, "no `type`"),
        (r#"{"type":"regular","size":1,"entries":{}}"#, "a directory for these entries"),
        (r#"{"type":"regular","type":"symlink","size":1}"#, "`type` stands there twice"),
        ("[]", "an object is expected"),
    ] {
        assert!(error(listing(root)).contains(words), "{root}: {}", error(listing(root)));
    }
}

#[test]
fn another_version_and_no_version_are_refused() {
    assert!(
        error(r#"{"version":2,"root":{"type":"regular","size":1}}"#)
            .ends_with("its version is 2, and only version 1 is known")
    );
    assert!(error(r#"{"root":{"type":"regular","size":1}}"#).ends_with("it has no `version`"));
    assert!(error(r#"{"version":1}"#).ends_with("it has no `root`"));
}

#[test]
fn a_listing_cut_short_anywhere_is_an_error() {
    let text = listing(
        r#"{"type":"directory","entries":{"a\n":{"type":"symlink","target":"b"},"c":{"type":"regular","size":12,"executable":false}}}"#,
    );
    parse(text.as_bytes()).unwrap();
    for length in 0..text.len() {
        assert!(parse(&text.as_bytes()[..length]).is_err(), "{length}");
    }
    assert!(error(format!("{text}x")).ends_with("the end is expected"));
}

#[test]
fn an_error_says_where() {
    assert_eq!(error("{\"version\":1,\n<html>"), "at byte 14: it is not JSON: a string is expected");
}
