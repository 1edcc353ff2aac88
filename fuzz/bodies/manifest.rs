//! A manifest of any bytes, in an environment of a few files: looked at, finished, and undone. Whatever it says, nothing
//! beside the environment is made, changed or removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use pitstop_host::apply::{Venv, status};

pub(crate) fn run(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (outside, root) = (folder.path().join("outside"), folder.path().join("v"));
    let site = root.join("lib/python3.11/site-packages");
    fs::create_dir_all(&outside).expect("a folder outside");
    fs::create_dir_all(&site).expect("the environment");
    fs::create_dir(root.join(".pitstop")).expect("pitstop's folder");
    fs::write(outside.join("kept"), "kept").expect("a file outside");
    fs::write(outside.join("_pitstop.pth"), "kept").expect("another");
    fs::write(site.join("_pitstop.pth"), "import _pitstop\n").expect("a file inside");
    for (name, target) in [("out", "../outside"), ("bin", "../outside"), ("file", "../outside/kept")] {
        symlink(target, root.join(name)).expect("a link that leads out");
    }
    fs::write(root.join(".pitstop/manifest.json"), bytes).expect("the manifest");
    let before = seen(&outside);
    let _ = status(&root);
    if let Ok(venv) = Venv::lock(&root) {
        let _ = venv.heal();
        let _ = venv.undo_file(&pitstop_core::plan::Inside::new("out/kept").expect("it is plain"));
        let _ = venv.undo();
    }
    assert_eq!(seen(&outside), before, "something outside was touched");
    let beside: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(beside.len(), 2, "something came or went beside the environment: {beside:?}");
}

/// Name, content, mode and time of what stands in a folder.
type Seen = (String, Vec<u8>, u32, (i64, i64));

/// All that is in a folder, and the folder.
fn seen(folder: &Path) -> Vec<Seen> {
    let of = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        let content = fs::read(path).unwrap_or_default();
        let time = (metadata.mtime(), metadata.mtime_nsec());
        (path.display().to_string(), content, metadata.mode(), time)
    };
    let entries =
        fs::read_dir(folder).expect("it is listed").map(|entry| entry.expect("it is an entry").path());
    let mut all: Vec<_> = entries.chain([folder.to_owned()]).map(|path| of(&path)).collect();
    all.sort();
    all
}
