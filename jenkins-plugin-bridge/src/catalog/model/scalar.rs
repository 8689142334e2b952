//! The scalar types of the file formats: names, versions, durations, quantities.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The longest name, in bytes: it becomes part of file names and of Kubernetes names.
const MAX_NAME: usize = 63;

macro_rules! text_type {
    ($(#[$doc:meta])* $type:ident, $pattern:literal, $check:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks the text.
            ///
            /// # Errors
            /// What was expected, when the text is something else.
            pub fn new(text: impl Into<String>) -> Result<Self, String> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(format!("expected {}, got {:?}", $expected, text))
                }
            }

            /// The text as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": concat!("Must be ", $expected, "."),
                })
            }
        }
    };
}

pub(super) use text_type;

text_type!(
    /// A name: lower-case letters, digits and dashes, a letter first, at most 63 bytes.
    Identifier,
    "^[a-z][a-z0-9-]{0,62}$",
    |text| {
        text.len() <= MAX_NAME
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    },
    "a name of lower-case letters, digits and dashes that starts with a letter"
);

text_type!(
    /// A version of three numbers, `1.4.0`.
    Version,
    "^[0-9]{1,9}\\.[0-9]{1,9}\\.[0-9]{1,9}$",
    |text| numbers(text).is_some_and(|all| all.len() == 3),
    "a version of three numbers such as 1.4.0"
);

text_type!(
    /// A span of time: `90s`, `20m`, `1h30m`, `2d`.
    Span,
    "^([0-9]{1,6}[smhd])+$",
    |text| span_seconds(text).is_some_and(|seconds| seconds > 0),
    "a time such as 90s, 20m, 1h30m or 2d"
);

text_type!(
    /// An amount as Kubernetes writes it: `500m`, `2`, `512Mi`, `4Gi`.
    Quantity,
    "^[0-9]{1,15}(\\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
    |text| quantity_thousandths(text).is_some(),
    "an amount such as 500m, 2, 512Mi or 4Gi"
);

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.')
        .map(|part| {
            let digits = part.bytes().all(|b| b.is_ascii_digit()) && (1..=9).contains(&part.len());
            if digits { part.parse().ok() } else { None }
        })
        .collect()
}

fn span_seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() && number.len() < 6 {
            number.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total += number.parse::<u64>().ok()? * unit;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(total)
}

fn quantity_thousandths(text: &str) -> Option<u128> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 3 || number.ends_with('.') {
        return None;
    }
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let thousandths: u128 = format!("{whole}{fraction:0<3}").parse().ok()?;
    let factor: u128 = match unit {
        "m" => return Some(thousandths / 1000),
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    Some(thousandths * factor)
}

impl Identifier {
    /// A name from a text that is known to be one: for names that are made, not read.
    pub(crate) fn made(text: String) -> Self {
        Self(text)
    }
}

impl Version {
    /// Whether this version is one that `1`, `1.4` or `1.4.0` asks for.
    #[must_use]
    pub fn satisfies(&self, wanted: &str) -> bool {
        match (numbers(wanted), numbers(&self.0)) {
            (Some(wanted), Some(own)) => wanted.len() <= 3 && own.starts_with(&wanted),
            _ => false,
        }
    }

    /// Compares by number, not by text: 1.10.0 comes after 1.9.0.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        numbers(&self.0).cmp(&numbers(&other.0))
    }
}

impl Span {
    /// The length in seconds, at least 1.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        span_seconds(&self.0).unwrap_or(1)
    }
}

impl Quantity {
    /// The amount in thousandths, so that amounts in different units can be compared and added.
    #[must_use]
    pub fn thousandths(&self) -> u128 {
        quantity_thousandths(&self.0).unwrap_or(0)
    }
}

/// The JSON Schema of the parameters of a stage or a pipeline: an object schema whose
/// `properties` are the parameters. Other names than those are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParameterSchema(pub Map<String, Value>);

impl ParameterSchema {
    /// The parameters with their schemas, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str(), schema))
    }

    /// The schema of one parameter.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.0.get("properties")?.get(name)
    }

    /// Whether a parameter must be given: required, and without a default.
    #[must_use]
    pub fn is_required(&self, name: &str) -> bool {
        let listed = self
            .0
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)));
        listed && self.property(name).is_some_and(|schema| schema.get("default").is_none())
    }
}

