//! The long campaigns, with the agent as it is shipped.

use clap::Args;

use crate::context::{Context, Done, run as run_command};
use crate::{agent, fuzz, peer, reader, test};

/// Options of `cargo xtask soak`.
#[derive(Debug, Args)]
pub struct Options {
    /// Size of the large streams in MiB
    #[arg(long, default_value_t = 1024)]
    pipe_mib: u32,
    /// Cases of each property test
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// Seconds for each fuzz target
    #[arg(long, default_value_t = 1_800)]
    fuzz_seconds: u32,
    /// How often every recording is replayed
    #[arg(long, default_value_t = 10)]
    replays: u32,
}

pub fn run(context: &Context, options: &Options) -> Done {
    let agent = agent::release(context)?;
    println!("==> the embedded controller, streams of {} MiB", options.pipe_mib);
    peer::conformance(context, &agent, options.pipe_mib)?;
    peer::jnlp4(context, &agent, options.pipe_mib)?;
    reader::run_it(context)?;
    for round in 1..=options.replays {
        println!("==> recordings, round {round} of {}", options.replays);
        test::replay_with(context, &agent)?;
    }
    println!("==> property tests, {} cases each", options.cases);
    let mut tests = context.cargo(["test", "--workspace", "--release"]);
    run_command(tests.env("PROPTEST_CASES", options.cases.to_string()))?;
    println!("==> fuzz targets, {} s each", options.fuzz_seconds);
    fuzz::run(context, &fuzz::Options::all_for(options.fuzz_seconds))
}
