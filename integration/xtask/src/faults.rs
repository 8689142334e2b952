//! Faults between the agent and a controller while builds run (`integration/faults`).

use std::path::Path;

use clap::Args;

use crate::agent;
use crate::context::{Context, Done, run as run_command};
use crate::peer::Peer;

/// Options of `cargo xtask faults`.
#[derive(Debug, Args)]
pub struct Options {
    /// How many faults
    #[arg(long, default_value_t = 1000)]
    faults: u64,
    /// Which faults, and which builds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Over TCP rather than WebSocket
    #[arg(long)]
    tcp: bool,
    /// More options of pilotfish-faults, such as --from 101 --until 200
    #[arg(last = true)]
    more: Vec<String>,
}

/// The campaign, with the agent as it is shipped.
pub fn run(context: &Context, options: &Options) -> Done {
    campaign(context, &Peer::compiled(context)?, &agent::release(context)?, options)
}

/// A few of both ways, always the same.
pub fn short(context: &Context) -> Done {
    let agent = agent::debug(context)?;
    let peer = Peer::compiled(context)?;
    // These seeds have every kind of fault in so few.
    for (tcp, faults, seed) in [(false, 20, 3567), (true, 6, 681)] {
        campaign(context, &peer, &agent, &Options { faults, seed, tcp, more: Vec::new() })?;
    }
    Ok(())
}

fn campaign(context: &Context, peer: &Peer, agent: &Path, options: &Options) -> Done {
    let logs = context.target.join(if options.tcp { "faults-tcp" } else { "faults" });
    let faults = context.program("pilotfish-faults")?;
    let mut faults = context.command(faults);
    faults.arg("--agent").arg(agent).arg("--classes").arg(peer.classes()).arg("--logs").arg(logs);
    faults.arg("--faults").arg(options.faults.to_string());
    faults.arg("--seed").arg(options.seed.to_string());
    if options.tcp {
        faults.arg("--tcp");
    }
    run_command(faults.args(&options.more))
}
