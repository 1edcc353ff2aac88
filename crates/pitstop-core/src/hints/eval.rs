//! Which texts an expression may come to on Linux, as far as the file itself tells.
//!
//! This is no interpreter: a name stands for everything that the file ever binds to it, a loop variable for every element, a
//! platform test for what it is on Linux. What depends on anything else is unknown, and an unknown part makes the
//! whole text unknown.

use std::collections::HashMap;

use ruff_python_ast::{BoolOp, CmpOp, Expr, InterpolatedStringElement, Operator, UnaryOp};

/// Texts that one expression may come to: Wand's products of versions and options are 24.
const TEXTS_MAX: usize = 128;
/// Expressions looked at for one call: bindings may refer to each other in circles.
const STEPS_MAX: usize = 4_000;
/// Bindings followed one after the other.
const BINDINGS_DEEP_MAX: usize = 12;

/// What names are bound to, anywhere in a file that runs on Linux. Attributes (`self.name`) count as names.
pub(super) type Bindings<'a> = HashMap<&'a str, Vec<Binding<'a>>>;

/// What a name is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    /// The expression.
    pub(super) value: &'a Expr,
    /// Whether the name is an element of it: the variable of a loop.
    pub(super) element: bool,
}

/// What an expression comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    /// The texts; of a sequence, its elements.
    pub(super) texts: Vec<String>,
    /// Whether it is a tuple or a list rather than a text.
    sequence: bool,
}

impl Value {
    fn text(text: &str) -> Self {
        Self { texts: vec![text.to_owned()], sequence: false }
    }

    fn add(&mut self, other: Self) {
        for text in other.texts {
            if self.texts.len() < TEXTS_MAX && !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
        self.sequence |= other.sequence;
    }
}

/// An evaluation of one expression.
pub(super) struct Evaluation<'b, 'a> {
    bindings: &'b Bindings<'a>,
    steps: usize,
    bindings_deep: usize,
}

impl<'b, 'a> Evaluation<'b, 'a> {
    pub(super) fn new(bindings: &'b Bindings<'a>) -> Self {
        Self { bindings, steps: STEPS_MAX, bindings_deep: 0 }
    }

    /// The texts that `expression` may be; none where it depends on what the file does not tell.
    pub(super) fn of(&mut self, expression: &'a Expr) -> Value {
        let Some(left) = self.steps.checked_sub(1) else { return Value::default() };
        self.steps = left;
        match expression {
            Expr::StringLiteral(literal) => Value::text(literal.value.to_str()),
            Expr::NumberLiteral(number) => match &number.value {
                ruff_python_ast::Number::Int(number) => Value::text(&number.to_string()),
                _ => Value::default(),
            },
            Expr::FString(string) => {
                let parts = string.value.elements().map(|element| match element {
                    InterpolatedStringElement::Literal(literal) => Part::Text(&literal.value),
                    InterpolatedStringElement::Interpolation(field) => Part::Field(&field.expression),
                });
                self.joined(parts.collect())
            }
            Expr::Tuple(tuple) => self.sequence(&tuple.elts),
            Expr::List(list) => self.sequence(&list.elts),
            Expr::Set(set) => self.sequence(&set.elts),
            Expr::Dict(dict) => {
                let mut all = Value { sequence: true, ..Value::default() };
                for item in &dict.items {
                    all.add(self.of(&item.value));
                }
                all
            }
            Expr::ListComp(comprehension) => self.elements_of(&comprehension.elt, &comprehension.generators),
            Expr::Generator(generator) => self.elements_of(&generator.elt, &generator.generators),
            Expr::Starred(starred) => self.of(&starred.value),
            Expr::Named(named) => self.of(&named.value),
            Expr::If(choice) => match self.holds(&choice.test) {
                Some(true) => self.of(&choice.body),
                Some(false) => self.of(&choice.orelse),
                None => {
                    let mut both = self.of(&choice.body);
                    both.add(self.of(&choice.orelse));
                    both
                }
            },
            Expr::BoolOp(operation) => {
                let mut any = Value::default();
                for value in &operation.values {
                    any.add(self.of(value));
                }
                any
            }
            Expr::BinOp(operation) => self.operation(&operation.left, operation.op, &operation.right),
            Expr::Subscript(subscript) => self.subscript(&subscript.value, &subscript.slice),
            Expr::Call(call) => self.call(call),
            Expr::Name(name) => self.bound(name.id.as_str()),
            Expr::Attribute(_) if platform(expression).is_some() => {
                Value::text(platform(expression).unwrap_or_default())
            }
            Expr::Attribute(attribute) => self.bound(attribute.attr.as_str()),
            _ => Value::default(),
        }
    }

