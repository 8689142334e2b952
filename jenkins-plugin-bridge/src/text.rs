//! Small helpers for names and text that people read.

use std::fmt::Write as _;

use serde_json::Value;

use crate::canonical::to_canonical_json;

/// The most characters of a value shown in a message.
const SHOWN_CHARACTERS: usize = 80;

/// The known name that is nearest to a mistyped one, if any is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase().replace(['-', ' '], "_");
    known
        .into_iter()
        .map(|one| {
            let other = one.to_lowercase().replace(['-', ' '], "_");
            (strsim::damerau_levenshtein(&folded, &other), one)
        })
        // A third of the letters may be wrong; further away a guess only confuses.
        .filter(|(distance, one)| *distance <= (one.chars().count().max(3)) / 3)
        .min()
        .map(|(_, one)| one)
}

/// The end of a sentence about an unknown name: the nearest one, or what is known.
#[must_use]
pub fn nearest_hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => {
            let more = if known.len() > 12 { ", …" } else { "" };
            known.truncate(12);
            format!("; known are {}{more}", known.join(", "))
        }
    }
}

/// A value for a message: JSON, one line, cut.
#[must_use]
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text;
    }
    let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
    format!("{cut}… ({} bytes)", text.len())
}

/// Text made safe for the inside of an HTML element or a quoted attribute.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are no text in HTML; their codes are what a reader can use.
            other if other.is_control() && !matches!(other, '\n' | '\t') => {
                let _ = write!(escaped, "\\x{:02x}", u32::from(other));
            }
            other if turns_text(other) => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(other));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Whether a character turns the direction of what follows, so that text reads as another one than it is.
#[must_use]
pub fn turns_text(one: char) -> bool {
    matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON with the keys of every object sorted: the same value is always the same text, whatever
/// order a map implementation keeps.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    // Nothing in such a value is refused.
    to_canonical_json(value).unwrap_or_default()
}

/// A duration in words as a person would write it: `1 h 5 min`, `42 s`, `0.3 s`.
#[must_use]
pub fn duration_words(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_guessed() {
        assert_eq!(nearest("contaners", ["containers", "credentials"]), Some("containers"));
        assert_eq!(nearest("time-out", ["timeout", "title"]), Some("timeout"));
        assert_eq!(nearest("zebra", ["containers", "name"]), None);
    }

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = json!({"b": {"z": 1, "a": [ {"y": 1, "x": 2} ]}, "a": "é\n"});
        assert_eq!(canonical_json(&value), r#"{"a":"é\n","b":{"a":[{"x":2,"y":1}],"z":1}}"#);
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(escape_html("<a b='\"&\u{1b}'>"), "&lt;a b=&#39;&quot;&amp;\\x1b&#39;&gt;");
        assert_eq!(escape_html("a\u{202e}b"), "a\\u{202e}b");
    }
}
