//! What the packages of an environment ask for by name: their Python code, read once for each version of a package.
//!
//! What was found in a package's code is kept with the other [answers](crate::answers), for as long as its `RECORD` is the
//! same file with the same size and times; a second check then reads no Python file at all.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use bstr::ByteSlice;
use pitstop_core::elf::DlopenPriority;
use pitstop_core::hints::{self, Ask, How, Request};
use pitstop_core::targets::{Native, Owner};
use rustix::fs::{CWD, Mode, openat};
use serde::{Deserialize, Serialize};

use crate::answers::{Question, settled_state};
use crate::metadata;
use crate::reading::{READ_FLAGS, read_regular};

/// Threads that read code: as many as walk the tree.
const THREADS: usize = 2;
/// What the deepest file that is parsed may need of a stack, twice over. Only what is used is ever taken.
const STACK_BYTES: usize = 32 << 20;
/// Larger files are not opened: nobody writes them by hand.
const BYTES_MAX: usize = 4 << 20;
/// Bytes asked for at once: of 10 000 files seen, 9 990 are smaller.
const READ_BYTES: usize = 256 << 10;

/// What was found in the code of one package, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Identity and times of its `RECORD`.
    state: String,
    /// The calls.
    requests: Vec<KeptRequest>,
}

/// One call, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptRequest {
    file: String,
    line: usize,
    how: String,
    names: Vec<String>,
    certain: bool,
}

/// One installed package, and where its `RECORD` lies.
pub(crate) struct Installed {
    /// Whose.
    pub(crate) owner: Owner,
    /// The `RECORD`, absolute.
    pub(crate) record: PathBuf,
}

/// What the packages installed in `site` ask for by name. Packages that are not in `packages` yet, because they have no
/// native files, are added when they ask for something.
pub(crate) fn asks(
    site: &Path,
    installed: &[Installed],
    natives: &[Native],
    packages: &mut Vec<Owner>,
) -> Vec<Ask> {
    let found = requests(site, installed);
    let files = |part: &str| -> Vec<usize> {
        let has = |native: &Native| native.path.as_os_str().as_bytes().contains_str(part);
        (0..natives.len()).filter(|&index| has(&natives[index])).collect()
    };
    let mut asks = Vec::new();
    for (installed, requests) in installed.iter().zip(found) {
        let name = metadata::normalized(&installed.owner.name);
        if requests.is_empty() && !hints::is_known(&name) {
            continue;
        }
        let known = packages.iter().position(|package| *package == installed.owner);
        let index = known.unwrap_or(packages.len());
        let its = hints::asks(Some(index), &name, &requests, &files);
        if known.is_none() && !its.is_empty() {
            packages.push(installed.owner.clone());
        }
        asks.extend(its);
    }
    asks
}

/// What native files say in notes that they load.
pub(crate) fn asks_of_notes(natives: &[Native]) -> Vec<Ask> {
    let of = |(index, native): (usize, &Native)| {
        let ask = move |note: &pitstop_core::elf::DlopenNote| Ask {
            package: native.package,
            sonames: note.sonames.iter().map(|soname| soname.to_str_lossy().into_owned()).collect(),
            optional: note.priority != DlopenPriority::Required,
            how: How::Note,
            file: None,
            line: 0,
            before: vec![index],
        };
        let notes: Vec<Ask> = native.elf.dlopen_notes.iter().map(ask).collect();
        notes
    };
    natives.iter().enumerate().flat_map(of).filter(|ask| !ask.sonames.is_empty()).collect()
}

/// The calls in the code of each package, from what is kept as far as that holds.
fn requests(site: &Path, installed: &[Installed]) -> Vec<Vec<(PathBuf, Request)>> {
    let question = Question::new([OsStr::new("names"), site.as_os_str()]);
    let kept: Option<BTreeMap<String, Kept>> =
        question.recall().and_then(|answers| serde_json::from_slice(answers.first()?).ok());
    let mut kept = kept.unwrap_or_default();
    let states: Vec<Option<String>> =
        installed.iter().map(|installed| settled_state(&installed.record)).collect();
    let key = |installed: &Installed| installed.record.to_string_lossy().into_owned();
    let holds = |index: usize| {
        let known = kept.get(&key(&installed[index]))?;
        (Some(&known.state) == states[index].as_ref()).then(|| known.requests.clone())
    };
    let mut all: Vec<Option<Vec<KeptRequest>>> = (0..installed.len()).map(holds).collect();
    let open: Vec<usize> = (0..all.len()).filter(|&index| all[index].is_none()).collect();
    if !open.is_empty() {
        for (index, requests) in scan_all(site, installed, &open) {
            if let Some(state) = &states[index] {
                let new = Kept { state: state.clone(), requests: requests.clone() };
                kept.insert(key(&installed[index]), new);
            }
            all[index] = Some(requests);
        }
        // What is gone is forgotten.
        let here: Vec<String> = installed.iter().map(key).collect();
        kept.retain(|record, _| here.contains(record));
        // Strings and numbers only: this cannot fail.
        question.keep(&[], &[&serde_json::to_vec(&kept).unwrap_or_default()]);
    }
    let request = |kept: KeptRequest| {
        let how = How::from_name(&kept.how)?;
        Some((
            PathBuf::from(kept.file),
            Request { line: kept.line, how, names: kept.names, certain: kept.certain },
        ))
    };
    all.into_iter().map(|kept| kept.unwrap_or_default().into_iter().filter_map(request).collect()).collect()
}

