//! What a program said when it was asked, kept for the next time in `$XDG_CACHE_HOME/pitstop/answers`.
//!
//! Starting a Python takes longer than all the rest of a check of a small environment. An answer is taken again only
//! while everything that it rests on, its witnesses, is as it was: the same file by device and inode, with the same size
//! and times, the time of the last change of its inode included, which no program can set. Whatever else is wrong with
//! what is kept, or with keeping it, only means that the program is asked.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// What every kept answer begins with, its checksum apart. Another version's answers are not read.
const FORMAT: &str = concat!("pitstop ", env!("CARGO_PKG_VERSION"), " answers 1");
/// The largest file that is read back; an answer has some 15 KiB.
const BYTES_MAX: u64 = 1 << 20;
/// Answers kept at most. When there are more all are dropped: they are soon had again.
const ANSWERS_MAX: usize = 256;
/// A file that changed so lately may change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);
const CHECKSUM_BYTES: usize = 32;
/// The state of what is not there.
const ABSENT: &str = "absent";

/// A question: what is asked, and all that the answer depends on besides files.
pub struct Question {
    parts: Vec<Vec<u8>>,
}

impl Question {
    /// A question of these parts.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a OsStr>) -> Self {
        Self { parts: parts.into_iter().map(|part| part.as_bytes().to_owned()).collect() }
    }

    /// The answers that were kept, if they still hold.
    #[must_use]
    pub fn recall(&self) -> Option<Vec<Vec<u8>>> {
        self.recall_from(&folder()?)
    }

    /// Keeps answers together with the files and folders that they rest on. That this fails is nobody's trouble.
    pub fn keep(&self, witnesses: &[PathBuf], answers: &[&[u8]]) {
        if let Some(folder) = folder() {
            let settled = SystemTime::now().checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
            let _ = self.keep_in(&folder, witnesses, answers, settled);
        }
    }

    fn recall_from(&self, folder: &Path) -> Option<Vec<Vec<u8>>> {
        let path = folder.join(self.name());
        let metadata = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        if metadata.len() > BYTES_MAX || !is_own(&metadata) {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        let (checksum, body) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        if Sha256::digest(body).as_slice() != checksum {
            return None;
        }
        let mut fields = fields(body)?.into_iter();
        let mut next = || fields.next();
        if next()? != FORMAT.as_bytes() {
            return None;
        }
        for part in &self.parts {
            if next()? != part {
                return None;
            }
        }
        let witnesses: usize = std::str::from_utf8(next()?).ok()?.parse().ok()?;
        for _ in 0..witnesses {
            let (path, was) = (next()?, next()?);
            if state(Path::new(OsStr::from_bytes(path))).0.as_bytes() != was {
                return None;
            }
        }
        Some(fields.map(<[u8]>::to_owned).collect())
    }

    fn keep_in(
        &self,
        folder: &Path,
        witnesses: &[PathBuf],
        answers: &[&[u8]],
        settled: SystemTime,
    ) -> Option<()> {
        let mut body = Vec::new();
        add(&mut body, FORMAT.as_bytes());
        for part in &self.parts {
            add(&mut body, part);
        }
        add(&mut body, witnesses.len().to_string().as_bytes());
        for path in witnesses {
            let (state, changed) = state(path);
            if changed > settled {
                return None;
            }
            add(&mut body, path.as_os_str().as_bytes());
            add(&mut body, state.as_bytes());
        }
        for answer in answers {
            add(&mut body, answer);
        }

        fs::create_dir_all(folder).ok()?;
        let kept: Vec<_> = fs::read_dir(folder).ok()?.filter_map(Result::ok).collect();
        if kept.len() >= ANSWERS_MAX {
            for entry in kept {
                let _ = fs::remove_file(entry.path());
            }
        }
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        file.write_all(&Sha256::digest(&body)).ok()?;
        file.write_all(&body).ok()?;
        file.persist(folder.join(self.name())).ok()?;
        Some(())
    }

    /// A file name for this question; which question it is stands in the file.
    fn name(&self) -> String {
        let mut all = Vec::new();
        for part in &self.parts {
            add(&mut all, part);
        }
        let digest = Sha256::digest(&all);
        let number = digest.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
        format!("{number:032x}")
    }
}

