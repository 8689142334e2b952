//! Connection headers: what both sides of JNLP4 tell each other inside TLS before the channel.
//!
//! On the wire they are a JSON object whose values are strings or null
//! (`org.jenkinsci.remoting.protocol.impl.ConnectionHeaders`).

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::Chars;

use zeroize::Zeroizing;

/// Name of the header with the node's name.
pub const NODE_NAME: &str = "Node-Name";
/// Name of the header with the node's secret.
pub const SECRET_KEY: &str = "Secret-Key";
/// Name of the header with the cookie.
pub const COOKIE: &str = "JnlpAgentProtocol.cookie";

/// Connection headers. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectionHeaders(BTreeMap<String, Option<Zeroizing<String>>>);

/// A text that is no object of strings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// Something else stands where this should.
    #[error("expected {expected} and got {got:?}")]
    Unexpected {
        /// What should come.
        expected: &'static str,
        /// What comes.
        got: char,
    },
    /// The text ends too early.
    #[error("it ends where {expected} should come")]
    Incomplete {
        /// What should come.
        expected: &'static str,
    },
}

impl ConnectionHeaders {
    /// Sets a header.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Some(Zeroizing::new(value.to_owned())));
    }

    /// The value of a header; `None` if it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_ref().map(|value| value.as_str())
    }

    /// The text form.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        // Room for all of it, so that no copy of a secret is left behind by growing.
        let room = |text: &str| 6 * text.len() + 3;
        let total = self
            .0
            .iter()
            .map(|(name, value)| room(name) + value.as_ref().map_or(4, |value| room(value)) + 1);
        let mut text = Zeroizing::new(String::with_capacity(2 + total.sum::<usize>()));
        text.push('{');
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            quote(&mut text, name);
            text.push(':');
            match value {
                Some(value) => quote(&mut text, value),
                None => text.push_str("null"),
            }
        }
        text.push('}');
        text
    }

    /// Reads the text form. Of a name that comes twice, the last value counts.
    ///
    /// # Errors
    /// Anything but one object of strings and nulls.
    pub fn decode(text: &str) -> Result<Self, HeadersError> {
        let mut input = Input(text.chars());
        let mut headers = Self::default();
        input.expect('{', "`{`")?;
        let mut next = input.token("`\"` or `}`")?;
        while next != '}' || !headers.0.is_empty() {
            if next != '"' {
                return Err(HeadersError::Unexpected { expected: "`\"`", got: next });
            }
            let name = input.string()?;
            input.expect(':', "`:`")?;
            let value = input.value()?;
            headers.0.insert(name.to_string(), value);
            match input.token("`,` or `}`")? {
                ',' => next = input.token("`\"`")?,
                '}' => break,
                got => return Err(HeadersError::Unexpected { expected: "`,` or `}`", got }),
            }
        }
        match input.0.find(|&c| !is_space(c)) {
            None => Ok(headers),
            Some(got) => Err(HeadersError::Unexpected { expected: "nothing more", got }),
        }
    }
}

fn quote(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..='\x1f' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text.push('"');
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}' | '\u{8}')
}

struct Input<'a>(Chars<'a>);

