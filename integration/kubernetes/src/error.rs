//! What can go wrong with the cluster.

use std::path::{Path, PathBuf};

/// Why the cluster did not come up, or a test could not use it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be started, or failed.
    #[error("{program} failed: {why}")]
    Program {
        /// The program with its first arguments.
        program: String,
        /// What it said.
        why: String,
    },
    /// A part of the cluster ended.
    #[error("{name} ended; the end of {}:\n{last}", log.display())]
    Ended {
        /// Which part.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        last: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; logs in {}", logs.display())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// Where the logs are.
        logs: PathBuf,
    },
    /// Another cluster of this kind is up.
    #[error(
        "the interface {interface} is there already: another cluster of this kind is up on this machine. End it where \
         it was started: cargo xtask kubernetes down"
    )]
    Busy {
        /// The interface of the pods.
        interface: &'static str,
    },
    /// No cluster was started from here.
    #[error("no cluster is up: {} is missing. Start one: cargo xtask kubernetes up", kubeconfig.display())]
    NotUp {
        /// What `up` writes.
        kubeconfig: PathBuf,
    },
    /// A certificate could not be made.
    #[error("a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// An image of the tests could not be made.
    #[error(transparent)]
    Image(#[from] pilotfish_images::Error),
    /// An answer of the API server that is no JSON.
    #[error("the API server's answer is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// For `map_err` of what is done with a file.
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
