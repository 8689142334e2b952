//! The benchmarks: the release agent, measured by `pilotfish-benches`.

use std::ffi::OsString;

use clap::Args;

use crate::agent;
use crate::context::{Context, Done, run as run_command};

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Options {
    /// A quick look of a minute or two
    #[arg(long)]
    short: bool,
    /// Figures to measure, and after `--` any option of `pilotfish-benches` (`-- --help` lists them)
    arguments: Vec<OsString>,
}

pub fn run(context: &Context, options: &Options) -> Done {
    let agent = agent::release(context)?;
    let benches = ["run", "--quiet", "--release", "--package", "pilotfish-benches", "--"];
    let mut benches = context.cargo(benches);
    benches.arg("--agent").arg(agent);
    if options.short {
        benches.arg("--short");
    }
    run_command(benches.args(&options.arguments))
}
