//! Keeping passwords out of what is shown and kept.

use std::borrow::Cow;

/// What stands in the place of a name and password.
const HIDDEN: &str = "***@";

/// A text with the names and passwords of its URLs (`https://user:token@host/…`, RFC 3986 section 3.2.1) hidden.
///
/// The name alone is hidden, too, for many servers take a token there; but not `git@` of ssh, which everybody uses.
#[must_use]
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    const SCHEME_END: &str = "://";
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(SCHEME_END) {
        let (before, after) = rest.split_at(at + SCHEME_END.len());
        let ends = |letter: char| {
            letter.is_whitespace() || letter.is_control() || "/?#\"'`<>\\|,;()".contains(letter)
        };
        let authority = after.split(ends).next().unwrap_or_default();
        // A password may hold anything but these, another `@` included.
        let user = authority.rfind('@').map_or("", |end| &authority[..=end]);
        shown.push_str(before);
        let plain = user.is_empty() || (before.ends_with("ssh://") && !user.contains(':'));
        shown.push_str(if plain { user } else { HIDDEN });
        rest = &after[user.len()..];
    }
    if shown.is_empty() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_hidden_and_all_else_is_kept() {
        for (text, shown) in [
            ("https://user:pass@host/a?b=c", "https://***@host/a?b=c"),
            ("at http://token@host:80, and https://a:b@c", "at http://***@host:80, and https://***@c"),
            ("{\"url\":\"https://a:p@ss@host\"}", "{\"url\":\"https://***@host\"}"),
            ("git+ssh://git@host/x", "git+ssh://git@host/x"),
            ("ssh://me:word@host/x", "ssh://***@host/x"),
            ("socks5://a:b@[::1]:9", "socks5://***@[::1]:9"),
            ("https://host/a@b and file:///x@y", "https://host/a@b and file:///x@y"),
            ("nothing://", "nothing://"),
            ("a@b", "a@b"),
            ("größe://ä:ö@ü", "größe://***@ü"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
