//! Times the reading side on a tree: `cargo run --release -p pitstop-host --example reading -- TREE [ROUNDS]`.
//! `--floor TREE` does the work of `floor` once, for whoever times it from outside.
//!
//! `floor` is what no program can do without: it walks with two threads, opens every file, and reads of each ELF file
//! the header, the dynamic section and its strings, checking nothing. `map` and `pread` read the facts of the tree's
//! native files with one thread, by memory map and object's zero-copy tables, and by `SystemFiles`.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::unwrap_used, reason = "a measurement of a broken tree is none")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use pitstop_core::files::{Files as _, Opened};
use pitstop_host::files::SystemFiles;
use pitstop_host::walk::{DEFAULT_THREADS, walk};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut root = PathBuf::from(arguments.next().unwrap());
    if root.as_os_str() == "--floor" {
        root = PathBuf::from(arguments.next().unwrap());
        println!("{}", floor(&root));
        return;
    }
    let rounds = arguments.next().map_or(15, |text| text.to_str().unwrap().parse().unwrap());
    let tree = walk(&root, DEFAULT_THREADS);
    let natives: Vec<PathBuf> = tree.files.iter().map(|file| root.join(&file.path)).collect();
    let aliases: usize = tree.files.iter().map(|file| file.aliases.len()).sum();
    let damaged = tree.files.iter().filter(|file| file.facts.is_err()).count();
    println!(
        "{} native files, {aliases} aliases, {damaged} damaged, {} unreadable, {} packages, peak {} KiB",
        tree.files.len(),
        tree.unreadable.len(),
        tree.records.len(),
        peak_memory_kib(),
    );
    drop(tree);
    let read = || {
        let files = SystemFiles::new();
        natives.iter().filter(|path| matches!(files.open(path), Opened::Elf(..))).count()
    };
    let cases: [(&str, &dyn Fn() -> usize); 6] = [
        ("walk and read, 1 thread", &|| walk(&root, 1).files.len()),
        ("walk and read, 2 threads", &|| walk(&root, 2).files.len()),
        ("floor, 2 threads", &|| floor(&root)),
        ("ignore crate: walk only, 2 threads", &|| by_ignore(&root)),
        ("pread, 1 thread", &read),
        ("map, 1 thread", &|| natives.iter().map(|path| map(path)).sum()),
    ];
    compare(&cases, rounds);
}

/// Runs the cases in turn, so that what else the machine does meets all of them alike.
fn compare(cases: &[(&str, &dyn Fn() -> usize)], rounds: usize) {
    let mut times = vec![(Vec::new(), Vec::new(), 0); cases.len()];
    for _ in 0..rounds {
        for ((_, act), (wall, processor, last)) in cases.iter().zip(&mut times) {
            let (start, used) = (Instant::now(), processor_time());
            *last = act();
            wall.push(start.elapsed());
            processor.push(processor_time().saturating_sub(used));
        }
    }
    println!("{:36} {:>9} {:>9} {:>9} {:>9}  files", "ms", "median", "least", "cpu", "least cpu");
    for ((what, _), (mut wall, mut processor, last)) in cases.iter().zip(times) {
        wall.sort();
        processor.sort();
        let figures = [wall[rounds / 2], wall[0], processor[rounds / 2], processor[0]];
        let [median, least, cpu, least_cpu] = figures.map(|time| time.as_secs_f64() * 1000.0);
        println!("{what:36} {median:9.2} {least:9.2} {cpu:9.2} {least_cpu:9.2}  {last}");
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.try_into().unwrap()
}

fn peak_memory_kib() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

fn by_ignore(root: &Path) -> usize {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    ignore::WalkBuilder::new(root).standard_filters(false).threads(2).build_parallel().run(|| {
        Box::new(|_| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            ignore::WalkState::Continue
        })
    });
    seen.into_inner()
}

