//! Reading a loader's own words: was it a library that was missing, or something else?

/// What a failed load was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// A library was not found.
    MissingLibrary(String),
    /// A library was found that does not define a version asked for.
    MissingVersion(String),
    /// Another complaint of the loader's: a symbol, a damaged file, memory for thread-local storage.
    Loader,
    /// Not the loader's words: the module has a reason of its own (a display, a licence, an import order).
    Own,
}

/// Reads the message of an `ImportError` or `OSError`, or what a program printed before it ended.
///
/// glibc's words are those of `elf/dl-load.c` and `elf/dl-version.c`, which exist in English only where Python raises
/// them (`dlerror` is translated, so callers run Python with `LC_ALL=C`); musl's are those of `ldso/dynlink.c`.
#[must_use]
pub fn complaint(message: &str) -> Complaint {
    const GLIBC_MISSING: &str = ": cannot open shared object file";
    const MUSL_MISSING: &str = "Error loading shared library ";
    if let Some(end) = message.find(GLIBC_MISSING) {
        return Complaint::MissingLibrary(last_word(&message[..end]));
    }
    if let Some(start) = message.find(MUSL_MISSING) {
        let rest = &message[start + MUSL_MISSING.len()..];
        return Complaint::MissingLibrary(rest.split(": ").next().unwrap_or(rest).to_owned());
    }
    if let Some((_, rest)) = message.split_once("version `")
        && let Some((version, rest)) = rest.split_once('\'')
        && rest.starts_with(" not found")
    {
        return Complaint::MissingVersion(version.to_owned());
    }
    let loader = [
        "undefined symbol",
        "invalid ELF header",
        "file too short",
        "cannot allocate memory in static TLS block",
        "cannot enable executable stack",
        "ELF load command",
        "wrong ELF class",
        "Error relocating",
    ];
    if loader.iter().any(|words| message.contains(words)) { Complaint::Loader } else { Complaint::Own }
}

fn last_word(text: &str) -> String {
    text.rsplit([' ', '\n', '\'', '"']).next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named() {
        let missing = |name: &str| Complaint::MissingLibrary(name.to_owned());
        let glibc = "libz.so.1: cannot open shared object file: No such file or directory";
        assert_eq!(complaint(glibc), missing("libz.so.1"));
        let program = "bin/x: error while loading shared libraries: libfoo.so.2: cannot open shared object file: No such file";
        assert_eq!(complaint(program), missing("libfoo.so.2"));
        let numpy =
            "IMPORTANT: PLEASE READ THIS\n\nOriginal error was: libz.so.1: cannot open shared object file: x";
        assert_eq!(complaint(numpy), missing("libz.so.1"));
        let musl = "Error loading shared library libz.so.1: No such file or directory (needed by /a/b.so)";
        assert_eq!(complaint(musl), missing("libz.so.1"));
    }

    #[test]
    fn a_missing_version_is_told_apart_from_a_missing_library() {
        let words = "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /a/b.so)";
        assert_eq!(complaint(words), Complaint::MissingVersion("GLIBC_2.38".to_owned()));
    }

    #[test]
    fn a_reason_of_its_own_is_not_the_loaders() {
        assert_eq!(complaint("/a/b.so: undefined symbol: PyFoo"), Complaint::Loader);
        assert_eq!(complaint("no display name and no $DISPLAY environment variable"), Complaint::Own);
        assert_eq!(complaint("No module named 'tkinter'"), Complaint::Own);
        assert_eq!(complaint("version `"), Complaint::Own);
    }
}
