//! Checking parameters: all that is wrong at once, each with path, value, rule and what would be
//! accepted.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::environment::{MAX_VARIABLE, is_forbidden, is_variable_name, variable_of};
use super::property::{Property, are_independent};
use crate::catalog::model::ParameterSchema;
use crate::catalog::schema::dotted;
use crate::error::Problem;
use crate::text::{nearest_hint, shown};

/// The largest compiled pattern, in bytes. The engine takes linear time, so this bounds both.
const MAX_PATTERN: usize = 1024 * 1024;

/// A parameter schema that is ready to check values.
#[derive(Debug)]
pub struct ParameterRules {
    schema: ParameterSchema,
    /// By name.
    properties: Vec<Property>,
    required: Vec<String>,
    /// Of all parameters together.
    validator: Validator,
}

fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    // Patterns come from people who may write anything: the linear engine, with a bound.
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN);
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .offline()
        .build(schema)
}

impl ParameterRules {
    /// Compiles the schema of a stage, whose parameters are bound to variables.
    ///
    /// # Errors
    /// What is wrong with the schema, with paths below `parameters`.
    pub fn compile_bound(schema: &ParameterSchema) -> Result<Self, Vec<Problem>> {
        let mut problems = variable_problems(schema);
        match Self::compile(schema) {
            Ok(rules) if problems.is_empty() => Ok(rules),
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    /// Compiles a schema whose parameters reach no script by themselves: that of a pipeline.
    ///
    /// # Errors
    /// What is wrong with the schema, with paths below `parameters`.
    pub fn compile(schema: &ParameterSchema) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let required = schema.0.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        for name in &required {
            if schema.property(name).is_none() {
                let hint = nearest_hint(name, schema.properties().map(|(name, _)| name));
                let message = format!("there is no parameter `{name}`{hint}");
                problems.push(Problem::new("parameters.required", message));
            }
        }
        let mut full: Map<String, Value> = schema.0.clone();
        full.insert("type".into(), json!("object"));
        full.insert("additionalProperties".into(), json!(false));
        let whole = match validator(&Value::Object(full)) {
            Ok(whole) => whole,
            Err(error) => {
                let path = dotted(error.instance_path().as_str());
                let message = format!("not a JSON Schema: {error}");
                problems.push(Problem::new(format!("parameters.{path}"), message));
                return Err(problems);
            }
        };
        let independent = are_independent(&schema.0);
        let property = |(name, one): (&str, &Value)| {
            Property::new(name, one, independent.then(|| validator(one).ok()).flatten())
        };
        let rules = Self {
            properties: schema.properties().map(property).collect(),
            required: required.into_iter().map(str::to_owned).collect(),
            schema: schema.clone(),
            validator: whole,
        };
        for (name, one) in schema.properties() {
            if let Some(default) = one.get("default") {
                let only = BTreeMap::from([(name.to_owned(), default.clone())]);
                for mut problem in rules.problems_of(only).1 {
                    if problem.path == name || problem.path.starts_with(&format!("{name}.")) {
                        problem.path = format!("parameters.properties.{name}.default");
                        problems.push(problem);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// The parameters, by name.
    #[must_use]
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &ParameterSchema {
        &self.schema
    }

    /// Adds defaults and checks everything.
    ///
    /// # Errors
    /// All that is wrong, by path.
    pub fn check(
        &self,
        given: BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Value>, Vec<Problem>> {
        self.check_without(given, |_| false)
    }

    /// The same, where parameters of which `comes_later` is true need not be there yet.
    ///
    /// # Errors
    /// All that is wrong, by path.
    pub fn check_without(
        &self,
        given: BTreeMap<String, Value>,
        comes_later: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Value>, Vec<Problem>> {
        let mut values = given;
        for one in &self.properties {
            if let Some(default) = &one.default
                && !values.contains_key(&one.name)
            {
                values.insert(one.name.clone(), default.clone());
            }
        }
        if self.are_sound(&values) {
            return Ok(values);
        }
        let (values, mut problems) = self.problems_of(values);
        // All that can be wrong with a value that is not there is that it is not there.
        problems.retain(|one| values.contains_key(&one.path) || !comes_later(&one.path));
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    /// Reads values that came as text (job parameters, the command line) as the types that the
    /// schema asks for. What cannot be read stays text, and the check explains it.
    #[must_use]
    pub fn read_text(&self, given: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        given
            .iter()
            .map(|(name, value)| {
                let kind = self.schema.property(name).and_then(|one| one.get("type"));
                let read = match (value, kind.and_then(Value::as_str)) {
                    (Value::String(text), Some(kind)) => read_as(kind, text),
                    _ => None,
                };
                (name.clone(), read.unwrap_or_else(|| value.clone()))
            })
            .collect()
    }

    /// Whether nothing is wrong with values. `false` also where only the check of all of them together
    /// can tell, which takes many times as long.
    fn are_sound(&self, values: &BTreeMap<String, Value>) -> bool {
        let mut known = self.properties.iter();
        let mut problems = Vec::new();
        // Both are in the order of names.
        let each = values.iter().all(|(name, value)| {
            let property = known.find(|one| one.name >= *name).filter(|one| one.name == *name);
            property.is_some_and(|one| {
                check_data(one, value, &mut problems);
                problems.is_empty() && one.is_valid(value)
            })
        });
        each && self.required.iter().all(|name| values.contains_key(name))
    }

    /// What is wrong with values, which are given back.
    fn problems_of(
        &self,
        values: BTreeMap<String, Value>,
    ) -> (BTreeMap<String, Value>, Vec<Problem>) {
        let mut problems = Vec::new();
        let value = Value::Object(values.into_iter().collect());
        // Asking whether there is an error at all is much quicker than asking for all of them.
        if !self.validator.is_valid(&value) {
            for error in self.validator.iter_errors(&value) {
                self.explain(&error, &mut problems);
            }
        }
        let values = match value {
            Value::Object(map) => map.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        for (name, value) in &values {
            if let Some(property) = self.properties.iter().find(|one| one.name == *name) {
                check_data(property, value, &mut problems);
            }
        }
        problems.sort();
        problems.dedup();
        (values, problems)
    }

    fn explain(&self, error: &ValidationError<'_>, problems: &mut Vec<Problem>) {
        let path = dotted(error.instance_path().as_str());
        let value = shown(error.instance());
        let within = |name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
        };
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let about = self
                    .schema
                    .property(name)
                    .and_then(|one| one.get("description"))
                    .and_then(Value::as_str)
                    .map_or_else(String::new, |text| format!(" ({text})"));
                let message = format!("is required and was not given{about}");
                problems.push(Problem::new(within(name), message));
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known: BTreeSet<&str> = if path.is_empty() {
                    self.schema.properties().map(|(name, _)| name).collect()
                } else {
                    BTreeSet::new()
                };
                for name in unexpected {
                    let hint = nearest_hint(name, known.iter().copied());
                    problems.push(Problem::new(
                        within(name),
                        format!("there is no such parameter{hint}"),
                    ));
                }
            }
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context }
                if context.len() == 1 =>
            {
                for one in context.iter().flatten() {
                    self.explain(one, problems);
                }
            }
            kind => {
                let accepted = accepted(kind).unwrap_or_else(|| error.to_string());
                let message =
                    format!("{value} breaks the rule `{}`: accepted is {accepted}", kind.keyword());
                problems.push(Problem::new(path, message));
            }
        }
    }
}

/// What is wrong with the variables that parameters are bound to.
fn variable_problems(schema: &ParameterSchema) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut variables: BTreeMap<String, &str> = BTreeMap::new();
    for (name, one) in schema.properties() {
        let path = format!("parameters.properties.{name}");
        let variable = variable_of(name, one);
        if !is_variable_name(&variable) {
            problems.push(Problem::new(
                format!("{path}.x-env"),
                format!("`{variable}` is no name of a variable: letters, digits and _"),
            ));
        }
        if is_forbidden(&variable) {
            problems.push(Problem::new(
                path.clone(),
                format!("variable `{variable}` steers programs and cannot be bound to a parameter: set x-env to another name"),
            ));
        }
        if let Some(other) = variables.insert(variable.to_ascii_uppercase(), name) {
            problems.push(Problem::new(
                path,
                format!("`{other}` is bound to variable `{variable}` already: set x-env"),
            ));
        }
    }
    problems
}

fn read_as(kind: &str, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    match kind {
        "boolean" => match trimmed {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        "integer" => trimmed.parse::<i64>().ok().map(Value::from),
        "number" => serde_json::from_str::<serde_json::Number>(trimmed).ok().map(Value::Number),
        "array" if trimmed.starts_with('[') => serde_json::from_str(trimmed).ok(),
        // What a text parameter of several lines, or an extended choice, holds.
        "array" => Some(
            trimmed
                .split(['\n', ','])
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .map(Value::from)
                .collect(),
        ),
        "object" => serde_json::from_str(trimmed).ok().filter(Value::is_object),
        _ => None,
    }
}

fn accepted(kind: &ValidationErrorKind) -> Option<String> {
    Some(match kind {
        ValidationErrorKind::Enum { options } => {
            let all: Vec<String> = options.as_array()?.iter().map(shown).collect();
            format!("one of {}", all.join(", "))
        }
        ValidationErrorKind::Constant { expected_value } => expected_value.to_string(),
        ValidationErrorKind::Pattern { pattern } => format!("text that matches {pattern}"),
        ValidationErrorKind::Format { format } => format!("text of the format {format}"),
        ValidationErrorKind::Type { kind } => match kind {
            TypeKind::Single(one) => format!("a value of type {one}"),
            TypeKind::Multiple(_) => return None,
        },
        ValidationErrorKind::MinLength { limit } => format!("text of at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("text of at most {limit} characters"),
        ValidationErrorKind::Minimum { limit } => format!("a number of at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("a number of at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("a number over {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("a number under {limit}"),
        ValidationErrorKind::MinItems { limit } => format!("a list of at least {limit} values"),
        ValidationErrorKind::MaxItems { limit } => format!("a list of at most {limit} values"),
        ValidationErrorKind::UniqueItems => "a list in which no value comes twice".to_owned(),
        _ => return None,
    })
}

/// The rules for what goes into an environment, beside the schema.
fn check_data(property: &Property, value: &Value, problems: &mut Vec<Problem>) {
    check_texts(&property.name, value, property.dashes, property.lines, problems);
    let length = property.text_length(value);
    if length > MAX_VARIABLE && !property.is_file {
        problems.push(Problem::new(
            property.name.clone(),
            format!(
                "{} breaks the rule `size`: accepted are 96 KiB in a variable, this is {} bytes; the template can take more with `x-pass: file`",
                shown(value),
                length
            ),
        ));
    }
}

fn check_texts(path: &str, value: &Value, dashes: bool, lines: bool, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            if text.contains('\0') {
                let message = format!(
                    "{} breaks the rule `text`: accepted is text without NUL characters",
                    shown(value)
                );
                problems.push(Problem::new(path, message));
            }
            if text.starts_with('-') && !dashes {
                problems.push(Problem::new(
                    path,
                    format!("{} breaks the rule `leading dash`: accepted is text that does not start with `-`, which programs take for an option; the template can allow it with `x-allow-leading-dash: true`", shown(value)),
                ));
            }
            if lines && path.contains('.') && text.contains(['\n', '\r']) {
                let message = format!(
                    "{} breaks the rule `x-format: lines`: accepted is text of one line",
                    shown(value)
                );
                problems.push(Problem::new(path, message));
            }
        }
        Value::Array(items) => {
            for (index, one) in items.iter().enumerate() {
                check_texts(&format!("{path}.{index}"), one, dashes, lines, problems);
            }
        }
        Value::Object(map) => {
            for (key, one) in map {
                check_texts(&format!("{path}.{key}"), one, dashes, lines, problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