    fn bound(&mut self, name: &str) -> Value {
        let bindings = self.bindings;
        let Some(expressions) = bindings.get(name).filter(|_| self.bindings_deep < BINDINGS_DEEP_MAX) else {
            return Value::default();
        };
        self.bindings_deep += 1;
        let mut any = Value::default();
        for binding in expressions {
            let value = self.of(binding.value);
            any.add(Value { sequence: value.sequence && !binding.element, ..value });
        }
        self.bindings_deep -= 1;
        any
    }

    fn sequence(&mut self, elements: &'a [Expr]) -> Value {
        let mut all = Value { sequence: true, ..Value::default() };
        for element in elements {
            all.add(self.of(element));
        }
        all.sequence = true;
        all
    }

    fn elements_of(&mut self, element: &'a Expr, _of: &'a [ruff_python_ast::Comprehension]) -> Value {
        // The variables of a comprehension are bound like those of a loop.
        Value { sequence: true, ..self.of(element) }
    }

    fn operation(&mut self, left: &'a Expr, operator: Operator, right: &'a Expr) -> Value {
        match operator {
            Operator::Add => {
                let (mut first, second) = (self.of(left), self.of(right));
                if first.sequence || second.sequence {
                    first.add(second);
                    return first;
                }
                let texts = products(&[first.texts, second.texts]);
                Value { texts: texts.into_iter().map(|parts| parts.concat()).collect(), sequence: false }
            }
            Operator::Mod => {
                let values: Vec<&Expr> = match right {
                    Expr::Tuple(tuple) => tuple.elts.iter().collect(),
                    other => vec![other],
                };
                self.filled(left, &["%s", "%d", "%i", "%r"], &values)
            }
            _ => Value::default(),
        }
    }

    /// A template with its places filled in, one after the other.
    fn filled(&mut self, template: &'a Expr, places: &[&str], values: &[&'a Expr]) -> Value {
        let mut all = Value::default();
        for template in self.of(template).texts {
            let mut sets: Vec<Vec<String>> = Vec::new();
            let mut rest = template.as_str();
            let mut number = 0;
            while let Some((at, length)) = next_place(rest, places) {
                sets.push(vec![rest[..at].to_owned()]);
                let inside = rest[at + 1..at + length].trim_end_matches('}');
                let index = inside.parse().unwrap_or(number);
                sets.push(values.get(index).map(|value| self.of(value).texts).unwrap_or_default());
                rest = &rest[at + length..];
                number += 1;
            }
            sets.push(vec![rest.to_owned()]);
            let texts = products(&sets).into_iter().map(|parts| parts.concat()).collect();
            all.add(Value { texts, sequence: false });
        }
        all
    }

