//! Values that must not appear in logs or errors.

use std::fmt;

use zeroize::Zeroizing;

/// A password, an agent secret or the value of a header that may be one. `Debug` prints `***`; there is no
/// `Display`; the memory is overwritten on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. For the wire only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The value of the header `Connection-Cookie`: proof that a new connection comes from the agent that holds the
/// old one, so that the controller drops the old one instead of refusing "already connected".
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(Secret);

/// Longest accepted cookie in characters. Controllers send 64.
const MAX_COOKIE_CHARS: usize = 1024;

impl Cookie {
    /// Reads a cookie. `None` unless it is a non-empty, even number of hexadecimal digits: the controller answers
    /// anything else with an internal error (500), so such a cookie is worth less than none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let usable = !text.is_empty()
            && text.len() <= MAX_COOKIE_CHARS
            && text.len().is_multiple_of(2)
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        usable.then(|| Self(Secret::new(text)))
    }

    /// The value itself. For the wire only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_values() {
        let shown = format!("{:?} {:?}", Secret::new("hunter2"), Cookie::parse("c0ffee"));
        assert_eq!(shown, "*** Some(***)");
    }

    #[test]
    fn only_even_hex_is_a_cookie() {
        assert_eq!(Cookie::parse(" c0FFee ").unwrap().expose(), "c0FFee");
        for bad in ["", "abc", "zz", "c0 ffe", &"a".repeat(2000)] {
            assert_eq!(Cookie::parse(bad), None, "{bad}");
        }
    }
}
