//! Wheels that are not installed yet, laid out as a site-packages folder that can be looked at like any other.
//!
//! Native files are never unpacked: their facts are read in place, and the tree knows them by the path that they would
//! have. Python code and metadata, which are small, are written into a temporary folder.

mod inflate;
mod obtain;
pub mod sdist;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;
use pitstop_core::elf::{self, Elf};
use pitstop_core::files::FileId;
use pitstop_core::targets::{Owner, module_stem};
use zip::ZipArchive;

use crate::environment::Environment;
use crate::survey::Unread;
use crate::walk::{NativeFile, is_never_loaded};
use inflate::Inflating;
pub use obtain::{ObtainError, Obtained, Wishes, obtain};

/// The longest text file that is unpacked. Longer ones say nothing that is asked for.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// The most text of one wheel that is unpacked.
const TEXTS_BYTES_MAX: u64 = 512 << 20;

/// The most files of a wheel. The largest that are known have some 20,000.
const MEMBERS_MAX: usize = 1_000_000;

/// The most of all native files of one wheel together, unpacked. The largest wheels unpack to some 5 GB.
const NATIVE_BYTES_MAX: u64 = 64 << 30;

/// A device number that no file system gives: members of wheels are told apart by it from files.
const DEVICE: u64 = u64::MAX;

/// Wheels, laid out.
#[derive(Debug)]
pub struct LaidOut {
    root: tempfile::TempDir,
    site: PathBuf,
    pub(crate) natives: Vec<NativeFile>,
    /// Of the natives, below the root, those that define the function by which Python starts a module of their name.
    pub(crate) modules: HashSet<PathBuf>,
    pub(crate) unread: Vec<Unread>,
}

