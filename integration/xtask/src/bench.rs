//! The benchmarks: the release agent, measured by `pilotfish-benches`, and those of the bridge.

use std::ffi::OsString;

use clap::Args;

use crate::context::{Context, Done, run as run_command};
use crate::peer::Peer;
use crate::{agent, tools};

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Options {
    /// A quick look of a minute or two
    #[arg(long)]
    short: bool,
    /// Measure the bridge in place of the agent: the making of plans, the service under load, and
    /// the reading of 10,000 jobs (`plan`, `service`, `inspect`; all when none is named)
    #[arg(long)]
    bridge: bool,
    /// Figures to measure, and after `--` any option of `pilotfish-benches` (`-- --help` lists them)
    arguments: Vec<OsString>,
}

/// What the bridge has.
const OF_BRIDGE: [&str; 3] = ["plan", "service", "inspect"];

pub fn run(context: &Context, options: &Options) -> Done {
    if options.bridge {
        let mut benches = context.cargo(["bench", "--package", "pilotfish-bridge"]);
        match options.arguments.as_slice() {
            [] => benches.args(OF_BRIDGE.iter().flat_map(|name| ["--bench", name])),
            named => {
                benches.args(named.iter().flat_map(|name| ["--bench".as_ref(), name.as_os_str()]))
            }
        };
        return run_command(&mut benches);
    }
    // The agent is built with a class of Java that lets a JVM follow another.
    tools::need(&tools::JAVAC)?;
    let agent = agent::release(context)?;
    let peer = Peer::compiled(context)?;
    let benches = ["run", "--quiet", "--release", "--package", "pilotfish-benches", "--"];
    let mut benches = context.cargo(benches);
    benches.arg("--agent").arg(agent).arg("--peer").arg(peer.classes());
    if options.short {
        benches.arg("--short");
    }
    run_command(benches.args(&options.arguments))
}
