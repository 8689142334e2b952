//! The command line of the bridge.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use pilotfish_bridge::cli::{Cli, execute};

/// A plan is some thousand small texts, of which each request makes its own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    execute(Cli::parse())
}
