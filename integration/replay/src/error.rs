//! What keeps a replay from being played at all; differences from a recording are [`crate::report`]'s.

use std::path::PathBuf;

use java_object_stream::{AccessError, ReadError};

/// A replay that could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recording does not have the documented form.
    #[error("{name}, line {line}: {problem}")]
    Recording {
        /// The recording.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A stream that must be readable is not.
    #[error("not a readable object stream: {0}")]
    Stream(#[from] ReadError),
    /// A stream lacks a field that its class always has.
    #[error("an object stream of an unexpected shape: {0}")]
    Shape(#[from] AccessError),
    /// The network failed.
    #[error("network: {0}")]
    Network(#[from] std::io::Error),
    /// The WebSocket failed.
    #[error("WebSocket: {0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// The agent did something after which the session cannot go on.
    #[error("{0}")]
    Session(String),
    /// The agent cannot be started as the recording demands.
    #[error("{0}")]
    Agent(String),
}

impl From<tokio_tungstenite::tungstenite::Error> for ReplayError {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}
