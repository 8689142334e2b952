//! Reading a script the way a shell splits it, to find where data would become code or words.
//!
//! This is no shell grammar: it knows quotes, expansions, comments, here-documents and where
//! commands start, which is what the rules need.

mod arguments;
mod judge;

use std::collections::BTreeSet;

/// How deep substitutions may nest before the reader gives up on the script.
const MAX_DEPTH: usize = 32;

/// Something in a script that a rule refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The line in the script, from 1.
    pub line: usize,
    /// What it is.
    pub kind: FindingKind,
    /// The text in question.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// An expansion outside double quotes: the shell splits it and expands globs in it.
    Unquoted,
    /// `eval`, or an expansion of an expansion.
    Eval,
    /// A value in text that another program reads as code.
    Indirect,
    /// A name in an arithmetic expression, which some shells evaluate again.
    Arithmetic,
    /// The script cannot be read: a quote or a bracket is not closed.
    Unreadable,
}

/// Reads a script.
#[must_use]
pub fn findings(script: &str) -> Vec<Finding> {
    let mut scanner = Scanner {
        chars: script.chars().collect(),
        at: 0,
        line: 1,
        depth: 0,
        found: BTreeSet::new(),
        heredocs: Vec::new(),
    };
    scanner.commands(End::Script);
    scanner.found.into_iter().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Script,
    Bracket,
    Backtick,
}

#[derive(Debug, Default, Clone)]
struct Word {
    line: usize,
    /// The text with quotes removed and every expansion as `$`.
    plain: String,
    /// The text as written.
    raw: String,
    expansions: usize,
    /// Expansions outside quotes, as written.
    unquoted: Vec<String>,
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    line: usize,
    depth: usize,
    found: BTreeSet<Finding>,
    /// Delimiters of here-documents whose bodies start at the next line, and whether the body is
    /// expanded.
    heredocs: Vec<(String, bool)>,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek(0)?;
        self.at += 1;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    fn find(&mut self, line: usize, kind: FindingKind, text: impl Into<String>) {
        let mut text: String = text.into();
        if text.chars().count() > 60 {
            text = text.chars().take(60).chain(['…']).collect();
        }
        self.found.insert(Finding { line, kind, text });
    }

    fn unreadable(&mut self, what: &str) {
        self.find(self.line, FindingKind::Unreadable, what);
        self.at = self.chars.len();
    }