/// Two threads over one list of folders, `std` only.
fn floor(root: &Path) -> usize {
    let pending = Mutex::new((vec![root.to_path_buf()], 0_usize));
    let work = || {
        let (mut found, mut done, mut buffer) = (0, 0, vec![0; 4096]);
        loop {
            let folder = {
                let mut pending = pending.lock().unwrap();
                pending.1 -= std::mem::take(&mut done);
                match pending.0.pop() {
                    Some(folder) => {
                        pending.1 += 1;
                        folder
                    }
                    None if pending.1 == 0 => return found,
                    None => continue,
                }
            };
            let mut folders = Vec::new();
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    found += read_least(&entry.path(), &mut buffer);
                }
            }
            pending.lock().unwrap().0.extend(folders);
            done = 1;
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work() + other.join().unwrap()
    })
}

/// Header, dynamic section and its strings of a little-endian 64-bit file, in as few reads as there are places.
fn read_least(path: &Path, buffer: &mut [u8]) -> usize {
    let file = File::open(path).unwrap();
    let length = file.read_at(buffer, 0).unwrap();
    let Ok(header) = FileHeader64::<Endianness>::parse(&buffer[..length]) else { return 0 };
    let endian = header.endian().unwrap();
    let Ok(segments) = header.program_headers(endian, &buffer[..length]) else { return 0 };
    let offset = |address: u64| {
        segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr(endian))?;
            (within < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + within)
        })
    };
    let Some(dynamic) = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC) else {
        return 1;
    };
    let mut entries = vec![0; usize::try_from(dynamic.p_filesz(endian)).unwrap()];
    file.read_exact_at(&mut entries, dynamic.p_offset(endian)).unwrap();
    let entries: &[elf::Dyn64<Endianness>] = object::pod::slice_from_all_bytes(&entries).unwrap();
    let value =
        |tag| entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian));
    if let Some(start) = value(elf::DT_STRTAB).and_then(offset) {
        for entry in entries.iter().filter(|entry| entry.d_tag(endian) == elf::DT_NEEDED) {
            let mut name = [0; 64];
            file.read_at(&mut name, start + entry.d_val(endian)).unwrap();
            std::hint::black_box(name);
        }
    }
    1
}

/// The same facts through a map: dynamic entries, their strings, versions needed and defined, as borrowed slices.
fn map(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    #[expect(unsafe_code, reason = "what the measurement is about")]
    // SAFETY: nobody changes the tree while it is measured.
    let data = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    let Ok(header) = FileHeader64::<Endianness>::parse(&data[..]) else { return 0 };
    let endian = header.endian().unwrap();
    let segments = header.program_headers(endian, &data[..]).unwrap();
    let at = |address: u64| {
        segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr(endian))?;
            let start = usize::try_from(segment.p_offset(endian) + within).unwrap();
            (within < segment.p_filesz(endian)).then(|| &data[start..])
        })
    };
    let Some(entries) = segments.iter().find_map(|segment| segment.dynamic(endian, &data[..]).unwrap())
    else {
        return 1;
    };
    let value =
        |tag| entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian));
    let Some(strings) = value(elf::DT_STRTAB).and_then(at) else { return 1 };
    let string = |index: usize| strings[index..].iter().position(|byte| *byte == 0).unwrap();
    for entry in entries.iter().filter(|entry| entry.is_string(endian)) {
        std::hint::black_box(string(usize::try_from(entry.d_val(endian)).unwrap()));
    }
    if let Some(table) = value(elf::DT_VERNEED).and_then(at) {
        let mut need_at = 0;
        loop {
            let need: &elf::Verneed<Endianness> = object::pod::from_bytes(&table[need_at..]).unwrap().0;
            std::hint::black_box(string(need.vn_file.get(endian) as usize));
            let mut entry_at = need_at + need.vn_aux.get(endian) as usize;
            loop {
                let entry: &elf::Vernaux<Endianness> = object::pod::from_bytes(&table[entry_at..]).unwrap().0;
                std::hint::black_box(string(entry.vna_name.get(endian) as usize));
                match entry.vna_next.get(endian) {
                    0 => break,
                    next => entry_at += next as usize,
                }
            }
            match need.vn_next.get(endian) {
                0 => break,
                next => need_at += next as usize,
            }
        }
    }
    1
}
