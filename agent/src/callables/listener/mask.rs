//! Masking of credentials, as `BindingStep$Filter` does it: every match of a pattern becomes `****`.
//!
//! The pattern is a regular expression that the controller builds by quoting: alternatives of
//! `\Q…\E`. Only that form is understood; any other is refused, since a wrong guess would print a
//! secret.

use crate::files::charset::Charset;

const MASK: &[u8] = b"****";

/// The secrets of a build, in the order of their alternatives: at each place the first that matches
/// counts, as in Java.
pub(super) struct Masker {
    secrets: Vec<Vec<u8>>,
    /// Whether any secret begins with this byte.
    begins: Box<[bool; 256]>,
}

impl Masker {
    /// Reads a pattern; nothing when it is of another form or cannot be told in this charset.
    pub(super) fn parse(pattern: &str, charset: &str) -> Option<Self> {
        let charset = Charset::for_name(charset).ok()?;
        let mut secrets = Vec::new();
        let mut rest = pattern;
        loop {
            let (secret, after) = literal(rest)?;
            // A secret that matches nothing would match everywhere, and Java never sends one.
            if secret.is_empty() {
                return None;
            }
            secrets.push(charset.encode_strict(&secret).ok()?);
            match after.strip_prefix('|') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return None,
            }
        }
        let mut begins = Box::new([false; 256]);
        for byte in secrets.iter().filter_map(|secret| secret.first()) {
            begins[usize::from(*byte)] = true;
        }
        Some(Self { secrets, begins })
    }

    /// The length of the longest secret, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.secrets.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The text with every secret replaced.
    pub(super) fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, tail)) = rest.split_first() {
            match self.match_at(rest) {
                Some(length) => {
                    out.extend_from_slice(MASK);
                    rest = rest.get(length..).unwrap_or_default();
                }
                None => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
        out
    }

    /// Where a match begins that reaches across `cut`, if one does.
    pub(super) fn match_across(&self, text: &[u8], cut: usize) -> Option<usize> {
        let first = cut.saturating_sub(self.longest());
        (first..cut).find(|start| {
            let length = text.get(*start..).and_then(|rest| self.match_at(rest));
            length.is_some_and(|length| start + length > cut)
        })
    }

    fn match_at(&self, text: &[u8]) -> Option<usize> {
        let first = usize::from(*text.first()?);
        if !self.begins.get(first).copied().unwrap_or(false) {
            return None;
        }
        self.secrets.iter().find(|secret| text.starts_with(secret)).map(Vec::len)
    }
}

/// A quoted literal at the beginning of a pattern, and what follows it. `Pattern.quote` writes `\E`
/// inside of a text as `\E\\E\Q`.
fn literal(pattern: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = pattern;
    loop {
        if let Some(after) = rest.strip_prefix("\\Q") {
            let (quoted, after) = after.split_once("\\E")?;
            text.push_str(quoted);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\\\E") {
            text.push_str("\\E");
            rest = after;
        } else {
            return (rest.len() < pattern.len()).then_some((text, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(pattern: &str, text: &str) -> String {
        let masker = Masker::parse(pattern, "UTF-8").unwrap();
        String::from_utf8(masker.mask(text.as_bytes())).unwrap()
    }

    #[test]
    fn every_alternative_is_masked() {
        let pattern = "\\QMzY3\\E|\\Qs3cr3t-token\\E|\\Q't is\\E";
        assert_eq!(mask(pattern, "a s3cr3t-token, MzY3 't is so"), "a ****, **** **** so");
        assert_eq!(mask(pattern, "s3cr3t"), "s3cr3t");
    }

    #[test]
    fn the_first_alternative_that_matches_counts() {
        assert_eq!(mask("\\Qab\\E|\\Qabc\\E", "abc"), "****c");
        assert_eq!(mask("\\Qabc\\E|\\Qab\\E", "abc"), "****");
    }

    #[test]
    fn characters_that_mean_something_to_expressions_are_plain_when_quoted() {
        assert_eq!(mask("\\Qa.*|b\\E", "a.*|b axxb"), "**** axxb");
        assert_eq!(mask("\\Qa\\E\\\\E\\Qb\\E", "a\\Eb"), "****");
    }

    #[test]
    fn another_form_is_refused() {
        for pattern in
            ["", "secret", "\\Qa\\E|b", "\\Qa\\E+", "\\Qa", "\\Qa\\E|", "\\Q\\E", "(\\Qa\\E)"]
        {
            assert!(Masker::parse(pattern, "UTF-8").is_none(), "{pattern}");
        }
        assert!(Masker::parse("\\Qa\\E", "no-such-charset").is_none());
        assert!(Masker::parse("\\Q€\\E", "US-ASCII").is_none());
    }

    #[test]
    fn secrets_are_found_in_the_charset_of_the_log() {
        let masker = Masker::parse("\\Qpäss\\E", "ISO-8859-1").unwrap();
        assert_eq!(masker.mask(b"a p\xE4ss b"), b"a **** b");
    }

    proptest! {
        #[test]
        fn no_secret_is_left(secret in "[a-c]{1,5}", text in "[a-d]{0,40}") {
            let masked = mask(&format!("\\Q{secret}\\E"), &text);
            prop_assert!(!masked.contains(&secret));
        }

        #[test]
        fn no_pattern_panics(pattern in any::<String>()) {
            let _ = Masker::parse(&pattern, "UTF-8");
        }
    }
}
