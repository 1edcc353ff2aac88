//! `pitstop locate`: which packages have a library, or any file.

mod paths;
mod sonames;

use super::Done;
use crate::args::Locate;
use crate::output::Output;

/// Runs the command. Names of libraries, without any of nix-locate's options, are looked up; all else is searched for in a
/// nix-index database.
pub(super) fn run(arguments: &Locate, json: bool, output: &Output) -> Done {
    if arguments.only_asks() && arguments.patterns.iter().all(|pattern| is_soname(pattern)) {
        sonames::run(&arguments.patterns, json, output)
    } else {
        paths::run(arguments, json, output)
    }
}

/// Whether a pattern has the form of a soname: `libz.so`, `libz.so.1`, `libfoo-1.2.so.3.4`.
fn is_soname(pattern: &str) -> bool {
    let numbers = |text: &str| text.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    !pattern.contains(['/', '*', '\\', '^', '$'])
        && pattern.match_indices(".so").any(|(at, _)| at > 0 && numbers(&pattern[at + 3..]))
}

#[cfg(test)]
mod tests {
    use super::is_soname;

    #[test]
    fn names_of_libraries_are_told_from_patterns() {
        for soname in ["libz.so.1", "libz.so", "libtinfo-1.so.5.9", "ld-linux-x86-64.so.2", "lib.source.so"] {
            assert!(is_soname(soname), "{soname}");
        }
        for pattern in ["lib/libz.so.1", "libz", "libz.so.x", ".so", "libz.so.1$", "bin/zsh", "a.sock"] {
            assert!(!is_soname(pattern), "{pattern}");
        }
    }
}
