//! Events of forges, in one form for all of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most characters of a name in an event.
const NAME_CHARACTERS: usize = 255;
/// The most paths that are kept of an event; with more of them nobody knows what has changed.
pub const PATHS: usize = 10_000;

/// What has happened.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A branch has new commits.
    Push,
    /// A tag was made or moved.
    Tag,
    /// A pull or merge request was opened, or opened again.
    PullRequestOpened,
    /// A pull or merge request has new commits.
    PullRequestUpdated,
    /// A pull or merge request was merged.
    PullRequestMerged,
}

impl EventKind {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Tag => "tag",
            Self::PullRequestOpened => "pull-request-opened",
            Self::PullRequestUpdated => "pull-request-updated",
            Self::PullRequestMerged => "pull-request-merged",
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What has happened.
    pub kind: EventKind,
    /// The repository, as the forge calls it: `acme/web`.
    pub repository: String,
    /// The branch that has the commit; for a merged request the one that it was merged into. Nothing for a
    /// tag.
    pub branch: Option<String>,
    /// The branch that a request is to be merged into.
    pub target: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The commit.
    pub commit: String,
    /// Number of the pull or merge request.
    pub number: Option<u64>,
    /// The files that have changed; nothing where the forge does not tell all of them.
    pub paths: Option<Vec<String>>,
    /// The commits come from another repository, which other people may write to.
    pub from_fork: bool,
    /// Who did it, for people.
    pub sender: String,
}

/// A name that a forge tells: a branch, a tag, a repository, a path. It becomes the value of a parameter, so
/// nothing is refused that git allows, but for what no controller can keep.
///
/// # Errors
/// Why it is refused.
pub fn name(what: &str, text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{what} is missing"));
    }
    if text.chars().count() > NAME_CHARACTERS {
        return Err(format!("{what} has more than {NAME_CHARACTERS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} has a control character"));
    }
    Ok(text.to_owned())
}

/// The id of a commit: SHA-1 or SHA-256.
///
/// # Errors
/// Why it is refused.
pub fn commit(text: &str) -> Result<String, String> {
    let good = matches!(text.len(), 40 | 64)
        && text.bytes().all(|one| one.is_ascii_digit() || (b'a'..=b'f').contains(&one));
    if good { Ok(text.to_owned()) } else { Err("expected the id of a commit".to_owned()) }
}

/// Whether an id stands for no commit: that of a branch that was removed.
#[must_use]
pub fn is_none(commit: &str) -> bool {
    commit.bytes().all(|one| one == b'0')
}

impl Event {
    /// In words, for the cause of a build.
    #[must_use]
    pub fn described(&self) -> String {
        let short = self.commit.get(..10).unwrap_or(&self.commit);
        let what = match (self.kind, self.number, &self.tag, &self.branch) {
            (_, Some(number), ..) => format!("request {number}"),
            (EventKind::Tag, _, Some(tag), _) => format!("tag {tag}"),
            (_, _, _, Some(branch)) => format!("branch {branch}"),
            _ => "commit".to_owned(),
        };
        let by =
            if self.sender.is_empty() { String::new() } else { format!(" by {}", self.sender) };
        format!("{} of {}: {what} at {short}{by}", self.kind.as_str(), self.repository)
    }
}
