//! What is looked for.

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
};

use super::super::{Node, Package};

/// What a file is, as nix-locate tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file that nobody may execute.
    Regular,
    /// A regular file that may be executed.
    Executable,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl Kind {
    /// What stands there.
    #[must_use]
    pub const fn of(node: &Node) -> Kind {
        match node {
            Node::Regular { executable: false, .. } => Kind::Regular,
            Node::Regular { executable: true, .. } => Kind::Executable,
            Node::Directory { .. } => Kind::Directory,
            Node::Symlink { .. } => Kind::Symlink,
        }
    }

    /// Its letter: `r`, `x`, `d` or `s`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Kind::Regular => 'r',
            Kind::Executable => 'x',
            Kind::Directory => 'd',
            Kind::Symlink => 's',
        }
    }
}

/// What is asked, with the meaning that nix-locate's options have.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are options of a command, each by itself")]
pub struct Options {
    /// What paths must hold: any of them.
    pub patterns: Vec<String>,
    /// Whether `patterns` and `package` are regular expressions rather than text.
    pub regex: bool,
    /// Whether a match must stand at the end of the path.
    pub whole_name: bool,
    /// Whether a match must stand at the root of the store path.
    pub at_root: bool,
    /// What the package's name must hold.
    pub package: Option<String>,
    /// The hash that the store path must have.
    pub hash: Option<String>,
    /// What files must be; empty for any.
    pub kinds: Vec<Kind>,
    /// Whether what stands in a folder that matches is wanted, too.
    pub no_group: bool,
    /// Whether packages are wanted that only stand in the closure of one of the set.
    pub all: bool,
}

/// A pattern that cannot be searched for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the pattern cannot be understood: {reason}")]
pub struct PatternError {
    /// What is wrong with it, over several lines that show where.
    pub reason: String,
}

/// What is asked, ready to be searched for.
#[derive(Debug)]
pub struct Query {
    /// Each pattern, for a path alone.
    exact: Vec<Regex>,
    /// All of them, for a text of many paths. `None` where any path may match.
    scan: Option<Regex>,
    package: Option<Regex>,
    options: Options,
}

/// Sizes and syntax that the crate `regex` has, and with it nix-locate.
fn builder() -> regex_automata::meta::Builder {
    let mut builder = Regex::builder();
    let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(10 << 20));
    builder.configure(config).syntax(syntax::Config::new().utf8(false));
    builder
}

fn parse(pattern: &str) -> Result<Hir, PatternError> {
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    parser.parse(pattern).map_err(|error| PatternError { reason: error.to_string() })
}

fn build(hir: &Hir) -> Result<Regex, PatternError> {
    builder().build_from_hir(hir).map_err(|error| PatternError {
        reason: error.size_limit().map_or_else(
            || error.to_string(),
            |limit| format!("it would take more than {limit} bytes to match"),
        ),
    })
}

impl Query {
    /// Makes a query ready.
    ///
    /// # Errors
    ///
    /// A regular expression that is none, or too large.
    pub fn new(options: Options) -> Result<Query, PatternError> {
        // Text needs no parser.
        let within = |pattern: &str| {
            if options.regex { parse(pattern) } else { Ok(Hir::literal(pattern.as_bytes())) }
        };
        let whole = |pattern: &String| {
            if options.regex {
                // As text, as nix-locate does: `^` and `$` bind tighter than `|`.
                let (start, end) =
                    (if options.at_root { "^" } else { "" }, if options.whole_name { "$" } else { "" });
                return parse(&format!("{start}{pattern}{end}"));
            }
            let start = options.at_root.then(|| Hir::look(Look::Start));
            let end = options.whole_name.then(|| Hir::look(Look::End));
            Ok(Hir::concat(start.into_iter().chain([within(pattern)?]).chain(end).collect()))
        };
        let parsed = options.patterns.iter().map(whole).collect::<Result<Vec<Hir>, _>>()?;
        let exact = parsed.iter().map(build).collect::<Result<_, _>>()?;
        let scan = parsed.iter().map(within_a_line).collect::<Option<Vec<Hir>>>();
        let scan = scan.map(|lines| build(&Hir::alternation(lines))).transpose()?;
        let package = options.package.as_deref().map(|pattern| build(&within(pattern)?)).transpose()?;
        Ok(Query { exact, scan, package, options })
    }

    /// Where each match of a path stands, of the first pattern that has any: for colours.
    pub fn matches<'t>(&'t self, path: &'t [u8]) -> impl Iterator<Item = std::ops::Range<usize>> + 't {
        let regex = self.exact.iter().find(|regex| regex.is_match(path));
        regex.into_iter().flat_map(move |regex| regex.find_iter(path).map(|found| found.range()))
    }

    /// The next match in a text of many paths.
    #[inline]
    pub(super) fn next(&self, input: &Input<'_>) -> Option<regex_automata::Match> {
        match &self.scan {
            Some(scan) => scan.search(input),
            None => Some(regex_automata::Match::must(0, input.start()..input.start())),
        }
    }

    /// Whether a path is wanted in which the first match ends at `end`.
    #[inline]
    pub(super) fn is_wanted(&self, path: &[u8], end: usize) -> bool {
        if self.scan.is_some() && (self.options.no_group || !super::goes_deeper(path, end)) {
            return true;
        }
        self.exact.iter().any(|regex| {
            let last = regex.find_iter(path).last();
            last.is_some_and(|last| self.options.no_group || !super::goes_deeper(path, last.end()))
        })
    }

    pub(super) fn is_of_kind(&self, node: &Node) -> bool {
        self.options.kinds.is_empty() || self.options.kinds.contains(&Kind::of(node))
    }

    /// Whether only some packages are asked for.
    pub(super) fn asks_for_packages(&self) -> bool {
        self.package.is_some() || self.options.hash.is_some()
    }

    pub(super) fn likes(&self, package: &Package) -> bool {
        (self.options.all || package.origin.toplevel)
            && self.options.hash.as_ref().is_none_or(|hash| *hash == package.path.hash)
            && self.package.as_ref().is_none_or(|regex| regex.is_match(&package.path.name))
    }
}

/// The same expression for a text of many paths, each with a newline behind it: it begins and ends at lines, and matches
/// no newline. `None` where that cannot be said.
fn within_a_line(hir: &Hir) -> Option<Hir> {
    Some(match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut class = class.clone();
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(Look::StartCRLF | Look::EndCRLF) => return None,
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(within_a_line(&repetition.sub)?);
            Hir::repetition(regex_syntax::hir::Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => within_a_line(&capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(within_a_line).collect::<Option<_>>()?),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.iter().map(within_a_line).collect::<Option<_>>()?)
        }
    })
}
