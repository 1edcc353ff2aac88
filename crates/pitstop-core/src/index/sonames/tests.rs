//! The index as a whole: what goes in comes out, and what is damaged is found.

use std::collections::BTreeMap;

use super::*;
use crate::index::{Origin, StorePath};

/// A package whose store path begins with 32 letters of `letter`.
fn package(attribute: &str, output: &str, letter: char) -> Package {
    Package {
        path: StorePath {
            store_dir: "/nix/store".into(),
            hash: letter.to_string().repeat(32),
            name: format!("{}-1.0", attribute.rsplit('.').next().unwrap()),
        },
        origin: Origin {
            attribute: attribute.into(),
            output: output.into(),
            toplevel: true,
            system: Some("x86_64-linux".into()),
        },
    }
}

fn made() -> Made {
    let stamp = Stamp { size: 45 << 20, modified: 1_700_000_000_000_000_000, inode: 7, device: 1 };
    let sources = vec![SourceFile { place: "/cache/nix-index/files".into(), stamp: Some(stamp) }];
    Made { kind: Kind::Nix, sources, digest: [9; 32], built: 1_700_000_001 }
}

/// Known of some.
fn closure_of(package: &Package) -> Option<u64> {
    (package.origin.attribute != "steam-run").then_some(package.origin.attribute.len() as u64 * 1_000_000_007)
}

fn index(packages: &[(Package, &[&str])]) -> Vec<u8> {
    let mut builder = Builder::default();
    for (package, paths) in packages {
        let libraries: Vec<_> = paths.iter().filter_map(|path| library(path.as_bytes())).collect();
        if libraries.is_empty() {
            continue;
        }
        let number = builder.package(package.clone(), closure_of(package));
        for library in libraries {
            let form = if library.name.ends_with(b".1") { Form::Link } else { Form::File };
            builder.holds(number, library, form);
        }
    }
    builder.finish(&made()).unwrap()
}

fn small() -> Vec<u8> {
    let mut odd = package("xorg.libX11", "out", 'b');
    odd.path.hash = "no hash of Nix's".into();
    odd.origin.system = None;
    odd.origin.toplevel = false;
    index(&[
        (package("zlib", "out", 'a'), &["/lib/libz.so.1", "/lib/libz.so.1.3.1", "/share/doc/zlib"]),
        (odd, &["/lib/libX11.so.6"]),
        (package("hello", "out", 'c'), &["/bin/hello"]),
        (package("steam-run", "out", 'd'), &["/usr/lib64/libz.so.1", "/usr/lib/x/libz.so.1"]),
    ])
}

/// Opens an index and reads all that is in it.
fn read_all(bytes: &[u8]) -> Result<(Made, Counts, Vec<Vec<Holder>>), SonamesError> {
    let index = Sonames::open(bytes.to_vec())?;
    index.verify()?;
    let names = index.names(b"", usize::MAX)?;
    let holders = names.iter().map(|name| index.holders(name)).collect::<Result<_, _>>()?;
    Ok((index.made().clone(), index.counts(), holders))
}

impl crate::elf::Source for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.as_slice().size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.as_slice().read_exact_at(offset, buffer)
    }
}

#[test]
fn a_lookup_gives_every_package_that_holds_the_name() {
    let index = Sonames::open(small()).unwrap();
    assert_eq!(index.made(), &made());
    assert_eq!(index.counts(), Counts { names: 3, libraries: 5, packages: 3 });
    let holders = index.holders(b"libz.so.1").unwrap();
    let told: Vec<_> = holders
        .iter()
        .map(|holder| (holder.package.origin.attribute.as_str(), holder.folder.to_string(), holder.form))
        .collect();
    assert_eq!(
        told,
        [
            ("steam-run", "/usr/lib/x".into(), Form::Link),
            ("steam-run", "/usr/lib64".into(), Form::Link),
            ("zlib", "/lib".into(), Form::Link)
        ]
    );
    assert_eq!(holders[2].package, package("zlib", "out", 'a'));
    let closures: Vec<_> = holders.iter().map(|holder| holder.closure).collect();
    assert_eq!(closures, [None, None, Some(4_000_000_028)]);
    let odd = &index.holders(b"libX11.so.6").unwrap()[0].package;
    assert_eq!(
        (odd.path.hash.as_str(), odd.origin.toplevel, &odd.origin.system),
        ("no hash of Nix's", false, &None)
    );
    for absent in [&b""[..], b"libz.so", b"libz.so.10", b"a", b"zzz", b"\xff"] {
        assert_eq!(index.holders(absent).unwrap(), [], "{}", bstr::BStr::new(absent));
    }
}

#[test]
fn names_are_listed_by_how_they_begin() {
    let index = Sonames::open(small()).unwrap();
    assert_eq!(index.names(b"libz.so", 9).unwrap(), ["libz.so.1", "libz.so.1.3.1"]);
    assert_eq!(index.names(b"", 1).unwrap(), ["libX11.so.6"]);
    assert!(index.names(b"libz.so.2", 9).unwrap().is_empty());
}

#[test]
fn an_index_of_nothing_answers_nothing() {
    let index = Sonames::open(index(&[])).unwrap();
    assert!(index.holders(b"libz.so.1").unwrap().is_empty());
    assert!(index.names(b"", 9).unwrap().is_empty());
    index.verify().unwrap();
}

/// Numbers without pattern, the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// By name, the attribute and the path inside of each package that has it.
type Holders = BTreeMap<String, Vec<(String, String)>>;

