//! Streams and round trips through the embedded controller, in one run with the official agent
//! where there is one.

use std::ffi::OsStr;

use clap::Args;

use crate::agent;
use crate::context::{Context, Done, run as run_command};
use crate::peer::Peer;

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Options {
    /// Size of each stream in MiB
    #[arg(long, default_value_t = 1024)]
    mib: u32,
    /// Calls for each figure
    #[arg(long, default_value_t = 5000)]
    round_trips: u32,
}

pub fn run(context: &Context, options: &Options) -> Done {
    let agent = agent::release(context)?;
    let peer = Peer::compiled(context)?;
    let measure = |what: &str, program: &[&OsStr]| {
        println!("{what}:");
        let mut throughput = peer.mode(context, "throughput");
        throughput.arg("--mib").arg(options.mib.to_string());
        throughput.arg("--round-trips").arg(options.round_trips.to_string());
        let log = context.target.join("bench-agent.log");
        throughput.arg("--agent-log").arg(log);
        agent::append_to(&mut throughput, program);
        run_command(&mut throughput)
    };
    measure("pilotfish-agent", &[agent.as_os_str()])?;
    match std::env::var_os("AGENT_JAR") {
        Some(jar) => measure("agent.jar", &["java".as_ref(), "-jar".as_ref(), jar.as_os_str()]),
        None => {
            println!("AGENT_JAR is not set, so there is nothing to compare with.");
            Ok(())
        }
    }
}
