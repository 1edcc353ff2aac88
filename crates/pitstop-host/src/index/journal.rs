//! What was learned of a binary cache so far, kept so that nothing is asked for twice after a stop.
//!
//! A file that only grows: a line that says what this is, a line that says of which caches, and records. A record is its
//! length (4 bytes, little-endian), the first 8 bytes of its SHA-256, and its content. A record that a crash cut short,
//! and all that follows it, is dropped when the file is opened.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;
use pitstop_core::index::StorePath;
use sha2::{Digest, Sha256};

const MAGIC: &str = "pitstop index journal 2";
const HEAD_BYTES: usize = 12;
const RECORD_BYTES_MAX: u32 = 1 << 30;
/// How long it is believed that a cache has no such path. Nix's `narinfo-cache-negative-ttl` is as long.
const ABSENCE_AGE_MAX: Duration = Duration::from_hours(1);

/// What is known of a store path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its files are in the journal.
    Listed,
    /// A cache has it, but no listing of its files.
    Unlisted,
    /// No cache has it.
    Absent,
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) known: Known,
    pub(super) path: StorePath,
    /// The length of its archive, in bytes; 0 where no cache has it.
    pub(super) size: u64,
    pub(super) references: Vec<StorePath>,
    /// Its files, as [`super::pack`] writes them; empty unless it is listed.
    pub(super) packed: Vec<u8>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another pitstop writes it.
    #[error("another pitstop builds the same index (it holds `{0}`)")]
    Busy(PathBuf),
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An open journal, locked against others.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    end: u64,
}

impl Journal {
    /// Opens the journal at `path`, or starts it where there is none for the same caches. Gives each record that
    /// counts, without its files, to `each`, with the place from which [`Journal::packed`] reads them.
    pub(super) fn open(
        path: &Path,
        identity: &str,
        fresh: bool,
        mut each: impl FnMut(Record, u64),
    ) -> Result<Self, JournalError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file =
            fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.file().try_lock().is_err() {
            return Err(JournalError::Busy(path.to_owned()));
        }
        let mut journal = Self { file, path: path.to_owned(), end: 0 };
        let head = format!("{MAGIC}\n{identity}\n");
        if fresh || !journal.starts_with(&head)? {
            journal.file.set_len(0)?;
            journal.file.rewind()?;
            journal.file.write_all(head.as_bytes())?;
            journal.end = head.len() as u64;
            return Ok(journal);
        }
        journal.end = head.len() as u64;
        journal.load(&mut each)?;
        // What a crash left in the middle is overwritten by what comes next.
        journal.file.set_len(journal.end)?;
        journal.file.seek(SeekFrom::Start(journal.end))?;
        Ok(journal)
    }

    fn starts_with(&mut self, head: &str) -> io::Result<bool> {
        let mut start = Vec::new();
        (&mut self.file).take(head.len() as u64).read_to_end(&mut start)?;
        Ok(start == head.as_bytes())
    }

    fn load(&mut self, each: &mut impl FnMut(Record, u64)) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let now = SystemTime::now();
        while let Some(content) = next(&mut reader)? {
            let start = self.end;
            self.end += (HEAD_BYTES + content.len()) as u64;
            let Some((record, written)) = Record::read(&content) else { continue };
            let age = now.duration_since(written).unwrap_or_default();
            if record.known == Known::Listed || age < ABSENCE_AGE_MAX {
                each(Record { packed: Vec::new(), ..record }, start);
            }
        }
        Ok(())
    }

    /// Adds a record; gives its place. One write, so that a kill leaves all or nothing of it.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<u64> {
        let content = record.write(SystemTime::now());
        let length = u32::try_from(content.len()).ok().filter(|length| *length <= RECORD_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a listing is too long for the journal"))?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + content.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&sum(&content));
        bytes.extend_from_slice(&content);
        self.file.write_all(&bytes)?;
        let start = self.end;
        self.end += bytes.len() as u64;
        Ok(start)
    }

    /// The files of the record at a place.
    pub(super) fn packed(&self, place: u64) -> io::Result<Vec<u8>> {
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is broken", self.path.display()));
        let mut head = [0; HEAD_BYTES];
        self.file.file().read_exact_at(&mut head, place)?;
        let (length, expected) = split(head);
        if length > RECORD_BYTES_MAX {
            return Err(broken());
        }
        let mut content = vec![0; length as usize];
        self.file.file().read_exact_at(&mut content, place + HEAD_BYTES as u64)?;
        if sum(&content) != expected {
            return Err(broken());
        }
        Record::read(&content).map(|(record, _)| record.packed).ok_or_else(broken)
    }

    /// Removes the file: all that it holds is where it belongs.
    pub(super) fn remove(self) -> io::Result<()> {
        fs_err::remove_file(&self.path)
    }

    /// How many bytes it has.
    pub(super) const fn bytes(&self) -> u64 {
        self.end
    }
}

