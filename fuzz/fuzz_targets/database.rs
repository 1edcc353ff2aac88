//! The unpacked stream of a nix-index database, read whole and searched: `cargo fuzz run database`.
//!
//! A bounded run with a seed is among the tests (`broken_streams_end_without_a_panic…` in `index/search/tests.rs`).
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use pitstop_core::index::database::Reader;
use pitstop_core::index::search::{Options, Query, Search};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    let patterns = vec!["lib".to_owned(), "/".to_owned()];
    let query = Query::new(Options { patterns, no_group: true, ..Options::default() }).expect("they are text");
    let mut each = |_: &_, _: &_| ControlFlow::Continue(());
    let (mut search, mut held) = (Search::new(&query), Vec::new());
    let mut broken = false;
    for piece in stream.chunks(usize::from(piece).max(1)) {
        held.extend_from_slice(piece);
        match search.feed(&held, &[], &mut each) {
            Ok(ControlFlow::Continue(read)) => drop(held.drain(..read)),
            _ => {
                broken = true;
                break;
            }
        }
    }
    let _ = if broken { Ok(()) } else { search.finish(&held, &mut each) };
    let mut reader = Reader::default();
    if let Ok(read) = reader.feed(stream, |_| true, |_, _| ControlFlow::Continue(())) {
        let _ = reader.finish(&stream[read..]);
    }
});
