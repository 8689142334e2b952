//! Sets the agent up and hands over to the connection.

use std::io::{self, Write as _};
use std::sync::Arc;

use pilotfish_process::{Environment, Reaper};
use tracing::{error, info, warn};

use crate::callables::{self, Context};
use crate::cli::{Configuration, JvmMode, REMOTING_VERSION};
use crate::connection;
use crate::exit::Exit;
use crate::jvm::Jvm;
use crate::logging::Logging;
use crate::workdir::{self, Directories};

/// What every part of the running agent may need.
#[derive(Debug)]
pub struct Agent {
    /// What the agent was told at start.
    pub configuration: Configuration,
    /// Its own directories.
    pub directories: Directories,
    /// The log: its ring buffer and its levels, which the controller may ask for and set.
    pub logging: Logging,
}

/// Runs the agent until it ends. Secrets must have been erased before: this starts threads.
#[must_use]
pub fn run(configuration: Configuration) -> Exit {
    let agent = match set_up(configuration) {
        Ok(agent) => Arc::new(agent),
        Err(problem) => {
            let _ = writeln!(io::stderr().lock(), "SEVERE: {problem}");
            return Exit::Failure;
        }
    };
    announce(&agent);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(serve(Arc::clone(&agent))),
        Err(problem) => {
            error!("cannot start the event loop: {problem}");
            Exit::Failure
        }
    };
    agent.logging.flush();
    exit
}

fn set_up(configuration: Configuration) -> Result<Agent, Box<dyn std::error::Error>> {
    let directories = workdir::prepare(&configuration)?;
    let (logging, warnings) = Logging::start(
        &configuration.logging,
        directories.logs.as_deref(),
        &configuration.environment,
    )?;
    logging.install();
    for warning in configuration.warnings.iter().chain(&warnings) {
        warn!(target: "hudson.remoting.Launcher", method = "run", "{warning}");
    }
    Ok(Agent { configuration, directories, logging })
}

/// The lines that the Java agent prints before it connects, which tools look for.
fn announce(agent: &Agent) {
    const WORK_DIRECTORY: &str = "org.jenkinsci.remoting.engine.WorkDirManager";
    if let Some(internal) = &agent.directories.internal {
        let internal = internal.display();
        info!(
            target: WORK_DIRECTORY,
            method = "initializeWorkDir",
            "Using {internal} as a remoting work directory"
        );
        match &agent.configuration.logging.agent_log {
            Some(file) => info!(
                target: WORK_DIRECTORY,
                method = "setupLogging",
                "Using {} as an agent error log destination; output log will not be generated",
                file.display()
            ),
            None => info!(
                target: WORK_DIRECTORY,
                method = "setupLogging",
                "Both error and output logs will be printed to {internal}"
            ),
        }
    }
    info!(
        target: "hudson.remoting.Launcher",
        method = "createEngine",
        "Setting up agent: {}",
        agent.configuration.node_name
    );
    info!(
        target: "hudson.remoting.Engine",
        method = "startEngine",
        "Using Remoting version: {REMOTING_VERSION}"
    );
    if let (true, Some(cache)) = (agent.directories.legacy_jar_cache, &agent.directories.jar_cache)
    {
        warn!(
            target: "hudson.remoting.Engine",
            method = "startEngine",
            "No Working Directory. Using the legacy JAR Cache location: {}",
            cache.display()
        );
    }
}

/// Connects and serves until the agent ends.
async fn serve(agent: Arc<Agent>) -> Exit {
    if Reaper::is_needed() {
        match Reaper::new() {
            Ok(reaper) => {
                tokio::spawn(reaper.run());
            }
            Err(problem) => warn!("orphaned processes will stay as zombies: {problem}"),
        }
    }
    let environment = Environment::from_system(agent.configuration.environment.clone());
    let jvm = jvm(&agent, environment.clone());
    let protocol = agent.configuration.transport.protocol();
    let context = Context::new(environment, agent.logging.clone(), protocol, REMOTING_VERSION)
        .with_downloads(agent.configuration.download_options())
        .with_jvm(jvm);
    connection::serve(&agent.configuration, Arc::new(context)).await
}

/// What to start a JVM with, unless the user wants none.
fn jvm(agent: &Agent, environment: Environment) -> Option<Jvm> {
    let configuration = &agent.configuration;
    (configuration.java.mode != JvmMode::Never).then(|| Jvm {
        settings: configuration.java.clone(),
        node_name: configuration.node_name.clone(),
        environment,
        jar_cache: agent.directories.jar_cache.clone(),
        url: configuration.root_url(),
        downloads: configuration.controller_downloads(),
    })
}

/// The table of callables that are answered natively.
#[must_use]
pub fn callables() -> String {
    callables::table()
}
