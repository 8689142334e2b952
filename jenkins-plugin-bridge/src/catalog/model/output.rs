//! Outputs: short texts that a stage gives to the stages after it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::text_type;

/// The most outputs of a stage: they are for digests, versions and addresses, not for contents.
pub const MAX_OUTPUTS: usize = 16;
/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 256;
/// The largest compiled pattern, in bytes. The engine takes linear time, so this bounds both.
const MAX_COMPILED: usize = 1024 * 1024;

/// The outputs of a stage by name.
pub type Outputs = BTreeMap<OutputName, Output>;

text_type!(
    /// Name of an output: lower-case letters, digits and underscores, a letter first, at most 63
    /// bytes.
    OutputName,
    "^[a-z][a-z0-9_]{0,62}$",
    is_name,
    "a name of lower-case letters, digits and underscores that starts with a letter"
);

text_type!(
    /// An output of a stage of the pipeline: `image.digest`.
    OutputReference,
    "^[a-z][a-z0-9-]{0,62}\\.[a-z][a-z0-9_]{0,62}$",
    |text| {
        text.split_once('.').is_some_and(|(stage, name)| {
            super::Identifier::new(stage).is_ok() && is_name(name)
        })
    },
    "a stage and its output with a dot between them, such as image.digest"
);

text_type!(
    /// A regular expression that means the same wherever a build runs: `^…$`, of literals, classes
    /// such as `[0-9a-f]`, groups, `?`, `*`, `+`, `{m,n}` and `|`.
    OutputPattern,
    "^\\^.*\\$$",
    |text| is_portable(text) && compiled(text).is_some(),
    "a regular expression `^…$` of plain ASCII, classes like [0-9a-f], groups and repetitions, without \\d, \\w, (? or &&"
);

/// An output of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// What it is, for people.
    pub description: String,
    /// What its value looks like; anything in one line unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<OutputPattern>,
    /// The stage may succeed without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether a pattern means the same to the engine here and to that of Java, which the library step
/// has: what they read differently (classes such as `\d`, flags, sets within classes) is left out.
fn is_portable(text: &str) -> bool {
    let inner = text.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let Some(inner) = inner.filter(|_| text.len() <= MAX_PATTERN) else { return false };
    let mut rest = inner.chars().peekable();
    let mut in_class = false;
    while let Some(one) = rest.next() {
        let next = rest.peek().copied();
        let is_good = match (one, next) {
            ('\\', _) => {
                let escaped = rest.next();
                escaped.is_some_and(|one| one.is_ascii_punctuation() && !"<>".contains(one))
            }
            (']', _) => std::mem::take(&mut in_class),
            ('[', _) if in_class => false,
            ('[', _) => {
                in_class = true;
                rest.next_if_eq(&'^');
                rest.peek().is_some_and(|first| *first != ']' && *first != ':')
            }
            ('&' | '-' | '~', next) if in_class => next != Some(one),
            (one, _) if in_class => is_plain(one),
            ('^' | '$', _) | ('(', Some('?')) | ('{', Some(',')) => false,
            // Lazy and possessive repetitions.
            ('*' | '+' | '?' | '}', Some('*' | '+' | '?')) => false,
            (one, _) => is_plain(one),
        };
        if !is_good {
            return false;
        }
    }
    !in_class
}

fn is_plain(one: char) -> bool {
    one.is_ascii_graphic() || one == ' '
}

/// Of the whole of a value, also where `|` parts the pattern.
fn compiled(text: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_COMPILED).build().ok()
}

impl OutputReference {
    /// The name of the stage, and that of its output.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.as_str().split_once('.').unwrap_or((self.as_str(), ""))
    }
}

impl OutputPattern {
    /// Whether a value matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        compiled(self.as_str()).is_some_and(|pattern| pattern.is_match(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_stage_and_an_output() {
        let reference = OutputReference::new("build-image.digest_1").unwrap();
        assert_eq!(reference.parts(), ("build-image", "digest_1"));
        for wrong in ["", "image", ".digest", "image.", "image.a-b", "Image.a", "a.b.c", "a.1"] {
            assert!(OutputReference::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn patterns_are_those_that_every_engine_reads_alike() {
        for good in [
            "^sha256:[0-9a-f]{64}$",
            "^([a-z]+/)*[^/ ]+(\\.[0-9]+)?$",
            "^(a|b)$",
            "^[A-Za-z0-9_.:/@-]+$",
            "^\\$\\^\\\\$",
        ] {
            assert!(OutputPattern::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "^",
            "a",
            "^a",
            "a$",
            "^\\d$",
            "^\\w+$",
            "^(?i)a$",
            "^a++$",
            "^a*?$",
            "^[[:alpha:]]$",
            "^[a&&b]$",
            "^[a--b]$",
            "^(a$",
            "^[a$",
            "^\\$",
            "^ä$",
            "^a\n$",
            "^(a{1000}){1000}$",
            "^\\<$",
        ] {
            assert!(OutputPattern::new(bad).is_err(), "{bad:?}");
        }
        let digest = OutputPattern::new("^sha256:[0-9a-f]{64}$").unwrap();
        assert!(digest.matches(&format!("sha256:{}", "a".repeat(64))));
        assert!(!digest.matches(&format!("sha256:{}", "g".repeat(64))));
        let choice = OutputPattern::new("^a|b$").unwrap();
        assert!(choice.matches("a") && choice.matches("b") && !choice.matches("ac"));
    }
}
