//! The recipes of this repository: `cargo xtask RECIPE`. CI runs `cargo xtask test`.
#![expect(clippy::print_stdout, reason = "a command line tool")]

mod agent;
mod arm64;
mod bench;
mod budget;
mod context;
mod counterparts;
mod demo;
mod dist;
mod elf;
mod faults;
mod fleet;
mod fuzz;
mod go;
mod images;
mod kubernetes;
mod lint;
mod maven;
mod peer;
mod reader;
mod shim;
mod soak;
mod sonarqube;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use context::Context;

/// The recipes of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Debug, Subcommand)]
enum Recipe {
    /// Runs everything that CI runs, with a time budget for each part
    Test(test::Options),
    /// Checks the format, clippy without warnings, licences and bans
    Lint,
    /// Connects an agent to the controller of JENKINS_URL, or to an embedded one that builds
    Demo(demo::Options),
    /// Measures start, memory, streams and round trips; beside the official agent of AGENT_JAR
    Bench(bench::Options),
    /// Runs the long campaigns: pipes of 1 GiB, many property cases, fuzzing for hours
    Soak(soak::Options),
    /// Cuts, stalls and kills the agent's connections while builds run
    Faults(faults::Options),
    /// Stops simulated masters and the bridge while builds are routed over them
    Fleet(fleet::Options),
    /// Runs the fuzz targets
    Fuzz(fuzz::Options),
    /// Builds the static release binary into target/dist
    Dist(dist::Options),
    /// Builds the OCI images into target/images
    Images(images::Options),
    /// Brings a real Kubernetes up and down, and runs the tests that need one
    Kubernetes(kubernetes::Options),
    /// Tries the stage of SonarQube against a real server, which it fetches
    Sonarqube,
    /// Tries webhooks, statuses and archives with a real Gitea and a real service of S3, which it builds
    Counterparts,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = Context::new().and_then(|context| match arguments.recipe {
        Recipe::Test(options) => test::run(&context, &options),
        Recipe::Lint => lint::all(&context),
        Recipe::Demo(options) => demo::run(&context, &options),
        Recipe::Bench(options) => bench::run(&context, &options),
        Recipe::Soak(options) => soak::run(&context, &options),
        Recipe::Faults(options) => faults::run(&context, &options),
        Recipe::Fleet(options) => fleet::run(&context, &options),
        Recipe::Fuzz(options) => fuzz::run(&context, &options),
        Recipe::Dist(options) => dist::run(&context, &options),
        Recipe::Images(options) => images::run(&context, &options),
        Recipe::Kubernetes(options) => kubernetes::run(&context, &options),
        Recipe::Sonarqube => sonarqube::run_it(&context),
        Recipe::Counterparts => counterparts::run_it(&context),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("cargo xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
