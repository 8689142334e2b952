//! One agent online: with the controller of `JENKINS_URL`, or with the embedded one.

use std::os::unix::process::CommandExt as _;

use clap::Args;

use crate::agent;
use crate::context::{Context, Done, run as run_command};
use crate::peer::Peer;

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub struct Options {
    /// Arguments for the agent, with JENKINS_URL set
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub fn run(context: &Context, options: &Options) -> Done {
    println!("Building the agent; the first time this takes some minutes.");
    let agent = agent::release(context)?;
    if let Some(url) = std::env::var_os("JENKINS_URL").filter(|url| !url.is_empty()) {
        println!("Connecting to {}.", url.display());
        let error = context.command(&agent).args(&options.arguments).exec();
        return Err(format!("cannot start {}: {error}", agent.display()));
    }
    if !options.arguments.is_empty() {
        return Err("arguments are for a controller of yours: set JENKINS_URL as well".to_owned());
    }
    println!("JENKINS_URL is not set: starting the embedded controller.");
    let mut peer = Peer::compiled(context)?.mode(context, "demo");
    agent::append_to(&mut peer, &[agent.as_os_str()], "never");
    run_command(&mut peer)
}
