//! Documents held against JSON schemas: strictly, so that no field is printed that no schema describes.
//!
//! Whether they are valid is decided by a validator (`answers.rs`). This knows the keywords that our schemas use, and no
//! others.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keywords that say nothing of a document.
const WORDS: &[&str] = &["$schema", "title", "description", "$defs"];

/// A schema, and what of it has been seen in documents.
pub(crate) struct Schema {
    root: Value,
    /// Fields that some document had: a definition or nothing, and the field's name.
    seen: BTreeSet<(String, String)>,
}

impl Schema {
    pub(crate) fn new(root: Value) -> Self {
        Self { root, seen: BTreeSet::new() }
    }

    /// What it defines by name.
    pub(crate) fn definitions(&self) -> &Value {
        &self.root["$defs"]
    }

    /// Holds a document against it.
    pub(crate) fn hold(&mut self, document: &Value) -> Result<(), String> {
        let root = self.root.clone();
        self.check(&root, "", document, "$")
    }

    /// Fields that no document had.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let root = [("", &self.root)];
        let defs = self.root["$defs"].as_object().into_iter().flatten();
        let defs = defs.map(|(name, schema)| (name.as_str(), schema));
        let mut unseen = Vec::new();
        for (name, schema) in root.into_iter().chain(defs) {
            for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
                if !self.seen.contains(&(name.to_owned(), field.clone())) {
                    unseen.push(format!("{name}.{field}"));
                }
            }
        }
        unseen
    }

    fn check(&mut self, schema: &Value, name: &str, value: &Value, place: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
        for (keyword, rule) in schema.as_object().ok_or("a schema is an object")? {
            match keyword.as_str() {
                "$ref" => {
                    let name = rule.as_str().and_then(|to| to.strip_prefix("#/$defs/")).ok_or("a ref")?;
                    let to = self.root["$defs"][name].clone();
                    self.check(&to, name, value, place)?;
                }
                "anyOf" | "oneOf" => {
                    let trials = rule.as_array().ok_or("a list")?;
                    let found: Vec<_> =
                        trials.iter().map(|trial| self.check(trial, name, value, place)).collect();
                    if found.iter().all(Result::is_err) {
                        return found.into_iter().next().unwrap_or_else(|| wrong("is nothing"));
                    }
                }
                "type" if !is_of(rule, value) => return wrong("is of another type"),
                "enum" if !rule.as_array().is_some_and(|them| them.contains(value)) => {
                    return wrong("is not in the list");
                }
                "const" if rule != value => return wrong("is something else"),
                "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => {
                    return wrong("is too small");
                }
                "minItems"
                    if value.as_array().is_some_and(|list| Some(list.len() as u64) < rule.as_u64()) =>
                {
                    return wrong("is too short");
                }
                "items" => {
                    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, name, item, &format!("{place}[{at}]"))?;
                    }
                }
                "required" => {
                    for field in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        if value.is_object() && value.get(field).is_none() {
                            return wrong(&format!("has no {field}"));
                        }
                    }
                }
                "properties" => self.check_fields(rule, name, value, place)?,
                "additionalProperties" => {
                    for (field, value) in value.as_object().into_iter().flatten() {
                        self.check(rule, name, value, &format!("{place}.{field}"))?;
                    }
                }
                "type" | "enum" | "const" | "minimum" | "minItems" => {}
                word if WORDS.contains(&word) => {}
                word => return Err(format!("{place}: a keyword that is not known here: {word}")),
            }
        }
        Ok(())
    }

    fn check_fields(&mut self, fields: &Value, name: &str, value: &Value, place: &str) -> Result<(), String> {
        for (field, value) in value.as_object().into_iter().flatten() {
            let rule = fields.get(field).ok_or_else(|| format!("{place}: no schema describes {field}"))?;
            self.check(rule, "", value, &format!("{place}.{field}"))?;
            self.seen.insert((name.to_owned(), field.clone()));
        }
        Ok(())
    }
}

fn is_of(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("null") => value.is_null(),
        _ => false,
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

#[test]
fn a_document_that_is_not_described_is_refused() {
    use serde_json::json;
    let text = json!({
        "type": "object", "required": ["a"],
        "properties": { "a": { "type": "array", "items": { "$ref": "#/$defs/b" } } },
        "$defs": { "b": { "type": "object", "properties": { "c": { "enum": ["x", null] } } } },
    });
    let mut schema = Schema::new(text);
    assert!(schema.hold(&json!({ "a": [] })).is_ok());
    assert_eq!(schema.unseen(), ["b.c"]);
    assert!(schema.hold(&json!({ "a": [{ "c": "x" }, { "c": null }] })).is_ok());
    assert!(schema.unseen().is_empty());
    for bad in
        [json!({}), json!([]), json!({ "a": 1 }), json!({ "a": [{ "c": "y" }] }), json!({ "a": [], "d": 1 })]
    {
        assert!(schema.hold(&bad).is_err(), "{bad}");
    }
}
