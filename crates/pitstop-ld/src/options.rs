//! The command line of a loader that is started by hand: `ld.so [OPTION]… PROGRAM [ARGUMENT]…`, as in ld.so(8) and glibc's
//! elf/rtld.c.

use core::ffi::CStr;

/// What the shim has to know of that command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// The caller gives a search path (`--library-path`), which for the real loader replaces `LD_LIBRARY_PATH`.
    pub has_library_path: bool,
    /// The program to start.
    pub program: Option<&'a CStr>,
}

/// Options without a value; all others have one.
const ALONE: [&[u8]; 7] = [
    b"--list",
    b"--verify",
    b"--inhibit-cache",
    b"--help",
    b"--version",
    b"--list-tunables",
    b"--list-diagnostics",
];

impl<'a> Options<'a> {
    /// Reads the arguments that follow the loader's own name.
    pub fn read(mut arguments: impl Iterator<Item = &'a CStr>) -> Options<'a> {
        let mut has_library_path = false;
        while let Some(argument) = arguments.next() {
            let bytes = argument.to_bytes();
            if bytes == b"--" {
                return Options { has_library_path, program: arguments.next() };
            }
            if !bytes.starts_with(b"--") {
                return Options { has_library_path, program: Some(argument) };
            }
            has_library_path |= bytes == b"--library-path";
            if !ALONE.contains(&bytes) {
                arguments.next();
            }
        }
        Options { has_library_path, program: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(arguments: &[&'a CStr]) -> (bool, Option<&'a CStr>) {
        let options = Options::read(arguments.iter().copied());
        (options.has_library_path, options.program)
    }

    #[test]
    fn the_program_is_the_first_that_is_no_option_and_no_value_of_one() {
        assert_eq!(read(&[c"ls", c"--library-path", c"x"]), (false, Some(c"ls")));
        assert_eq!(read(&[c"--list", c"ls"]), (false, Some(c"ls")));
        assert_eq!(read(&[c"--argv0", c"sh", c"busybox", c"sh"]), (false, Some(c"busybox")));
        assert_eq!(read(&[c"--preload", c"a.so", c"--library-path", c"x", c"ls"]), (true, Some(c"ls")));
        assert_eq!(read(&[c"--", c"--odd"]), (false, Some(c"--odd")));
        assert_eq!(read(&[c"--version"]), (false, None));
        assert_eq!(read(&[c"--library-path"]), (true, None));
        assert_eq!(read(&[]), (false, None));
    }
}
