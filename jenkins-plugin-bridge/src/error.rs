//! The one error type of the bridge, and the problem lists it carries.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong with an input, in words that say what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file, relative to the catalog; empty for what did not come from a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Where in the input, as `stages.unit-tests.timeout`; empty for the whole of it.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem at a path of an input that is not a file.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: String::new(), path: path.into(), message: message.into() }
    }

    /// The same problem, found in this file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// What can go wrong in the bridge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The catalog cannot be used. All of its problems are here, not only the first.
    #[error("the catalog has {} problem(s):{}", .0.len(), listed(.0))]
    Catalog(Vec<Problem>),
    /// Parameters are refused. Nothing was run.
    #[error("{} parameter(s) refused, nothing was run:{}", .0.len(), listed(.0))]
    Parameters(Vec<Problem>),
    /// A layer or an override changes what is not open.
    #[error("{} override(s) refused:{}", .0.len(), listed(.0))]
    Overrides(Vec<Problem>),
    /// A plan cannot be made or run for another reason than its parameters.
    #[error("the plan is refused:{}", listed(.0))]
    Plan(Vec<Problem>),
    /// A pod profile cannot be used. All of its problems are here.
    #[error("the pod profile has {} problem(s):{}", .0.len(), listed(.0))]
    Profile(Vec<Problem>),
    /// The masters file cannot be used. All of its problems are here.
    #[error("the masters file has {} problem(s):{}", .0.len(), listed(.0))]
    Masters(Vec<Problem>),
    /// The file of forges cannot be used. All of its problems are here.
    #[error("the file of forges has {} problem(s):{}", .0.len(), listed(.0))]
    Forges(Vec<Problem>),
    /// The file about the archive cannot be used. All of its problems are here.
    #[error("the file about the archive has {} problem(s):{}", .0.len(), listed(.0))]
    Archive(Vec<Problem>),
    /// The file of agents cannot be used. All of its problems are here.
    #[error("the file of agents has {} problem(s):{}", .0.len(), listed(.0))]
    Agents(Vec<Problem>),
    /// The service cannot start as it is asked to.
    #[error("the service cannot start: {0}")]
    Start(String),
    /// Something was asked for by a name that is not there.
    #[error("there is no {kind} `{name}`{hint}")]
    Unknown {
        /// What kind of thing.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The nearest known names, as the end of a sentence.
        hint: String,
    },
    /// A file of the user cannot be read as what it should be.
    #[error("{path}: {message}")]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Its answer.
        source: io::Error,
    },
    /// `git` failed.
    #[error("git {command} failed: {message}")]
    Git {
        /// The subcommand.
        command: String,
        /// What git said.
        message: String,
    },
    /// A controller could not be read.
    #[error(transparent)]
    Rest(#[from] crate::rest::RestError),
    /// A running service was asked and did not do it.
    #[error("the service at {message}")]
    Service {
        /// The HTTP status of its refusal; nothing where there was no answer.
        status: Option<u16>,
        /// Its address, and what it said.
        message: String,
    },
    /// A cluster could not be reached, or said no.
    #[error(transparent)]
    Cluster(#[from] crate::cluster::ClusterError),
    /// A process could not be started or stopped.
    #[error(transparent)]
    Process(#[from] pilotfish_process::ProcessError),
}

impl BridgeError {
    /// An input or output error with what was tried.
    pub fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    /// A name that is not known, with the nearest that are.
    pub fn unknown<'a>(
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let hint = crate::text::nearest_hint(name, known);
        Self::Unknown { kind, name: name.to_owned(), hint }
    }

    /// The problems it carries, for callers that print them one by one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Catalog(all)
            | Self::Parameters(all)
            | Self::Overrides(all)
            | Self::Plan(all)
            | Self::Profile(all)
            | Self::Masters(all)
            | Self::Forges(all)
            | Self::Archive(all)
            | Self::Agents(all) => all,
            _ => &[],
        }
    }
}
