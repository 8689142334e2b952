//! One Ant pattern: `*` and `?` within a path component, `**` for any number of components.
//!
//! Facts: Ant `SelectorUtils#matchPath`, `#match`, `TokenizedPattern`. Names match per UTF-16 unit, as in Java,
//! so `?` takes two to match a character outside the basic plane; bytes that are not UTF-8 count as U+FFFD.

use std::path::Path;

/// A parsed pattern. Parsing never fails; matching is linear in the pattern times the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
    shape: Shape,
}

/// Forms common enough to be matched without the general algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `**`
    Everything,
    /// `**/token`
    AnyDepthName,
    /// `**/token/**`
    AnyDepthTree,
    General,
}

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    units: Vec<u16>,
    folded: Vec<u16>,
    deep: bool,
    wild: bool,
    ascii: bool,
}

impl Pattern {
    /// Parses one pattern. Both `/` and `\` separate components; a trailing separator means `/**`
    /// (Ant `DirectoryScanner#normalizePattern`).
    #[must_use]
    pub fn parse(pattern: &str) -> Self {
        let mut text = pattern.replace('\\', "/");
        if text.ends_with('/') {
            text.push_str("**");
        }
        Self::from_normalized(text)
    }

    fn from_normalized(text: String) -> Self {
        let mut tokens: Vec<Token> = Vec::new();
        if text.starts_with('/') {
            // Ant keeps the root as a component of its own, so an absolute pattern matches no relative path.
            tokens.push(Token::new("/"));
        }
        tokens.extend(text.split('/').filter(|part| !part.is_empty()).map(Token::new));
        let shape = match tokens.as_slice() {
            [a] if a.deep => Shape::Everything,
            [a, b] if a.deep && !b.deep => Shape::AnyDepthName,
            [a, b, c] if a.deep && !b.deep && c.deep => Shape::AnyDepthTree,
            _ => Shape::General,
        };
        Self { text, tokens, shape }
    }

    /// The pattern after normalisation of separators.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has a `*` or `?` anywhere.
    #[must_use]
    pub fn has_wildcards(&self) -> bool {
        self.text.contains(['*', '?'])
    }

    /// Whether the pattern starts at the root of the file system.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.text.starts_with('/')
    }

    /// Whether a relative path matches the whole pattern.
    #[must_use]
    pub fn matches(&self, path: &Path, case_sensitive: bool) -> bool {
        use std::os::unix::ffi::OsStrExt;
        self.matches_parts(&split(path.as_os_str().as_bytes()), case_sensitive)
    }

    pub(super) fn matches_parts(&self, parts: &[&[u8]], case_sensitive: bool) -> bool {
        match (self.shape, self.tokens.as_slice()) {
            (Shape::Everything, _) => true,
            (Shape::AnyDepthName, [_, name]) => {
                parts.last().is_some_and(|part| name.matches(part, case_sensitive))
            }
            (Shape::AnyDepthTree, [_, name, _]) => {
                parts.iter().any(|part| name.matches(part, case_sensitive))
            }
            (_, tokens) => match_tokens(tokens, parts, case_sensitive),
        }
    }

    /// Whether the pattern ends in `**` and what precedes it matches `parts`: then everything below matches.
    pub(super) fn matches_whole_tree(&self, parts: &[&[u8]], case_sensitive: bool) -> bool {
        match self.tokens.split_last() {
            Some((last, rest)) if last.deep => match_tokens(rest, parts, case_sensitive),
            _ => false,
        }
    }

    /// Whether something below the directory `parts` could match (Ant `#matchStartOf` and `#isDeeper`).
    pub(super) fn could_match_below(&self, parts: &[&[u8]], case_sensitive: bool) -> bool {
        for (index, part) in parts.iter().enumerate() {
            match self.tokens.get(index) {
                None => return false,
                Some(token) if token.deep => return true,
                Some(token) if !token.matches(part, case_sensitive) => return false,
                Some(_) => {}
            }
        }
        self.tokens.len() > parts.len()
    }

    /// The components before the first one with a wildcard: where a walk for this pattern may start.
    pub(super) fn fixed_prefix(&self) -> Vec<&str> {
        self.tokens
            .iter()
            .take_while(|token| !token.wild)
            .map(|token| token.text.as_str())
            .collect()
    }
}

impl Token {
    fn new(text: &str) -> Self {
        let units: Vec<u16> = text.encode_utf16().collect();
        Self {
            text: text.to_owned(),
            folded: units.iter().map(|unit| fold(*unit)).collect(),
            units,
            deep: text == "**",
            wild: text.contains(['*', '?']),
            ascii: text.is_ascii(),
        }
    }

    fn matches(&self, name: &[u8], case_sensitive: bool) -> bool {
        if case_sensitive && !self.wild {
            return self.text.as_bytes() == name;
        }
        if self.ascii && name.is_ascii() {
            let pattern = self.text.as_bytes();
            return if case_sensitive {
                match_units(pattern, name, b'*', b'?', |a, b| a == b)
            } else {
                match_units(pattern, name, b'*', b'?', |a, b| a.eq_ignore_ascii_case(&b))
            };
        }
        let lossy = String::from_utf8_lossy(name);
        let (star, any) = (u16::from(b'*'), u16::from(b'?'));
        if case_sensitive {
            let units: Vec<u16> = lossy.encode_utf16().collect();
            match_units(&self.units, &units, star, any, |a, b| a == b)
        } else {
            let units: Vec<u16> = lossy.encode_utf16().map(fold).collect();
            match_units(&self.folded, &units, star, any, |a, b| a == b)
        }
    }
}

/// Java's `Character.toUpperCase(char)`: one unit to one unit, others unchanged.
fn fold(unit: u16) -> u16 {
    let Some(c) = char::from_u32(u32::from(unit)) else { return unit };
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => u16::try_from(u32::from(single)).unwrap_or(unit),
        _ => unit,
    }
}

/// Components of a relative path given as bytes; the empty path has none.
pub(super) fn split(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect()
}

/// Greedy matching with one point to go back to: enough, because a later star subsumes every earlier choice.
fn match_units<T: Copy + PartialEq>(
    pattern: &[T],
    name: &[T],
    star: T,
    any: T,
    same: impl Fn(T, T) -> bool,
) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(unit) if *unit == star => {
                back = Some((p, n));
                p += 1;
            }
            Some(unit) if *unit == any || same(*unit, name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((at, from)) => {
                    back = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|unit| *unit == star)
}

fn match_tokens(tokens: &[Token], parts: &[&[u8]], case_sensitive: bool) -> bool {
    let (mut t, mut p) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while p < parts.len() {
        match tokens.get(t) {
            Some(token) if token.deep => {
                back = Some((t, p));
                t += 1;
            }
            Some(token) if token.matches(parts[p], case_sensitive) => {
                t += 1;
                p += 1;
            }
            _ => match back {
                Some((at, from)) => {
                    back = Some((at, from + 1));
                    t = at + 1;
                    p = from + 1;
                }
                None => return false,
            },
        }
    }
    tokens[t..].iter().all(|token| token.deep)
}
