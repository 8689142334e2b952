//! Sets the agent up and hands over to the connection.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jenkins_remoting::channel::Observer;
use pilotfish_process::cgroup::MemoryGroup;
use pilotfish_process::{Environment, Reaper};
use tracing::{error, info, warn};

use crate::bridge::Bridge;
use crate::callables::{self, Context};
use crate::cli::{Configuration, JvmMode, REMOTING_VERSION};
use crate::confine::{ConfineError, Confinement};
use crate::connection;
use crate::exit::Exit;
use crate::jvm::Jvm;
use crate::logging::Logging;
use crate::memory::Memory;
use crate::observe::{self, Traces};
use crate::preflight::{self, Problem};
use crate::standby::OneUse;
use crate::unix::{self, signals};
use crate::workdir::{self, Directories};

/// What every part of the running agent may need.
#[derive(Debug)]
pub struct Agent {
    /// What the agent was told at start.
    pub configuration: Configuration,
    /// Its own directories.
    pub directories: Directories,
    /// The memory of the container.
    pub memory: Arc<Memory>,
    /// The limits of file operations, if there are any.
    pub confinement: Option<Confinement>,
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
    let problems = preflight(&directories)?;
    if callables::has_containers(&configuration.environment) {
        // Steps in them may have other users; all of the pod have one group.
        unix::share_files_with_group();
    }
    let (logging, warnings) = Logging::start(
        &configuration.logging,
        directories.logs.as_deref(),
        &configuration.environment,
    )?;
    logging.install();
    for warning in configuration.warnings.iter().chain(&warnings) {
        warn!(target: "hudson.remoting.Launcher", method = "run", "{warning}");
    }
    for problem in problems {
        warn!("{problem}");
    }
    let confinement = confinement(&configuration, &directories)?;
    let internal = directories.internal.as_deref();
    let memory = Memory::new(MemoryGroup::own(), configuration.memory_margin, internal);
    Ok(Agent { configuration, directories, memory, confinement, logging })
}

/// What builds would stumble over; fails where nothing would work.
fn preflight(directories: &Directories) -> Result<Vec<Problem>, Problem> {
    let mut problems = match (&directories.work, &directories.internal) {
        (Some(work), Some(internal)) => preflight::work_directory(work, internal),
        _ => Vec::new(),
    };
    match problems.iter().position(Problem::is_fatal) {
        Some(fatal) => Err(problems.swap_remove(fatal)),
        None => {
            problems.extend(preflight::temporary_directory(Path::new("/tmp")));
            Ok(problems)
        }
    }
}

/// The limits that the user wants. They begin before anything of the controller is read.
fn confinement(
    configuration: &Configuration,
    directories: &Directories,
) -> Result<Option<Confinement>, ConfineError> {
    match (&configuration.confine, &directories.work, &directories.internal) {
        (Some(options), Some(work), Some(internal)) => {
            Confinement::new(work, internal, options).map(Some)
        }
        _ => Ok(None),
    }
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
    signals::handle(&agent.memory);
    if Reaper::is_needed() {
        match Reaper::new() {
            Ok(reaper) => {
                tokio::spawn(reaper.run());
            }
            Err(problem) => warn!("orphaned processes will stay as zombies: {problem}"),
        }
    }
    let measured = recover(&agent).await;
    agent.memory.watch();
    let node = &agent.configuration.node_name;
    let health = match bind_health(&agent.configuration).await {
        Ok(health) => health,
        Err(exit) => return exit,
    };
    let traces =
        agent.configuration.collector.as_ref().map(|collector| {
            Traces::start(collector, agent.configuration.download_options(), node)
        });
    let environment = Environment::from_system(agent.configuration.environment.clone());
    let jvm = jvm(&agent, environment.clone());
    let protocol = agent.configuration.transport.protocol();
    let context = Context::new(environment, agent.logging.clone(), protocol, REMOTING_VERSION)
        .with_downloads(agent.configuration.download_options())
        .with_memory(Arc::clone(&agent.memory))
        .with_confinement(agent.confinement.clone())
        .with_shared_temporary(agent.directories.internal.as_deref())
        .with_jvm(jvm)
        .with_bridge(bridge(&agent.configuration))
        .with_one_use(agent.configuration.one_use.clone().map(OneUse::new))
        .with_observer(traces.clone().map(|traces| traces as Arc<dyn Observer>));
    context.resume(measured);
    let context = Arc::new(context);
    if let Some(health) = health {
        tokio::spawn(health.serve(Arc::clone(&context), traces.clone()));
    }
    let internal = agent.directories.internal.as_deref();
    let usages = context.usages.clone();
    let exit = connection::serve(&agent.configuration, internal, context).await;
    if let Some(usages) = usages {
        usages.flush().await;
    }
    if let Some(traces) = traces {
        traces.flush().await;
    }
    exit
}

/// The bridge, if the user has one. It is trusted as the controller is: both are the user's own.
fn bridge(configuration: &Configuration) -> Option<Bridge> {
    let options = configuration.bridge.as_ref()?;
    Some(Bridge::new(options, configuration.controller_downloads(), &configuration.node_name))
}

/// The health endpoint, if there is to be one. Whoever asks for one would have the agent killed by the
/// probes of its orchestrator if it started without.
async fn bind_health(configuration: &Configuration) -> Result<Option<observe::Server>, Exit> {
    let Some(address) = &configuration.health_address else { return Ok(None) };
    let bound = async {
        let server = observe::Server::bind(address, &configuration.node_name).await?;
        info!("Health and metrics: http://{}", server.address()?);
        Ok::<_, io::Error>(server)
    };
    bound.await.map(Some).map_err(|problem| {
        error!("cannot serve health and metrics at {address}: {problem}; give --health-address another one");
        Exit::Failure
    })
}

/// Tells the builds of a life that ended with its container, before the controller asks for them. The logs of
/// those that still run, and since when their stages are measured.
async fn recover(agent: &Agent) -> Vec<(PathBuf, pilotfish_exec::Record)> {
    if let Some(confinement) = &agent.confinement {
        info!("{confinement}");
    }
    let (memory, confinement) = (Arc::clone(&agent.memory), agent.confinement.clone());
    let threads = confinement.as_ref().map(|one| one.threads().clone()).unwrap_or_default();
    let environment = Environment::from_system(agent.configuration.environment.clone());
    let containers = callables::containers_of(&environment);
    let runtime = tokio::runtime::Handle::current();
    // The controller can write the file that names the logs, so they are written to with its rights.
    let recovered = threads
        .run(move || {
            let may_write = |log: &Path| confinement.as_ref().is_none_or(|one| one.allows(log));
            let runs_in = |container: &str, cookie: &str| {
                let container = containers.get(container).map_err(|error| error.to_string())?;
                let cookie = ("HUDSON_COOKIE".to_owned(), cookie.to_owned());
                let found = runtime.block_on(container.at_once().find(vec![cookie]));
                found.map(|processes| processes > 0).map_err(|error| error.to_string())
            };
            memory.recover(&may_write, &runs_in)
        })
        .await;
    recovered.unwrap_or_else(|_| {
        warn!("the builds of the agent's last life are not told of its end");
        Vec::new()
    })
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
