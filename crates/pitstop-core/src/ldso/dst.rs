//! Search paths as written in a file or a variable, and the dynamic string tokens in them.
//!
//! glibc: `is_dst`, `_dl_dst_count`, `_dl_dst_substitute` and `fillin_rpath` in `elf/dl-load.c`. musl: `fixup_rpath` and
//! `path_open` in `ldso/dynlink.c`.

use bstr::{BStr, BString, ByteSlice};

/// What the tokens stand for, for one object.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// `$ORIGIN`: the folder of the path by which the object was opened; `None` where that is not known.
    pub origin: Option<&'a BStr>,
    /// `$LIB`: a property of the loader, such as `lib64` or `lib/x86_64-linux-gnu`.
    pub lib: &'a BStr,
    /// `$PLATFORM`: `AT_PLATFORM` as the loader sees it; `None` where the kernel gives none.
    pub platform: Option<&'a BStr>,
}

/// The tokens that glibc knows, in the order in which it tries them.
#[derive(Clone, Copy)]
enum Token {
    Origin,
    Platform,
    Lib,
}

/// The token at the start of `rest`, which is what follows a `$`, and its length there, braces included.
fn token(rest: &[u8]) -> Option<(Token, usize)> {
    let (name, braces) = match rest.strip_prefix(b"{") {
        Some(inner) => (inner, true),
        None => (rest, false),
    };
    for (token, spelt) in
        [(Token::Origin, &b"ORIGIN"[..]), (Token::Platform, b"PLATFORM"), (Token::Lib, b"LIB")]
    {
        let Some(after) = name.strip_prefix(spelt) else { continue };
        let next = after.first();
        if braces {
            if next == Some(&b'}') {
                return Some((token, spelt.len() + 2));
            }
        } else if !next.is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_') {
            return Some((token, spelt.len()));
        }
    }
    None
}

/// Replaces the tokens in `text`. `None` where a token that is known has no value here: glibc then drops the element
/// of the path that holds it, and skips a `DT_NEEDED` that does. An unknown token stays as it is written.
#[must_use]
pub fn expand(text: &BStr, tokens: Tokens<'_>) -> Option<BString> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest: &[u8] = text;
    while let Some(dollar) = rest.find_byte(b'$') {
        expanded.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let Some((token, length)) = token(rest) else {
            expanded.push(b'$');
            continue;
        };
        let value = match token {
            Token::Origin => tokens.origin,
            Token::Platform => tokens.platform,
            Token::Lib => Some(tokens.lib),
        };
        expanded.extend_from_slice(value?);
        rest = &rest[length..];
    }
    expanded.extend_from_slice(rest);
    Some(expanded.into())
}

/// Where the elements of a path come from, which decides how they are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// `DT_RPATH` or `DT_RUNPATH`: parted by `:`.
    InFile,
    /// `LD_LIBRARY_PATH`: parted by `:` or `;`.
    Variable,
}

