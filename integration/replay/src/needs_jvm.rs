//! The committed list of callables that only a JVM can answer (`needs-jvm.txt`).

use std::path::Path;

use crate::error::ReplayError;

/// Whose classes the list may name. Everything else must be answered by the native agent.
const OWNERS: [&str; 2] = ["org.jenkinsci.plugins.gitclient.", "hudson.tasks.junit."];

/// How many lines the list may have. It may only shrink: lower this with every line taken out.
pub const MOST_LINES: usize = 2;

/// The callables that a native agent refuses with a Java exception.
#[derive(Debug, Clone, Default)]
pub struct NeedsJvm {
    lines: Vec<Line>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The callable's class.
    pub class: String,
    /// What of the recording hangs on its answer.
    pub loses: Loses,
}

/// What is left out when a callable is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loses {
    /// Only commands that name an object of the answer.
    Answer,
    /// Those, and what works on the callable's directory until the build ends: the calls on the
    /// answer would have filled it.
    Workspace,
}

impl NeedsJvm {
    /// Reads the list: `CLASS answer` or `CLASS workspace` a line, `#` begins a comment.
    ///
    /// # Errors
    /// When the file cannot be read, or names a class that has no place in it.
    pub fn load(path: &Path) -> Result<Self, ReplayError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReplayError::File { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|(line, problem)| ReplayError::Recording {
            name: path.display().to_string(),
            line,
            problem,
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lines: Vec<Line> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let fail = |problem: &str| Err((index + 1, problem.to_owned()));
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (class, loses) = line.split_once(' ').unwrap_or((line, ""));
            let loses = match loses.trim() {
                "answer" => Loses::Answer,
                "workspace" => Loses::Workspace,
                _ => return fail("expected `CLASS answer` or `CLASS workspace`"),
            };
            if !OWNERS.iter().any(|owner| class.starts_with(owner)) {
                return fail(
                    "only git-client and junit may need a JVM; answer this class natively",
                );
            }
            if lines.iter().any(|known| known.class == class) {
                return fail("listed twice");
            }
            lines.push(Line { class: class.to_owned(), loses });
            if lines.len() > MOST_LINES {
                return fail("the list may only shrink");
            }
        }
        Ok(Self { lines })
    }

    /// What is lost when this callable is refused; nothing for one that must be answered.
    #[must_use]
    pub fn loses(&self, class: &str) -> Option<Loses> {
        self.lines.iter().find(|line| line.class == class).map(|line| line.loses)
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_owners_may_be_listed_and_no_more_lines_than_today() {
        let git = "org.jenkinsci.plugins.gitclient.Git$X workspace # why\n";
        assert_eq!(
            NeedsJvm::parse(git).unwrap().loses("org.jenkinsci.plugins.gitclient.Git$X"),
            Some(Loses::Workspace)
        );
        assert!(NeedsJvm::parse("hudson.FilePath$Exists answer").is_err());
        assert!(NeedsJvm::parse("hudson.tasks.junit.A").is_err());
        assert!(NeedsJvm::parse(&format!("{git}{git}")).is_err());
        let many: String =
            (0..=MOST_LINES).map(|n| format!("hudson.tasks.junit.A{n} answer\n")).collect();
        assert_eq!(NeedsJvm::parse(&many).unwrap_err().1, "the list may only shrink");
    }
}
