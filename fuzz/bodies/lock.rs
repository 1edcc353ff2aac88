//! A lock or a `pyproject.toml` of any bytes: read or refused, and a choice is made among what it lists.

use pitstop_core::requirements::{Asked, read};
use pitstop_core::targets::{Interpreter, Libc};

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let interpreter = Interpreter {
        version: (3, 11),
        free_threaded: false,
        machine: "x86_64".to_owned(),
        libc: Libc::Glibc(Some((2, 36))),
    };
    for name in ["uv.lock", "poetry.lock", "pylock.toml", "pyproject.toml"] {
        match read(name, &text, &interpreter) {
            Ok(Asked::Locked(packages)) => {
                for package in &packages {
                    let _ = package.choose(&interpreter);
                }
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
