//! Finding the calls in a Python file that load libraries by name.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, ExceptHandler, Expr, ExprCall, Parameters, Stmt, StmtIf, StmtTry};
use ruff_text_size::Ranged;

use super::depth::is_shallow;
use super::eval::{Binding, Bindings, Evaluation};
use super::names::is_plausible;
use super::{How, Request};

/// The largest file that is read. The largest that loads a library by name, of 10 000 files seen, has 540 KiB.
const BYTES_MAX: usize = 4 << 20;

/// Why a file was not read: never an error, for Python may never import it either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// Larger than any source that people write.
    TooLarge,
    /// Nested deeper than Python itself allows.
    TooDeep,
    /// No Python of today: syntax of Python 2, a template, or no text at all.
    Syntax,
}

/// The words of which every way to load a library by name has one.
static WORDS: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    // All words at once, with the processor's wide registers: an automaton looks for rare letters first, and in code these
    // are not rare enough. `None` where the processor has no such registers.
    Searcher::new(["CDLL", "PyDLL", "cdll", "dlopen", "find_library", "oadLibrary", "load_library"])
});

/// Whether a file may load a library by name: one pass over its bytes, which a parser takes a hundred times as long for.
#[must_use]
pub fn worth_scanning(bytes: &[u8]) -> bool {
    WORDS.as_ref().is_none_or(|words| words.find(bytes).is_some())
}

/// The calls in a Python file that load a library by name, in the order of the file.
///
/// Bytes that are no UTF-8 count as one strange letter each: names of libraries are ASCII in every encoding that Python
/// reads (PEP 263). The caller gives it a stack of at least 16 MiB, which the deepest file that is not refused may need.
pub fn scan(bytes: &[u8]) -> Result<Vec<Request>, Unparsed> {
    if bytes.len() > BYTES_MAX {
        return Err(Unparsed::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    if !is_shallow(&text) {
        return Err(Unparsed::TooDeep);
    }
    let parsed = ruff_python_parser::parse_module(&text).map_err(|_| Unparsed::Syntax)?;
    let suite = parsed.suite();
    let mut binder = Binder::default();
    binder.visit_body(suite);
    let lines = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let mut finder = Finder { known: &binder, lines, apart: 0, requests: Vec::new() };
    finder.visit_body(suite);
    Ok(finder.requests)
}

/// The parts of an `if` that run on Linux, as far as its tests tell.
fn live<'a>(bindings: &Bindings<'a>, branches: &'a StmtIf) -> Vec<&'a [Stmt]> {
    let mut live: Vec<&[Stmt]> = Vec::new();
    let first = std::iter::once((Some(branches.test.as_ref()), branches.body.as_slice()));
    let others =
        branches.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), clause.body.as_slice()));
    for (test, body) in first.chain(others) {
        match test.map_or(Some(true), |test| Evaluation::new(bindings).holds(test)) {
            Some(true) => {
                live.push(body);
                break;
            }
            Some(false) => {}
            None => live.push(body),
        }
    }
    live
}

/// The last name of what is called: `CDLL` of `ctypes.CDLL`, without the underscores of a private import.
fn called(function: &Expr) -> Option<&str> {
    let name = match function {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => return None,
    };
    Some(name.trim_start_matches('_'))
}

/// Whether a call is Windows' own: `windll.LoadLibrary`.
fn is_of_windows(function: &Expr) -> bool {
    let Expr::Attribute(attribute) = function else { return false };
    matches!(called(&attribute.value), Some("windll" | "oledll" | "WinDLL" | "OleDLL"))
}

/// How a call loads a library, if it is one of the ways that Python has.
fn direct(call: &ExprCall) -> Option<How> {
    match called(&call.func)? {
        "CDLL" | "PyDLL" | "LoadLibrary" => Some(How::Ctypes),
        "find_library" => Some(How::FindLibrary),
        "dlopen" => Some(How::Dlopen),
        _ => None,
    }
}

/// Whether a function's name says that it loads a library.
fn says_that_it_loads(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("dlopen")
        || (name.contains("lib") && ["load", "find", "locate", "open"].iter().any(|word| name.contains(word)))
}

/// Collects what names are bound to, and which functions of the file load libraries, or run when it is imported.
#[derive(Default)]
struct Binder<'a> {
    bindings: Bindings<'a>,
    wrappers: Vec<&'a str>,
    run_at_import: Vec<&'a str>,
    inside: Vec<&'a str>,
}

impl<'a> Binder<'a> {
    fn bind(&mut self, target: &'a Expr, value: &'a Expr, element: bool) {
        let name = match target {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            // Each name may be any element: of `for a, b in [("x", "y")]` too.
            Expr::Tuple(tuple) => {
                let values = match value {
                    Expr::Tuple(values) if !element && values.elts.len() == tuple.elts.len() => {
                        Some(&values.elts)
                    }
                    _ => None,
                };
                for (index, target) in tuple.elts.iter().enumerate() {
                    match values {
                        Some(values) => self.bind(target, &values[index], false),
                        None => self.bind(target, value, true),
                    }
                }
                return;
            }
            _ => return,
        };
        self.bindings.entry(name).or_default().push(Binding { value, element });
    }

    fn bind_defaults(&mut self, parameters: &'a Parameters) {
        for parameter in parameters.iter_non_variadic_params() {
            if let Some(default) = parameter.default() {
                let name = parameter.name().as_str();
                self.bindings.entry(name).or_default().push(Binding { value: default, element: false });
            }
        }
    }
}

