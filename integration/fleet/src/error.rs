//! What can go wrong here.

use std::io;

/// What can go wrong in a simulated master or a campaign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Its answer.
        source: io::Error,
    },
    /// The bridge refuses what is asked of it.
    #[error("the bridge refuses that: {0}")]
    Refused(String),
    /// Something is not as it should be.
    #[error("{0}")]
    Other(String),
}

impl FleetError {
    /// An input or output error with what was tried.
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