/// The folders of a glibc search path in order, each once, without trailing slashes (except `/` itself).
///
/// An empty element is the current folder, given as an empty string. A path that is empty as a whole has no elements.
#[must_use]
pub fn split(path: &BStr, kind: PathKind, tokens: Tokens<'_>) -> Vec<BString> {
    let mut folders: Vec<BString> = Vec::new();
    if path.is_empty() {
        return folders;
    }
    for element in path.split(|&c| c == b':' || (kind == PathKind::Variable && c == b';')) {
        let folder = if element.is_empty() {
            BString::default()
        } else {
            match expand(element.as_bstr(), tokens) {
                Some(folder) if !folder.is_empty() => without_trailing_slashes(folder.as_bstr()).into(),
                _ => continue,
            }
        };
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// `path` without the slashes it ends in; `/` stays.
#[must_use]
pub fn without_trailing_slashes(path: &BStr) -> &BStr {
    let mut end = path.len();
    while end > 1 && path[end - 1] == b'/' {
        end -= 1;
    }
    path[..end].as_bstr()
}

/// The folder of a path as `_dl_new_object` cuts it: all up to the last slash, or the slash where nothing is before it.
#[must_use]
pub fn origin(path: &BStr) -> Option<&BStr> {
    match path.rfind_byte(b'/')? {
        0 => Some(path[..1].as_bstr()),
        slash => Some(path[..slash].as_bstr()),
    }
}

/// musl's reading of an rpath or runpath: `None` where it holds any token but `$ORIGIN`, which makes musl ignore the
/// whole of it. Only the folders are returned, empty ones left out, as `path_open` skips runs of separators.
#[must_use]
pub fn split_musl(path: &BStr, origin: Option<&BStr>) -> Option<Vec<BString>> {
    let mut expanded = Vec::with_capacity(path.len());
    let mut rest: &[u8] = path;
    while let Some(dollar) = rest.find_byte(b'$') {
        expanded.extend_from_slice(&rest[..dollar]);
        let token = &rest[dollar..];
        let length = if token.starts_with(b"${ORIGIN}") {
            9
        } else if token.starts_with(b"$ORIGIN") {
            7
        } else {
            return None;
        };
        expanded.extend_from_slice(origin.unwrap_or(b".".as_bstr()));
        rest = &token[length..];
    }
    expanded.extend_from_slice(rest);
    Some(musl_elements(expanded.as_bstr()))
}

/// The folders of a musl path list, parted by `:` or a line end.
#[must_use]
pub fn musl_elements(path: &BStr) -> Vec<BString> {
    path.split(|&c| c == b':' || c == b'\n')
        .filter(|element| !element.is_empty())
        .map(BString::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens<'static> {
        Tokens {
            origin: Some(b"/opt/a/lib".as_bstr()),
            lib: b"lib64".as_bstr(),
            platform: Some(b"haswell".as_bstr()),
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text.into(), tokens()).unwrap(), expected, "{text}");
    }

    #[test]
    fn tokens_are_replaced_with_and_without_braces() {
        check("$ORIGIN/../x", "/opt/a/lib/../x");
        check("${ORIGIN}x", "/opt/a/libx");
        check("/usr/$LIB/$PLATFORM", "/usr/lib64/haswell");
    }

    #[test]
    fn a_longer_name_or_an_open_brace_is_no_token() {
        check("$ORIGINAL/$LIB_/${LIB/${ORIGIN", "$ORIGINAL/$LIB_/${LIB/${ORIGIN");
        check("$$LIB$", "$lib64$");
        check("$FOO/${BAR}", "$FOO/${BAR}");
    }

    #[test]
    fn a_known_token_without_a_value_loses_its_element_only() {
        let tokens = Tokens { origin: None, ..tokens() };
        assert_eq!(expand("a$ORIGIN".into(), tokens), None);
        assert_eq!(split("$ORIGIN/a:/b:$LIB".into(), PathKind::InFile, tokens), ["/b", "lib64"]);
    }

    #[test]
    fn an_empty_element_is_the_current_folder_but_an_empty_path_is_nothing() {
        assert_eq!(split("".into(), PathKind::InFile, tokens()), Vec::<BString>::new());
        assert_eq!(split("/a::/b".into(), PathKind::InFile, tokens()), ["/a", "", "/b"]);
        assert_eq!(split(":".into(), PathKind::InFile, tokens()), [""]);
    }

    #[test]
    fn only_the_variable_is_parted_by_semicolons() {
        assert_eq!(split("/a;/b:/c".into(), PathKind::InFile, tokens()), ["/a;/b", "/c"]);
        assert_eq!(split("/a;/b:/c".into(), PathKind::Variable, tokens()), ["/a", "/b", "/c"]);
    }

    #[test]
    fn trailing_slashes_and_repeated_folders_do_not_count() {
        assert_eq!(split("/a//:/a:/:///".into(), PathKind::InFile, tokens()), ["/a", "/"]);
    }

    #[test]
    fn the_origin_is_the_text_before_the_last_slash() {
        assert_eq!(origin("/a/../b/c.so".into()), Some("/a/../b".into()));
        assert_eq!(origin("/c.so".into()), Some("/".into()));
        assert_eq!(origin("c.so".into()), None);
    }

    #[test]
    fn musl_ignores_a_path_with_any_other_token() {
        let origin = Some(b"/o".as_bstr());
        assert_eq!(split_musl("$ORIGIN/a::${ORIGIN}/b".into(), origin).unwrap(), ["/o/a", "/o/b"]);
        assert_eq!(split_musl("/a:$LIB".into(), origin), None);
    }
}
