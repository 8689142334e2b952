//! A campaign of faults between an agent and a controller while builds run.
//!
//! `cargo xtask faults` builds what it needs and runs it. A seed stands for its faults and its builds; see the
//! README.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod agent;
mod campaign;
mod controller;
mod error;
mod figures;
mod plan;
mod proxy;
#[expect(dead_code, reason = "the fleet, which has it too, needs more of it")]
#[path = "../../fleet/src/random.rs"]
mod random;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use agent::AgentCommand;
use campaign::Settings;
use controller::ControllerCommand;
use error::Error;
use plan::Plan;
use random::Random;

/// Cuts, stalls and kills an agent's connections while builds run, and checks that nobody notices.
#[derive(Debug, Parser)]
#[command(name = "pilotfish-faults")]
struct Arguments {
    /// The agent
    #[arg(long)]
    agent: PathBuf,
    /// The classes of the Java controller
    #[arg(long)]
    classes: PathBuf,
    /// How many faults
    #[arg(long, default_value_t = 1000)]
    faults: u64,
    /// The first fault to run, to begin near one that failed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The last fault to run, if not all
    #[arg(long)]
    until: Option<u64>,
    /// Which faults, and which builds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Over TCP rather than WebSocket
    #[arg(long)]
    tcp: bool,
    /// How many builds run at once
    #[arg(long, default_value_t = 4)]
    builds: u32,
    /// Seconds between the agent's pings, as the controller orders them
    #[arg(long, default_value_t = 2)]
    ping: u32,
    /// How many seconds the agent may take to answer again after a fault
    #[arg(long, default_value_t = 20)]
    bound: u64,
    /// Where the logs go; the directory is made anew
    #[arg(long)]
    logs: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begin = Instant::now();
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("pilotfish-faults: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (first, last) = (*settings.range.start(), *settings.range.end());
    let way = if arguments.tcp { "TCP" } else { "WebSocket" };
    println!(
        "Faults {first} to {last} of seed {} over {way}; logs in {}",
        arguments.seed,
        arguments.logs.display()
    );
    match campaign::run(settings).await {
        Ok(figures) => {
            println!("\n{figures}");
            println!(
                "{} faults of seed {} in {:.1} min: every line there and in order, every exit status right.",
                figures.faults(),
                arguments.seed,
                begin.elapsed().as_secs_f64() / 60.0
            );
            ExitCode::SUCCESS
        }
        Err((number, error)) => {
            println!("FAILED at fault {number} of seed {} over {way}: {error}", arguments.seed);
            let again = format!("--seed {} --faults {}", arguments.seed, arguments.faults);
            let tcp = if arguments.tcp { " --tcp" } else { "" };
            println!(
                "The same faults again: {again}{tcp}; only those before it: --from {} --until {number}",
                number.saturating_sub(10).max(1)
            );
            ExitCode::FAILURE
        }
    }
}

/// Any secret: whoever may read the logs may also know it.
fn write_secret(file: &Path, seed: u64) -> std::io::Result<()> {
    let mut random = Random::new(seed);
    let secret: String = (0..4).map(|_| format!("{:016x}", random.number())).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(secret.as_bytes())
}

fn settings(arguments: &Arguments) -> Result<Settings, Error> {
    let logs = &arguments.logs;
    if logs.exists() {
        std::fs::remove_dir_all(logs).map_err(Error::file(logs))?;
    }
    let root = logs.join("node");
    std::fs::create_dir_all(&root).map_err(Error::file(&root))?;
    let logs = logs.canonicalize().map_err(Error::file(logs))?;
    let root = logs.join("node");
    let secret_file = logs.join("secret");
    write_secret(&secret_file, arguments.seed).map_err(Error::file(&secret_file))?;
    let mut ports = Vec::new();
    for _ in 0..3 {
        ports.push(proxy::free_port_beside(&ports).map_err(Error::system("no port"))?);
    }
    let [port, http_port, agent_port] = ports[..] else {
        return Err(Error::Left("ports".to_owned()));
    };
    let mut words: Vec<OsString> =
        vec!["-url".into(), format!("http://127.0.0.1:{http_port}/").into()];
    words.extend(["-name".into(), "agent-1".into(), "-secret".into()]);
    words.push(format!("@{}", secret_file.display()).into());
    words.extend(["-workDir".into(), root.clone().into(), "--jvm=never".into()]);
    if arguments.tcp {
        words.extend(["-tunnel".into(), format!("127.0.0.1:{agent_port}").into()]);
    } else {
        words.push("-webSocket".into());
    }
    let last = arguments.until.unwrap_or(arguments.faults).min(arguments.faults);
    Ok(Settings {
        plan: Plan::new(arguments.seed, arguments.faults, arguments.tcp),
        range: arguments.from..=last,
        bound: Duration::from_secs(arguments.bound),
        agent: AgentCommand {
            program: arguments.agent.clone(),
            arguments: words,
            log: logs.join("agent.log"),
            mark: format!("{}-{}", std::process::id(), arguments.seed),
        },
        controller: ControllerCommand {
            classes: arguments.classes.clone(),
            port,
            secret_file,
            root,
            state: logs.join("controller"),
            seed: arguments.seed,
            builds: arguments.builds,
            ping: arguments.ping,
            tcp: arguments.tcp,
            log: logs.join("controller.log"),
        },
        http_port,
        agent_port: arguments.tcp.then_some(agent_port),
        log: logs.join("faults.log"),
    })
}
