//! A store for one machine alone: so that it may collect garbage without taking from others.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Result, stdout_of};
use crate::host;

/// How many paths one `cp` is given: well below what a command line may hold.
const PATHS_PER_COPY: usize = 500;

/// A copy of the shared store whose files are hard links to the shared ones. Nix never changes a
/// file of its store, it only unlinks it; so nothing that happens here is seen there.
#[derive(Debug)]
pub(crate) struct StoreCopy {
    /// What the machine has at `/nix`.
    pub(crate) nix: PathBuf,
}

impl StoreCopy {
    /// Copies the store at `shared` into the folder `room`.
    pub(crate) fn new(shared: &Path, room: &Path) -> Result<StoreCopy> {
        let copy = StoreCopy { nix: room.join("nix") };
        // The list first: every path that is on it is complete, and stays.
        let list = host::run(shared, "listing the store", &["nix-store", "--dump-db"])?;
        let list_file = room.join("valid-paths");
        let store = copy.nix.join("store");
        fs_err::create_dir_all(&store)?;
        // Only what is on the list: another machine may be building something that comes and goes.
        let paths = valid_paths(&list);
        for some in paths.chunks(PATHS_PER_COPY) {
            let from = some.iter().map(|path| shared.join(path.trim_start_matches("/nix/")));
            let output = Command::new("cp").args(["-al", "-t"]).arg(&store).args(from).output()?;
            stdout_of("copying the store", &output)?;
        }
        fs_err::create_dir_all(copy.nix.join("var/nix"))?;
        for (folder, how) in [("nixbox", "-al"), ("nix/profiles", "-a")] {
            let [from, to] = [shared, &copy.nix].map(|nix| nix.join("var").join(folder));
            stdout_of("copying the store", &Command::new("cp").arg(how).arg(from).arg(to).output()?)?;
        }
        // Nothing of the roots of other machines' builds (`auto`), which come and go while this copies.
        let [from, to] = [shared, &copy.nix].map(|nix| nix.join("var/nix/gcroots"));
        fs_err::create_dir_all(to.join("auto"))?;
        for entry in fs_err::read_dir(from)? {
            let entry = entry?;
            if entry.file_name() != "auto" {
                let output = Command::new("cp").args(["-a", "-t"]).arg(&to).arg(entry.path()).output()?;
                stdout_of("copying the store", &output)?;
            }
        }
        fs_err::write(&list_file, list)?;
        fs_err::create_dir_all(copy.nix.join("var/nix/daemon-socket"))?;
        let mut load = host::builder(&copy.nix, None);
        load.env("PATH", host::search_path());
        load.args(["--", "nix-store", "--load-db"])
            .stdin(Stdio::from(fs_err::File::open(&list_file)?.into_parts().0));
        stdout_of("listing the copied store", &load.output()?)?;
        Ok(copy)
    }
}

/// The paths of a registration dump, whose records are: path, hash, size, deriver, number of
/// references, references; each on a line.
fn valid_paths(dump: &str) -> Vec<&str> {
    let mut lines = dump.lines();
    let mut paths = Vec::new();
    while let Some(path) = lines.next() {
        paths.push(path);
        let references =
            lines.by_ref().nth(3).and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
        for _ in 0..references {
            lines.next();
        }
    }
    paths
}

impl Drop for StoreCopy {
    fn drop(&mut self) {
        if !self.nix.exists() {
            return;
        }
        // The store's folders are read-only, which stops an ordinary user from emptying them. Files
        // are shared and stay as they are. What cannot be removed stays in the state folder.
        let _ = Command::new("find")
            .arg(&self.nix)
            .args(["-type", "d", "-exec", "chmod", "u+w", "{}", "+"])
            .status();
        let _ = fs_err::remove_dir_all(&self.nix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_gives_its_paths_without_their_references() {
        let dump = "/nix/store/a\n00\n8\n\n2\n/nix/store/b\n/nix/store/c\n/nix/store/b\n00\n8\n/nix/store/d.drv\n0\n";
        assert_eq!(valid_paths(dump), ["/nix/store/a", "/nix/store/b"]);
    }
}
