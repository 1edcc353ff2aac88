//! An `ld.so.cache` of any bytes: read or refused, and what is read can be looked up and written again.

use pitstop_core::elf::{Class, Encoding, Target};
use pitstop_core::ldso::cache::{Cache, Capabilities, LegacyCapabilities, write};

const TARGET: Target = Target { class: Class::Bits64, encoding: Encoding::Little, machine: 62 };

pub(crate) fn run(bytes: &[u8]) {
    let hwcaps = ["x86-64-v3".to_owned(), "x86-64-v2".to_owned()];
    let legacy = LegacyCapabilities { hwcap: 6, platform_bit: Some(50) };
    for encoding in [Encoding::Little, Encoding::Big] {
        let Ok(cache) = Cache::parse(bytes, encoding) else { continue };
        assert!(cache.entries().count() <= bytes.len() / 12, "more entries than bytes");
        assert!(cache.hwcaps().count() <= bytes.len());
        let target = Target { encoding, ..TARGET };
        for entry in cache.entries().take(64) {
            for legacy in [None, Some(legacy)] {
                let _ = cache.lookup(entry.name, target, Capabilities { hwcaps: &hwcaps, legacy });
            }
        }
        // A name may be as long as the file, and stand in every entry: writing all of them takes the square of its size.
        if bytes.len() > 1 << 14 {
            continue;
        }
        let entries: Vec<_> = cache.to_new().collect();
        let written = write(&entries, encoding, "fuzz").expect("it is small");
        let again = Cache::parse(&written, encoding).expect("it was written here");
        assert_eq!(again.entries().count(), entries.len());
    }
}
