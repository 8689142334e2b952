//! One parameter: all that its schema says, read once and not for each plan.

use jsonschema::Validator;
use serde_json::Value;

use super::environment::{is_file, variable_of, variable_text};

/// Keywords of a parameter schema as a whole that say nothing about how its parameters depend on each
/// other: with these alone each parameter can be checked by itself.
const INDEPENDENT: [&str; 8] = [
    "$comment",
    "$schema",
    "additionalProperties",
    "description",
    "properties",
    "required",
    "title",
    "type",
];

/// A parameter.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// The variable that its value goes to.
    pub variable: String,
    /// Whether the variable has the path of a file with the value, and not the value.
    pub is_file: bool,
    /// Whether each value of a list is a line (`x-format: lines`).
    pub lines: bool,
    /// Whether text may begin with a dash (`x-allow-leading-dash`).
    pub dashes: bool,
    /// What it is where it was not given.
    pub default: Option<Value>,
    schema: Value,
    validator: Option<Validator>,
}

impl Property {
    /// Reads the schema of one parameter. `validator` checks its values by themselves.
    pub(super) fn new(name: &str, schema: &Value, validator: Option<Validator>) -> Self {
        Self {
            name: name.to_owned(),
            variable: variable_of(name, schema),
            is_file: is_file(schema),
            lines: schema.get("x-format").and_then(Value::as_str) == Some("lines"),
            dashes: schema.get("x-allow-leading-dash").and_then(Value::as_bool) == Some(true),
            default: schema.get("default").cloned(),
            schema: schema.clone(),
            validator,
        }
    }

    /// Whether a value is known to keep the rules of the schema; `false` also where that takes a look at
    /// the other parameters.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.validator.as_ref().is_some_and(|validator| validator.is_valid(value))
    }

    /// The text of a value in its variable or file.
    #[must_use]
    pub fn text(&self, value: &Value) -> String {
        match value {
            Value::String(text) => text.clone(),
            other => variable_text(&self.schema, other),
        }
    }

    /// The bytes of that text.
    #[must_use]
    pub fn text_length(&self, value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            other => variable_text(&self.schema, other).len(),
        }
    }
}

/// Whether the parameters of a schema can be checked one by one.
pub(super) fn are_independent(schema: &serde_json::Map<String, Value>) -> bool {
    let known =
        |keyword: &String| INDEPENDENT.contains(&keyword.as_str()) || keyword.starts_with("x-");
    schema.keys().all(known) && !schema.values().any(refers)
}

/// Whether a part of a schema refers to another part.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            map.keys().any(|key| matches!(key.as_str(), "$ref" | "$dynamicRef" | "$anchor" | "$id"))
                || map.values().any(refers)
        }
        Value::Array(all) => all.iter().any(refers),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_parameters_that_know_nothing_of_each_other_are_independent() {
        let independent = |schema: Value| are_independent(schema.as_object().unwrap());
        assert!(independent(json!({
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "string", "enum": ["b"]}},
            "x-order": ["a"],
        })));
        for dependent in [
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"if": {}, "then": {}}),
            json!({"minProperties": 1}),
            json!({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}}),
            json!({"properties": {"a": {"items": [{"$ref": "#"}]}}}),
        ] {
            assert!(!independent(dependent.clone()), "{dependent}");
        }
    }
}
