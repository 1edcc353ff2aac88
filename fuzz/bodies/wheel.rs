//! A wheel of any bytes, laid out: every file of it lands below the folder that was made for it.

use std::fs;
use std::path::{Component, Path};

use pitstop_core::targets::WheelName;
use pitstop_host::wheels::LaidOut;

pub(crate) fn run(bytes: &[u8]) {
    if let Some(name) = bytes.get(..64).or(Some(bytes)).and_then(|name| std::str::from_utf8(name).ok()) {
        let _ = WheelName::parse(name);
    }
    let folder = tempfile::tempdir().expect("a folder for the wheel");
    let wheel = folder.path().join("a-1-py3-none-any.whl");
    fs::write(&wheel, bytes).expect("the wheel is written");
    let mut laid_out = LaidOut::new("3.11").expect("a folder to lay it out in");
    laid_out
        .add(&wheel, &[".cpython-311-x86_64-linux-gnu.so".to_owned(), ".so".to_owned()])
        .expect("it is laid out");
    let root = laid_out.environment(Path::new("/usr/bin/python3"), "3.11.2").root;
    plain(&root);
}

/// That a tree holds files and folders alone: no link that leads out.
fn plain(folder: &Path) {
    for entry in fs::read_dir(folder).expect("it is a folder").map(|entry| entry.expect("it is listed")) {
        let kind = entry.file_type().expect("it has a kind");
        assert!(kind.is_dir() || kind.is_file(), "{entry:?}");
        assert!(matches!(Path::new(&entry.file_name()).components().next(), Some(Component::Normal(_))));
        if kind.is_dir() {
            plain(&entry.path());
        }
    }
}
