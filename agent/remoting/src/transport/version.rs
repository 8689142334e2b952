//! Order of Jenkins version numbers (`org.jenkinsci.remoting.util.VersionNumber`).

use std::cmp::Ordering;

/// A version such as `3355.v388858a_47b_33`, `4.13` or `4.14-rc1`, with the order Jenkins gives it.
#[derive(Debug, Clone)]
pub struct VersionNumber {
    text: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
enum Item {
    /// Decimal digits without leading zeros; empty for zero. Of any length, so compared as text.
    Number(String),
    Word(String),
    List(Vec<Item>),
    Any,
}

/// Words with a place of their own, oldest first; the empty word is the release itself.
const QUALIFIERS: [&str; 7] = ["snapshot", "alpha", "beta", "milestone", "rc", "", "sp"];
/// Index of the release in [`QUALIFIERS`].
const RELEASE: usize = 5;
/// Longer version texts are cut before parsing.
const MAX_CHARS: usize = 256;

impl VersionNumber {
    /// Reads any text as a version; there are no invalid ones.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text: String = text.trim().chars().take(MAX_CHARS).collect();
        let items = Parser::run(&without_build_suffix(&text).to_ascii_lowercase());
        Self { text, items }
    }

    /// The version as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for VersionNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for VersionNumber {}

impl PartialOrd for VersionNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VersionNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_lists(&self.items, &other.items)
    }
}

/// `4.3-SNAPSHOT (private-…)` → `4.3-SNAPSHOT`: the note in brackets that local builds carry says nothing about
/// the order.
fn without_build_suffix(text: &str) -> &str {
    text.find(" (").map_or(text, |at| &text[..at])
}

struct Parser<'a> {
    /// Finished lists around the current one, outermost first.
    outer: Vec<Vec<Item>>,
    current: Vec<Item>,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn run(text: &'a str) -> Vec<Item> {
        let mut parser = Parser { outer: Vec::new(), current: Vec::new(), rest: text };
        while !parser.rest.is_empty() {
            parser.step();
        }
        while let Some(mut list) = parser.outer.pop() {
            trim(&mut parser.current);
            list.push(Item::List(std::mem::take(&mut parser.current)));
            parser.current = list;
        }
        trim(&mut parser.current);
        parser.current
    }

    /// Reads one component and the separator after it.
    fn step(&mut self) {
        let digits = self.take_while(|c| c.is_ascii_digit());
        let numeric = !digits.is_empty();
        if numeric {
            self.current.push(Item::Number(digits.trim_start_matches('0').to_owned()));
        } else {
            let word = self.take_while(|c| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '*'));
            if word.is_empty() {
                match self.rest.chars().next() {
                    Some('*') => {
                        self.rest = &self.rest[1..];
                        self.current.push(Item::Any);
                    }
                    // Two separators in a row, or one at the start: a zero stands between them.
                    _ => self.current.push(Item::Number(String::new())),
                }
            } else {
                let before_digit = self.rest.starts_with(|c: char| c.is_ascii_digit());
                self.current.push(Item::Word(canonical_word(word.trim(), before_digit)));
            }
        }
        let Some(separator @ ('.' | '-')) = self.rest.chars().next() else {
            return;
        };
        self.rest = &self.rest[1..];
        if separator == '-' && numeric {
            trim(&mut self.current);
            if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
                self.outer.push(std::mem::take(&mut self.current));
            }
        }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn canonical_word(word: &str, before_digit: bool) -> String {
    let word = match word {
        "a" if before_digit => "alpha",
        "b" if before_digit => "beta",
        "m" if before_digit => "milestone",
        "ga" | "final" => "",
        "cr" | "ea" => "rc",
        other => other,
    };
    word.to_owned()
}

/// Drops zeros, release words and empty lists at the end: 1.0 is 1.
fn trim(items: &mut Vec<Item>) {
    while items.last().is_some_and(Item::is_nothing) {
        items.pop();
    }
}

fn rank(word: &str) -> usize {
    QUALIFIERS.iter().position(|known| *known == word).unwrap_or(QUALIFIERS.len())
}

impl Item {
    fn is_nothing(&self) -> bool {
        match self {
            Self::Number(digits) => digits.is_empty(),
            Self::Word(word) => rank(word) == RELEASE,
            Self::List(items) => items.is_empty(),
            Self::Any => false,
        }
    }

    /// Order against a version that has already ended.
    fn compare_to_end(&self) -> Ordering {
        match self {
            Self::Number(digits) => digits.len().cmp(&0),
            Self::Word(word) => rank(word).cmp(&RELEASE),
            Self::List(items) => items.first().map_or(Ordering::Equal, Self::compare_to_end),
            Self::Any => Ordering::Greater,
        }
    }

    /// Numbers are newer than lists, lists newer than words, a wildcard newer than all.
    fn kind(&self) -> u8 {
        match self {
            Self::Word(_) => 0,
            Self::List(_) => 1,
            Self::Number(_) => 2,
            Self::Any => 3,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                left.len().cmp(&right.len()).then_with(|| left.cmp(right))
            }
            (Self::Word(left), Self::Word(right)) => rank(left).cmp(&rank(right)).then_with(|| {
                if rank(left) == QUALIFIERS.len() { left.cmp(right) } else { Ordering::Equal }
            }),
            (Self::List(left), Self::List(right)) => compare_lists(left, right),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

fn compare_lists(left: &[Item], right: &[Item]) -> Ordering {
    for index in 0..left.len().max(right.len()) {
        let order = match (left.get(index), right.get(index)) {
            (Some(left), Some(right)) => left.compare(right),
            (Some(left), None) => left.compare_to_end(),
            (None, Some(right)) => right.compare_to_end().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(left: &str, right: &str) -> Ordering {
        VersionNumber::parse(left).cmp(&VersionNumber::parse(right))
    }

    #[test]
    fn remoting_versions_in_order() {
        let ascending = [
            "3.14",
            "4.2-rc1",
            "4.2",
            "4.2.1",
            "4.13",
            "4.13.3",
            "3046.v38db_38a_b_7a_86",
            "3107.v665000b_51092",
            "3176.v207ec082a_8c0",
            "3261.v9c670a_4748a_9",
            "3355.v388858a_47b_33",
            "99999999999999999999999",
        ];
        for (index, left) in ascending.iter().enumerate() {
            assert_eq!(order(left, left), Ordering::Equal);
            for right in &ascending[index + 1..] {
                assert_eq!(order(left, right), Ordering::Less, "{left} < {right}");
                assert_eq!(order(right, left), Ordering::Greater, "{right} > {left}");
            }
        }
    }

    #[test]
    fn qualifiers_and_trailing_zeros() {
        assert_eq!(order("1.0", "1"), Ordering::Equal);
        assert_eq!(order("1.0-ga", "1"), Ordering::Equal);
        assert_eq!(order("1.0-SNAPSHOT", "1.0"), Ordering::Less);
        assert_eq!(order("1.0-alpha-1", "1.0-b2"), Ordering::Less);
        assert_eq!(order("1-1", "1.1"), Ordering::Less);
        assert_eq!(order("1-1", "1"), Ordering::Greater);
        assert_eq!(order("2.0.*", "2.0.1"), Ordering::Greater);
        assert_eq!(
            order("3355.v388858a_47b_33 (private)", "3355.v388858a_47b_33"),
            Ordering::Equal
        );
    }

    #[test]
    fn any_text_is_a_version() {
        for text in ["", ".", "-", "*", "..-*a1é9", "ß", "1é2", &"1-".repeat(500)] {
            assert_eq!(order(text, text), Ordering::Equal, "{text}");
        }
    }
}
