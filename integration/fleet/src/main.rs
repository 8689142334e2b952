//! The command line of the fleet: one simulated master a process.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pilotfish_fleet::FleetError;
use pilotfish_fleet::master::{self, Level, Options, User};

/// Simulated masters, and campaigns that stop them while builds run.
#[derive(Debug, Parser)]
#[command(name = "pilotfish-fleet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play one master until it is killed.
    Master(MasterArgs),
}

#[derive(Debug, Args)]
struct MasterArgs {
    /// Its name.
    #[arg(long)]
    name: String,
    /// Where it listens as a controller.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where it listens for faults.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Its directory: what survives a restart.
    #[arg(long)]
    home: PathBuf,
    /// A user, as NAME:LEVEL:TOKEN-FILE; levels are read, trigger, full and administer.
    #[arg(long, required = true)]
    user: Vec<String>,
    /// Address of the bridge that builds ask.
    #[arg(long)]
    bridge: Option<String>,
    /// File with the token that builds show to the bridge.
    #[arg(long)]
    bridge_token: Option<PathBuf>,
    /// Directory of the pods of the fleet.
    #[arg(long)]
    pods: Option<PathBuf>,
    /// File of the ledger of the fleet.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Executors of its one node.
    #[arg(long, default_value_t = 10)]
    executors: u32,
    /// Labels of that node, with commas between them.
    #[arg(long, default_value = "linux", value_delimiter = ',')]
    labels: Vec<String>,
    /// Stages of a build.
    #[arg(long, default_value_t = 3)]
    stages: u32,
    /// The least milliseconds of a stage.
    #[arg(long, default_value_t = 50)]
    stage_least_ms: u64,
    /// The most milliseconds of a stage.
    #[arg(long, default_value_t = 200)]
    stage_most_ms: u64,
    /// The least milliseconds that an item waits.
    #[arg(long, default_value_t = 50)]
    queue_ms: u64,
    /// Milliseconds between two times that the queue is written.
    #[arg(long, default_value_t = 500)]
    queue_save_ms: u64,
    /// Milliseconds that it takes to start.
    #[arg(long, default_value_t = 0)]
    start_ms: u64,
}

fn user(text: &str) -> Result<User, FleetError> {
    let wrong = || FleetError::Other(format!("{text:?} is no NAME:LEVEL:TOKEN-FILE"));
    let (name, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (level, file) = rest.split_once(':').ok_or_else(wrong)?;
    let level = match level {
        "read" => Level::Read,
        "trigger" => Level::Trigger,
        "full" => Level::Full,
        "administer" => Level::Administer,
        _ => return Err(wrong()),
    };
    let token = std::fs::read_to_string(file).map_err(FleetError::io(format!("read {file}")))?;
    Ok(User { name: name.to_owned(), token: token.trim().to_owned(), level })
}

async fn play(args: MasterArgs) -> Result<(), FleetError> {
    let running = master::start(Options {
        users: args.user.iter().map(|text| user(text)).collect::<Result<_, _>>()?,
        name: args.name,
        listen: args.listen,
        control: args.control,
        home: args.home,
        bridge: args.bridge,
        bridge_token: args.bridge_token,
        pods: args.pods,
        ledger: args.ledger,
        executors: args.executors,
        labels: args.labels,
        stage_ms: (args.stage_least_ms, args.stage_most_ms),
        stages: args.stages,
        queue_ms: args.queue_ms,
        queue_save_ms: args.queue_save_ms,
        start_ms: args.start_ms,
    })
    .await?;
    println!("controller http://{}/ faults http://{}/", running.address, running.control);
    std::future::pending::<()>().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Master(args) => play(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilotfish-fleet: {error}");
            ExitCode::FAILURE
        }
    }
}
