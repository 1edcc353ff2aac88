//! Where a program's own libraries may lie: `pitstop-libs`, in the program's folder or that folder's parent.

/// The name of the link, or folder.
const NAME: &[u8] = b"/pitstop-libs";

/// Puts the path of a farm into `buffer`, with a NUL, and gives its length without it. `up` is how many folders above the
/// program's own it is: 0 or 1. `program` is an absolute path.
///
/// Nothing where there is no such folder, or where a search path cannot hold it: the loader splits that at `:` and `;`
/// and replaces `$`.
pub fn path(program: &[u8], up: usize, buffer: &mut [u8]) -> Option<usize> {
    if !program.starts_with(b"/") || program.iter().any(|byte| matches!(byte, b':' | b';' | b'$' | 0)) {
        return None;
    }
    let mut folder = program;
    for _ in 0..=up {
        let slash = folder.iter().rposition(|byte| *byte == b'/')?;
        folder = folder.get(..slash)?;
    }
    let len = folder.len() + NAME.len();
    let place = buffer.get_mut(..=len)?;
    let text = folder.iter().chain(NAME).chain(b"\0");
    for (place, byte) in place.iter_mut().zip(text) {
        *place = *byte;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(program: &str, up: usize) -> Option<[u8; 32]> {
        let mut buffer = [0; 32];
        path(program.as_bytes(), up, &mut buffer).map(|len| {
            assert_eq!(buffer.get(len), Some(&0));
            buffer
        })
    }

    fn padded(text: &str) -> [u8; 32] {
        let mut buffer = [0; 32];
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        buffer
    }

    #[test]
    fn a_farm_lies_in_the_programs_folder_or_its_parent() {
        assert_eq!(shown("/venv/bin/ruff", 0), Some(padded("/venv/bin/pitstop-libs")));
        assert_eq!(shown("/venv/bin/ruff", 1), Some(padded("/venv/pitstop-libs")));
        assert_eq!(shown("/bin/ruff", 1), Some(padded("/pitstop-libs")));
        assert_eq!(shown("/ruff", 0), Some(padded("/pitstop-libs")));
        assert_eq!(shown("/ruff", 1), None, "the root has no parent");
    }

    #[test]
    fn what_a_search_path_cannot_hold_is_no_farm() {
        for program in ["/a:b/ruff", "/a;b/ruff", "/$ORIGIN/ruff", "ruff", "(unreachable)/ruff", ""] {
            assert_eq!(shown(program, 0), None, "{program}");
        }
        assert_eq!(shown("/a/folder/whose/name/is/longer/than/the/buffer", 0), None);
    }
}
