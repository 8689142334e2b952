//! Measures the agent: each figure as a ratio to the plainest program that does the same, in the same
//! run, pair by pair, several rounds, medians.
//!
//! [`figures`] holds one module for each group of figures. They all play a minimal controller
//! ([`controller`]) to real agent processes ([`agents`]); what is compared with runs as a process of its
//! own too ([`comparators`]). [`report`] prints the table.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod agents;
mod comparators;
mod controller;
mod error;
mod figures;
mod host;
mod report;
mod setup;
mod statistics;
mod system;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use error::Failed;
use figures::Figure;
use report::Report;
use setup::Setup;

/// Measures the agent beside the plainest program that does the same
#[derive(Debug, Parser)]
#[command(name = "pilotfish-benches", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    comparator: Option<Comparator>,
    #[command(flatten)]
    options: Options,
}

/// What to measure, and with what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Figures to measure; all when none is named
    #[arg(value_enum)]
    figures: Vec<Figure>,
    /// The agent, a release build; by default what PILOTFISH_AGENT names, or what lies beside this program
    #[arg(long)]
    agent: Option<PathBuf>,
    /// The official agent, to compare with; by default what AGENT_JAR names
    #[arg(long)]
    agent_jar: Option<PathBuf>,
    /// The classes of the Java peer, which the figure of the JVM needs
    #[arg(long)]
    peer: Option<PathBuf>,
    /// A quick look: small sizes, few rounds, few agents
    #[arg(long)]
    short: bool,
    /// Rounds of each pair
    #[arg(long)]
    rounds: Option<usize>,
    /// Size of streams and archives in MiB
    #[arg(long)]
    mib: Option<usize>,
    /// Where work directories and test data are made, and removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What the figures are compared with; started by the figures themselves.
#[derive(Debug, Subcommand)]
enum Comparator {
    #[command(flatten)]
    Run(comparators::Comparator),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.comparator {
        Some(Comparator::Run(comparator)) => comparators::run(&comparator),
        None => measure(&arguments.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("pilotfish-benches: {failed}");
            ExitCode::FAILURE
        }
    }
}

/// Measures each figure; one that fails does not keep the others from being measured.
fn measure(options: &Options) -> Result<(), Failed> {
    let setup = Setup::new(options)?;
    let mut report = Report::new(&setup);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failures = Vec::new();
    for figure in figures::chosen(&options.figures) {
        println!("{}:", figure.title());
        let load = host::load();
        if let Err(failed) = runtime.block_on(figure.measure(&setup, &mut report)) {
            println!("  could not be measured: {failed}");
            failures.push(format!("{}: {failed}", figure.title()));
        }
        report.load(load, host::load());
    }
    println!("\n{report}");
    if failures.is_empty() { Ok(()) } else { Err(Failed::Unmeasured(failures.join("; "))) }
}
