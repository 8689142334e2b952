//! What goes wrong between the agent and a container.

use std::fmt;
use std::path::PathBuf;

/// Why a container did not do what it was asked for. Each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// No name of a container.
    #[error(
        "{name:?} is no name of a container: small letters, digits and dashes, 63 at most (PILOTFISH_CONTAINER)"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The pod has no such container, or it has no server.
    #[error(
        "the pod has no container {name:?} with an exec server{}: check PILOTFISH_CONTAINER, and that the container's \
         entry point is `pilotfish-agent exec-server`", Known(.known)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It is there and does not answer.
    #[error(
        "container {name:?} is not ready: nothing has answered at {} for {seconds} s ({detail}); look at its state and \
         log (kubectl describe pod)", .socket.display()
    )]
    NotReady {
        /// Its name.
        name: String,
        /// Where it should answer.
        socket: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// What the system said last.
        detail: String,
    },
    /// It has ended.
    #[error("container {name:?} has ended: {last_words}")]
    Ended {
        /// Its name.
        name: String,
        /// How, and the last lines that it printed.
        last_words: String,
    },
    /// It could not start the process, in the words of a Java agent.
    #[error("{0}")]
    Launch(String),
    /// It broke off.
    #[error("container {name:?} did not answer to the end: {detail}; it may have been restarted")]
    BrokenOff {
        /// Its name.
        name: String,
        /// What was seen.
        detail: String,
    },
    /// It says something else than expected.
    #[error(
        "container {name:?} speaks another protocol ({detail}): give the agent and all containers of a pod the same \
         version of pilotfish-agent"
    )]
    Protocol {
        /// Its name.
        name: String,
        /// What came.
        detail: String,
    },
    /// This side has no pipes left.
    #[error("no pipe can be made for the process: {0}")]
    Pipe(String),
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str(" (it has none)"),
            known => write!(f, " (it has {})", known.join(", ")),
        }
    }
}
