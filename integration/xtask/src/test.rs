//! Everything that CI runs.

use std::path::Path;

use clap::Args;

use crate::budget::{self, Part};
use crate::context::{Context, Done, run as run_command};
use crate::{
    agent, arm64, dist, faults, fleet, fuzz, go, kubernetes, lint, peer, reader, shim, tools,
};

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub struct Options {
    /// Only these parts
    #[arg(value_name = "PART", value_parser = PARTS.map(|part| part.name))]
    parts: Vec<String>,
}

/// The budgets are for two cores and empty caches. No part takes all of its own: together they stay
/// below 60 minutes.
const PARTS: [Part; 14] = [
    Part { name: "lint", budget: 480, run: lint::run },
    Part { name: "unit", budget: 840, run: unit },
    Part { name: "replay", budget: 300, run: replay },
    Part { name: "peer", budget: 180, run: conformance },
    Part { name: "jnlp4", budget: 90, run: jnlp4 },
    Part { name: "faults", budget: 240, run: faults::short },
    Part { name: "fleet", budget: 240, run: fleet::short },
    Part { name: "reader", budget: 60, run: reader::run_it },
    Part { name: "shim", budget: 180, run: shim::run_it },
    Part { name: "fuzz", budget: 360, run: fuzz::short },
    Part { name: "arm64", budget: 240, run: arm64::run_it },
    Part { name: "dist", budget: 360, run: dist::here },
    Part { name: "kubernetes", budget: 420, run: kubernetes::run_it },
    Part { name: "licences", budget: 30, run: lint::licences },
];

pub fn run(context: &Context, options: &Options) -> Done {
    let chosen = |part: &Part| {
        options.parts.is_empty() || options.parts.iter().any(|name| name == part.name)
    };
    let parts: Vec<_> = PARTS.into_iter().filter(chosen).collect();
    budget::run(context, &parts)
}

/// The tests of all crates, documentation included. Cargo prints a result line for each of them.
fn unit(context: &Context) -> Done {
    tools::need(&tools::CC)?;
    tools::need(&tools::JAVAC)?;
    if !tools::has_postgresql() {
        println!(
            "PostgreSQL is not installed: the bridge's state is tried on SQLite only, and the tests on"
        );
        println!("PostgreSQL are SKIPPED. To run them too: apt-get install -y postgresql");
    }
    let mut test = context.cargo(["test", "--workspace", "--no-fail-fast"]);
    if tools::is_there("go") {
        test.env("PILOTFISH_TEST_S3", go::build(context, &go::S3)?);
    } else {
        println!(
            "Go is not installed: the tests of archives in a bucket are SKIPPED. https://go.dev/dl"
        );
    }
    run_command(&mut test)
}

fn replay(context: &Context) -> Done {
    replay_with(context, &agent::debug(context)?)
}

/// Every recording against an agent.
pub fn replay_with(context: &Context, agent: &Path) -> Done {
    let replay = context.program("pilotfish-replay")?;
    let mut replay = context.command(replay);
    run_command(replay.arg("--agent").arg(agent))
}

fn conformance(context: &Context) -> Done {
    // The agent is built with a class of Java that lets a JVM follow another.
    tools::need(&tools::JAVAC)?;
    peer::both_tiers(context, &agent::debug(context)?, 64)
}

fn jnlp4(context: &Context) -> Done {
    peer::jnlp4(context, &agent::debug(context)?, 16)
}