impl Input<'_> {
    fn any(&mut self, expected: &'static str) -> Result<char, HeadersError> {
        self.0.next().ok_or(HeadersError::Incomplete { expected })
    }

    /// The next character that is no white space.
    fn token(&mut self, expected: &'static str) -> Result<char, HeadersError> {
        self.0.find(|&c| !is_space(c)).ok_or(HeadersError::Incomplete { expected })
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), HeadersError> {
        match self.token(expected)? {
            found if found == wanted => Ok(()),
            got => Err(HeadersError::Unexpected { expected, got }),
        }
    }

    fn value(&mut self) -> Result<Option<Zeroizing<String>>, HeadersError> {
        const EXPECTED: &str = "`\"` or `null`";
        match self.token(EXPECTED)? {
            '"' => self.string().map(Some),
            'n' => {
                for wanted in "ull".chars() {
                    let got = self.any(EXPECTED)?;
                    if got != wanted {
                        return Err(HeadersError::Unexpected { expected: EXPECTED, got });
                    }
                }
                Ok(None)
            }
            got => Err(HeadersError::Unexpected { expected: EXPECTED, got }),
        }
    }

    /// The rest of a string whose opening quote was read.
    fn string(&mut self) -> Result<Zeroizing<String>, HeadersError> {
        let mut text = Zeroizing::new(String::new());
        loop {
            match self.any("the end of a string")? {
                '"' => return Ok(text),
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), HeadersError> {
        const EXPECTED: &str = "an escape";
        text.push(match self.any(EXPECTED)? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit()?;
                // Java writes what is above U+FFFF as two of these.
                let mut ahead = Self(self.0.clone());
                let low = (0xD800..0xDC00)
                    .contains(&unit)
                    .then(|| {
                        (ahead.0.next() == Some('\\') && ahead.0.next() == Some('u'))
                            .then(|| ahead.unit().ok())
                    })
                    .flatten()
                    .flatten();
                match char::decode_utf16([Some(unit), low].into_iter().flatten()).next() {
                    Some(Ok(c)) => {
                        if u32::from(c) > 0xFFFF {
                            self.0 = ahead.0;
                        }
                        c
                    }
                    _ => char::REPLACEMENT_CHARACTER,
                }
            }
            got => return Err(HeadersError::Unexpected { expected: EXPECTED, got }),
        });
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, HeadersError> {
        const EXPECTED: &str = "four hexadecimal digits";
        let mut unit = 0;
        for _ in 0..4 {
            let got = self.any(EXPECTED)?;
            let digit = got
                .to_digit(16)
                .and_then(|digit| u16::try_from(digit).ok())
                .ok_or(HeadersError::Unexpected { expected: EXPECTED, got })?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}

impl fmt::Debug for ConnectionHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Vec<(String, Option<String>)> {
        let headers = ConnectionHeaders::decode(text).unwrap();
        let value = |value: Option<Zeroizing<String>>| value.map(|value| value.to_string());
        headers.0.into_iter().map(|(name, text)| (name, value(text))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn what_controllers_send() {
        assert_eq!(
            decoded(r#"{"JnlpAgentProtocol.cookie":"c0ffee"}"#),
            [pair("JnlpAgentProtocol.cookie", "c0ffee")]
        );
        assert_eq!(decoded(" {\t} \r\n"), []);
        assert_eq!(
            decoded(r#"{ "b" : null , "a":"1","a":"2" }"#),
            [pair("a", "2"), ("b".into(), None)]
        );
        assert_eq!(
            decoded(r#"{"\"\\\/\b\f\n\r\t":"\u00e4\ud83d\udc1f\ud83d\ud83dx\u0000"}"#),
            [pair("\"\\/\u{8}\u{c}\n\r\t", "ä🐟\u{fffd}\u{fffd}x\0")]
        );
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "{",
            "}",
            "[]",
            "{}x",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":\"",
            "{\"a\":\"b\"",
            "{\"a\":\"b\",",
            "{\"a\":\"b\",}",
            "{\"a\":nul}",
            "{\"a\":nulL}",
            "{\"a\":1}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"\\u123",
            "{\"a\" \"b\"}",
            "{a:\"b\"}",
            "{\"a\":{}}",
        ] {
            assert!(ConnectionHeaders::decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let mut headers = ConnectionHeaders::default();
        headers.insert(SECRET_KEY, "hunter2");
        assert_eq!(format!("{headers:?}"), "{\"Secret-Key\"}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            headers in proptest::collection::btree_map(any::<String>(), any::<Option<String>>(), 0..8)
        ) {
            let headers = headers.into_iter().map(|(name, value)| (name, value.map(Zeroizing::new)));
            let headers = ConnectionHeaders(headers.collect());
            let text = headers.encode();
            prop_assert!(text.chars().all(|c| c > '\x1f'));
            prop_assert_eq!(ConnectionHeaders::decode(&text), Ok(headers));
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert!(json.is_object());
        }

        #[test]
        fn no_text_is_too_much(text in any::<String>()) {
            let _ = ConnectionHeaders::decode(&text);
        }
    }
}