impl<'a> Visitor<'a> for Binder<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.bind(target, &assign.value, false);
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.bind(&assign.target, value, false);
                }
            }
            Stmt::AugAssign(assign) => self.bind(&assign.target, &assign.value, false),
            Stmt::For(each) => self.bind(&each.target, &each.iter, true),
            Stmt::If(branches) => {
                for body in live(&self.bindings, branches) {
                    self.visit_body(body);
                }
                self.visit_expr(&branches.test);
                return;
            }
            Stmt::FunctionDef(function) => {
                self.bind_defaults(&function.parameters);
                self.inside.push(function.name.as_str());
                visitor::walk_stmt(self, statement);
                self.inside.pop();
                return;
            }
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Named(named) = expression {
            self.bind(&named.target, &named.value, false);
        }
        if let Expr::Call(call) = expression {
            if direct(call).is_some() {
                self.wrappers.extend(&self.inside);
            }
            match call.func.as_ref() {
                Expr::Name(name) if self.inside.is_empty() => self.run_at_import.push(name.id.as_str()),
                // `names.append("x")`, `names.extend(["x", "y"])`
                Expr::Attribute(method) if matches!(method.attr.as_str(), "append" | "extend" | "insert") => {
                    if let Some(value) = call.arguments.args.last() {
                        self.bind(&method.value, value, false);
                    }
                }
                _ => {}
            }
        }
        visitor::walk_expr(self, expression);
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        self.bind(&comprehension.target, &comprehension.iter, true);
        visitor::walk_comprehension(self, comprehension);
    }
}

/// Finds the calls.
struct Finder<'b, 'a> {
    known: &'b Binder<'a>,
    /// Where lines end, as offsets.
    lines: Vec<usize>,
    /// How many functions or guards are around: what is there does not run at import, or may fail.
    apart: usize,
    requests: Vec<Request>,
}

impl<'a> Finder<'_, 'a> {
    fn apart(&mut self, visit: impl FnOnce(&mut Self)) {
        self.apart += 1;
        visit(self);
        self.apart -= 1;
    }

    fn call(&mut self, call: &'a ExprCall) {
        let Some(name) = called(&call.func).filter(|_| !is_of_windows(&call.func)) else { return };
        let is_own =
            matches!(call.func.as_ref(), Expr::Name(name) if self.known.wrappers.contains(&name.id.as_str()));
        let arguments = &call.arguments;
        let (how, values): (How, Vec<&Expr>) = match direct(call).filter(|_| !is_own) {
            Some(how) => {
                let named = arguments
                    .keywords
                    .iter()
                    .find(|keyword| keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == "name"));
                (how, arguments.args.first().or(named.map(|keyword| &keyword.value)).into_iter().collect())
            }
            None if is_own || says_that_it_loads(name) => (How::Wrapper, arguments.args.iter().collect()),
            None => return,
        };
        let mut evaluation = Evaluation::new(&self.known.bindings);
        let mut names: Vec<String> = Vec::new();
        for value in values {
            names.extend(evaluation.of(value).texts.into_iter().filter(|text| is_plausible(text)));
        }
        // A function of another module may do anything; one that takes a switch may take "no" for an answer.
        let is_certain = how != How::Wrapper || (is_own && arguments.keywords.is_empty());
        self.push(call, how, names, is_certain);
    }

    fn push(&mut self, at: &impl Ranged, how: How, names: Vec<String>, certain: bool) {
        if names.is_empty() {
            return;
        }
        let offset = at.range().start().to_usize();
        let line = self.lines.partition_point(|&end| end < offset) + 1;
        self.requests.push(Request { line, how, names, certain: certain && self.apart == 0 });
    }
}

impl<'a> Visitor<'a> for Finder<'_, 'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::If(branches) => {
                self.visit_expr(&branches.test);
                let bodies = live(&self.known.bindings, branches);
                if is_main(&branches.test) {
                    self.apart(|this| bodies.into_iter().for_each(|body| this.visit_body(body)));
                } else {
                    for body in bodies {
                        self.visit_body(body);
                    }
                }
            }
            Stmt::FunctionDef(function) => {
                if self.apart == 0 && self.known.run_at_import.contains(&function.name.as_str()) {
                    visitor::walk_stmt(self, statement);
                } else {
                    self.apart(|this| visitor::walk_stmt(this, statement));
                }
            }
            Stmt::Try(guard) if is_forgiving(guard) => self.apart(|this| visitor::walk_stmt(this, statement)),
            Stmt::With(with) if with.items.iter().any(|item| suppresses(&item.context_expr)) => {
                self.apart(|this| visitor::walk_stmt(this, statement));
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => self.call(call),
            // `ctypes.cdll["libfoo.so.1"]`
            Expr::Subscript(subscript) if called(&subscript.value) == Some("cdll") => {
                let names = Evaluation::new(&self.known.bindings).of(&subscript.slice).texts;
                let names = names.into_iter().filter(|text| is_plausible(text)).collect();
                self.push(subscript, How::Ctypes, names, true);
            }
            Expr::Lambda(_) => return self.apart(|this| visitor::walk_expr(this, expression)),
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

/// Whether the module goes on when the body fails: some handler does not end in another error.
fn is_forgiving(guard: &StmtTry) -> bool {
    guard.handlers.iter().any(|handler| {
        let ExceptHandler::ExceptHandler(handler) = handler;
        !matches!(handler.body.last(), Some(Stmt::Raise(_)))
    })
}

/// `with suppress(OSError):`
fn suppresses(context: &Expr) -> bool {
    matches!(context, Expr::Call(call) if called(&call.func) == Some("suppress"))
}

/// `if __name__ == "__main__":`
fn is_main(test: &Expr) -> bool {
    matches!(test, Expr::Compare(compare) if matches!(compare.left.as_ref(), Expr::Name(name) if name.id.as_str() == "__name__"))
}

#[cfg(test)]
mod tests;
