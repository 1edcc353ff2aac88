//! Bytes and words that nobody meant: the reading of headers, stacks and paths keeps to its bounds. The number of trials is fixed,
//! and so is what they are; `fuzz/fuzz_targets/shim_elf.rs` goes on from here.
#![allow(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::fs;

use pitstop_ld::auxv::{AT_BASE, AT_ENTRY, AT_IGNORE, AT_NULL, AT_PAGESZ, AT_SECURE, Facts};
use pitstop_ld::elf::{Act, Fault, HEADER_LEN, Header, Machine, Malformed, PF_W, Plan, Source, Step};
use pitstop_ld::stack::{self, Change, Layout, RECORD_LEN, Record};

const MACHINE: Machine = Machine { number: 62, page_size: 4096 };
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Marsaglia's xorshift64: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A number of the kind that breaks arithmetic, more often than not.
    fn odd(&mut self) -> u64 {
        let edges = [
            0,
            1,
            0xfff,
            0x1000,
            0x1001,
            u64::MAX,
            u64::MAX - 0xfff,
            i64::MAX.cast_unsigned(),
            1 << 63,
            1 << 31,
        ];
        match self.below(3) {
            0 => self.next(),
            1 => edges[self.below(edges.len())],
            _ => edges[self.below(edges.len())].wrapping_add(self.next() % 64).wrapping_sub(32),
        }
    }
}

fn plan_of(file: &[u8], file_len: usize) -> Result<Plan<'_>, Fault> {
    let header = Header::read(&file[..file.len().min(1024)], MACHINE)?;
    let table =
        file.get(header.table_offset..).and_then(|rest| rest.get(..header.table_len)).unwrap_or_default();
    Plan::new(header, table, file_len, MACHINE)
}

fn steps(plan: &Plan<'_>) -> Vec<Step> {
    let mut all = Vec::new();
    plan.steps(|step| {
        all.push(step);
        Ok::<(), ()>(())
    })
    .unwrap();
    all
}

/// What the part that acts relies on.
fn check(plan: &Plan<'_>, file_len: usize) {
    let page = MACHINE.page_size;
    let whole = plan.reserve;
    assert!(
        whole.at == 0 && whole.len > 0 && whole.len.is_multiple_of(page) && plan.first.is_multiple_of(page)
    );
    assert!(plan.entry < whole.len);
    let mut mapped: Vec<Act> = Vec::new();
    for step in steps(plan) {
        match step {
            Step::Map(act) => {
                assert!(act.at.is_multiple_of(page) && act.len.is_multiple_of(page) && act.len > 0);
                let end = mapped.last().map_or(0, |last| last.at + last.len);
                assert!(act.at >= end, "ascending, and none over another");
                assert!(act.at.checked_add(act.len).unwrap() <= whole.len, "inside what was reserved");
                if let Source::File(offset) = act.source {
                    assert!(offset.is_multiple_of(page) && offset < file_len);
                }
                mapped.push(act);
            }
            Step::Clear(tail) => {
                assert!(tail.len > 0 && tail.len < page && (tail.at + tail.len).is_multiple_of(page));
                let last = tail.at + tail.len - 1;
                assert!(last < whole.len);
                let act =
                    mapped.iter().find(|act| (act.at..act.at + act.len).contains(&last)).unwrap_or(&whole);
                let Source::File(offset) = act.source else { panic!("zeros over zeros") };
                assert_ne!(act.flags & PF_W, 0, "zeros go where one may write");
                // The byte before is in the file: no page of this lies behind the file's end.
                assert!(offset + (tail.at - 1 - act.at) < file_len);
            }
        }
    }
}

#[test]
fn the_real_loader_is_mapped_as_the_kernel_would() {
    let file = fs::read(LOADER).unwrap();
    let plan = plan_of(&file, file.len()).unwrap();
    check(&plan, file.len());
    let steps = steps(&plan);
    let is = |wanted: Source| steps.iter().any(|step| matches!(step, Step::Map(act) if act.source == wanted));
    assert!(is(Source::Zeros) || steps.iter().any(|step| matches!(step, Step::Clear(_))), "it has a .bss");
    assert!(!is(Source::Hole));
}

