use super::super::database::{self, write};
use super::super::{Origin, StorePath};
use super::*;

/// Numbers that look like any, and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn packages(seed: u64) -> Vec<(Package, Vec<Entry>)> {
    let mut numbers = Numbers(seed);
    let name = |numbers: &mut Numbers| {
        let words = ["lib", "/", "z", ".so", ".1", "bin", "zz", "é", "/share", "a"];
        (0..=numbers.below(5)).map(|_| words[numbers.below(10)]).collect::<String>()
    };
    (0..=numbers.below(6))
        .map(|number| {
            let path =
                StorePath { store_dir: "/s".into(), hash: format!("{number}"), name: name(&mut numbers) };
            let origin = Origin {
                attribute: name(&mut numbers),
                output: "out".into(),
                toplevel: numbers.below(3) > 0,
                system: None,
            };
            let node = |numbers: &mut Numbers| match numbers.below(4) {
                0 => Node::Directory { size: 3 },
                1 => Node::Symlink { target: "lib".into() },
                kind => Node::Regular { size: 7, executable: kind == 2 },
            };
            let entries = (0..=numbers.below(9))
                .map(|_| Entry { path: name(&mut numbers).into(), node: node(&mut numbers) })
                .collect();
            (Package { path, origin }, entries)
        })
        .collect()
}

type Answers = Vec<(Package, Entry)>;

/// What a search gives where the stream comes in pieces of so many bytes.
fn search(query: &Query, stream: &[u8], piece: usize) -> (Answers, Result<(), Error>) {
    let mut answers = Vec::new();
    let mut each = |package: &Package, entry: &Entry| {
        answers.push((package.clone(), entry.clone()));
        ControlFlow::Continue(())
    };
    let (mut search, mut held) = (Search::new(query), Vec::new());
    for piece in stream.chunks(piece) {
        held.extend_from_slice(piece);
        match search.feed(&held, &[], &mut each) {
            Ok(ControlFlow::Continue(read)) => held.drain(..read),
            Ok(ControlFlow::Break(())) => unreachable!(),
            Err(error) => {
                search.give_up(&mut each);
                return (answers, Err(error));
            }
        };
    }
    let ended = search.finish(&held, &mut each);
    (answers, ended)
}

/// The same, one path after another.
fn one_by_one(options: &Options, packages: &[(Package, Vec<Entry>)]) -> Answers {
    let text = |pattern: &str| if options.regex { pattern.into() } else { regex_syntax::escape(pattern) };
    let (start, end) = (if options.at_root { "^" } else { "" }, if options.whole_name { "$" } else { "" });
    let regexes: Vec<_> = options
        .patterns
        .iter()
        .map(|pattern| regex_automata::meta::Regex::new(&format!("{start}{}{end}", text(pattern))).unwrap())
        .collect();
    let mut answers = Vec::new();
    for (package, entries) in packages {
        let named = options.package.as_ref().is_none_or(|name| package.path.name.contains(name));
        let hashed = options.hash.as_ref().is_none_or(|hash| *hash == package.path.hash);
        for entry in entries.iter().filter(|_| named && hashed && (options.all || package.origin.toplevel)) {
            let wanted = regexes.iter().any(|regex| {
                let last = regex.find_iter(entry.path.as_slice()).last();
                last.is_some_and(|last| options.no_group || !entry.path[last.end()..].contains(&b'/'))
            });
            if wanted && (options.kinds.is_empty() || options.kinds.contains(&Kind::of(&entry.node))) {
                answers.push((package.clone(), entry.clone()));
            }
        }
    }
    // From a stack: a small database is one buffer of nix-locate's.
    answers.reverse();
    answers
}

