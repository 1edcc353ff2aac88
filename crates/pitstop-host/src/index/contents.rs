//! Debian's Contents as files: where apt keeps them, how they are fetched, and reading them as packed as they come.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use pitstop_core::index::contents::{Line, Lines};

use crate::provide::{Error as ProvideError, Event, Interrupt};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Where apt keeps its lists.
const LISTS: &str = "/var/lib/apt/lists";

/// The lists of files that apt has on this machine for an architecture: those that apt-file fetches.
#[must_use]
pub fn apts_own(architecture: &str) -> Vec<PathBuf> {
    in_folder(Path::new(LISTS), architecture)
}

fn in_folder(folder: &Path, architecture: &str) -> Vec<PathBuf> {
    let wanted = [format!("_Contents-{architecture}"), "_Contents-all".to_owned()];
    let is_list = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = ["", ".gz", ".lz4", ".xz", ".zst"].iter().filter_map(|end| name.strip_suffix(end));
        stem.into_iter().any(|stem| wanted.iter().any(|end| stem.ends_with(end.as_str())))
    };
    let entries = fs_err::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut lists: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_list).collect();
    lists.sort();
    lists
}

/// Debian's name for what this program was built for, as far as Debian has one.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "powerpc64" => "ppc64el",
        "arm" => "armhf",
        other => other,
    }
}

/// Lets apt fetch the lists of files into `folder`, from the sources that the machine is set up with, its signatures and
/// hashes checked by apt. Nothing else of the machine is changed. Gives the lists.
pub fn fetch(
    folder: &Path,
    architecture: &str,
    progress: &mut dyn FnMut(Event),
    interrupt: &Interrupt,
) -> Result<Vec<PathBuf>, ProvideError> {
    let (lists, cache) = (folder.join("lists"), folder.join("cache"));
    fs_err::create_dir_all(lists.join("partial"))?;
    fs_err::create_dir_all(cache.join("archives/partial"))?;
    progress(Event::Step("apt fetches its lists of files".into()));
    let target = "Acquire::IndexTargets::deb";
    let mut options = vec![
        "Debug::NoLocking=1".to_owned(),
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
        "Acquire::Languages=none".to_owned(),
        format!("{target}::DEP-11::DefaultEnabled=false"),
        format!("{target}::Packages::DefaultEnabled=false"),
        format!("{target}::Contents-deb::MetaKey=$(COMPONENT)/Contents-{architecture}"),
        format!("{target}::Contents-deb::ShortDescription=Contents-{architecture}"),
        format!("{target}::Contents-deb::Description=$(RELEASE)/$(COMPONENT) {architecture} Contents (deb)"),
        format!("{target}::Contents-deb::KeepCompressed=true"),
        format!("{target}::Contents-deb::Optional=true"),
    ];
    // Root of a user namespace may be unable to become the user that apt downloads as.
    if fs_err::read_to_string("/proc/self/setgroups").is_ok_and(|answer| answer.trim() == "deny") {
        options.push("APT::Sandbox::User=root".to_owned());
    }
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C.UTF-8").arg("--quiet");
    for option in options {
        command.arg("-o").arg(option);
    }
    crate::provide::apt::update(command.arg("update"), progress, interrupt)?;
    let found = in_folder(&lists, architecture);
    if found.is_empty() {
        let hint = "Name a file: `pitstop index build --debian FILE`".to_owned();
        let words = "no source of this machine has a list of files".to_owned();
        return Err(ProvideError::ToolFailed { program: "apt-get update".into(), words, hint: Some(hint) });
    }
    Ok(found)
}

/// Gives every line of a list, whatever it is packed with: gzip, xz, lz4, zstd or nothing.
///
/// # Errors
///
/// What cannot be read or unpacked. What was given before stands.
pub fn for_each(path: &Path, mut each: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut reader = unpacked(path)?;
    let mut lines = Lines::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => lines.feed(&piece[..read], &mut each),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    lines.finish(each);
    Ok(())
}

/// A file as it was before it was packed, which its first bytes tell.
fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let (mut file, _) = fs_err::File::open(path)?.into_parts();
    let mut first = Vec::new();
    Read::by_ref(&mut file).take(6).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    let file: BufReader<File> = BufReader::with_capacity(PIECE_BYTES, file);
    Ok(match first.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        [0x04, 0x22, 0x4d, 0x18, ..] => Box::new(lz4_flex::frame::FrameDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"usr/lib/x86_64-linux-gnu/libz.so.1 libs/zlib1g\nbin/ls utils/coreutils\n";

    fn read(bytes: &[u8]) -> io::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("Contents");
        std::fs::write(&path, bytes)?;
        let mut found = Vec::new();
        for_each(&path, |line| found.extend(line.packages().map(|(_, name)| name.to_owned())))?;
        Ok(found)
    }

    fn packed_in_all_ways() -> Vec<Vec<u8>> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(TEXT).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(TEXT).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(TEXT).unwrap();
        let zstd = zstd::encode_all(TEXT, 3).unwrap();
        vec![gzip.finish().unwrap(), xz.finish().unwrap(), lz4.finish().unwrap(), zstd]
    }

    #[test]
    fn a_list_is_read_however_it_is_packed() {
        assert_eq!(read(TEXT).unwrap(), ["zlib1g", "coreutils"]);
        for packed in packed_in_all_ways() {
            assert_eq!(read(&packed).unwrap(), ["zlib1g", "coreutils"], "{:?}", &packed[..4]);
        }
    }

    #[test]
    fn a_list_that_is_cut_off_is_an_error() {
        for packed in packed_in_all_ways() {
            assert!(read(&packed[..packed.len() - 12]).is_err(), "{:?}", &packed[..4]);
        }
    }

    #[test]
    fn apts_lists_are_those_of_the_architecture() {
        let folder = tempfile::tempdir().unwrap();
        let names =
            ["d_main_Contents-amd64.lz4", "d_main_Contents-all", "d_main_Contents-arm64.gz", "d_Packages"];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = in_folder(folder.path(), "amd64");
        let found: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(found, ["d_main_Contents-all", "d_main_Contents-amd64.lz4"]);
    }
}