#[test]
fn changed_headers_give_a_fault_or_a_plan_that_keeps_its_bounds() {
    let real = fs::read(LOADER).unwrap();
    let table_end = HEADER_LEN + 56 * usize::from(u16::from_le_bytes([real[56], real[57]]));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut plans, mut faults) = (0, 0);
    for _ in 0..200_000 {
        let mut file = real[..table_end].to_vec();
        for _ in 0..=random.below(3) {
            match random.below(4) {
                // One byte, one field, or a field of the table.
                0 => {
                    let at = random.below(file.len());
                    file[at] = random.next().to_le_bytes()[0];
                }
                1 => {
                    let at = random.below(file.len() / 8) * 8;
                    let value = random.odd();
                    file[at..at + 8].copy_from_slice(&value.to_le_bytes());
                }
                2 => {
                    let at = HEADER_LEN + random.below((table_end - HEADER_LEN) / 56) * 56;
                    let field = at + [0, 8, 16, 32, 40, 48][random.below(6)];
                    let value = random.odd();
                    file[field..field + 8].copy_from_slice(&value.to_le_bytes());
                }
                _ => file.truncate(random.below(file.len()).max(8)),
            }
            if file.len() < table_end {
                break;
            }
        }
        let file_len = if random.below(4) == 0 { random.below(real.len()) } else { real.len() };
        match plan_of(&file, file_len) {
            Ok(plan) => {
                check(&plan, file_len);
                plans += 1;
            }
            Err(_) => faults += 1,
        }
    }
    assert!(plans > 1000 && faults > 1000, "both ways were tried: {plans}, {faults}");
}

/// Sets one field of one program header of the real loader.
fn with_field(kind: u32, field: usize, change: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut file = fs::read(LOADER).unwrap();
    let count = usize::from(u16::from_le_bytes([file[56], file[57]]));
    let at =
        (0..count).map(|index| 64 + index * 56).find(|at| file[*at..*at + 4] == kind.to_le_bytes()).unwrap();
    let range = at + field..at + field + 8;
    let value = change(u64::from_le_bytes(file[range.clone()].try_into().unwrap()));
    file[range].copy_from_slice(&value.to_le_bytes());
    file
}

