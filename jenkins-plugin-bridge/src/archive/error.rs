//! Why something cannot be kept, or read again.

use std::io;

/// An archive did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A name that no build has.
    #[error("`{0}` is no id of a build: expected up to 64 letters, digits, `-` and `_`")]
    Id(String),
    /// The disk refused something.
    #[error("cannot {action}: {source}")]
    Disk {
        /// What was tried.
        action: String,
        /// Its answer.
        source: io::Error,
    },
    /// The bucket refused something, and will do so again.
    #[error("{bucket}: cannot {action}: {reason}")]
    Refused {
        /// Which bucket, and where.
        bucket: String,
        /// What was tried.
        action: &'static str,
        /// Its answer, and what to do next.
        reason: String,
    },
    /// The bucket does not answer, or not now, also after all tries.
    #[error("{bucket}: cannot {action} now: {reason} ({tries} tries)")]
    Away {
        /// Which bucket, and where.
        bucket: String,
        /// What was tried.
        action: &'static str,
        /// The last reason, and what to look at.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// Something is there that was not put there.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// What was read.
        object: String,
        /// How it is seen.
        reason: String,
    },
}

impl ArchiveError {
    /// Whether it goes by, with nothing to mend in what is declared.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// The disk refused something.
    pub(super) fn disk(action: impl Into<String>, source: io::Error) -> Self {
        Self::Disk { action: action.into(), source }
    }
}
