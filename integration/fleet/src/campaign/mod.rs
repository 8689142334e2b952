//! A campaign: builds are asked for while masters are killed, paused, cut off and restarted, and the bridge
//! is killed; then the ledger is judged.

mod agents;
mod balance;
mod faults;
mod judge;
mod load;
mod orders;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use agents::{AgentsVerdict, Form, run as run_agents};
pub use judge::{Figures, Verdict};
pub use load::{Load, LoadReport, run as run_load};

use crate::bridge::write_catalog;
use crate::error::FleetError;
use crate::ledger::Ledger;
use faults::Faults;
use process::{Bridge, MasterProcess, Setup};

/// What a campaign is.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program, which plays masters and bridge.
    pub program: PathBuf,
    /// Directory for everything.
    pub directory: PathBuf,
    /// Masters, two or more.
    pub masters: u32,
    /// Builds.
    pub builds: u32,
    /// Which faults, and which builds.
    pub seed: u64,
    /// How much faster than in the field all waiting is.
    pub speed: u32,
    /// Replicas of the bridge, behind one address. Several need PostgreSQL.
    pub bridges: u32,
    /// The program of agents, for a campaign of agents on demand.
    pub agent: Option<PathBuf>,
    /// URL of a database; one in SQLite unless given.
    pub database: Option<String>,
    /// The longest that it may take after the last fault.
    pub patience: Duration,
}

/// Runs a campaign.
///
/// # Errors
/// [`FleetError`] where it cannot be run; what is wrong with the builds is in the verdict.
pub async fn run(options: &Options) -> Result<Verdict, FleetError> {
    let setup = Setup::make(options)?;
    let http = crate::http_client()?;
    let mut masters: Vec<MasterProcess> = (0..options.masters)
        .map(|index| MasterProcess::start(&setup, index))
        .collect::<Result<_, _>>()?;
    let mut bridges: Vec<Bridge> = (0..setup.replicas.len())
        .map(|index| Bridge::start(&setup, index))
        .collect::<Result<_, _>>()?;
    let several = setup.replicas.len() > 1;
    let _balancer = several.then(|| balancer_of(&setup)).transpose()?;
    orders::make_jobs(&http, &setup).await?;
    let started = Instant::now();
    let mut faults = Faults::new(options.seed, &setup).await?;
    let mut ids: Vec<String> = Vec::new();
    let mut at = 0_u32;
    while at < options.builds {
        let batch = (options.builds / 40).clamp(1, 25).min(options.builds - at);
        let asked = orders::ask(&http, &setup, options.seed, at, batch).await;
        // What was not answered is asked for again with the same key.
        match asked {
            Ok(new) => ids.extend(new),
            Err(error @ FleetError::Refused(_)) => return Err(error),
            Err(_) => {
                faults.strike(&http, &setup, &mut masters, &mut bridges).await?;
                continue;
            }
        }
        at += batch;
        faults.strike(&http, &setup, &mut masters, &mut bridges).await?;
        told(&format!("{at} of {} builds asked for, {} faults", options.builds, faults.count()));
    }
    let mut seen = Seen::default();
    // Half of the faults strike while nothing new is asked for.
    for _ in 0..20 {
        if seen.look(&http, &setup, &ids).await && seen.left(&ids) == 0 {
            break;
        }
        faults.strike(&http, &setup, &mut masters, &mut bridges).await?;
    }
    faults.mend(&http, &setup, &mut masters, &mut bridges).await?;
    let mended = Instant::now();
    loop {
        let all = seen.look(&http, &setup, &ids).await;
        let left = seen.left(&ids);
        // What is unknown rests: nobody can say more of it.
        if (all && left == seen.unknown()) || mended.elapsed() > options.patience {
            break;
        }
        told(&format!("{left} builds left"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let all: Vec<Value> = seen.0.into_values().collect();
    let took = started.elapsed();
    let calls = orders::calls(&http, &setup).await.unwrap_or_default();
    drop(masters);
    drop(bridges);
    let ledger = Ledger::read(&setup.ledger)?;
    Ok(judge::judge(
        &ids,
        &all,
        &ledger,
        Figures {
            faults: faults.by_kind(),
            took,
            calls,
            database_bytes: setup.database_bytes(),
            takeovers: faults.takeovers(),
        },
    ))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the balancer in front of the replicas.
fn balancer_of(setup: &Setup) -> Result<AbortOnDrop, FleetError> {
    let failed = || FleetError::io("listen as the balancer");
    let listener = std::net::TcpListener::bind(("127.0.0.1", setup.bridge)).map_err(failed())?;
    listener.set_nonblocking(true).map_err(failed())?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed())?;
    Ok(AbortOnDrop(tokio::spawn(balance::balance(listener, setup.replicas.clone()))))
}

/// Builds as they were seen last. One that has ended is not looked at again.
#[derive(Default)]
struct Seen(BTreeMap<String, Value>);

impl Seen {
    /// Looks at those that have not ended; false where one could not be seen.
    async fn look(&mut self, http: &reqwest::Client, setup: &Setup, ids: &[String]) -> bool {
        for id in ids {
            if self.0.get(id).is_some_and(|one| one["state"] == "finished") {
                continue;
            }
            match orders::state(http, setup, id).await {
                Ok(state) => self.0.insert(id.clone(), state),
                Err(_) => return false,
            };
        }
        true
    }

    fn left(&self, ids: &[String]) -> usize {
        let ended = self.0.values().filter(|one| one["state"] == "finished").count();
        ids.len().saturating_sub(ended)
    }

    fn unknown(&self) -> usize {
        self.0.values().filter(|one| one["state"] == "unknown").count()
    }
}

#[expect(clippy::print_stderr, reason = "progress of a command line tool")]
fn told(text: &str) {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

/// Makes the directory of a campaign anew.
fn fresh(directory: &Path) -> Result<(), FleetError> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)
            .map_err(FleetError::io(format!("remove {}", directory.display())))?;
    }
    write_catalog(&directory.join("catalog"))
}
