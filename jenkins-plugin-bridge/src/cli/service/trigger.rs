//! `trigger`: asks for a build.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::builds::Build;
use super::client::Bridge;
use super::logs::follow;
use super::{OutputArguments, ServiceArguments, typed};
use crate::cli::input::pair;
use crate::cli::remote::runtime;
use crate::cli::{PASSED, complain};
use crate::error::BridgeError;

/// Arguments of `trigger`.
#[derive(Debug, Args)]
pub struct TriggerArguments {
    /// Full name of the job.
    job: String,
    /// Value of a parameter, as NAME=VALUE; those not given have the job's.
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// A label that the master must have, beside those of the job.
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Those with a higher one go first.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// What is asked for once, however often this is called. Without it each call asks for a build.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Write its log until it ends. Then the exit code tells whether it was a success.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(in crate::cli) fn execute(arguments: &TriggerArguments) -> Result<u8, BridgeError> {
    let parameters: BTreeMap<&String, &String> =
        arguments.param.iter().map(|(name, value)| (name, value)).collect();
    let bridge = Bridge::connect(&arguments.service)?;
    let key = match &arguments.key {
        Some(key) => key.clone(),
        // So that a further try of the same call is the same build.
        None => crate::service::new_token("cli-").map_err(|problem| BridgeError::Service {
            status: None,
            message: problem.to_string(),
        })?,
    };
    let order = json!({
        "job": arguments.job, "parameters": parameters, "labels": arguments.label,
        "priority": arguments.priority, "cause": "terminal",
    });
    runtime()?.block_on(async {
        let answer = bridge.post("/v1/builds", &order, Some(&key)).await?;
        let build: Build = typed(&answer)?;
        if arguments.follow {
            complain(&format!("{} is {}", build.name(), build.id));
            return follow(&bridge, &build.id).await;
        }
        arguments
            .output
            .print(&answer, |_| Ok(format!("{} {} {}\n", build.name(), build.id, build.word())))?;
        Ok(PASSED)
    })
}
