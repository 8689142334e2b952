//! Java strings as the stream carries them: modified UTF-8.

use std::borrow::Cow;
use std::fmt;

/// A Java string: valid modified UTF-8, borrowed from the stream where possible.
///
/// U+0000 is the two bytes `c0 80`, a supplementary character is two surrogates of three bytes each
/// (`java.io.DataInput`). A Java string may hold unpaired surrogates, a Rust one cannot: they become
/// U+FFFD in [`JavaStr::to_str`], while the bytes stay as they are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JavaStr<'a>(Cow<'a, [u8]>);

impl<'a> JavaStr<'a> {
    /// Checks bytes of modified UTF-8.
    pub fn from_modified_utf8(bytes: impl Into<Cow<'a, [u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        is_modified_utf8(&bytes).then_some(Self(bytes))
    }

    /// The bytes as they stand in the stream.
    #[must_use]
    pub fn as_modified_utf8(&self) -> &[u8] {
        &self.0
    }

    /// The text; unpaired surrogates become U+FFFD.
    #[must_use]
    pub fn to_str(&self) -> Cow<'_, str> {
        decode(&self.0)
    }

    /// Whether the text is exactly `other`.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if is_plain(other) { self.0 == other.as_bytes() } else { self.to_str() == other }
    }

    /// The same string, no longer borrowed.
    #[must_use]
    pub fn into_owned(self) -> JavaStr<'static> {
        JavaStr(Cow::Owned(self.0.into_owned()))
    }
}

impl<'a> From<&'a str> for JavaStr<'a> {
    fn from(text: &'a str) -> Self {
        Self(encode(text))
    }
}

impl From<String> for JavaStr<'static> {
    fn from(text: String) -> Self {
        let encoded = match encode(&text) {
            Cow::Owned(bytes) => Some(bytes),
            Cow::Borrowed(_) => None,
        };
        Self(Cow::Owned(encoded.unwrap_or_else(|| text.into_bytes())))
    }
}

impl fmt::Debug for JavaStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

impl fmt::Display for JavaStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str())
    }
}

/// Whether text is the same bytes in UTF-8 and in modified UTF-8.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b != 0 && b < 0xF0)
}

/// Text as modified UTF-8; borrowed where the two encodings agree.
pub(crate) fn encode(text: &str) -> Cow<'_, [u8]> {
    if is_plain(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    for unit in text.encode_utf16() {
        let [high, low] = unit.to_be_bytes();
        match unit {
            0x0001..=0x007F => out.push(low),
            0x0000 | 0x0080..=0x07FF => {
                out.extend([0xC0 | (high << 2) | (low >> 6), 0x80 | (low & 0x3F)]);
            }
            _ => out.extend([
                0xE0 | (high >> 4),
                0x80 | ((high & 0x0F) << 2) | (low >> 6),
                0x80 | (low & 0x3F),
            ]),
        }
    }
    Cow::Owned(out)
}

fn is_modified_utf8(bytes: &[u8]) -> bool {
    if bytes.is_ascii() {
        return true;
    }
    let continues = |at: usize| bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80);
    let mut at = 0;
    while let Some(&lead) = bytes.get(at) {
        at += match lead {
            0x00..=0x7F => 1,
            0xC0..=0xDF if continues(at + 1) => 2,
            0xE0..=0xEF if continues(at + 1) && continues(at + 2) => 3,
            _ => return false,
        };
    }
    true
}

fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // Plain UTF-8 without supplementary characters, which is nearly everything, is the same bytes.
    // (Modified UTF-8 has no lead byte over 0xEF, so nothing of four bytes passes the check before.)
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let low = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0) & 0x3F);
    while let Some(&lead) = bytes.get(at) {
        let lead = u16::from(lead);
        match lead {
            0x00..=0x7F => {
                units.push(lead);
                at += 1;
            }
            0xC0..=0xDF => {
                units.push((lead & 0x1F) << 6 | low(at + 1));
                at += 2;
            }
            _ => {
                units.push((lead & 0x0F) << 12 | low(at + 1) << 6 | low(at + 2));
                at += 3;
            }
        }
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nul_and_supplementary_characters_differ_from_utf8() {
        let text = JavaStr::from("a\0é€😀");
        assert_eq!(
            text.as_modified_utf8(),
            [b'a', 0xC0, 0x80, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]
        );
        assert_eq!(text.to_str(), "a\0é€😀");
        assert!(text.is("a\0é€😀") && !text.is("a"));
    }

    #[test]
    fn unpaired_surrogates_are_kept_in_the_bytes() {
        let text = JavaStr::from_modified_utf8(&[0xED, 0xA0, 0xBD][..]).unwrap();
        assert_eq!(text.to_str(), "\u{FFFD}");
        assert_eq!(text.as_modified_utf8(), [0xED, 0xA0, 0xBD]);
    }

    #[test]
    fn broken_bytes_are_refused() {
        for bytes in [&[0x80][..], &[0xC3], &[0xE2, 0x82], &[0xF0, 0x9F, 0x98, 0x80], &[0xFF]] {
            assert_eq!(JavaStr::from_modified_utf8(bytes), None, "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn text_survives(text in any::<String>()) {
            let java = JavaStr::from(text.as_str());
            prop_assert!(JavaStr::from_modified_utf8(java.as_modified_utf8()).is_some());
            prop_assert_eq!(java.to_str(), text.as_str());
            prop_assert!(java.is(&text));
            prop_assert_eq!(JavaStr::from(text.clone()), java);
        }

        #[test]
        fn any_accepted_bytes_decode(bytes in any::<Vec<u8>>()) {
            if let Some(text) = JavaStr::from_modified_utf8(&bytes[..]) {
                let _ = text.to_str();
            }
        }
    }
}
