//! The command line of the bridge.

use std::process::ExitCode;

use clap::Parser as _;
use pilotfish_bridge::cli::{Cli, execute};

fn main() -> ExitCode {
    execute(Cli::parse())
}