/// Why wheels could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The temporary folder could not be written.
    #[error("{}: {cause}", .path.display())]
    Folder {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl LaidOut {
    /// An empty layout for a Python of this minor version, such as `3.11`.
    pub fn new(minor_version: &str) -> Result<Self, WheelError> {
        let folder = |path: &Path| {
            let path = path.to_owned();
            move |cause| WheelError::Folder { path, cause }
        };
        let root = tempfile::Builder::new()
            .prefix("pitstop-wheels-")
            .tempdir()
            .map_err(folder(&std::env::temp_dir()))?;
        // The kernel's name for it: a walk compares paths with what links lead to.
        let real = fs::canonicalize(root.path()).map_err(folder(root.path()))?;
        let site = real.join(format!("lib/python{minor_version}/site-packages"));
        fs::create_dir_all(&site).map_err(folder(&site))?;
        Ok(Self { root, site, natives: Vec::new(), modules: HashSet::new(), unread: Vec::new() })
    }

    /// Where packages go that something else unpacks.
    #[must_use]
    pub fn site_packages(&self) -> &Path {
        &self.site
    }

    /// The environment that this would be, with that Python.
    #[must_use]
    pub fn environment(&self, python: &Path, version: &str) -> Environment {
        let root = self.prefix();
        Environment {
            site_packages: vec![self.site.clone()],
            scripts: Some(root.join("bin")),
            python: Some(python.to_owned()),
            version: Some(version.to_owned()),
            system_site_packages: false,
            root,
        }
    }

    /// Adds a wheel. What is wrong with it is kept as a finding; a wheel that cannot be trusted to stay in its folder is
    /// not laid out at all.
    pub fn add(&mut self, wheel: &Path, suffixes: &[String]) -> Result<(), WheelError> {
        let finding = |cause: String| Unread { path: wheel.to_owned(), cause };
        let archive = File::open(wheel).map_err(|error| error.to_string());
        let archive = archive.and_then(|file| ZipArchive::new(file).map_err(|error| error.to_string()));
        let mut archive = match archive {
            Ok(archive) => archive,
            Err(cause) => {
                self.unread.push(finding(cause));
                return Ok(());
            }
        };
        let (members, owner) = match members(&mut archive) {
            Ok(found) => found,
            Err(cause) => {
                self.unread.push(finding(cause));
                return Ok(());
            }
        };
        let mut laying =
            Laying { to: self, wheel, suffixes, texts_left: TEXTS_BYTES_MAX, natives_left: NATIVE_BYTES_MAX };
        for member in &members {
            laying.member(&mut archive, member)?;
        }
        let record = members.iter().map(|member| &member.installed).collect();
        self.write_record(wheel, &owner, &mut archive, &members, record)
    }

    fn prefix(&self) -> PathBuf {
        self.site.ancestors().nth(3).unwrap_or(self.root.path()).to_owned()
    }

    /// Writes the RECORD that an installer would: of what the wheel holds, whatever its own RECORD says.
    fn write_record(
        &mut self,
        wheel: &Path,
        owner: &str,
        archive: &mut ZipArchive<File>,
        members: &[Member],
        installed: BTreeSet<&PathBuf>,
    ) -> Result<(), WheelError> {
        let record_name = format!("{owner}/RECORD");
        match members.iter().find(|member| member.name == record_name) {
            None => self.unread.push(Unread {
                path: wheel.to_owned(),
                cause: format!("it has no {record_name}: no installer takes it"),
            }),
            Some(member) => {
                let held: HashSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
                if let Some(lie) = lacking(archive, member, &held) {
                    let cause = format!("its RECORD lists {lie}, which it does not hold");
                    self.unread.push(Unread { path: wheel.to_owned(), cause });
                }
            }
        }
        let mut lines = String::new();
        for path in installed {
            // Quoted as csv quotes: a path may hold a comma or a quote.
            let path = from_site(path).replace('"', "\"\"");
            lines.push_str(&format!("\"{path}\",,\n"));
        }
        write(&self.site.join(record_name), lines.as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WheelError> {
    let failed = |cause| WheelError::Folder { path: path.to_owned(), cause };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// A path below the prefix as RECORD writes it: from site-packages.
fn from_site(installed: &Path) -> String {
    let text = installed.to_string_lossy();
    match text.strip_prefix("site/") {
        Some(inside) => inside.to_owned(),
        None => format!("../../../{text}"),
    }
}

/// A file in a wheel.
#[derive(Debug)]
struct Member {
    index: usize,
    /// Its name in the archive.
    name: String,
    /// Where an installer puts it: `site/…`, or else below the prefix.
    installed: PathBuf,
}

/// The files of a wheel and the name of its `.dist-info` folder; or why nobody should unpack it.
fn members(archive: &mut ZipArchive<File>) -> Result<(Vec<Member>, String), String> {
    if archive.len() > MEMBERS_MAX {
        return Err(format!("it holds {} files", archive.len()));
    }
    let mut members = Vec::with_capacity(archive.len());
    let mut dist_info: Option<String> = None;
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| format!("entry {index}: {error}"))?;
        let name = file.name().map_err(|error| format!("entry {index}: {error}"))?.into_owned();
        if file.is_dir() {
            continue;
        }
        if file.is_symlink() {
            return Err(format!("it holds a symbolic link, {name:?}, which no wheel may"));
        }
        if file.encrypted() {
            return Err(format!("{name:?} is encrypted"));
        }
        let plain = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || name.contains(['\\', '\0']) {
            return Err(format!("it holds {name:?}, which would land outside of site-packages"));
        }
        let top = name.split('/').next().unwrap_or_default();
        if Owner::from_dist_info(top).is_some() {
            match &dist_info {
                Some(known) if known != top => {
                    return Err(format!("it holds two packages, {known} and {top}"));
                }
                _ => dist_info = Some(top.to_owned()),
            }
        }
        members.push(Member { index, installed: installed(&name), name });
    }
    let dist_info = dist_info.ok_or("it has no .dist-info folder: it is no wheel")?;
    Ok((members, dist_info))
}

/// Where an installer puts a file of a wheel ("Spreading a wheel", binary distribution format).
fn installed(name: &str) -> PathBuf {
    let mut parts = name.splitn(3, '/');
    let spread = match (parts.next(), parts.next(), parts.next()) {
        (Some(top), Some(scheme), Some(rest)) if has_suffix(top, "data") => match scheme {
            "purelib" | "platlib" => Some(Path::new("site").join(rest)),
            "scripts" => Some(Path::new("bin").join(rest)),
            "headers" => Some(Path::new("include").join(rest)),
            "data" => Some(PathBuf::from(rest)),
            _ => None,
        },
        _ => None,
    };
    spread.unwrap_or_else(|| Path::new("site").join(name))
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    Path::new(name).extension() == Some(OsStr::new(suffix))
}

/// The first path in a wheel's own RECORD that the wheel does not hold.
fn lacking(archive: &mut ZipArchive<File>, record: &Member, held: &HashSet<&str>) -> Option<String> {
    let mut bytes = Vec::new();
    let file = archive.by_index(record.index).ok()?;
    file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let listed = bytes.lines().filter(|line| !line.contains(&b'"'));
    let listed = listed.filter_map(|line| line[..line.find_byte(b',')?].to_str().ok());
    // RECORD may list its signatures, which are made afterwards.
    let signature = |path: &str| has_suffix(path, "jws") || has_suffix(path, "p7s");
    listed.into_iter().find(|path| !held.contains(path) && !signature(path)).map(str::to_owned)
}

/// One wheel on its way.
struct Laying<'a> {
    to: &'a mut LaidOut,
    wheel: &'a Path,
    suffixes: &'a [String],
    texts_left: u64,
    natives_left: u64,
}

impl Laying<'_> {
    fn member(&mut self, archive: &mut ZipArchive<File>, member: &Member) -> Result<(), WheelError> {
        let name = Path::new(&member.name);
        let in_dist_info =
            name.parent().is_some_and(|folder| has_suffix(&folder.to_string_lossy(), "dist-info"));
        if in_dist_info || has_suffix(&member.name, "py") {
            return self.text(archive, member);
        }
        if !name.file_name().is_some_and(is_never_loaded) {
            self.native(archive, member)?;
        }
        Ok(())
    }

    fn unread(&mut self, member: &Member, cause: &dyn ToString) {
        let path = self.wheel.join(&member.name);
        self.to.unread.push(Unread { path, cause: cause.to_string() });
    }

    /// Unpacks a small text.
    fn text(&mut self, archive: &mut ZipArchive<File>, member: &Member) -> Result<(), WheelError> {
        let mut bytes = Vec::new();
        let read = archive
            .by_index(member.index)
            .map_err(io::Error::from)
            .and_then(|file| file.take(TEXT_BYTES_MAX.min(self.texts_left) + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.unread(member, &error);
            return Ok(());
        }
        let length = bytes.len() as u64;
        if length <= TEXT_BYTES_MAX && length <= self.texts_left {
            self.texts_left -= length;
            let path = self.place(&member.installed);
            write(&path, &bytes)?;
        }
        Ok(())
    }

    /// Reads the facts of a member, if it is native.
    fn native(&mut self, archive: &mut ZipArchive<File>, member: &Member) -> Result<(), WheelError> {
        let file = match archive.by_index(member.index) {
            Ok(file) => file,
            Err(error) => {
                self.unread(member, &error);
                return Ok(());
            }
        };
        let size_bytes = file.size();
        let source = match Inflating::begin(file, size_bytes) {
            Ok(Some(source)) => source,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.unread(member, &error);
                return Ok(());
            }
        };
        let Some(left) = self.natives_left.checked_sub(size_bytes) else {
            self.unread(member, &"its wheel unpacks to more than any wheel has need of");
            return Ok(());
        };
        self.natives_left = left;
        let facts = Elf::read(&source).map(Arc::new);
        let path = self.place(&member.installed);
        let below = path.strip_prefix(self.to.prefix()).unwrap_or(&path).to_owned();
        if facts.is_ok() && exports_init(&below, &source, self.suffixes) {
            self.to.modules.insert(below.clone());
        }
        drop(source);
        let folder = path.parent().unwrap_or(&path);
        // The loader asks whether a folder is there before it looks into it.
        fs::create_dir_all(folder).map_err(|cause| WheelError::Folder { path: folder.to_owned(), cause })?;
        let inode = self.to.natives.len() as u64;
        self.to.natives.push(NativeFile {
            path: below,
            aliases: Vec::new(),
            outside: false,
            id: FileId { device: DEVICE, inode },
            facts,
        });
        Ok(())
    }

    fn place(&self, installed: &Path) -> PathBuf {
        match installed.strip_prefix("site") {
            Ok(inside) => self.to.site.join(inside),
            Err(_) => self.to.prefix().join(installed),
        }
    }
}

/// Whether a file whose name proves nothing is a module: see `targets::classify`.
fn exports_init(path: &Path, source: &Inflating<'_>, suffixes: &[String]) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    match module_stem(name, suffixes) {
        Some((stem, false)) => {
            elf::defines_symbol(source, format!("PyInit_{stem}").as_bytes()).unwrap_or(false)
        }
        _ => false,
    }
}
