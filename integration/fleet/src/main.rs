//! The command line of the fleet: one simulated master a process.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pilotfish_fleet::FleetError;
use pilotfish_fleet::master::{self, Level, Options, User};
use pilotfish_fleet::postgres::Database;
use pilotfish_fleet::{bridge, campaign};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    /// Run the bridge with a fence that knows the pods of the fleet.
    Bridge(BridgeArgs),
    /// Ask for builds while masters and bridge are stopped, and judge what was run.
    Chaos(ChaosArgs),
    /// Have builds wait for agents on demand while bridge, masters and agents are stopped, and judge what
    /// is left in the end.
    Agents(AgentsArgs),
    /// Ask for builds at the pace of a day, without faults, and tell what the bridge needed.
    Load(LoadArgs),
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Directory for everything; it is made anew.
    #[arg(long)]
    directory: PathBuf,
    /// Masters, all in one process.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=200))]
    masters: u32,
    /// Builds.
    #[arg(long, default_value_t = 5_000)]
    builds: u32,
    /// Builds a day in the field.
    #[arg(long, default_value_t = 100_000)]
    per_day: u32,
    /// Builds that come at one moment, in the middle.
    #[arg(long, default_value_t = 500)]
    storm: u32,
    /// Which builds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than in the field everything is.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    speed: u32,
    /// The most seconds that builds may take after the last one was asked for.
    #[arg(long, default_value_t = 180)]
    patience: u64,
}

#[derive(Debug, Args)]
struct AgentsArgs {
    /// The program of agents.
    #[arg(long)]
    agent: PathBuf,
    /// Without any faults, for figures.
    #[arg(long)]
    calm: bool,
    /// The official agent (agent.jar), which is started for comparison.
    #[arg(long)]
    agent_jar: Option<PathBuf>,
    #[command(flatten)]
    chaos: ChaosArgs,
}

#[derive(Debug, Args)]
struct BridgeArgs {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Its catalog.
    #[arg(long)]
    catalog: PathBuf,
    /// Its access tokens.
    #[arg(long)]
    tokens: PathBuf,
    /// Its signing key.
    #[arg(long)]
    key: PathBuf,
    /// The masters.
    #[arg(long)]
    masters: PathBuf,
    /// URL of its database.
    #[arg(long)]
    database: String,
    /// Directory of the pods of the fleet.
    #[arg(long)]
    pods: PathBuf,
    /// The file of clusters: pods are those of Kubernetes.
    #[arg(long)]
    clusters: Option<PathBuf>,
    /// The file of agents on demand.
    #[arg(long)]
    agents: Option<PathBuf>,
    /// The program of agents, which are processes then.
    #[arg(long, conflicts_with = "clusters")]
    agent: Option<PathBuf>,
    /// Its certificate.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How much faster than in the field all waiting is.
    #[arg(long, default_value_t = 1)]
    speed: u32,
}

#[derive(Debug, Args)]
struct ChaosArgs {
    /// Directory for everything; it is made anew.
    #[arg(long)]
    directory: PathBuf,
    /// Masters.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=20))]
    masters: u32,
    /// Builds.
    #[arg(long, default_value_t = 200)]
    builds: u32,
    /// Which faults, and which builds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than in the field all waiting is.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20))]
    speed: u32,
    /// Replicas of the bridge. Several need PostgreSQL.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    bridges: u32,
    /// URL of a database, in place of a file of SQLite.
    #[arg(long, conflicts_with = "postgres")]
    database: Option<String>,
    /// Start a PostgreSQL for it, in place of a file of SQLite.
    #[arg(long)]
    postgres: bool,
    /// The most seconds that it may take once everything is mended.
    #[arg(long, default_value_t = 180)]
    patience: u64,
}

impl ChaosArgs {
    fn options(self) -> Result<campaign::Options, FleetError> {
        Ok(campaign::Options {
            program: std::env::current_exe().map_err(FleetError::io("find this program"))?,
            directory: self.directory,
            masters: self.masters,
            builds: self.builds,
            seed: self.seed,
            speed: self.speed,
            bridges: self.bridges,
            database: self.database,
            agent: None,
            patience: std::time::Duration::from_secs(self.patience),
        })
    }
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
    /// Milliseconds between two times that it counts what waits for labels.
    #[arg(long, default_value_t = 10_000)]
    load_ms: u64,
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
        load_ms: args.load_ms,
        start_ms: args.start_ms,
    })
    .await?;
    println!("controller http://{}/ faults http://{}/", running.address, running.control);
    std::future::pending::<()>().await;
    Ok(())
}

async fn chaos(args: ChaosArgs) -> Result<(), FleetError> {
    if args.bridges > 1 && args.database.is_none() && !args.postgres {
        return Err(FleetError::Other("several replicas need --postgres or --database".to_owned()));
    }
    let postgres = args.postgres.then(Database::start).transpose()?;
    let own = postgres.as_ref().map(|one| one.url("fleet")).transpose()?;
    let seed = args.seed;
    let mut options = args.options()?;
    options.database = options.database.or(own);
    let verdict = campaign::run(&options).await?;
    println!("seed {seed}\n{verdict}");
    if verdict.problems.is_empty() {
        return Ok(());
    }
    Err(FleetError::Other("builds did not end as they should".to_owned()))
}

async fn agents(args: AgentsArgs) -> Result<(), FleetError> {
    let form = campaign::Form { calm: args.calm, official: args.agent_jar };
    let seed = args.chaos.seed;
    let chaos = args.chaos.options()?;
    let options = campaign::Options { agent: Some(args.agent), bridges: 1, ..chaos };
    let verdict = campaign::run_agents(&form, &options).await?;
    println!("seed {seed}\n{verdict}");
    if verdict.problems.is_empty() {
        return Ok(());
    }
    Err(FleetError::Other("something was left, or went wrong".to_owned()))
}

async fn load(args: LoadArgs) -> Result<(), FleetError> {
    let load = campaign::Load { per_day: args.per_day, storm: args.storm };
    let report = campaign::run_load(
        &load,
        &campaign::Options {
            program: std::env::current_exe().map_err(FleetError::io("find this program"))?,
            directory: args.directory,
            masters: args.masters,
            builds: args.builds,
            seed: args.seed,
            speed: args.speed,
            bridges: 1,
            database: None,
            agent: None,
            patience: std::time::Duration::from_secs(args.patience),
        },
    )
    .await?;
    println!("{report}");
    if report.problems.is_empty() {
        return Ok(());
    }
    Err(FleetError::Other("builds did not end as they should".to_owned()))
}

/// What a bridge has to complain of, and when it begins and ceases to lead, is in its log.
fn log_of_bridge() {
    let what = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("pilotfish_bridge::service::leader", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(what).init();
}

async fn run_bridge(args: BridgeArgs) -> Result<(), FleetError> {
    log_of_bridge();
    let options = bridge::Options {
        listen: args.listen,
        catalog: args.catalog,
        tokens: args.tokens,
        key: args.key,
        masters: args.masters,
        database: args.database,
        pods: args.pods,
        clusters: args.clusters,
        agents: args.agents.map(|file| (file, args.agent)),
        tls: args.tls_cert.zip(args.tls_key),
        speed: args.speed,
    };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    bridge::run(options, |address| println!("bridge {scheme}://{address}/")).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Master(args) => play(args).await,
        Command::Bridge(args) => run_bridge(args).await,
        Command::Chaos(args) => chaos(args).await,
        Command::Agents(args) => agents(args).await,
        Command::Load(args) => load(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilotfish-fleet: {error}");
            ExitCode::FAILURE
        }
    }
}
