//! Builds over simulated masters that are stopped while they run (`integration/fleet`).

use clap::Args;

use crate::context::{Context, Done, run as run_command};

/// Options of `cargo xtask fleet`.
#[derive(Debug, Args)]
pub struct Options {
    /// How many builds
    #[arg(long, default_value_t = 5000)]
    builds: u32,
    /// Over how many masters
    #[arg(long, default_value_t = 4)]
    masters: u32,
    /// Which faults, and which builds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More options of pilotfish-fleet chaos, such as --database URL
    #[arg(last = true)]
    more: Vec<String>,
}

/// The campaign.
pub fn run(context: &Context, options: &Options) -> Done {
    campaign(context, options)
}

/// Two hundred builds, always the same.
pub fn short(context: &Context) -> Done {
    campaign(context, &Options { builds: 200, masters: 4, seed: 8, more: Vec::new() })
}

fn campaign(context: &Context, options: &Options) -> Done {
    let mut fleet =
        context.cargo(["run", "--quiet", "--package", "pilotfish-fleet", "--", "chaos"]);
    fleet.arg("--directory").arg(context.target.join("fleet"));
    fleet.args(["--builds", &options.builds.to_string()]);
    fleet.args(["--masters", &options.masters.to_string()]);
    fleet.args(["--seed", &options.seed.to_string()]);
    run_command(fleet.args(&options.more))
}