    fn joined(&mut self, parts: Vec<Part<'a>>) -> Value {
        let sets: Vec<Vec<String>> = parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => vec![text.to_owned()],
                Part::Field(expression) => self.of(expression).texts,
            })
            .collect();
        let texts = products(&sets).into_iter().map(|parts| parts.concat()).collect();
        Value { texts, sequence: false }
    }

    fn subscript(&mut self, value: &'a Expr, slice: &'a Expr) -> Value {
        let dict = match value {
            Expr::Name(name) => match self.bindings.get(name.id.as_str()).map(Vec::as_slice) {
                Some([Binding { value: Expr::Dict(dict), element: false }]) => Some(dict),
                _ => None,
            },
            Expr::Dict(dict) => Some(dict),
            _ => None,
        };
        if let Some(dict) = dict {
            let wanted = self.of(slice).texts;
            for item in &dict.items {
                let key = item.key.as_ref().map(|key| self.of(key).texts).unwrap_or_default();
                if key.iter().any(|key| wanted.contains(key)) {
                    return self.of(&item.value);
                }
            }
        }
        // One element of a sequence, which one is not known; of a text, a part that is none.
        let all = self.of(value);
        if all.sequence { Value { sequence: false, ..all } } else { Value::default() }
    }

    fn call(&mut self, call: &'a ruff_python_ast::ExprCall) -> Value {
        if let Some(known) = platform_call(&call.func) {
            return Value::text(known);
        }
        let arguments = &call.arguments.args;
        let first = arguments.first();
        let Expr::Attribute(function) = call.func.as_ref() else {
            // `str(name)`, `list(names)`, `getenv("X", "default")`.
            return match (call.func.as_ref(), first) {
                (Expr::Name(name), Some(first))
                    if matches!(
                        name.id.as_str(),
                        "str" | "list" | "tuple" | "iter" | "reversed" | "sorted" | "set"
                    ) =>
                {
                    self.of(first)
                }
                (Expr::Name(name), _) if name.id.as_str() == "getenv" => {
                    arguments.get(1).map(|default| self.of(default)).unwrap_or_default()
                }
                _ => Value::default(),
            };
        };
        match function.attr.as_str() {
            "get" | "getenv" | "pop" if arguments.len() == 2 => {
                // `{"Linux": …}.get(system, default)`, `environ.get("X", "default")`.
                let found = self.subscript(&function.value, &arguments[0]);
                if found.texts.is_empty() { self.of(&arguments[1]) } else { found }
            }
            "get" if arguments.len() == 1 => self.subscript(&function.value, &arguments[0]),
            "format" => {
                let values: Vec<&Expr> = arguments.iter().collect();
                self.filled(&function.value, &["{"], &values)
            }
            "split" => {
                let mut parts = Value { sequence: true, ..Value::default() };
                for text in self.of(&function.value).texts {
                    let separator = first.map(|first| self.of(first).texts).unwrap_or_default();
                    let split: Vec<String> = match separator.first() {
                        Some(separator) if !separator.is_empty() => {
                            text.split(separator.as_str()).map(str::to_owned).collect()
                        }
                        _ => text.split_whitespace().map(str::to_owned).collect(),
                    };
                    parts.add(Value { texts: split, sequence: true });
                }
                parts
            }
            "items" | "values" | "copy" | "strip" | "encode" => self.of(&function.value),
            _ => Value::default(),
        }
    }

    /// Whether a test holds on Linux; `None` where that does not decide it.
    pub(super) fn holds(&mut self, test: &'a Expr) -> Option<bool> {
        let left = self.steps.checked_sub(1)?;
        self.steps = left;
        match test {
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => self.holds(&not.operand).map(|holds| !holds),
            Expr::BoolOp(operation) => {
                let decided: Vec<Option<bool>> =
                    operation.values.iter().map(|value| self.holds(value)).collect();
                let (ends, otherwise) = match operation.op {
                    BoolOp::And => (false, true),
                    BoolOp::Or => (true, false),
                };
                if decided.contains(&Some(ends)) {
                    Some(ends)
                } else if decided.iter().all(|one| *one == Some(otherwise)) {
                    Some(otherwise)
                } else {
                    None
                }
            }
            Expr::Compare(compare) => {
                let ([operator], [right]) = (compare.ops.as_ref(), compare.comparators.as_ref()) else {
                    return None;
                };
                let mine = self.platform_of(&compare.left)?;
                let theirs = self.of(right).texts;
                if theirs.is_empty() {
                    return None;
                }
                let is_mine = theirs.iter().any(|text| text.eq_ignore_ascii_case(mine));
                match operator {
                    CmpOp::Eq | CmpOp::In => Some(is_mine),
                    CmpOp::NotEq | CmpOp::NotIn => Some(!is_mine),
                    _ => None,
                }
            }
            Expr::Call(call) => {
                let Expr::Attribute(function) = call.func.as_ref() else { return None };
                let mine = match function.attr.as_str() {
                    "startswith" => self.platform_of(&function.value)?,
                    _ => return None,
                };
                let starts = self.of(call.arguments.args.first()?).texts;
                Some(starts.iter().any(|start| mine.starts_with(start.as_str())))
            }
            Expr::Name(name) => self.flag(name.id.as_str()),
            Expr::Attribute(attribute) => self.flag(attribute.attr.as_str()),
            Expr::Named(named) => self.holds(&named.value),
            _ => None,
        }
    }

    /// `IS_WINDOWS = os.name == "nt"`.
    fn flag(&mut self, name: &str) -> Option<bool> {
        let bindings = self.bindings;
        let Some([Binding { value, element: false }]) = bindings.get(name).map(Vec::as_slice) else {
            return None;
        };
        match value {
            Expr::Compare(_) | Expr::Call(_) | Expr::BoolOp(_) | Expr::UnaryOp(_) => self.holds(value),
            _ => None,
        }
    }

    /// What an expression that names the platform is on Linux.
    fn platform_of(&mut self, expression: &'a Expr) -> Option<&'static str> {
        match expression {
            Expr::Call(call) => match call.func.as_ref() {
                // `platform.system().lower()`
                Expr::Attribute(method) if matches!(method.attr.as_str(), "lower" | "casefold") => {
                    self.platform_of(&method.value).map(|_| "linux")
                }
                function => platform_call(function),
            },
            Expr::Name(name) if platform(expression).is_none() => {
                let bindings = self.bindings;
                match bindings.get(name.id.as_str()).map(Vec::as_slice) {
                    Some([Binding { value, .. }]) if self.bindings_deep < BINDINGS_DEEP_MAX => {
                        self.bindings_deep += 1;
                        let found = self.platform_of(value);
                        self.bindings_deep -= 1;
                        found
                    }
                    _ => None,
                }
            }
            other => platform(other),
        }
    }
}

