//! Why a campaign fails.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a campaign could not run, or what it found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the system does not work.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system answered.
        error: io::Error,
    },
    /// The controller ended or talks nonsense.
    #[error("the controller {0}; its own words are in controller.log")]
    Controller(String),
    /// The agent ended by itself.
    #[error("the agent ended by itself ({0}); its own words are in agent.log")]
    AgentEnded(String),
    /// The agent did not come back.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    NotBack(Duration),
    /// A build is not what it should be.
    #[error("build {number}: {why} [{trace}]")]
    Build {
        /// Which one.
        number: u64,
        /// What is wrong.
        why: String,
        /// Where the controller found it.
        trace: String,
    },
    /// The agent broke the protocol.
    #[error("the agent broke the protocol: {0}")]
    Breach(String),
    /// Something is left that should be gone.
    #[error("left at the end: {0}")]
    Left(String),
    /// The file cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}