/// Reads the code of the packages `open`, in threads of their own: the parser wants a deeper stack than a thread has.
fn scan_all(site: &Path, installed: &[Installed], open: &[usize]) -> Vec<(usize, Vec<KeptRequest>)> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(open.len()));
    let work = || {
        let mut buffer = Vec::new();
        while let Some(&index) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            let requests = scan_package(site, &installed[index], &mut buffer);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((index, requests));
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS.min(open.len()) {
            // A machine that starts no thread for us reads no code: what it names is then not known, as without a RECORD.
            let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn scan_package(site: &Path, installed: &Installed, buffer: &mut Vec<u8>) -> Vec<KeptRequest> {
    if hints::needs_nothing(&metadata::normalized(&installed.owner.name)) {
        return Vec::new();
    }
    let Ok(record) = read_regular(&installed.record) else { return Vec::new() };
    let mut all = Vec::new();
    for path in metadata::sources(site, &record) {
        let inside = path.strip_prefix(site).unwrap_or(&path);
        // What tests load is not what the package needs.
        if inside.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "test")))
            || hints::is_of_another_system(inside)
        {
            continue;
        }
        let Some(code) = read_source(&path, buffer).filter(|code| hints::worth_scanning(code)) else {
            continue;
        };
        // What does not parse is imported by no Python of today, and so asks for nothing.
        let Ok(requests) = hints::scan(code) else { continue };
        all.extend(requests.into_iter().map(|request| KeptRequest {
            file: inside.to_string_lossy().into_owned(),
            line: request.line,
            how: request.how.name().to_owned(),
            names: request.names,
            certain: request.certain,
        }));
    }
    all
}

/// All of a file that is not too large, into a buffer that is used again. Most files take one read.
///
/// The buffer keeps what earlier files left: to clear it for each would cost as much as reading them.
fn read_source<'b>(path: &Path, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let file = File::from(openat(CWD, path, READ_FLAGS, Mode::empty()).ok()?);
    let mut filled = 0;
    loop {
        if buffer.len() < filled + READ_BYTES {
            buffer.resize(filled + READ_BYTES, 0);
        }
        // Reading at a place fails for what has none, such as a pipe.
        let read = file.read_at(&mut buffer[filled..filled + READ_BYTES], filled as u64).ok()?;
        filled += read;
        if read < READ_BYTES {
            return Some(&buffer[..filled]);
        }
        if filled > BYTES_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scanned(files: &[(&str, &[u8])]) -> Vec<(String, Vec<String>)> {
        let site = tempfile::tempdir().unwrap();
        let mut record = String::new();
        for (name, bytes) in files {
            fs::create_dir_all(site.path().join(name).parent().unwrap()).unwrap();
            fs::write(site.path().join(name), bytes).unwrap();
            record += &format!("{name},,\n");
        }
        let path = site.path().join("RECORD");
        fs::write(&path, record).unwrap();
        let installed = Installed { owner: Owner { name: "p".into(), version: "1".into() }, record: path };
        let found = scan_all(site.path(), &[installed], &[0]).remove(0).1;
        found.into_iter().map(|request| (request.file, request.names)).collect()
    }

    #[test]
    fn the_code_that_a_record_lists_is_read_whatever_else_lies_there() {
        let big = [b"CDLL('liba.so.1')\n#".as_slice(), &vec![b'x'; 50 << 20]].concat();
        let found = scanned(&[
            ("p/a.py", b"CDLL('libmagic.so.1')"),
            ("p/python2.py", b"print 'CDLL'"),
            ("p/wide.py", &[0xff, 0xfe, b'C', 0]),
            ("p/latin.py", b"# coding: latin-1\nx = '\xe9'\nCDLL('libzbar.so.0')"),
            ("p/big.py", &big),
            ("p/deep.py", format!("CDLL({}", "(".repeat(100_000)).as_bytes()),
            ("p/tests/a.py", b"CDLL('libtest.so.1')"),
        ]);
        let of = |file: &str, name: &str| (file.to_owned(), vec![name.to_owned()]);
        assert_eq!(found, [of("p/a.py", "libmagic.so.1"), of("p/latin.py", "libzbar.so.0")]);
    }

    #[test]
    fn what_is_no_regular_file_is_passed_over() {
        let mut buffer = Vec::new();
        assert!(read_source(Path::new("/dev/zero"), &mut buffer).is_none());
        assert!(read_source(Path::new("/"), &mut buffer).is_none());
        assert!(read_source(Path::new("/nonexistent"), &mut buffer).is_none());
    }
}
