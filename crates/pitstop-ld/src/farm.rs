//! Where a program's own libraries may lie: `pitstop-libs`, in the program's folder or that folder's parent.

/// The name of the link, or folder.
const NAME: &[u8] = b"/pitstop-libs";

/// Where a farm would lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the folder's path. Asking again with these gives the folder's parent.
    pub folder_len: usize,
    /// Bytes of the farm's path, without its NUL.
    pub len: usize,
}

/// Turns the first `len` bytes of `buffer`, the absolute path of a program, into the path of the farm in the same folder, with a
/// NUL. The folder's part stays as it is.
///
/// Nothing where there is no such folder, or where a search path cannot hold it: the loader splits that at `:` and `;`
/// and replaces `$`.
pub fn beside(buffer: &mut [u8], len: usize) -> Option<Place> {
    let program = buffer.get(..len)?;
    if !program.starts_with(b"/") || program.iter().any(|byte| matches!(byte, b':' | b';' | b'$' | 0)) {
        return None;
    }
    let folder_len = program.iter().rposition(|byte| *byte == b'/')?;
    let len = folder_len + NAME.len();
    let place = buffer.get_mut(folder_len..=len)?;
    for (place, byte) in place.iter_mut().zip(NAME.iter().chain(b"\0")) {
        *place = *byte;
    }
    Some(Place { folder_len, len })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::borrow::ToOwned;
    use std::string::String;

    /// The farms of a program: in its folder and in that folder's parent.
    fn shown(program: &str) -> [Option<String>; 2] {
        let mut buffer = [0; 40];
        buffer[..program.len()].copy_from_slice(program.as_bytes());
        let mut len = program.len();
        [(); 2].map(|()| {
            let place = beside(&mut buffer, len)?;
            len = place.folder_len;
            assert_eq!(buffer[place.len], 0);
            String::from_utf8(buffer[..place.len].to_vec()).ok()
        })
    }

    #[test]
    fn a_farm_lies_in_the_programs_folder_or_its_parent() {
        let farms = |one: &str, two: Option<&str>| [Some(one.to_owned()), two.map(str::to_owned)];
        let parent = Some("/venv/pitstop-libs");
        assert_eq!(shown("/venv/bin/ruff"), farms("/venv/bin/pitstop-libs", parent));
        assert_eq!(shown("/bin/ruff"), farms("/bin/pitstop-libs", Some("/pitstop-libs")));
        assert_eq!(shown("/ruff"), farms("/pitstop-libs", None), "the root has no parent");
    }

    #[test]
    fn what_a_search_path_cannot_hold_is_no_farm() {
        for program in ["/a:b/ruff", "/a;b/ruff", "/$ORIGIN/ruff", "ruff", "(unreachable)/ruff", ""] {
            assert_eq!(shown(program), [None, None], "{program}");
        }
        assert_eq!(shown("/a/folder/whose/farm/does/not/fit/in")[0], None);
    }
}
