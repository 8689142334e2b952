//! What keeps a figure from being measured.

use java_object_stream::{AccessError, EncodeError, ReadError};
use jenkins_remoting::framing::FramingError;
use pilotfish_replay::error::ReplayError;
use tokio_tungstenite::tungstenite;

/// A figure could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A file, a process or the network failed.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The same, with what it was about.
    #[error("{what}: {source}")]
    About {
        /// A path or a program.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A connection broke.
    #[error("WebSocket: {0}")]
    Socket(Box<tungstenite::Error>),
    /// A recording cannot be used.
    #[error("{0}")]
    Recording(#[from] ReplayError),
    /// The agent's chunks make no command.
    #[error("{0}")]
    Framing(#[from] FramingError),
    /// The agent's answer is no object stream.
    #[error("an answer that cannot be read: {0}")]
    Stream(#[from] ReadError),
    /// The agent's answer has another shape.
    #[error("an answer of another shape: {0}")]
    Shape(#[from] AccessError),
    /// A command of this controller cannot be encoded.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// The agent did something else than was asked for.
    #[error("{0}")]
    Agent(String),
    /// Something is missing on this machine.
    #[error("{0}")]
    Missing(String),
    /// Some figures could not be measured.
    #[error("could not measure {0}")]
    Unmeasured(String),
}

impl Failed {
    /// The failure of something that has a name.
    pub fn about(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::About { what, source }
    }
}

impl From<tungstenite::Error> for Failed {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}
