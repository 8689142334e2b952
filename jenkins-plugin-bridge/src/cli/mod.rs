//! The command line of the bridge.

mod catalog_commands;
mod diff;
mod images;
mod input;
mod plan;
mod pod;
mod remote;
mod run;
mod run_in_pod;
mod service;
mod sizing;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::catalog::Catalog;
use crate::catalog::shipped;
use crate::error::BridgeError;

/// Everything is well.
pub const PASSED: u8 = 0;
/// A run failed, a catalog has errors, a comparison found broken jobs.
pub const FAILED: u8 = 1;
/// The input was refused and nothing was run.
pub const REFUSED: u8 = 2;

/// Turns job parameters into a stage sequence.
#[derive(Debug, Parser)]
#[command(name = "pilotfish-bridge", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the stages that parameters give, before anything runs.
    Plan(plan::PlanArguments),
    /// Print the pod in which the stages that parameters give run, as Kubernetes takes it.
    Pod(pod::PodArguments),
    /// Show which images builds need and where they are kept, or have clusters keep them.
    Images(images::ImagesArguments),
    /// Show what stages used, and what they should ask for.
    Sizing(sizing::SizingArguments),
    /// Execute a pipeline on this machine, with no Jenkins.
    Run(run::RunArguments),
    /// Check a catalog against all rules.
    Lint(catalog_commands::LintArguments),
    /// Show which jobs' plans change between two revisions of a catalog, and how.
    Diff(diff::DiffArguments),
    /// Print or write the JSON Schemas of the file formats.
    Schema(catalog_commands::SchemaArguments),
    /// Write a reference page of a catalog.
    Docs(catalog_commands::DocsArguments),
    /// Show the jobs and parameters of a controller, or propose binding rules for them.
    Inspect(crate::rest::InspectArgs),
    /// Serve plans to controllers over HTTP.
    Serve(crate::service::ServeArgs),
    /// Show the masters of a running service and the labels that they cover, or check what it may do there.
    Masters(service::MastersArguments),
    /// Show the agents on demand of a running service, their pools, and what waits for them.
    Agents(service::AgentsArguments),
    /// Show the jobs of a running service, keep those of a file, or mend their copies on masters.
    Jobs(service::JobsArguments),
    /// Ask a running service for a build, whatever master runs it.
    Trigger(service::TriggerArguments),
    /// Show the builds of a running service, or one with its attempts, stages, tests and artefacts.
    Builds(service::BuildsArguments),
    /// Write the log of a build, whatever master has it.
    Logs(service::LogsArguments),
    /// Stop a build, wherever it is.
    Stop(service::StopArguments),
    /// Watch masters, labels, what waits and what runs.
    Top(service::TopArguments),
    /// Make and keep masters and build clusters that resources of Kubernetes ask for.
    Operator(crate::operator::OperatorArgs),
    /// Print the definitions of these resources.
    Crds,
    /// Make a key that plans are signed by.
    Keygen(crate::service::KeyArgs),
    /// Make an access token for the service.
    Token(crate::service::TokenArgs),
    /// Execute the plan that a pod was given, inside of it; `run --cluster` has it done.
    #[command(hide = true)]
    Work(run_in_pod::WorkArguments),
    /// Copy this program to a place, in an image that has nothing that could.
    #[command(hide = true)]
    CopyProgram(run_in_pod::CopyArguments),
}

/// Which catalog.
#[derive(Debug, Clone, Default, Args)]
pub struct CatalogArguments {
    /// Directory of the catalog; the one that comes with the program unless given.
    #[arg(long, value_name = "DIRECTORY")]
    pub catalog: Option<PathBuf>,
    /// Revision of git to read the catalog from; the working tree unless given.
    #[arg(long, value_name = "REVISION", requires = "catalog")]
    pub revision: Option<String>,
}

impl CatalogArguments {
    /// Reads the catalog.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Catalog, BridgeError> {
        match (&self.catalog, &self.revision) {
            (None, _) => Catalog::from_files(&shipped::files()),
            (Some(directory), None) => Catalog::load(directory),
            (Some(directory), Some(revision)) => Catalog::load_revision(directory, revision),
        }
    }
}

/// Prints to standard output. A reader that went away is no error.
pub(crate) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    let _ = output.flush();
}

/// Prints to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Does what was asked for.
#[must_use]
pub fn execute(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Plan(arguments) => plan::execute(&arguments),
        Command::Pod(arguments) => pod::execute(&arguments),
        Command::Images(arguments) => images::execute(&arguments),
        Command::Sizing(arguments) => sizing::execute(&arguments),
        Command::Run(arguments) => run::execute(&arguments),
        Command::Lint(arguments) => catalog_commands::lint(&arguments),
        Command::Diff(arguments) => diff::execute(&arguments),
        Command::Schema(arguments) => catalog_commands::schema(&arguments),
        Command::Docs(arguments) => catalog_commands::docs(&arguments),
        Command::Inspect(arguments) => remote::inspect(&arguments),
        Command::Serve(arguments) => remote::serve(&arguments),
        Command::Masters(arguments) => service::masters(&arguments),
        Command::Agents(arguments) => service::agents(&arguments),
        Command::Jobs(arguments) => service::jobs(&arguments),
        Command::Trigger(arguments) => service::trigger(&arguments),
        Command::Builds(arguments) => service::builds(&arguments),
        Command::Logs(arguments) => service::logs(&arguments),
        Command::Stop(arguments) => service::stop(&arguments),
        Command::Top(arguments) => service::top(&arguments),
        Command::Operator(arguments) => remote::operator(&arguments),
        Command::Crds => {
            print(&crate::operator::crds::text());
            Ok(PASSED)
        }
        Command::Keygen(arguments) => remote::keygen(&arguments),
        Command::Token(arguments) => remote::token(&arguments),
        Command::Work(arguments) => run_in_pod::work(&arguments),
        Command::CopyProgram(arguments) => run_in_pod::copy_program(&arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(REFUSED)
        }
    }
}
