//! The JVM tier: a Java process for the requests that no native handler knows.
//!
//! It speaks the same protocol over its standard streams, with the controller's own remoting library,
//! and is started when the first such request comes. [`Jvm`] is what the whole agent shares: settings
//! and the cache of jar files. [`Tier`] is that of one connection: what it found out about the
//! controller and this machine, and the processes that it started.
//!
//! Order of events: [`Tier::ready`] gets the library ([`library`]), learns which Java it needs
//! ([`class_file`]) and finds one ([`java`]); `Tier::start` puts the command line together ([`command`])
//! and starts the process ([`child`]), whose end is told in words ([`death`]).

mod cache;
mod child;
mod class_file;
mod command;
mod death;
mod java;
mod launcher;
mod library;
mod memory;
mod plugins;
mod tier;

use std::path::PathBuf;

use jenkins_remoting::transport::DownloadOptions;
use pilotfish_process::Environment;

pub use tier::Tier;
pub(crate) use tier::explain;

use crate::cli::JavaSettings;

/// What the JVM tier of an agent knows of it.
#[derive(Debug, Clone)]
pub struct Jvm {
    /// What the user said about Java.
    pub settings: JavaSettings,
    /// Name of the node, for the channel.
    pub node_name: String,
    /// The environment of the process: that of the agent, with no secret in it.
    pub environment: Environment,
    /// For jar files of the controller. Agents that name the same directory share what is in it.
    pub jar_cache: Option<PathBuf>,
    /// The root URL of the controller, if it is reached over HTTP.
    pub url: Option<String>,
    /// How to download from the controller.
    pub downloads: DownloadOptions,
}

/// Why there is no JVM. The text becomes the exception that fails the step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JvmError {
    /// The user wants none.
    #[error(
        "--jvm=never forbids the agent to start a JVM: remove it, and install Java on the node"
    )]
    Never,
    /// None on the machine.
    #[error(
        "no Java was found on the node: install Java {needed} or later and set JAVA_HOME or PATH for the \
         agent, or use the `full` flavour of the agent's image, which has one"
    )]
    NoJava {
        /// The lowest version that will do.
        needed: u32,
    },
    /// None that is new enough.
    #[error(
        "Java {version} at {binary} is too old: this controller needs Java {needed} or later. Install it \
         and set JAVA_HOME for the agent, or use the `full` flavour of the agent's image"
    )]
    OldJava {
        /// The newest that was found.
        binary: String,
        /// Its version.
        version: String,
        /// The lowest version that will do.
        needed: u32,
    },
    /// It cannot be run.
    #[error(
        "Java at {binary} (named by {named_by}) cannot be used: {problem}. Correct {named_by}, or install \
         Java on the node"
    )]
    BadJava {
        /// The program.
        binary: String,
        /// The variable.
        named_by: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Nowhere to keep files.
    #[error(
        "the agent has no directory for the controller's jar files: start it with -workDir or -jar-cache"
    )]
    NoCache,
    /// The cache cannot be used.
    #[error("the jar files of the controller cannot be kept in {directory}: {problem}")]
    Cache {
        /// Where.
        directory: String,
        /// What the system said.
        problem: String,
    },
    /// A path that cannot be told to a JVM.
    #[error("{path} cannot be given to a JVM ({problem}): use another -workDir or -jar-cache")]
    Path {
        /// The path.
        path: String,
        /// Why.
        problem: &'static str,
    },
    /// The remoting library was not to be had.
    #[error("the controller's remoting library could not be fetched: {problem}")]
    Library {
        /// What was tried and how it failed.
        problem: String,
    },
    /// The system did not start it.
    #[error("the JVM could not be started: {problem}")]
    Start {
        /// What the system said.
        problem: String,
    },
    /// A JVM of this connection ended, and another cannot follow.
    #[error("{problem}; it is not replaced before the agent connects again")]
    NoMore {
        /// Why.
        problem: String,
    },
}

impl JvmError {
    /// Whether another try on the same connection would end the same way.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Never
            | Self::NoJava { .. }
            | Self::OldJava { .. }
            | Self::BadJava { .. }
            | Self::NoCache
            | Self::Path { .. }
            | Self::NoMore { .. } => true,
            Self::Cache { .. } | Self::Library { .. } | Self::Start { .. } => false,
        }
    }
}