impl JsonSchema for ParameterSchema {
    fn schema_name() -> Cow<'static, str> {
        "ParameterSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = json_schema!({"type": "integer", "minimum": 0});
        json_schema!({
            "type": "object",
            "description": "A JSON Schema (2020-12) of type object: its properties are the parameters.",
            "additionalProperties": false,
            "properties": {
                "type": {"const": "object"},
                "properties": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,62}$"},
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": false,
                        "patternProperties": {"^x-": {}},
                        "properties": {
                            "type": {
                                "enum": ["string", "integer", "number", "boolean", "array", "object"]
                            },
                            "title": {"type": "string"},
                            "description": {"type": "string"},
                            "default": {},
                            "examples": {"type": "array"},
                            "deprecated": {"type": "boolean"},
                            "enum": {"type": "array", "minItems": 1},
                            "const": {},
                            "pattern": {"type": "string"},
                            "format": {"type": "string"},
                            "minLength": count, "maxLength": count,
                            "minimum": {"type": "number"}, "maximum": {"type": "number"},
                            "exclusiveMinimum": {"type": "number"},
                            "exclusiveMaximum": {"type": "number"},
                            "multipleOf": {"type": "number", "exclusiveMinimum": 0},
                            "items": {"type": ["object", "boolean"]},
                            "minItems": count, "maxItems": count,
                            "uniqueItems": {"type": "boolean"},
                            "properties": {"type": "object"},
                            "additionalProperties": {"type": ["object", "boolean"]},
                            "required": {"type": "array", "items": {"type": "string"}},
                            "anyOf": {"type": "array"}, "oneOf": {"type": "array"},
                            "allOf": {"type": "array"}, "not": {"type": "object"},
                            "x-env": {
                                "type": "string",
                                "description": "Name of the environment variable; without it the parameter's name in upper case."
                            },
                            "x-pass": {
                                "enum": ["variable", "file"],
                                "description": "`file`: the variable holds the path of a file with the value. For values over 96 KiB."
                            },
                            "x-format": {
                                "enum": ["json", "lines"],
                                "description": "How an array reaches the variable; JSON unless told otherwise."
                            },
                            "x-allow-leading-dash": {
                                "type": "boolean",
                                "description": "Accepts values that start with `-`, which programs take for options."
                            },
                            "x-label": {"type": "string", "description": "Label in a form."},
                            "x-group": {"type": "string", "description": "Group in a form."},
                            "x-order": {"type": "integer", "description": "Place in a form."},
                            "x-widget": {"type": "string", "description": "Kind of field in a form."}
                        }
                    }
                },
                "required": {"type": "array", "items": {"type": "string"}},
                "dependentRequired": {"type": "object"},
                "allOf": {"type": "array"}, "anyOf": {"type": "array"}, "oneOf": {"type": "array"},
                "if": {"type": "object"}, "then": {"type": "object"}, "else": {"type": "object"}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up() {
        assert_eq!(Span::new("1h30m").unwrap().seconds(), 5400);
        assert_eq!(Span::new("2d").unwrap().seconds(), 172_800);
        for wrong in ["", "5", "m", "0s", "1w", "-5s", "1 h", "9999999s"] {
            assert!(Span::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn quantities_compare_across_units() {
        let amount = |text: &str| Quantity::new(text).unwrap().thousandths();
        assert_eq!(amount("500m") * 2, amount("1"));
        assert_eq!(amount("1Gi"), amount("1024Mi"));
        assert_eq!(amount("1.5"), 1500);
        for wrong in ["", "1.", ".5", "1Xi", "1 Gi", "1.2345", "-1"] {
            assert!(Quantity::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| Version::new(text).unwrap();
        assert_eq!(version("1.10.0").compare(&version("1.9.0")), Ordering::Greater);
        assert!(version("1.10.0").satisfies("1"));
        assert!(version("1.10.0").satisfies("1.10"));
        assert!(!version("1.10.0").satisfies("1.1"));
        assert!(!version("1.10.0").satisfies("latest"));
    }
}
