//! Splits `REMOTING_OPTS` into words with the quoting of a POSIX shell, executing nothing.
//!
//! The container entry point evaluates the variable with `eval`. Quotes, backslashes, `$NAME`,
//! `${NAME}` and a leading `~/` mean the same here. What would run a command or needs a shell
//! (`$(…)`, backquotes, `;`, `|`, `&`, redirections, special parameters) is refused. File name
//! patterns and `#` are taken literally.

/// Why a text cannot be split. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote without its partner.
    #[error(
        "the quote {0} at character {1} is not closed: close it, or write \\{0} for the character"
    )]
    OpenQuote(char, usize),
    /// Command substitution.
    #[error(
        "command substitution at character {0} is not executed: set the variable to the command's \
         output, or put single quotes around the text"
    )]
    CommandSubstitution(usize),
    /// An operator of the shell.
    #[error(
        "{0} at character {1} is an operator of the shell and is not executed: put quotes around the value"
    )]
    Operator(char, usize),
    /// A parameter expansion other than `$NAME` and `${NAME}`.
    #[error(
        "the expansion at character {0} is not supported, only $NAME and ${{NAME}} are: write the value \
         itself, or put single quotes around the text"
    )]
    Expansion(usize),
    /// A backslash at the end.
    #[error("there is nothing behind the \\ at the end: remove it")]
    TrailingBackslash,
}

