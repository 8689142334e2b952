//! Judging a command: what is split, and what another program reads as code.

use super::arguments::{after_ssh_host, awk_program, is_assignment};
use super::{FindingKind, Scanner, Word};

const KEYWORDS: [&str; 11] =
    ["if", "then", "elif", "else", "while", "until", "do", "!", "time", "{", "function"];
const WRAPPERS: [&str; 8] = ["command", "exec", "sudo", "env", "nohup", "builtin", "nice", "time"];
const INTERPRETERS: [&str; 16] = [
    "sh", "bash", "dash", "zsh", "ksh", "ash", "su", "python", "python3", "perl", "ruby", "node",
    "php", "lua", "pwsh", "deno",
];

impl Scanner {
    /// Judges a command.
    pub(super) fn command(&mut self, words: &mut Vec<Word>, cases: &mut usize) {
        let all = std::mem::take(words);
        let mut rest: &[Word] = &all;
        while let [first, tail @ ..] = rest
            && KEYWORDS.contains(&first.plain.as_str())
        {
            rest = tail;
        }
        let assignments = rest.iter().take_while(|one| is_assignment(one)).count();
        let command = &rest[assignments..];
        let name = command.first().map_or("", |one| one.plain.as_str());
        match name {
            "case" => *cases += 1,
            "esac" => *cases = cases.saturating_sub(1),
            _ => {}
        }
        // Neither `case word in` nor `[[ … ]]` splits.
        if name != "case" && name != "[[" {
            for one in command {
                for text in &one.unquoted {
                    self.find(one.line, FindingKind::Unquoted, text.clone());
                }
            }
        }
        self.evaluation(command);
    }

    fn evaluation(&mut self, command: &[Word]) {
        let mut command = command;
        while let [first, tail @ ..] = command
            && (WRAPPERS.contains(&first.plain.as_str()) || is_assignment(first))
        {
            command = tail;
            while let [option, tail @ ..] = command
                && option.plain.starts_with('-')
            {
                command = tail;
            }
        }
        let Some((first, arguments)) = command.split_first() else { return };
        let name = first.plain.rsplit('/').next().unwrap_or_default().to_owned();
        let with_expansion = |all: &[Word]| all.iter().find(|one| one.expansions > 0).cloned();
        match name.as_str() {
            "eval" => self.find(first.line, FindingKind::Eval, "eval"),
            "." | "source" | "trap" | "let" => {
                if let Some(one) = with_expansion(arguments.get(..1).unwrap_or_default()) {
                    self.find(one.line, FindingKind::Indirect, format!("{name} {}", one.raw));
                }
            }
            "ssh" => {
                if let Some(one) = with_expansion(after_ssh_host(arguments)) {
                    self.find(one.line, FindingKind::Indirect, format!("ssh … {}", one.raw));
                }
            }
            "sed" | "awk" | "gawk" | "mawk" => {
                let script = arguments
                    .iter()
                    .position(|one| matches!(one.plain.as_str(), "-e" | "--expression"))
                    .and_then(|at| arguments.get(at + 1))
                    .or_else(|| awk_program(arguments));
                if let Some(one) = script.filter(|one| one.expansions > 0) {
                    self.find(one.line, FindingKind::Indirect, format!("{name} {}", one.raw));
                }
            }
            _ => {}
        }
        for (index, one) in command.iter().enumerate() {
            let program = one.plain.rsplit('/').next().unwrap_or_default();
            if !INTERPRETERS.contains(&program) {
                continue;
            }
            let mut following = command[index + 1..].iter();
            while let Some(option) = following.next() {
                if !option.plain.starts_with('-') {
                    break;
                }
                let letters = option.plain.trim_start_matches('-');
                let code = match program {
                    "node" | "deno" => matches!(letters, "e" | "p" | "pe" | "eval" | "print"),
                    "php" => letters == "r",
                    "perl" | "ruby" | "lua" => letters.ends_with('e'),
                    _ => letters.ends_with('c') || letters.eq_ignore_ascii_case("command"),
                };
                if code {
                    if let Some(text) = following.next().filter(|one| one.expansions > 0) {
                        let shown = format!("{program} {} {}", option.plain, text.raw);
                        self.find(text.line, FindingKind::Indirect, shown);
                    }
                    break;
                }
            }
        }
    }
}
