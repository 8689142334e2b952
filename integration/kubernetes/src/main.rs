//! `pilotfish-kubernetes up|down`: what `cargo xtask kubernetes` runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use pilotfish_kubernetes::{Cluster, Error, why_no_node};

/// A real Kubernetes for the tests.
#[derive(Debug, Parser)]
#[command(name = "pilotfish-kubernetes")]
struct Arguments {
    /// Where its files are
    #[arg(long)]
    state: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Brings it up
    Up {
        /// The program that has all parts of Kubernetes
        #[arg(long)]
        hyper: PathBuf,
        /// Only the API with its scheduler and controllers
        #[arg(long)]
        no_node: bool,
    },
    /// Ends it and removes what it left; the logs stay
    Down,
    /// Tells in one line why there can be no node here, or nothing
    WhyNoNode,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilotfish-kubernetes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    let begin = Instant::now();
    match arguments.action {
        Action::Up { hyper, no_node } => {
            let cluster = Cluster::up(&arguments.state, &hyper, !no_node)?;
            let what = if no_node { "the API is up, without a node" } else { "a node is Ready" };
            println!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
            println!("export KUBECONFIG={}", cluster.state().kubeconfig().display());
        }
        Action::Down => {
            Cluster::down(&arguments.state)?;
            println!("everything is down: {:.1} s", begin.elapsed().as_secs_f64());
        }
        Action::WhyNoNode => {
            if let Some(why) = why_no_node() {
                println!("{why}");
            }
        }
    }
    Ok(())
}