/// The next record's content; `None` at the end, and where the rest is broken.
fn next(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let Ok(head) = <[u8; HEAD_BYTES]>::try_from(head) else { return Ok(None) };
    let (length, expected) = split(head);
    if length > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut content = Vec::new();
    reader.by_ref().take(u64::from(length)).read_to_end(&mut content)?;
    let whole = content.len() == length as usize && sum(&content) == expected;
    Ok(whole.then_some(content))
}

fn split(head: [u8; HEAD_BYTES]) -> (u32, [u8; 8]) {
    let [a, b, c, d, sum @ ..] = head;
    (u32::from_le_bytes([a, b, c, d]), sum)
}

fn sum(content: &[u8]) -> [u8; 8] {
    let whole: [u8; 32] = Sha256::digest(content).into();
    std::array::from_fn(|index| whole[index])
}

impl Record {
    fn write(&self, now: SystemTime) -> Vec<u8> {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let kind = match self.known {
            Known::Listed => 'l',
            Known::Unlisted => 'u',
            Known::Absent => 'a',
        };
        let mut text = format!("{kind}{seconds} {}\n{}\n", self.size, self.path);
        for reference in &self.references {
            text.push_str(&format!("{reference}\n"));
        }
        // The empty line ends them: no store path is empty.
        text.push_str(&format!("{}\n\n", self.path.store_dir));
        let mut content = text.into_bytes();
        content.extend_from_slice(&self.packed);
        content
    }

    fn read(content: &[u8]) -> Option<(Self, SystemTime)> {
        let split = content.windows(2).position(|pair| pair == b"\n\n")?;
        let text = std::str::from_utf8(&content[..split]).ok()?;
        let (text, store_dir) = text.rsplit_once('\n')?;
        let mut lines = text.lines();
        let (kind, numbers) = lines.next()?.split_at_checked(1)?;
        let (seconds, size) = numbers.split_once(' ')?;
        let known = match kind {
            "l" => Known::Listed,
            "u" => Known::Unlisted,
            "a" => Known::Absent,
            _ => return None,
        };
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
        let path = StorePath::parse(lines.next()?, store_dir)?;
        let references = lines.map(|line| StorePath::parse(line, store_dir)).collect::<Option<_>>()?;
        let packed = content[split + 2..].to_vec();
        Some((Self { known, path, size: size.parse().ok()?, references, packed }, written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(letter: char, known: Known) -> Record {
        let path = |name: &str| StorePath {
            store_dir: "/nix/store".into(),
            hash: letter.to_string().repeat(32),
            name: name.into(),
        };
        Record {
            known,
            path: path("a"),
            size: 7,
            references: vec![path("b"), path("c")],
            packed: b"\n\nfiles".to_vec(),
        }
    }

    fn names(path: &Path, identity: &str) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        Journal::open(path, identity, false, |record, place| {
            found.push((record.path.hash[..1].to_owned(), place));
        })
        .unwrap();
        found
    }

    #[test]
    fn a_torn_record_is_dropped_and_the_rest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, "one", false, |_, _| {}).unwrap();
        for letter in ['a', 'b', 'c'] {
            journal.append(&record(letter, Known::Listed)).unwrap();
        }
        let places: Vec<u64> = {
            drop(journal);
            names(&path, "one").iter().map(|(_, place)| *place).collect()
        };
        let whole = std::fs::read(&path).unwrap();
        for length in usize::try_from(places[2]).unwrap()..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(names(&path, "one").len(), 2, "{length}");
            // What comes next stands where the torn one stood.
            let mut journal = Journal::open(&path, "one", false, |_, _| {}).unwrap();
            let place = journal.append(&record('d', Known::Listed)).unwrap();
            assert_eq!((place, journal.packed(place).unwrap()), (places[2], b"\n\nfiles".to_vec()));
            drop(journal);
            assert_eq!(names(&path, "one")[2].0, "d");
        }
        let mut flipped = whole;
        let middle = usize::try_from(places[1]).unwrap() + HEAD_BYTES + 3;
        flipped[middle] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(names(&path, "one").len(), 1);
    }

    #[test]
    fn a_journal_of_other_caches_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(&path, "one", false, |_, _| {}).unwrap().append(&record('a', Known::Absent)).unwrap();
        assert_eq!(names(&path, "one").len(), 1);
        assert_eq!(names(&path, "two").len(), 0);
        assert_eq!(names(&path, "one").len(), 0);
    }

    #[test]
    fn absence_is_not_believed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, "one", false, |_, _| {}).unwrap();
        let old = record('a', Known::Absent).write(SystemTime::now() - ABSENCE_AGE_MAX);
        let mut bytes = u32::try_from(old.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(&sum(&old));
        bytes.extend_from_slice(&old);
        journal.file.write_all(&bytes).unwrap();
        drop(journal);
        assert_eq!(names(&path, "one"), []);
    }

    #[test]
    fn two_builders_do_not_share_a_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let held = Journal::open(&path, "one", false, |_, _| {}).unwrap();
        let second = Journal::open(&path, "one", false, |_, _| {});
        assert!(matches!(second, Err(JournalError::Busy(_))));
        held.remove().unwrap();
        assert!(!path.exists());
    }
}