/// Thousands of packages with names that collide, so that every kind of block is there many times.
fn large(random: &mut Random) -> (Vec<u8>, Holders) {
    let mut known: Holders = BTreeMap::new();
    let mut builder = Builder::default();
    for number in 0..3000 {
        let attribute = format!("set{}.pkg{number}", random.below(9));
        let number = builder.package(package(&attribute, "out", 'a'), None);
        for _ in 0..random.below(6) {
            let name = format!("lib{}.so.{}", random.below(4000), random.below(3));
            let folder = format!("/lib/{}", random.below(90));
            let holders = known.entry(name.clone()).or_default();
            if !holders.contains(&(attribute.clone(), folder.clone())) {
                holders.push((attribute.clone(), folder.clone()));
            }
            let path = format!("{folder}/{name}");
            builder.holds(number, library(path.as_bytes()).unwrap(), Form::File);
        }
    }
    for holders in known.values_mut() {
        holders.sort();
    }
    (builder.finish(&made()).unwrap(), known)
}

#[test]
fn thousands_of_names_are_all_found_with_all_their_packages() {
    let (bytes, known) = large(&mut Random(1));
    let index = Sonames::open(bytes).unwrap();
    assert!(
        index.head.of_names.len() > 5 && index.head.of_packages.len() > 50 && index.head.of_folders.len() > 1
    );
    index.verify().unwrap();
    assert_eq!(index.counts().names, known.len() as u64);
    for (name, expected) in &known {
        let mut holders: Vec<_> = index
            .holders(name.as_bytes())
            .unwrap()
            .into_iter()
            .map(|holder| (holder.package.origin.attribute, holder.folder.to_string()))
            .collect();
        holders.sort();
        assert_eq!(&holders, expected, "{name}");
    }
    let listed = index.names(b"", usize::MAX).unwrap();
    assert!(listed.iter().eq(known.keys()));
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    assert_eq!(small(), small());
    assert_eq!(large(&mut Random(5)).0, large(&mut Random(5)).0);
}

#[test]
fn any_flipped_bit_is_found() {
    let whole = small();
    read_all(&whole).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(read_all(&bytes).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_file_cut_short_or_grown_is_found() {
    let whole = small();
    for length in 0..whole.len() {
        assert!(Sonames::open(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
    let mut grown = whole;
    grown.push(0);
    assert!(matches!(Sonames::open(grown), Err(SonamesError::Length { .. })));
}

#[test]
fn blocks_that_changed_places_are_found() {
    let (bytes, _) = large(&mut Random(2));
    let blocks = Sonames::open(bytes.clone()).unwrap().head.blocks;
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let same_length = || {
        for (number, a) in blocks.iter().enumerate() {
            for b in &blocks[number + 1..] {
                if b.end - b.start == a.end - a.start {
                    return Some((at(a.start)..at(a.end), at(b.start)));
                }
            }
        }
        None
    };
    let (a, b) = same_length().expect("two blocks of one length");
    let mut bytes = bytes;
    for (from, to) in a.zip(b..) {
        bytes.swap(from, to);
    }
    assert!(matches!(read_all(&bytes), Err(SonamesError::Damaged { .. })));
}

#[test]
fn another_version_and_another_format_are_told_apart() {
    let mut newer = small();
    newer[8] += 1;
    let next = u32::from(newer[8]);
    assert!(matches!(Sonames::open(newer), Err(SonamesError::Version { found }) if found == next));
    for other in [&b""[..], b"NIXI\x01\x00\x00\x00", b"\x7fELF", &[0; 100]] {
        assert!(matches!(Sonames::open(other.to_vec()), Err(SonamesError::Foreign)), "{other:?}");
    }
}

/// Makes the checksums of the preamble and the head right again, so that the parser behind them is reached.
fn with_true_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let head = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let length = (bytes.len() as u64).to_le_bytes();
    bytes[16..24].copy_from_slice(&length);
    let end = bytes.len().min(PREAMBLE_BYTES.saturating_add(head));
    let sum = crc32fast::hash(&bytes[PREAMBLE_BYTES..end]).to_le_bytes();
    bytes[24..28].copy_from_slice(&sum);
    let sum = crc32fast::hash(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&sum);
    bytes
}

/// The bounded run of what `fuzz/fuzz_targets/soname_index.rs` does without end: whatever the bytes are, reading them
/// neither panics nor runs away.
#[test]
fn damage_behind_true_checksums_never_panics() {
    let mut random = Random(3);
    let whole = small();
    let mut refused = 0;
    for _ in 0..30_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(4) {
            let at = usize::try_from(random.below(whole.len() as u64)).unwrap();
            bytes[at] = random.below(256).to_le_bytes()[0];
        }
        if random.below(4) == 0 {
            bytes.truncate(PREAMBLE_BYTES + usize::try_from(random.below(whole.len() as u64)).unwrap());
        }
        bytes[..12].copy_from_slice(&whole[..12]);
        let mut bytes = with_true_checksums(bytes);
        // Blocks too: their checksums follow from where the head says that they lie.
        if let Ok(index) = Sonames::open(bytes.clone()) {
            for (number, block) in index.head.blocks.iter().enumerate() {
                let at = |offset: u64| usize::try_from(offset).unwrap();
                let (start, end) = (at(block.start), at(block.end));
                if let Some(split) = end.checked_sub(CHECKSUM_BYTES).filter(|split| *split >= start) {
                    let sum = super::code::checksum(number as u64, &bytes[start..split]);
                    bytes[split..end].copy_from_slice(&sum);
                }
            }
        }
        refused += u32::from(read_all(&bytes).is_err());
    }
    assert!(refused > 1000, "{refused}");
}
