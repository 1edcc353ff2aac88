//! Names from outside, made harmless where they are drawn.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A name as it may stand between tags and in quotes, in XML and HTML alike. What cannot be seen is written as its
/// number: control characters, and those that turn the direction of writing or take no room, so that no name looks
/// like another or moves what stands beside it.
pub(super) fn escaped(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ if is_unseen(character) => {
                let _ = write!(safe, "{}", character.escape_unicode());
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// The same for several lines.
pub(super) fn escaped_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().map(escaped).collect::<Vec<_>>().join("\n")
}

fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
        || u32::from(character) & 0xfffe == 0xfffe
        || (character.width() == Some(0))
}

/// How many columns of a terminal's letters a name takes once it is drawn.
pub(super) fn columns(name: &str) -> usize {
    name.chars()
        .map(|character| {
            if is_unseen(character) {
                character.escape_unicode().count()
            } else {
                character.width().unwrap_or(1)
            }
        })
        .sum()
}

/// A name of at most so many columns: of a longer one the middle is left out, since its ends say most.
pub(super) fn elided(name: &str, most: usize) -> String {
    if columns(name) <= most {
        return name.to_owned();
    }
    let half = |room: usize, backwards: bool| {
        let mut taken: Vec<char> = Vec::new();
        let mut used = 0;
        let mut letters = name.chars();
        while let Some(letter) = if backwards { letters.next_back() } else { letters.next() } {
            used += columns(letter.encode_utf8(&mut [0; 4]));
            if used > room {
                break;
            }
            taken.push(letter);
        }
        if backwards {
            taken.reverse();
        }
        taken.into_iter().collect::<String>()
    };
    let room = most.saturating_sub("…".width());
    format!("{}…{}", half(room - room / 2, false), half(room / 2, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_xml_or_cannot_be_seen_is_written_out() {
        assert_eq!(escaped("</script><a b='c'>&\""), "&lt;/script&gt;&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
        assert_eq!(escaped("a\u{1b}[2J\u{202e}os.\u{200b}\n"), "a\\u{1b}[2J\\u{202e}os.\\u{200b}\\u{a}");
        assert_eq!(escaped("\u{ffff}\u{1fffe}\u{e0041}"), "\\u{ffff}\\u{1fffe}\\u{e0041}");
        assert_eq!(escaped("größe-日本.so"), "größe-日本.so");
    }

    #[test]
    fn long_names_lose_their_middle_and_never_more_room_than_they_have() {
        assert_eq!(elided("libz.so.1", 9), "libz.so.1");
        assert_eq!(elided("libopenblas64_p-r0-0cf96a72.so", 15), "libopen…6a72.so");
        for most in 1..30 {
            for name in [
                "libopenblas64_p-r0-0cf96a72.3.23.dev.so",
                "日本日本日本日本日本日本日本日本日本",
                "\u{202e}\u{202e}abcdefghijklmnopqrstuvwxyz",
            ] {
                assert!(columns(&elided(name, most)) <= most, "{name:?} in {most}");
            }
        }
    }
}