#[test]
fn each_thing_that_cannot_be_is_refused() {
    let refused = |file: &[u8]| plan_of(file, file.len()).unwrap_err();
    let segment = Fault::Malformed(Malformed::Segment);
    assert_eq!(
        refused(&with_field(1, 16, |address| address + 0x100)),
        segment,
        "offset and address do not fit"
    );
    assert_eq!(refused(&with_field(1, 32, |_| u64::MAX)), segment, "runs over");
    assert_eq!(refused(&with_field(1, 40, |_| 1)), segment, "more in the file than in memory");
    assert_eq!(refused(&with_field(1, 40, |len| len + 0x1_0000_0000)), segment, "over the next one");
    assert_eq!(refused(&with_field(1, 48, |_| 3)), segment, "no power of two");
    assert_eq!(refused(&with_field(2, 0, |first| (first & !0xffff_ffff) | 3)), Fault::NeedsLoader);
    let mut file = fs::read(LOADER).unwrap();
    file[24..32].copy_from_slice(&8_u64.to_le_bytes());
    assert_eq!(refused(&file), Fault::Malformed(Malformed::Entry), "the header is not code");
    let mut file = fs::read(LOADER).unwrap();
    file[54] = 32;
    assert_eq!(refused(&file), Fault::Malformed(Malformed::ProgramHeaders));
    file[54] = 56;
    file[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(refused(&file), Fault::Malformed(Malformed::ProgramHeaders));
    assert_eq!(Header::read(b"", MACHINE), Err(Fault::Empty));
    assert_eq!(Header::read(b"\x7fEL", MACHINE), Err(Fault::NotElf));
    assert_eq!(Header::read(b"\x7fELF\x02", MACHINE), Err(Fault::Truncated));
}

/// A block as the kernel makes it, and what it is made of.
fn block(random: &mut Random) -> (Vec<usize>, Layout) {
    let arguments = random.below(5);
    let variables = random.below(9);
    let pairs = 3 + random.below(6);
    let mut words = vec![arguments];
    words.extend((0..arguments).map(|index| 0x1000 + index));
    words.push(0);
    words.extend((0..variables).map(|index| 0x2000 + index));
    words.push(0);
    words.extend([AT_PAGESZ, 4096, AT_BASE, 0x7000, AT_ENTRY, 0x5000]);
    words.extend((4..pairs).flat_map(|index| [100 + index, index]));
    words.extend([AT_NULL, 0]);
    (words, Layout { arguments, variables, pairs: pairs.max(4) })
}

#[test]
fn a_block_moves_changes_and_comes_back() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let (given, layout) = block(&mut random);
        assert_eq!(Layout::measure(|index| given[index]), layout);
        let variable = (layout.variables > 0 && random.below(2) == 0).then(|| random.below(layout.variables));
        let room = stack::move_min(variable) + random.below(40);
        let mut words = vec![0x5555; room];
        words.extend(&given);
        let vector = layout.vector();
        let entry_at = Facts::read(&given[vector.clone()]).entry_at.unwrap();
        let change = Change { text: 0x9000, variable, filler: 0x9100, cut: 16, entry: 0x6000 };
        stack::change(&mut words, layout, change, entry_at).unwrap();
        let seen = Layout::measure(|index| words[index]);
        let opened = if variable.is_some() { 0 } else { 2 };
        assert_eq!((seen.arguments, seen.variables), (layout.arguments, layout.variables + opened));
        let seen_vector = &words[seen.vector()];
        assert_eq!(seen_vector[entry_at], 0x6000);
        // A constructor may have taken variables out.
        let mut left: Vec<usize> = given[layout.variables_start()..][..layout.variables].to_vec();
        if random.below(3) == 0 && layout.variables > 0 {
            let gone = random.below(layout.variables);
            let pointer = words[layout.variables_start() + gone];
            left.remove(gone);
            let all = &mut words[layout.variables_start()..seen.vector().start];
            all.copy_within(gone + 1.., gone);
            assert_ne!(pointer, 0);
        }
        let end = Record::find(|index| words[index]) + RECORD_LEN;
        let record = stack::restore(&mut words[..end]).unwrap();
        assert_eq!((record.entry, record.text, record.cut), (0x5000, 0x9000, 16));
        let after = Layout::measure(|index| words[index]);
        assert_eq!(words[after.variables_start()..][..after.variables], left);
        assert_eq!(words[seen.vector()], given[vector], "the vector is the kernel's");
        if left.len() == layout.variables {
            let pairs = &words[after.vector()];
            let (opened_pair, rest) = pairs.split_at(opened);
            assert!(opened_pair.is_empty() || opened_pair == [AT_IGNORE, 0]);
            assert_eq!(rest, &given[layout.vector()], "a walk comes out at the vector");
        }
    }
}

#[test]
fn any_words_are_read_as_a_vector_and_a_block_without_trouble() {
    let mut random = Random(11);
    for _ in 0..50_000 {
        let len = random.below(40);
        let words: Vec<usize> =
            (0..len)
                .map(|_| {
                    if random.below(2) == 0 {
                        random.below(35)
                    } else {
                        usize::try_from(random.odd()).unwrap()
                    }
                })
                .collect();
        let facts = Facts::read(&words);
        for at in [facts.base_at, facts.entry_at].into_iter().flatten() {
            assert!(at < words.len());
        }
        let says_secure =
            words.chunks_exact(2).take_while(|pair| pair[0] != AT_NULL).any(|pair| pair[0] == AT_SECURE);
        assert!(says_secure || facts.secure);
        let arguments = random.below(8);
        let word = |index: usize| if index == 0 { arguments } else { words.get(index).copied().unwrap_or(0) };
        let layout = Layout::measure(word);
        let mut block: Vec<usize> = (0..layout.len() + random.below(30)).map(word).collect();
        let change =
            Change { text: 1, variable: Some(random.below(9)), filler: 2, cut: 0, entry: random.below(99) };
        let _ = stack::change(&mut block, layout, change, random.below(99));
        let _ = stack::restore(&mut block);
    }
}
