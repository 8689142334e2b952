//! Builds over simulated masters that are stopped while they run (`integration/fleet`).

use clap::Args;

use crate::agent;
use crate::context::{Context, Done, run as run_command};

/// Options of `cargo xtask fleet`.
#[derive(Debug, Args)]
pub struct Options {
    /// How many builds
    #[arg(long, default_value_t = 5000)]
    builds: u32,
    /// Over how many masters; 4, and 50 for `--load`, unless given
    #[arg(long)]
    masters: Option<u32>,
    /// Which faults, and which builds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replicas of the bridge, on a PostgreSQL that is started for it where there are several
    #[arg(long, default_value_t = 1)]
    bridges: u32,
    /// Builds that wait for agents on demand, and what is left in the end
    #[arg(long)]
    agents: bool,
    /// No faults, but builds at the pace of a day, and what the bridge needs for them
    #[arg(long, conflicts_with_all = ["agents", "bridges"])]
    load: bool,
    /// More options of pilotfish-fleet chaos, such as --database URL
    #[arg(last = true)]
    more: Vec<String>,
}

/// The campaign.
pub fn run(context: &Context, options: &Options) -> Done {
    campaign(context, options)
}

/// Two hundred builds, always the same; some with three replicas on PostgreSQL, whose leader is killed; and some on agents on
/// demand, each of which may have one.
pub fn short(context: &Context) -> Done {
    let options = |builds, seed, bridges| Options {
        builds,
        masters: None,
        seed,
        bridges,
        agents: false,
        load: false,
        more: Vec::new(),
    };
    campaign(context, &options(200, 8, 1))?;
    campaign(context, &options(100, 11, 3))?;
    campaign(context, &Options { masters: Some(2), agents: true, ..options(40, 8, 1) })
}

fn campaign(context: &Context, options: &Options) -> Done {
    let kind = match options {
        Options { load: true, .. } => "load",
        Options { agents: true, .. } => "agents",
        _ => "chaos",
    };
    let fleet = context.program("pilotfish-fleet")?;
    let mut fleet = context.command(fleet);
    fleet.arg(kind).arg("--directory").arg(context.target.join("fleet"));
    if options.agents {
        fleet.arg("--agent").arg(agent::debug(context)?);
    }
    fleet.args(["--builds", &options.builds.to_string()]);
    let masters = options.masters.unwrap_or(if options.load { 50 } else { 4 });
    fleet.args(["--masters", &masters.to_string()]);
    fleet.args(["--seed", &options.seed.to_string()]);
    if !options.load {
        fleet.args(["--bridges", &options.bridges.to_string()]);
    }
    if options.bridges > 1 {
        fleet.arg("--postgres");
    }
    run_command(fleet.args(&options.more))
}