    /// Reads commands up to the end asked for.
    fn commands(&mut self, end: End) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.unreadable("substitutions nest too deep");
        }
        let mut words: Vec<Word> = Vec::new();
        let mut cases = 0usize;
        let mut closed = end == End::Script;
        while let Some(character) = self.peek(0) {
            match character {
                '\\' if self.peek(1) == Some('\n') => {
                    self.next();
                    self.next();
                }
                ' ' | '\t' => {
                    self.next();
                }
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                '\n' => {
                    self.next();
                    self.command(&mut words, &mut cases);
                    self.heredoc_bodies();
                }
                ')' if end == End::Bracket && cases == 0 => {
                    self.next();
                    closed = true;
                    break;
                }
                '`' if end == End::Backtick => {
                    self.next();
                    closed = true;
                    break;
                }
                '(' if self.peek(1) == Some('(') && words.is_empty() => {
                    self.next();
                    self.next();
                    self.arithmetic();
                }
                ';' | '&' | '|' | '(' | ')' => {
                    self.next();
                    // `>&2` and `&>file` are redirections, not the end of a command.
                    if character == '&' && self.peek(0) == Some('>') {
                        continue;
                    }
                    // Patterns of `case` and the brackets of an array also end a command here,
                    // which only splits it in two.
                    self.command(&mut words, &mut cases);
                }
                '<' if self.peek(1) == Some('<') && self.peek(2) != Some('<') => {
                    self.heredoc_start();
                }
                '<' | '>' => {
                    self.next();
                    while matches!(self.peek(0), Some('>' | '<' | '&' | '|')) {
                        self.next();
                    }
                    // A process substitution is a substitution.
                    if self.peek(0) == Some('(') {
                        self.next();
                        self.commands(End::Bracket);
                        continue;
                    }
                    while matches!(self.peek(0), Some(' ' | '\t')) {
                        self.next();
                    }
                    // The file is no argument of the command, but it is split like one.
                    let target = self.word(end);
                    for text in target.unquoted {
                        self.find(target.line, FindingKind::Unquoted, text);
                    }
                }
                _ => {
                    let word = self.word(end);
                    words.push(word);
                }
            }
        }
        self.command(&mut words, &mut cases);
        if !closed {
            self.unreadable("a substitution is not closed");
        }
        self.depth -= 1;
    }

    fn word(&mut self, end: End) -> Word {
        let mut word = Word { line: self.line, ..Word::default() };
        let start = self.at;
        while let Some(character) = self.peek(0) {
            match character {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => {
                    // `a=(1 2)` and `f()`: the bracket starts a new command, harmlessly.
                    break;
                }
                '`' if end == End::Backtick => break,
                '\\' => {
                    self.next();
                    if let Some(next) = self.next()
                        && next != '\n'
                    {
                        word.plain.push(next);
                    }
                }
                '\'' => {
                    self.next();
                    self.single_quoted(&mut word);
                }
                '"' => {
                    self.next();
                    self.double_quoted(&mut word);
                }
                '$' | '`' => self.expansion(&mut word, false),
                other => {
                    self.next();
                    word.plain.push(other);
                }
            }
        }
        word.raw = self.chars[start..self.at].iter().collect();
        word
    }

    fn single_quoted(&mut self, word: &mut Word) {
        loop {
            match self.next() {
                Some('\'') => return,
                Some(character) => word.plain.push(character),
                None => return self.unreadable("a single quote is not closed"),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) {
        loop {
            match self.peek(0) {
                Some('"') => {
                    self.next();
                    return;
                }
                Some('\\') => {
                    self.next();
                    if let Some(next) = self.next() {
                        word.plain.push(next);
                    }
                }
                Some('$' | '`') => self.expansion(word, true),
                Some(character) => {
                    self.next();
                    word.plain.push(character);
                }
                None => return self.unreadable("a double quote is not closed"),
            }
        }
    }

    /// Reads `$…` or a backtick at the current place.
    fn expansion(&mut self, word: &mut Word, quoted: bool) {
        let start = self.at;
        let line = self.line;
        let mut splits = true;
        match (self.next(), self.peek(0)) {
            (Some('`'), _) => self.commands(End::Backtick),
            (_, Some('\'')) if !quoted => {
                // bash: $'text with escapes'
                self.next();
                loop {
                    match self.next() {
                        Some('\\') => {
                            self.next();
                        }
                        Some('\'') => return,
                        Some(character) => word.plain.push(character),
                        None => return self.unreadable("a single quote is not closed"),
                    }
                }
            }
            (_, Some('(')) => {
                self.next();
                if self.peek(0) == Some('(') {
                    self.next();
                    self.arithmetic();
                    splits = false;
                } else {
                    self.commands(End::Bracket);
                }
            }
            (_, Some('{')) => {
                self.next();
                splits = self.braces(word, quoted, line);
            }
            // The results of the shell itself are numbers.
            (_, Some('?' | '#' | '$' | '!')) => {
                self.next();
                splits = false;
            }
            (_, Some('@' | '*' | '-' | '0'..='9')) => {
                self.next();
            }
            (_, Some(first)) if first.is_ascii_alphabetic() || first == '_' => {
                while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.next();
                }
            }
            // A lone dollar is a dollar.
            _ => {
                word.plain.push('$');
                return;
            }
        }
        word.plain.push('$');
        word.expansions += 1;
        if !quoted && splits {
            word.unquoted.push(self.chars[start..self.at].iter().collect());
        }
    }

    /// Reads the inside of `${…}`. Says whether the value is split when it is not quoted.
    fn braces(&mut self, word: &mut Word, quoted: bool, line: usize) -> bool {
        if self.peek(0) == Some('#') && self.peek(1) != Some('}') {
            while self.peek(0).is_some_and(|c| c != '}') {
                self.next();
            }
            self.next();
            return false;
        }
        if self.peek(0) == Some('!') {
            self.find(line, FindingKind::Eval, "${!…}");
        }
        let mut name = String::new();
        while let Some(c) =
            self.peek(0).filter(|c| c.is_ascii_alphanumeric() || "_@*!?".contains(*c))
        {
            name.push(c);
            self.next();
        }
        let mut operator = String::new();
        while let Some(c) = self.peek(0).filter(|c| ":+-=?%#/^,@".contains(*c)) {
            if operator.len() == 2 {
                break;
            }
            operator.push(c);
            self.next();
        }
        if name.contains('@') && self.peek(0) == Some('P') || operator.starts_with('@') {
            self.find(line, FindingKind::Eval, format!("${{{name}{operator}…}}"));
        }
        let alternative = operator == "+" || operator == ":+";
        let mut inner = Word::default();
        loop {
            match self.peek(0) {
                Some('}') => {
                    self.next();
                    break;
                }
                Some('\\') => {
                    self.next();
                    self.next();
                }
                Some('\'') if !quoted => {
                    self.next();
                    self.single_quoted(&mut inner);
                }
                Some('"') => {
                    self.next();
                    self.double_quoted(&mut inner);
                }
                Some('$' | '`') => self.expansion(&mut inner, quoted),
                Some(_) => {
                    self.next();
                }
                None => {
                    self.unreadable("`${` is not closed");
                    break;
                }
            }
        }
        if !quoted && alternative {
            // Only the alternative text appears, and what is in quotes there is not split.
            word.unquoted.append(&mut inner.unquoted);
            return false;
        }
        true
    }

    fn arithmetic(&mut self) {
        let line = self.line;
        let mut depth = 0usize;
        let mut names = String::new();
        loop {
            match self.next() {
                Some('(') => depth += 1,
                Some(')') if depth > 0 => depth -= 1,
                Some(')') => {
                    if self.peek(0) == Some(')') {
                        self.next();
                    }
                    break;
                }
                Some(c) if c.is_ascii_alphanumeric() || c == '_' => names.push(c),
                Some(_) => names.push(' '),
                None => return self.unreadable("`((` is not closed"),
            }
        }
        let all: Vec<String> = names
            .split_whitespace()
            .filter(|one| !one.starts_with(|c: char| c.is_ascii_digit()))
            .map(str::to_owned)
            .collect();
        for name in all {
            self.find(line, FindingKind::Arithmetic, name);
        }
    }

    fn heredoc_start(&mut self) {
        self.next();
        self.next();
        if self.peek(0) == Some('-') {
            self.next();
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.next();
        }
        let word = self.word(End::Script);
        let expands = !word.raw.contains(['\'', '"', '\\']);
        self.heredocs.push((word.plain, expands));
    }

    fn heredoc_bodies(&mut self) {
        for (delimiter, expands) in std::mem::take(&mut self.heredocs) {
            loop {
                let rest = &self.chars[self.at..];
                if rest.is_empty() {
                    return self.unreadable("a here-document is not closed");
                }
                let text: String = rest.iter().take_while(|c| **c != '\n').collect();
                if text.trim_start_matches('\t') == delimiter {
                    while self.next().is_some_and(|c| c != '\n') {}
                    break;
                }
                let mut ignored = Word::default();
                loop {
                    match self.peek(0) {
                        None => break,
                        Some('\n') => {
                            self.next();
                            break;
                        }
                        Some('\\') => {
                            self.next();
                            self.next();
                        }
                        Some('$' | '`') if expands => self.expansion(&mut ignored, true),
                        Some(_) => {
                            self.next();
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