/// A part of an f-string.
enum Part<'a> {
    Text(&'a str),
    Field(&'a Expr),
}

/// The next place in a template, and its length: `%s`, or `{` to its `}`.
fn next_place(template: &str, places: &[&str]) -> Option<(usize, usize)> {
    let (at, place) =
        places.iter().filter_map(|place| Some((template.find(place)?, *place))).min_by_key(|(at, _)| *at)?;
    if place != "{" {
        return Some((at, place.len()));
    }
    Some((at, template[at..].find('}')? + 1))
}

/// Every way to take one of each; none where some set is empty.
fn products(sets: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for set in sets {
        let longer = all.iter().flat_map(|head| {
            set.iter().map(move |one| head.iter().chain([one]).cloned().collect::<Vec<String>>())
        });
        all = longer.take(TEXTS_MAX).collect();
    }
    all
}

/// `sys.platform`, `os.name`, under any name of the module.
fn platform(expression: &Expr) -> Option<&'static str> {
    let Expr::Attribute(attribute) = expression else { return None };
    let Expr::Name(module) = attribute.value.as_ref() else { return None };
    match (module.id.as_str().trim_start_matches('_'), attribute.attr.as_str()) {
        ("sys", "platform") => Some("linux"),
        ("os", "name") => Some("posix"),
        _ => None,
    }
}

/// `platform.system()`, `platform.machine()`.
fn platform_call(function: &Expr) -> Option<&'static str> {
    let name = match function {
        Expr::Attribute(attribute) => match attribute.value.as_ref() {
            Expr::Name(module) if module.id.as_str().trim_start_matches('_') == "platform" => {
                attribute.attr.as_str()
            }
            _ => return None,
        },
        _ => return None,
    };
    match name {
        "system" => Some("Linux"),
        _ => None,
    }
}
