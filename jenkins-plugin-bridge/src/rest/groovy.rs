//! Lists of texts in Groovy: `return ['a', "b"]`. Only literals are understood, nothing is run.

/// The most items of a list.
const ITEMS: usize = 10_000;

/// The texts of a script that does nothing but return a list of literal texts.
#[must_use]
pub fn literal_list(script: &str) -> Option<Vec<String>> {
    let mut scan = Scan { rest: script };
    scan.blank();
    if let Some(after) = scan.rest.strip_prefix("return")
        && !after.starts_with(|one: char| one.is_alphanumeric() || one == '_')
    {
        scan.rest = after;
        scan.blank();
    }
    scan.expect('[')?;
    let mut items = Vec::new();
    loop {
        scan.blank();
        if scan.expect(']').is_some() {
            break;
        }
        if items.len() >= ITEMS {
            return None;
        }
        items.push(scan.text()?);
        scan.blank();
        if scan.expect(',').is_none() {
            scan.expect(']')?;
            break;
        }
    }
    scan.blank();
    while scan.expect(';').is_some() {
        scan.blank();
    }
    scan.rest.is_empty().then_some(items)
}

struct Scan<'a> {
    rest: &'a str,
}

impl Scan<'_> {
    /// Passes over blanks and comments.
    fn blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("//") {
                self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                return;
            }
        }
    }

    fn expect(&mut self, one: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(one)?;
        Some(())
    }

    /// A literal text without a `${…}` in it.
    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|one| matches!(one, '\'' | '"'))?;
        if self.rest.starts_with("'''") || self.rest.starts_with("\"\"\"") {
            return None;
        }
        let mut text = String::new();
        let mut characters = self.rest[1..].char_indices();
        while let Some((at, one)) = characters.next() {
            match one {
                _ if one == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(text);
                }
                '\\' => text.push(match characters.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    plain @ ('\\' | '\'' | '"' | '$') => plain,
                    _ => return None,
                }),
                '\n' => return None,
                '$' if quote == '"' => return None,
                other => text.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literal_lists_are_read() {
        assert_eq!(literal_list("return ['a', \"b c\",]").unwrap(), ["a", "b c"]);
        assert_eq!(literal_list("// x\n['it\\'s'] ;\n").unwrap(), ["it's"]);
        assert_eq!(literal_list("return[/* none */]").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn whatever_computes_is_not() {
        for script in [
            "",
            "return",
            "return ['a'] + x",
            "['a': 1]",
            "[\"${env}\"]",
            "['a', b]",
            "returned ['a']",
            "def x = 1\nreturn ['a']",
            "['''a''']",
            "['a'",
            "['a\\",
        ] {
            assert_eq!(literal_list(script), None, "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(script in "\\PC{0,40}") {
            let _ = literal_list(&script);
        }
    }
}
