//! A simulated master: a process that answers as a live controller did, with a queue, executors, builds
//! that run stages, and faults that can be switched on by a port of their own.

mod agents;
mod builds;
mod control;
mod jobs;
mod journal;
mod nodes;
mod queue;
mod routes;
mod run;
mod server;
mod shim;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use control::Faults;
pub use state::{Master, Shared};

use crate::error::FleetError;

/// What a simulated master is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name, as `PILOTFISH_CONTROLLER`.
    pub name: String,
    /// Where it listens as a controller.
    pub listen: SocketAddr,
    /// Where it listens for faults.
    pub control: SocketAddr,
    /// Its directory: what survives a restart.
    pub home: PathBuf,
    /// Users: name, token, and what they may do.
    pub users: Vec<User>,
    /// Address of the bridge; without it builds run without asking.
    pub bridge: Option<String>,
    /// File with the token that builds show to the bridge.
    pub bridge_token: Option<PathBuf>,
    /// Directory of the pods of the fleet; without it builds have none.
    pub pods: Option<PathBuf>,
    /// File of the ledger of the fleet.
    pub ledger: Option<PathBuf>,
    /// Executors of its one node.
    pub executors: u32,
    /// Labels of that node.
    pub labels: Vec<String>,
    /// The least and the most milliseconds of a stage.
    pub stage_ms: (u64, u64),
    /// Stages of a build.
    pub stages: u32,
    /// The least milliseconds that an item waits.
    pub queue_ms: u64,
    /// How much older than the truth the queue may be that a killed one comes back with, in milliseconds.
    pub queue_save_ms: u64,
    /// Milliseconds between two times that it counts what waits for labels; 10,000 for a live one.
    pub load_ms: u64,
    /// Milliseconds that a killed one takes to come back: it answers 503.
    pub start_ms: u64,
}

impl Options {
    /// A master on free ports of this machine, with this directory: one user, `bridge`, with the token `t-bridge` who
    /// may do anything but administer, and everything else as the command line has it where nothing is said.
    #[must_use]
    pub fn local(name: &str, home: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            name: name.to_owned(),
            listen: any,
            control: any,
            home,
            users: vec![User {
                name: "bridge".into(),
                token: "t-bridge".into(),
                level: Level::Full,
            }],
            bridge: None,
            bridge_token: None,
            pods: None,
            ledger: None,
            executors: 10,
            labels: vec!["linux".to_owned()],
            stage_ms: (50, 200),
            stages: 3,
            queue_ms: 50,
            queue_save_ms: 500,
            load_ms: 10_000,
            start_ms: 0,
        }
    }
}

/// A user of a simulated master.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// API token.
    pub token: String,
    /// What it may do.
    pub level: Level,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look.
    Read,
    /// Start and stop builds.
    Trigger,
    /// Make jobs and nodes.
    Full,
    /// Everything.
    Administer,
}

/// A master that runs in this process.
#[derive(Debug)]
pub struct Running {
    /// Where it listens as a controller.
    pub address: SocketAddr,
    /// Where it listens for faults.
    pub control: SocketAddr,
    /// What it has.
    pub shared: Arc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts a master.
///
/// # Errors
/// When it cannot listen, or its directory cannot be read.
pub async fn start(options: Options) -> Result<Running, FleetError> {
    let bind = |address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(FleetError::io(format!("listen on {address}")))
    };
    let (listener, control) = (bind(options.listen).await?, bind(options.control).await?);
    let failed = || FleetError::io("ask for the own address");
    let address = listener.local_addr().map_err(failed())?;
    let control_address = control.local_addr().map_err(failed())?;
    let shared = Arc::new(Shared::open(options, address)?);
    let tasks = vec![
        tokio::spawn(server::serve(listener, Arc::clone(&shared))),
        tokio::spawn(agents::count(Arc::clone(&shared))),
        tokio::spawn(control::serve(control, Arc::clone(&shared))),
        tokio::spawn(run::run(Arc::clone(&shared), crate::http_client()?)),
    ];
    Ok(Running { address, control: control_address, shared, tasks })
}
