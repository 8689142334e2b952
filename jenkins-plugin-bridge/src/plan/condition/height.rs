//! How deep a condition lies in itself, told before anything recurses over it.

/// How high the tree of a condition may be, in operators. The parser, the evaluation and the release
/// of the tree recurse; this takes two thirds of the 2 MiB of stack of a thread in a debug build,
/// whatever a catalog holds.
pub(super) const MAX_HEIGHT: usize = 40;
/// What a bracket counts: the parser goes through all its rules for each, which takes about as much
/// stack as five operators.
const BRACKET: usize = 5;

/// A bound of the height of the tree of a condition, from its text: no parser has to recurse for it.
/// Chains of `&&` and `||` are balanced by the parser, so a new term starts after each; other
/// operators lie in each other as far as their chain goes, and so do brackets.
pub(super) fn height(source: &str) -> usize {
    // Operators of the current term, for every bracket that is open.
    let mut open = vec![0usize];
    let (mut choices, mut highest) = (0usize, 0usize);
    let mut characters = source.chars().peekable();
    while let Some(character) = characters.next() {
        let mut operators = 0;
        match character {
            '\'' | '"' => {
                // What stands in a text is no operator.
                while let Some(inner) = characters.next().filter(|inner| *inner != character) {
                    if inner == '\\' {
                        characters.next();
                    }
                }
            }
            '(' | '[' | '{' => open.push(BRACKET),
            ')' | ']' | '}' => {
                // What was inside stays below the operators that follow.
                if let (Some(inside), true) = (open.pop(), open.is_empty()) {
                    open.push(inside);
                }
                operators = 1;
            }
            '&' | '|' => {
                characters.next_if_eq(&character);
                if let Some(term) = open.last_mut() {
                    *term = 0;
                }
            }
            '=' | '<' | '>' | '!' => {
                characters.next_if_eq(&'=');
                operators = 1;
            }
            '-' | '+' | '*' | '/' | '%' | '.' => operators = 1,
            '?' => choices += 1,
            _ => {}
        }
        if let Some(term) = open.last_mut() {
            *term += operators;
        }
        highest = highest.max(open.iter().sum::<usize>() + choices);
    }
    highest
}
