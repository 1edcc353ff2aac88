//! How deep a Python file nests, told from its tokens before it is parsed.
//!
//! The parser is a recursive one, and so is the destructor of its tree: a file of a hundred thousand `(` or `1+` would
//! overflow the stack, which ends the program. CPython refuses such files too (200 open brackets, 100 indentations).

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

/// The deepest path through the syntax tree that is parsed, in tokens. The deepest of 10 000 files seen had 380.
pub(super) const DEPTH_MAX: usize = 1_500;
/// CPython's `MAXINDENT` (`Parser/lexer/state.h`).
const INDENTS_MAX: usize = 100;
/// Lambdas in one logical line: the comma between a lambda's parameters parts nothing.
const LAMBDAS_MAX: usize = 100;

/// Whether no path through the tree of `source` can be longer than [`DEPTH_MAX`].
///
/// Each level of an expression takes at least one token, so the tokens since the last comma, summed over the brackets
/// that are open, bound the depth.
pub(super) fn is_shallow(source: &str) -> bool {
    let mut lexer = lex(source, Mode::Module);
    let (mut indents, mut lambdas) = (0_usize, 0_usize);
    // The tokens of each open bracket, and whether it is a string's own: the fields of an f-string stand side by side.
    let mut levels: Vec<(usize, bool)> = vec![(0, false)];
    let mut total = 0_usize;
    loop {
        let kind = lexer.next_token();
        match kind {
            TokenKind::EndOfFile => return true,
            TokenKind::Indent => indents += 1,
            TokenKind::Dedent => indents = indents.saturating_sub(1),
            TokenKind::Newline | TokenKind::Semi if levels.len() == 1 => {
                (levels, total, lambdas) = (vec![(0, false)], 0, 0);
            }
            // Strings side by side are one value; comments and line ends are none.
            TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::Newline
            | TokenKind::NonLogicalNewline => {}
            TokenKind::Comma => {
                if let Some((level, _)) = levels.last_mut() {
                    total -= std::mem::take(level);
                }
            }
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                levels.push((1, matches!(kind, TokenKind::FStringStart | TokenKind::TStringStart)));
                total += 1;
            }
            TokenKind::Rpar
            | TokenKind::Rsqb
            | TokenKind::Rbrace
            | TokenKind::FStringEnd
            | TokenKind::TStringEnd => {
                if levels.len() > 1 {
                    total -= levels.pop().map_or(0, |(level, _)| level);
                }
                // `f()()()` nests by its closed brackets.
                if let Some((level, false)) = levels.last_mut() {
                    *level += 1;
                    total += 1;
                }
            }
            _ => {
                lambdas += usize::from(kind == TokenKind::Lambda);
                if let Some((level, _)) = levels.last_mut() {
                    *level += 1;
                    total += 1;
                }
            }
        }
        if total > DEPTH_MAX || indents > INDENTS_MAX || lambdas > LAMBDAS_MAX {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_shallow() {
        let table = format!("x = [{}]\n", "-1, ".repeat(100_000));
        let text = format!("x = ({})\n", "'a' ".repeat(100_000));
        let lines = "x = f(1)(2)\n".repeat(100_000);
        for source in [table, text, lines] {
            assert!(is_shallow(&source));
        }
    }

    #[test]
    fn every_way_to_nest_deep_is_seen() {
        let deep = 100_000;
        let of = |part: &str| part.repeat(deep);
        let indented: String = (0..200).map(|level| format!("{}if 1:\n", " ".repeat(level))).collect();
        let sources = [
            of("("),
            of("f("),
            of("[{"),
            of("-"),
            of("not "),
            format!("x = {}1", of("1+")),
            format!("x = {}1", of("2**")),
            format!("x = a{}", of(".b")),
            format!("x = a{}", of("()")),
            format!("x = a{}", of("[0]")),
            of("lambda a, b: "),
            format!("x = {}1", of("1 if 1 else ")),
            of("f'{"),
            of("f\"{f'{"),
            indented,
        ];
        for source in sources {
            assert!(!is_shallow(&source), "{}", &source[..40]);
        }
    }
}
