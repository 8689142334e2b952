//! Which argument of a command is code for another program.

use super::Word;

/// The program of awk or sed: the first argument that is no option nor the value of one.
pub(super) fn awk_program(arguments: &[Word]) -> Option<&Word> {
    let mut all = arguments.iter();
    while let Some(one) = all.next() {
        match one.plain.as_str() {
            "-v" | "-F" | "-f" => {
                all.next();
            }
            text if text.starts_with('-') && text.len() > 1 => {}
            _ => return Some(one),
        }
    }
    None
}

pub(super) fn after_ssh_host(arguments: &[Word]) -> &[Word] {
    let mut index = 0;
    while let Some(one) = arguments.get(index) {
        let text = one.plain.as_str();
        index += 1;
        if !text.starts_with('-') {
            // What follows the host is the command.
            break;
        }
        if text.len() == 2 && "BbcDEeFIiJLlmOopQRSWw".contains(&text[1..]) {
            index += 1;
        }
    }
    arguments.get(index..).unwrap_or_default()
}

pub(super) fn is_assignment(word: &Word) -> bool {
    word.raw.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end_matches('+');
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