/// Splits `text`; `lookup` gives the values of variables.
pub(super) fn split(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, SplitError> {
    let mut splitter = Splitter {
        characters: text.chars().collect(),
        at: 0,
        lookup,
        words: Vec::new(),
        word: None,
    };
    splitter.run()?;
    Ok(splitter.words)
}

struct Splitter<'a> {
    characters: Vec<char>,
    /// Index of the next character.
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    words: Vec<String>,
    /// The word under construction; `Some` of an empty text after `''`.
    word: Option<String>,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), SplitError> {
        while let Some(character) = self.next() {
            let position = self.at;
            match character {
                ' ' | '\t' | '\n' | '\r' => self.end_word(),
                '\\' => match self.next() {
                    Some('\n') => {}
                    Some(escaped) => self.push(escaped),
                    None => return Err(SplitError::TrailingBackslash),
                },
                '\'' => self.single_quoted(position)?,
                '"' => self.double_quoted(position)?,
                '$' => {
                    if let Some(value) = self.expansion(position)? {
                        self.push_split(&value);
                    }
                }
                '`' => return Err(SplitError::CommandSubstitution(position)),
                ';' | '|' | '&' | '<' | '>' | '(' | ')' => {
                    return Err(SplitError::Operator(character, position));
                }
                '~' if self.word.is_none() && self.tilde_stands_alone() => {
                    let home = (self.lookup)("HOME").unwrap_or_else(|| "~".to_owned());
                    self.word.get_or_insert_default().push_str(&home);
                }
                other => self.push(other),
            }
        }
        self.end_word();
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn push(&mut self, character: char) {
        self.word.get_or_insert_default().push(character);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    /// Adds an unquoted variable's value, which is split at white space.
    fn push_split(&mut self, value: &str) {
        for character in value.chars() {
            if matches!(character, ' ' | '\t' | '\n') {
                self.end_word();
            } else {
                self.push(character);
            }
        }
    }

    fn tilde_stands_alone(&self) -> bool {
        self.peek().is_none_or(|next| next == '/' || next.is_ascii_whitespace())
    }

    fn single_quoted(&mut self, opened: usize) -> Result<(), SplitError> {
        self.word.get_or_insert_default();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(character) => self.push(character),
                None => return Err(SplitError::OpenQuote('\'', opened)),
            }
        }
    }

    fn double_quoted(&mut self, opened: usize) -> Result<(), SplitError> {
        self.word.get_or_insert_default();
        loop {
            let character = self.next().ok_or(SplitError::OpenQuote('"', opened))?;
            match character {
                '"' => return Ok(()),
                '`' => return Err(SplitError::CommandSubstitution(self.at)),
                '\\' => match self.next().ok_or(SplitError::OpenQuote('"', opened))? {
                    '\n' => {}
                    escaped @ ('"' | '\\' | '$' | '`') => self.push(escaped),
                    other => {
                        self.push('\\');
                        self.push(other);
                    }
                },
                '$' => {
                    if let Some(value) = self.expansion(self.at)? {
                        self.word.get_or_insert_default().push_str(&value);
                    }
                }
                other => self.push(other),
            }
        }
    }

    /// Reads what follows a `$`. `None` if the variable is not set; a `$` that begins no expansion
    /// stands for itself.
    fn expansion(&mut self, position: usize) -> Result<Option<String>, SplitError> {
        match self.peek() {
            Some('(') => Err(SplitError::CommandSubstitution(position)),
            Some('{') => {
                self.at += 1;
                let name = self.name();
                if name.is_empty() || self.next() != Some('}') {
                    return Err(SplitError::Expansion(position));
                }
                Ok((self.lookup)(&name))
            }
            Some('0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!' | '\'') => {
                Err(SplitError::Expansion(position))
            }
            Some(first) if first == '_' || first.is_ascii_alphabetic() => {
                let name = self.name();
                Ok((self.lookup)(&name))
            }
            _ => Ok(Some("$".to_owned())),
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|next| {
            next == '_' || next.is_ascii_alphabetic() || (self.at > start && next.is_ascii_digit())
        }) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn variables(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/x".to_owned()),
            "TWO" => Some("a b".to_owned()),
            "EMPTY" => Some(String::new()),
            "A_1" => Some("one".to_owned()),
            _ => None,
        }
    }

    fn words(text: &str) -> Result<Vec<String>, SplitError> {
        split(text, &variables)
    }

    /// Each of these is checked against the machine's `sh` too.
    const TEXTS: &[(&str, &[&str])] = &[
        ("", &[]),
        ("  \t ", &[]),
        ("-noReconnectAfter 1d", &["-noReconnectAfter", "1d"]),
        ("-name 'a b' \"c d\"", &["-name", "a b", "c d"]),
        ("a\\ b c\\\\d \\\"", &["a b", "c\\d", "\""]),
        ("\"a\\\"b\\$c\\d\"", &["a\"b$c\\d"]),
        ("'a\\b\"$HOME'", &["a\\b\"$HOME"]),
        ("'' \"\" x''y", &["", "", "xy"]),
        ("$TWO \"$TWO\" x${TWO}y", &["a", "b", "a b", "xa", "by"]),
        ("$NONE \"$NONE\" ${EMPTY}", &[""]),
        ("$A_1-x ${A_1}2 $ a$ \"$\"", &["one-x", "one2", "$", "a$", "$"]),
        ("~ ~/x \"~\" a~", &["/home/x", "/home/x/x", "~", "a~"]),
        ("a\\\nb \"c\\\nd\"", &["ab", "cd"]),
        ("-webSocketHeader 'A=b;c|d&e'", &["-webSocketHeader", "A=b;c|d&e"]),
    ];

    #[test]
    fn splits_as_a_shell_does() {
        for (text, expected) in TEXTS {
            assert_eq!(words(text).as_deref(), Ok(expected.map_to_owned().as_slice()), "{text:?}");
            let output = Command::new("/bin/sh")
                .args([
                    "-c",
                    "eval \"set -- $OPTS\"; for w in \"$@\"; do printf '%s\\037' \"$w\"; done",
                ])
                .env_clear()
                .envs([
                    ("OPTS", *text),
                    ("HOME", "/home/x"),
                    ("TWO", "a b"),
                    ("EMPTY", ""),
                    ("A_1", "one"),
                ])
                .output()
                .unwrap();
            let shell = String::from_utf8(output.stdout).unwrap();
            let shell: Vec<&str> = shell.split_terminator('\x1f').collect();
            assert_eq!(shell, *expected, "sh reads {text:?} otherwise");
        }
    }

    trait MapToOwned {
        fn map_to_owned(&self) -> Vec<String>;
    }

    impl MapToOwned for [&str] {
        fn map_to_owned(&self) -> Vec<String> {
            self.iter().map(|&word| word.to_owned()).collect()
        }
    }

    #[test]
    fn refuses_what_needs_a_shell() {
        for (text, error) in [
            ("a $(id)", SplitError::CommandSubstitution(3)),
            ("a \"$(id)\"", SplitError::CommandSubstitution(4)),
            ("a `id`", SplitError::CommandSubstitution(3)),
            ("\"`id`\"", SplitError::CommandSubstitution(2)),
            ("a; b", SplitError::Operator(';', 2)),
            ("a | b", SplitError::Operator('|', 3)),
            ("a > b", SplitError::Operator('>', 3)),
            ("'a", SplitError::OpenQuote('\'', 1)),
            ("x \"a", SplitError::OpenQuote('"', 3)),
            ("a \\", SplitError::TrailingBackslash),
            ("$1", SplitError::Expansion(1)),
            ("${A:-b}", SplitError::Expansion(1)),
            ("${}", SplitError::Expansion(1)),
            ("${A", SplitError::Expansion(1)),
            ("$$", SplitError::Expansion(1)),
        ] {
            assert_eq!(words(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,64}") {
            let _ = words(&text);
        }

        #[test]
        fn never_panics_on_shell_characters(text in "[a\\\\'\"$(){}~ \\n`;é]{0,32}") {
            let _ = words(&text);
        }

        #[test]
        fn single_quotes_keep_everything(text in "[^'\0]{0,40}") {
            prop_assert_eq!(words(&format!("'{text}'")), Ok(vec![text]));
        }
    }
}