#[test]
fn a_search_gives_what_looking_at_each_path_gives() {
    let patterns = ["lib", "z", "/", ".so.1", "é", "", "libz.so", "nothing"];
    let expressions = [
        "^lib",
        "z$",
        "[^a]z",
        "(z|^)/",
        "\\bso\\b",
        "z*",
        "^$",
        "\\Alib",
        "so\\z",
        "(?m)^z",
        "[^/]*z[^/]*",
        "\\n|1$",
        "(?s).z",
    ];
    let mut found = 0;
    for seed in 0..3000_usize {
        let packages = packages(seed as u64);
        let mut stream = Vec::new();
        for (package, entries) in &packages {
            write(package, entries, &mut stream).unwrap();
        }
        let mut numbers = Numbers(seed as u64 ^ 0x5eed);
        let mut chance = |of: usize| numbers.below(of) == 0;
        let regex = chance(2);
        let words: &[&str] = if regex { &expressions } else { &patterns };
        let options = Options {
            regex,
            whole_name: chance(4),
            at_root: chance(4),
            package: (!regex && chance(4)).then(|| "lib".into()),
            hash: chance(8).then(|| "1".into()),
            kinds: if chance(3) { vec![Kind::Directory, Kind::Executable] } else { Vec::new() },
            no_group: chance(2),
            all: chance(2),
            patterns: vec![words[seed % words.len()].into()]
                .into_iter()
                .chain(chance(3).then(|| words[seed / 7 % words.len()].into()))
                .collect(),
        };
        let query = Query::new(options.clone()).unwrap();
        for piece in [1 + seed % 50, stream.len()] {
            let (answers, ended) = search(&query, &stream, piece);
            assert_eq!(ended, Ok(()));
            assert_eq!(answers, one_by_one(&options, &packages), "{seed}: {options:?}");
            found += answers.len();
        }
    }
    assert!(found > 10_000, "{found}");
}

#[test]
fn what_was_found_before_a_fault_is_given_and_the_fault_told_with_its_place() {
    let query = Query::new(Options { patterns: vec!["x".into()], all: true, ..Options::default() }).unwrap();
    let (package, _) = packages(1).remove(0);
    let mut whole = Vec::new();
    let entries = [Entry { path: "/x".into(), node: Node::Directory { size: 0 } }];
    write(&package, &entries, &mut whole).unwrap();
    let good = whole.len() as u64;
    let cases: [(&[u8], u64, Fault); 5] = [
        (b"1q\0\0/x\np\0\0{}\n", good, Fault::Entry),
        (b"1r\0\0/x\np\0\0{\"attr\":1}\n", good + 7, Fault::Package),
        (b"1r\0\0/x\n2r\0\x01y\n", good, Fault::NoPackage),
        (b"1r\0\0/x", good, Fault::Lines(frcode::Error::CutOff)),
        (b"1r\0\0/x\n1r\0\x09\n", good + 7, Fault::Lines(frcode::Error::Shared { shared: 9, length: 2 })),
    ];
    for (bytes, offset, fault) in cases {
        let stream = [&whole, bytes].concat();
        for piece in [stream.len(), 3] {
            let (answers, ended) = search(&query, &stream, piece);
            assert_eq!(answers, [(package.clone(), entries[0].clone())], "{fault}");
            assert_eq!(ended, Err(Error { offset, fault }));
        }
    }
}

#[test]
fn broken_streams_end_without_a_panic_and_are_read_alike_by_both_readers() {
    let query = Query::new(Options {
        patterns: vec!["z".into(), "/".into()],
        all: true,
        no_group: true,
        ..Options::default()
    })
    .unwrap();
    let mut broken = 0;
    for seed in 0..4000 {
        let mut stream = Vec::new();
        for (package, entries) in packages(seed % 97) {
            write(&package, &entries, &mut stream).unwrap();
        }
        let mut numbers = Numbers(seed);
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(stream.len());
            match numbers.below(3) {
                0 => stream[at] = u8::try_from(numbers.below(256)).unwrap(),
                1 => stream.truncate(at.max(1)),
                _ => drop(stream.drain(at..(at + 3).min(stream.len() - 1).max(at))),
            }
        }
        let (_, ended) = search(&query, &stream, 1 + numbers.below(40));
        let mut reader = database::Reader::default();
        let read = reader.feed(&stream, |_| true, |_, _| ControlFlow::Continue(()));
        let by_reader = read.and_then(|read| reader.finish(&stream[read..]));
        // A search does not look at what says nothing about its question.
        if let Err(Error { fault: Fault::Lines(_) | Fault::NoPackage, .. }) = ended {
            assert!(by_reader.is_err(), "{seed}");
        }
        broken += u32::from(ended.is_err());
    }
    assert!(broken > 1000, "{broken}");
}
