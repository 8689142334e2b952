//! YAML that every reader of Kubernetes understands alike.

use std::fmt::Write as _;

use serde_json::Value;

/// A value as a YAML document. Text that YAML 1.1 or 1.2 could take for anything else is quoted.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    write_block(&mut text, value, 0);
    text
}

fn write_block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in ordered(map, depth) {
                let _ = write!(text, "{:depth$}{}:", "", scalar_text(key));
                write_value(text, value, depth);
            }
        }
        Value::Array(all) if !all.is_empty() => {
            for one in all {
                let start = text.len();
                write_block(text, one, depth + 2);
                // The first line of what is inside starts behind the dash.
                text.replace_range(start..start + depth + 2, &format!("{:depth$}- ", ""));
            }
        }
        other => {
            let _ = writeln!(text, "{:depth$}{}", "", scalar(other));
        }
    }
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_block(text, value, depth + 2);
        }
        Value::Array(all) if !all.is_empty() => {
            text.push('\n');
            write_block(text, value, depth);
        }
        other => {
            let _ = writeln!(text, " {}", scalar(other));
        }
    }
}

/// The name comes first in what has one: that is what people look for.
fn ordered(map: &serde_json::Map<String, Value>, depth: usize) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by_key(|(key, _)| (depth == 0 || key.as_str() != "name", *key));
    all
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// Text as it is where it can only be text, otherwise quoted. JSON quotes are YAML quotes.
fn scalar_text(text: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(safe)
        && !is_word_of_yaml(text);
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for character in Value::from(text).to_string().chars() {
        // JSON leaves these as they are, YAML does not take them or takes them for a new line.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            let _ = write!(quoted, "\\u{:04x}", u32::from(character));
        } else {
            quoted.push(character);
        }
    }
    quoted
}

/// Words that mean a truth value or nothing in YAML 1.1.
fn is_word_of_yaml(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}
