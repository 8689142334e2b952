//! Reads what a Jenkins controller knows about its jobs: names, labels, parameters with their
//! types and defaults, and the parameters of a running build. Nothing is changed there, except
//! that a build may be triggered.
//!
//! Passwords are not read: the JSON API does not export them, and `config.xml` (which carries
//! their encrypted form) is not asked for where a job has one.

mod agents;
mod args;
mod build;
mod cache;
mod class;
mod client;
mod error;
mod groovy;
mod inventory;
mod json;
mod left;
mod model;
mod name;
mod node;
mod overview;
mod progress;
pub(crate) mod retry;
mod rights;
mod running;
mod scope;
mod show;
mod suggest;
mod tls;
pub mod tree;
mod work;
mod xml;

#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

pub use agents::{Computer, NewNode};
pub(crate) use args::read_token;
pub use args::{ConnectArgs, InspectArgs, inspect};
pub use build::{Build, BuildParameter, QueueItem};
pub use cache::Cache;
pub use class::{Family, JobKind};
pub(crate) use client::causes;
pub use client::{
    Answer, Client, ClientOptions, Conditional, Download, Login, ProxyChoice, Validators,
};
pub use error::RestError;
pub use inventory::{Inventory, ReadOptions, Statistics};
pub use left::{TestCase, TestReport, TestSuite, is_failed};
pub use model::{ActiveChoiceScript, Job, Parameter, ParameterKind, ScriptSource};
pub(crate) use name::encode;
pub use name::{JobName, percent_decoded};
pub use node::{NodeName, NodeState, Switched};
pub use overview::{Nodes, Pulse};
pub use progress::{Progress, ProgressSink};
pub use retry::RetryPolicy;
pub use rights::Right;
pub use running::Running;
pub use show::{Format, show};
pub use suggest::{Suggestion, suggest};
pub use work::{
    AtWork, KEY_PARAMETER, LogPiece, Outcome, Place, Ran, Waiting, build_of, build_path,
};

/// Trust as the client of controllers has it, for other clients of this program.
///
/// # Errors
/// [`RestError::Setup`].
pub fn tls_client_config(
    ca_files: &[std::path::PathBuf],
) -> Result<rustls::ClientConfig, RestError> {
    tls::client_config(ca_files)
}

/// What clients of other programs begin with: that trust, our name, and no way to another place than the one
/// that was declared. A login page or another host is an answer to report, not a place to take a token to.
///
/// # Errors
/// [`RestError::Setup`].
pub(crate) fn client_builder(
    ca_files: &[std::path::PathBuf],
) -> Result<reqwest::ClientBuilder, RestError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(ca_files)?)
        .user_agent(concat!("pilotfish-bridge/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none()))
}
