//! Python code as deep as it is read at all, parsed on a stack half as large as the one that the host gives.

#[test]
fn the_deepest_file_that_is_read_fits_on_the_stack() {
    // Half of what `hints::depth` lets through: a bracket counts as it opens and as it closes.
    let deepest = 740;
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("not ", ""),
        ("1+", ""),
        ("1**", ""),
        ("f(", ")"),
        ("[", "]"),
        ("{1:", "}"),
        ("1 if x else ", ""),
    ] {
        let times = deepest / open.split(' ').count().max(open.len().min(3));
        let source = format!("CDLL({}'liba.so.1'{})", open.repeat(times), close.repeat(times));
        let scanned = std::thread::Builder::new()
            .stack_size(16 << 20)
            .spawn(move || pitstop_core::hints::scan(source.as_bytes()).map(|found| found.len()))
            .unwrap()
            .join()
            .unwrap();
        assert!(scanned.is_ok(), "{open} {times}: {scanned:?}");
    }
}
