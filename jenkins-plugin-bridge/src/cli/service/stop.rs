//! `stop`: stops a build, wherever it is.

use clap::Args;
use serde_json::json;

use super::builds::{Build, find};
use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, encoded, typed};
use crate::cli::PASSED;
use crate::cli::remote::runtime;
use crate::error::BridgeError;

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArguments {
    /// The build, by its id or as JOB#NUMBER.
    build: String,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(in crate::cli) fn execute(arguments: &StopArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    runtime()?.block_on(async {
        let build: Build = typed(&find(&bridge, &arguments.build).await?)?;
        let path = format!("/v1/builds/{}/stop", encoded(&build.id));
        let answer = bridge.post(&path, &json!({}), None).await?;
        arguments.output.print(&answer, |answer| {
            let build: Build = typed(answer)?;
            Ok(match &build.result {
                Some(result) if build.reason.is_empty() => format!("{} {result}\n", build.name()),
                Some(result) => format!("{} {result}: {}\n", build.name(), build.reason),
                None => {
                    let master = build.master.as_deref().unwrap_or("its master");
                    format!("{master} was told to stop {}; `logs -f` shows its end\n", build.name())
                }
            })
        })?;
        Ok(PASSED)
    })
}
