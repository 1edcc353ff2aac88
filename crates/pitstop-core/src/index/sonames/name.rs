//! Which files of a package may satisfy a soname.

use bstr::ByteSlice;

/// The longest name and folder that file systems have (`NAME_MAX`, `PATH_MAX`).
const NAME_BYTES_MAX: usize = 255;
const FOLDER_BYTES_MAX: usize = 4096;

/// A library, by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Library<'a> {
    /// The folder, without a slash at its end.
    pub folder: &'a [u8],
    /// The file name.
    pub name: &'a [u8],
}

/// Takes a path apart if a loader might be asked for its name: `lib*.so*` wherever it lies, and anything else with `.so`
/// in a folder for libraries. Extension modules of Python and separate debugging data are none.
#[must_use]
pub fn library(path: &[u8]) -> Option<Library<'_>> {
    let slash = path.rfind_byte(b'/')?;
    let (folder, name) = (&path[..slash], &path[slash + 1..]);
    // Most paths end here: a name has few dots, and looking for them is quick.
    let mut dots = memchr::memchr_iter(b'.', name);
    if !dots.any(|at| name[at..].starts_with(b".so"))
        || name.len() > NAME_BYTES_MAX
        || folder.len() > FOLDER_BYTES_MAX
        || !has_library_suffix(name)
    {
        return None;
    }
    if [&b".cpython-"[..], b".pypy", b".abi3.so"].iter().any(|mark| name.find(mark).is_some()) {
        return None;
    }
    (name.starts_with(b"lib") || is_library_folder(folder)).then_some(Library { folder, name })
}

/// Whether a name ends in `.so`, or in `.so` and a version: `.1.2.3`, `.0d`, `.1ubuntu2`.
fn has_library_suffix(name: &[u8]) -> bool {
    name.find_iter(b".so").any(|at| {
        let mut version = name[at + 3..].split_str(b".");
        // What stands before the first dot must be nothing.
        version.next() == Some(b"")
            && version.all(|part| part.first().is_some_and(|&letter| letter.is_ascii_digit()))
    })
}

/// Whether a loader may look in a folder of this name: `lib`, `lib64`, or a folder for one kind of machine.
fn is_library_folder(folder: &[u8]) -> bool {
    let last = folder.rsplit_str(b"/").next().unwrap_or_default();
    matches!(last, b"lib" | b"lib32" | b"lib64" | b"libx32") || last.find(b"-linux-").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(path: &str, folder: &str, name: &str) {
        let expected = Library { folder: folder.as_bytes(), name: name.as_bytes() };
        assert_eq!(library(path.as_bytes()), Some(expected), "{path}");
    }

    #[test]
    fn libraries_are_known_by_name_and_folder() {
        is("/lib/libz.so.1", "/lib", "libz.so.1");
        is("/lib/libz.so", "/lib", "libz.so");
        is("/share/app/libfoo.source.so.2", "/share/app", "libfoo.source.so.2");
        is("/lib64/ld-linux-x86-64.so.2", "/lib64", "ld-linux-x86-64.so.2");
        is("/usr/lib/x86_64-linux-gnu/ClazyPlugin.so", "/usr/lib/x86_64-linux-gnu", "ClazyPlugin.so");
        is("/lib/libssl.so.0d", "/lib", "libssl.so.0d");
        is("/libz.so", "", "libz.so");
    }

    #[test]
    fn what_no_loader_is_asked_for_is_left_out() {
        for path in [
            "/lib/python3.11/site-packages/numpy/_core.cpython-311-x86_64-linux-gnu.so",
            "/lib/python3.11/site-packages/a/b.abi3.so",
            "/lib/libz.so.1.debug",
            "/lib/libz.so.1.2.hmac",
            "/lib/libz.sonata",
            "/lib/libz.a",
            "/share/doc/libz.so.1/README",
            "/lib/foo.so/x",
            "/lib/gtk-3.0/modules/thing.so",
            "libz.so",
            "/lib/libz.so.",
            "",
        ] {
            assert_eq!(library(path.as_bytes()), None, "{path}");
        }
        assert_eq!(library(format!("/lib/lib{}.so", "x".repeat(300)).as_bytes()), None);
    }
}
