//! What the loader shim reads of others: a loader's headers, the auxiliary vector, the block on the stack.
//!
//! `cargo +nightly fuzz run shim_elf`; good first inputs are loaders (`/lib64/ld-linux-x86-64.so.2`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitstop_ld::auxv::Facts;
use pitstop_ld::elf::{Header, Machine, Plan, Step};
use pitstop_ld::stack::{self, Change, Layout};

const MACHINE: Machine = Machine { number: 62, page_size: 4096 };

fuzz_target!(|data: &[u8]| {
    loader(data);
    let words: Vec<usize> = data.as_chunks::<8>().0.iter().map(|word| usize::from_le_bytes(*word)).collect();
    let _ = Facts::read(&words);
    // A count that the kernel could have made: the block is in memory.
    let word = |index: usize| match index {
        0 => words.first().copied().unwrap_or(0) % 64,
        _ => words.get(index).copied().unwrap_or(0),
    };
    let layout = Layout::measure(word);
    let mut block: Vec<usize> = (0..layout.len() + 24).map(word).collect();
    let change = Change { text: 1, variable: None, filler: 2, cut: 0, entry: 3 };
    let _ = stack::change(&mut block, layout, change, word(3) % 99);
    let _ = stack::restore(&mut block);
});

/// Every step of a plan lies in what is reserved, in whole pages, one behind the other.
fn loader(data: &[u8]) {
    let Ok(header) = Header::read(data, MACHINE) else { return };
    let table = data.get(header.table_offset..).and_then(|rest| rest.get(..header.table_len)).unwrap_or_default();
    let Ok(plan) = Plan::new(header, table, data.len(), MACHINE) else { return };
    assert!(plan.entry < plan.reserve.len);
    let mut end = 0;
    let _ = plan.steps(|step| {
        match step {
            Step::Map(act) => {
                assert!(act.at >= end && act.at % 4096 == 0 && act.len % 4096 == 0 && act.len > 0);
                end = act.at + act.len;
                assert!(end <= plan.reserve.len);
            }
            Step::Clear(tail) => assert!(tail.len < 4096 && tail.at + tail.len <= plan.reserve.len),
        }
        Ok::<(), ()>(())
    });
}