/// Whether nobody but this user may have written a file: under `sudo`, or with a cache folder that others share, an answer
/// may be somebody else's.
fn is_own(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Variables that a loader or a Python may act on although it is asked isolated.
pub(crate) fn variables() -> Vec<u8> {
    let heard = |name: &OsStr| {
        let name = name.as_bytes();
        [&b"LC_"[..], b"LANG", b"LD_", b"NIX_LD", b"GLIBC_TUNABLES", b"PYTHON"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| heard(name)).collect();
    variables.sort();
    let mut text = Vec::new();
    for (name, value) in variables {
        add(&mut text, name.as_bytes());
        add(&mut text, value.as_bytes());
    }
    text
}

/// `$XDG_CACHE_HOME/pitstop/answers`, or where that lies by default.
fn folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    cache.or_else(home).filter(|path| path.is_absolute()).map(|path| path.join("pitstop/answers"))
}

/// A file's identity and times in words, and when it last changed; that it is absent is a state too.
fn state(path: &Path) -> (String, SystemTime) {
    let Ok(metadata) = fs::metadata(path) else { return (ABSENT.to_owned(), UNIX_EPOCH) };
    let of = |seconds: i64, nanoseconds: i64| {
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
    };
    let changed = of(metadata.ctime(), metadata.ctime_nsec());
    let state = format!(
        "{} {} {} {} {}.{} {}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.mode(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    );
    (state, changed.max(of(metadata.mtime(), metadata.mtime_nsec())))
}

/// The same in words alone; `None` where it is absent, or changed so lately that it may change again without telling.
pub(crate) fn settled_state(path: &Path) -> Option<String> {
    let settled = SystemTime::now().checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
    let (state, changed) = state(path);
    (changed <= settled && state != ABSENT).then_some(state)
}

/// A field: its length in four bytes, then itself.
fn add(to: &mut Vec<u8>, field: &[u8]) {
    // What is longer is cut short, and then not understood when it is read.
    to.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend(field);
}

fn fields(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        fields.push(field);
        bytes = rest;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Question {
        Question::new([OsStr::new(text)])
    }

    fn kept(folder: &Path, witnesses: &[PathBuf]) -> Option<Vec<Vec<u8>>> {
        let later = SystemTime::now() + Duration::from_mins(1);
        question("q").keep_in(folder, witnesses, &[b"one", b""], later)?;
        question("q").recall_from(folder)
    }

    #[test]
    fn an_answer_is_recalled_to_its_question_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept(folder.path(), &[]), Some(vec![b"one".to_vec(), Vec::new()]));
        assert_eq!(question("r").recall_from(folder.path()), None);
    }

    #[test]
    fn a_witness_that_changes_comes_or_goes_ends_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let witness = folder.path().join("witness");
        let answers = folder.path().join("answers");
        let changes: [fn(&Path); 4] = [
            |path| fs::write(path, "1").unwrap(),
            |path| fs::write(path, "2").unwrap(),
            |path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        for change in changes {
            assert!(kept(&answers, std::slice::from_ref(&witness)).is_some());
            std::thread::sleep(Duration::from_millis(20));
            change(&witness);
            assert_eq!(question("q").recall_from(&answers), None);
        }
    }

    #[test]
    fn nothing_is_kept_that_rests_on_what_has_just_changed() {
        let folder = tempfile::tempdir().unwrap();
        let settled = SystemTime::now() - SETTLED;
        assert_eq!(question("q").keep_in(folder.path(), &[folder.path().to_owned()], &[], settled), None);
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), &[]).unwrap();
        let file = folder.path().join(question("q").name());
        let bytes = fs::read(&file).unwrap();
        for length in 0..bytes.len() {
            fs::write(&file, &bytes[..length]).unwrap();
            assert_eq!(question("q").recall_from(folder.path()), None, "{length}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            fs::write(&file, damaged).unwrap();
            assert_eq!(question("q").recall_from(folder.path()), None, "{place}");
        }
    }

    #[test]
    fn what_others_may_have_written_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), &[]).unwrap();
        let file = folder.path().join(question("q").name());
        for (mode, believed) in [(0o622, false), (0o620, false), (0o644, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(question("q").recall_from(folder.path()).is_some(), believed, "{mode:o}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            assert_eq!(question("q").recall_from(folder.path()), None);
        }
    }

    #[test]
    fn answers_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=ANSWERS_MAX {
            question(&number.to_string()).keep_in(folder.path(), &[], &[b""], UNIX_EPOCH).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
