//! The commands that speak to a running service: masters, agents, jobs, builds and their logs.

mod agents;
mod builds;
mod client;
mod jobs;
mod logs;
mod masters;
mod stop;
mod top;
mod trigger;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::input::read;
use super::print;
use crate::catalog::read::yaml;
use crate::error::BridgeError;

pub(super) use agents::{AgentsArguments, execute as agents};
pub(super) use builds::{BuildsArguments, execute as builds};
pub(super) use jobs::{JobsArguments, execute as jobs};
pub(super) use logs::{LogsArguments, execute as logs};
pub(super) use masters::{MastersArguments, execute as masters};
pub(super) use stop::{StopArguments, execute as stop};
pub(super) use top::{TopArguments, execute as top};
pub(super) use trigger::{TriggerArguments, execute as trigger};

/// Which service, and how it is spoken to.
#[derive(Debug, Clone, Args)]
pub struct ServiceArguments {
    /// Address of the service. Without it: the variable PILOTFISH_URL, else this machine.
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// File that holds an access token. Without it: the variable PILOTFISH_TOKEN.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// PEM file with authorities to trust besides the system's. May be given several times.
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Vec<PathBuf>,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// As the service answered, for programs.
    Json,
}

/// How an answer is printed.
#[derive(Debug, Clone, Args)]
pub(super) struct OutputArguments {
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t, global = true)]
    output: Output,
}

impl OutputArguments {
    /// Prints an answer as it is, or what is made of it for people.
    fn print(
        &self,
        answer: &Value,
        table: impl FnOnce(&Value) -> Result<String, BridgeError>,
    ) -> Result<(), BridgeError> {
        match self.output {
            Output::Json => print(&format!("{answer:#}\n")),
            Output::Table => print(&table(answer)?),
        }
        Ok(())
    }
}

/// Reads an answer as what this program knows of it. An answer of a newer service may have more.
fn typed<T: DeserializeOwned>(answer: &Value) -> Result<T, BridgeError> {
    T::deserialize(answer).map_err(|error| BridgeError::Service {
        status: None,
        message: format!("its answer is not what this program knows: {error}"),
    })
}

/// What a file declares that is sent to the service. All that is wrong with it is told at once; `beyond` finds what
/// the schema cannot say.
fn declared<T: DeserializeOwned>(
    format: &str,
    file: &Path,
    beyond: impl Fn(&T) -> Vec<crate::Problem>,
) -> Result<T, BridgeError> {
    let told = |all: Vec<crate::Problem>| {
        let lines: Vec<String> = all.iter().map(|one| format!("\n  {one}")).collect();
        let message = format!("{} problem(s):{}", all.len(), lines.concat());
        BridgeError::Input { path: file.to_owned(), message }
    };
    let value = yaml(&read(file)?).map_err(|problem| told(vec![problem]))?;
    let declared = crate::catalog::read::typed(format, value).map_err(told)?;
    let problems = beyond(&declared);
    if problems.is_empty() { Ok(declared) } else { Err(told(problems)) }
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    crate::rest::encode(name, &mut text);
    text
}
