//! Placeholders: `${{ params.name }}` and `${{ matrix.axis }}` in the values of a template.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;

use crate::text::nearest_hint;

/// Where the value of a placeholder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// A parameter.
    Params,
    /// A value of the combination of a matrix.
    Matrix,
}

/// A placeholder in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placeholder {
    /// Where its value comes from.
    pub namespace: Namespace,
    /// The name in it.
    pub name: String,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// A placeholder.
    Placeholder(Placeholder),
}

/// The values that placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Parameters by name.
    pub params: &'a BTreeMap<String, Value>,
    /// Values of the matrix by axis.
    pub matrix: &'a BTreeMap<String, Value>,
}

/// Whether a text has a placeholder, well formed or not. Whole scripts are searched for every plan.
#[must_use]
pub fn has_placeholder(text: &str) -> bool {
    static OPENING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("${{"));
    OPENING.find(text.as_bytes()).is_some()
}

/// Splits a text into its parts.
///
/// # Errors
/// A placeholder that is not closed or not of the form `${{ params.name }}`.
pub fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${{") {
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        let inside = &rest[start + 3..];
        let end = inside.find("}}").ok_or("`${{` is not closed: write `${{ params.name }}`")?;
        let expression = inside[..end].trim();
        let (namespace, name) = expression.split_once('.').unwrap_or((expression, ""));
        let namespace = match namespace {
            "params" => Namespace::Params,
            "matrix" => Namespace::Matrix,
            _ => {
                return Err(format!(
                    "`${{{{ {expression} }}}}` is not known: write `${{{{ params.name }}}}` or `${{{{ matrix.axis }}}}`"
                ));
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!(
                "`${{{{ {expression} }}}}` is no plain name: expressions belong into `when`"
            ));
        }
        parts.push(Part::Placeholder(Placeholder { namespace, name: name.to_owned() }));
        rest = &inside[end + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// The placeholders of a text.
///
/// # Errors
/// As [`parts`].
pub fn placeholders(text: &str) -> Result<Vec<Placeholder>, String> {
    Ok(parts(text)?
        .into_iter()
        .filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
        .collect())
}

/// A value as text: text as it is, everything else as JSON.
#[must_use]
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => crate::text::canonical_json(other),
    }
}

impl<'a> Scope<'a> {
    fn lookup(&self, placeholder: &Placeholder) -> Result<&'a Value, String> {
        let (kind, values) = match placeholder.namespace {
            Namespace::Params => ("parameter", self.params),
            Namespace::Matrix => ("matrix axis", self.matrix),
        };
        values.get(&placeholder.name).ok_or_else(|| {
            let hint = nearest_hint(&placeholder.name, values.keys().map(String::as_str));
            format!("there is no {kind} `{}` with a value{hint}", placeholder.name)
        })
    }

    /// Puts values into a text. What comes out is never looked at again, so a value that looks
    /// like a placeholder stays what it is.
    ///
    /// # Errors
    /// A placeholder that is malformed or has no value.
    pub fn text(&self, text: &str) -> Result<String, String> {
        if !has_placeholder(text) {
            return Ok(text.to_owned());
        }
        let mut filled = String::new();
        for part in parts(text)? {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Placeholder(one) => filled.push_str(&value_text(self.lookup(&one)?)),
            }
        }
        Ok(filled)
    }

    /// Puts values into all texts of a value. A text that is one placeholder and nothing else
    /// becomes the value with its type.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) if has_placeholder(text) => match parts(text)?.as_slice() {
                [Part::Placeholder(one)] => self.lookup(one)?.clone(),
                _ => Value::String(self.text(text)?),
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|one| self.value(one)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                Value::Object(
                    map.iter()
                        .map(|(key, one)| Ok((key.clone(), self.value(one)?)))
                        .collect::<Result<_, String>>()?,
                )
            }
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let params = BTreeMap::from([
            ("a".to_owned(), json!("x${{ params.b }}")),
            ("b".to_owned(), json!(5)),
        ]);
        Scope { params: &params, matrix: &BTreeMap::new() }.text(text)
    }

    #[test]
    fn values_are_put_in_once() {
        assert_eq!(filled("<${{ params.a }}>${{params.b}}").unwrap(), "<x${{ params.b }}>5");
        assert_eq!(filled("$HOME ${X} $(y) {{ z }}").unwrap(), "$HOME ${X} $(y) {{ z }}");
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(filled("${{ params.c }}").unwrap_err().contains("no parameter `c`"));
        assert!(filled("${{ params.a").unwrap_err().contains("not closed"));
        assert!(filled("${{ env.HOME }}").unwrap_err().contains("is not known"));
        assert!(filled("${{ params.a + 1 }}").unwrap_err().contains("no plain name"));
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type() {
        let params = BTreeMap::from([("list".to_owned(), json!(["1", 2]))]);
        let scope = Scope { params: &params, matrix: &BTreeMap::new() };
        assert_eq!(
            scope.value(&json!({"k": ["${{ params.list }}"]})).unwrap(),
            json!({"k": [["1", 2]]})
        );
        assert_eq!(scope.value(&json!("v${{ params.list }}")).unwrap(), json!("v[\"1\",2]"));
    }
}
