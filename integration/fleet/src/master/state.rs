//! What a master has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::agents::{self, Way};
use super::control::Faults;
use super::journal::{Journal, Line};
use super::{Level, Options};
use crate::error::FleetError;
use crate::ledger::{Entry, Ledger, What, now_us};
use crate::pods::Pods;

/// The most builds that are kept of a job.
const KEEP: usize = 2_000;
/// The most items that have left the queue and are still told of: a live one forgets them after minutes.
const LEFT: usize = 5_000;

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Full name.
    pub name: String,
    /// Its `config.xml`.
    pub xml: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Number of its next build.
    pub next: u64,
}

/// An item of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Id.
    pub id: u64,
    /// Full name of its job.
    pub job: String,
    /// Parameters.
    pub parameters: BTreeMap<String, String>,
    /// When it came, in milliseconds since 1970.
    pub since_ms: u64,
    /// Somebody has cancelled it.
    pub cancelled: bool,
    /// Number of its build, once it has left the queue.
    pub build: Option<u64>,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Full name of its job.
    pub job: String,
    /// Number.
    pub number: u64,
    /// The item that it was.
    pub queue_id: u64,
    /// Parameters.
    pub parameters: BTreeMap<String, String>,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Its result.
    pub result: Option<String>,
    /// Whether it has won its claim, or needs none.
    pub claimed: bool,
    /// Stages that it has run.
    pub stages: u32,
    /// Its log.
    pub log: String,
    /// Somebody has stopped it.
    #[serde(default)]
    pub stopped: bool,
    /// The node that it runs on, where its job asks for a label.
    #[serde(default)]
    pub node: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Executors.
    pub executors: u32,
    /// Labels, its own name left out.
    pub labels: BTreeSet<String>,
    /// No agent is connected.
    pub offline: bool,
    /// Why somebody took it out.
    pub taken_out: Option<String>,
    /// Directory of its agent.
    pub remote_fs: String,
    /// Only builds that ask for a label of its own run here.
    #[serde(default)]
    pub exclusive: bool,
}

/// Everything that a master has.
#[derive(Debug, Default)]
pub struct Master {
    /// Jobs and folders by full name.
    pub jobs: BTreeMap<String, Job>,
    /// Items by id, those that have left the queue included.
    pub items: BTreeMap<u64, Item>,
    /// Builds by job and number.
    pub builds: BTreeMap<(String, u64), Build>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// The next id of an item.
    pub next_item: u64,
    /// It starts no builds any more.
    pub quieting_down: bool,
    /// Faults that are switched on.
    pub faults: Faults,
    /// The average of what waits for each label of a node.
    pub loads: BTreeMap<String, f32>,
}

/// A master, as its tasks share it.
#[derive(Debug)]
pub struct Shared {
    /// What it is.
    pub options: Options,
    /// Its own address, with a slash at the end.
    pub url: String,
    /// Since when it runs.
    pub started: Instant,
    /// Something has changed that a waiting build may want to know.
    pub changed: Notify,
    /// The pods of the fleet.
    pub pods: Option<Pods>,
    master: Mutex<Master>,
    journal: Mutex<Journal>,
    ledger: Mutex<Option<Ledger>>,
    /// The request that a build begins with on an agent.
    pub(super) request: hyper::body::Bytes,
    /// The ways to agents that are connected, by node.
    ways: Mutex<BTreeMap<String, Way>>,
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    now_us() / 1000
}

impl Shared {
    /// Opens the directory of a master.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn open(options: Options, address: SocketAddr) -> Result<Self, FleetError> {
        let home = &options.home;
        std::fs::create_dir_all(home)
            .map_err(FleetError::io(format!("make {}", home.display())))?;
        let (journal, mut master) = Journal::open(home, options.queue_save_ms)?;
        if master.nodes.is_empty() {
            let node = Node {
                name: "agent-1".to_owned(),
                description: String::new(),
                executors: options.executors,
                labels: options.labels.iter().cloned().collect(),
                offline: false,
                taken_out: None,
                remote_fs: "/home/jenkins/agent".to_owned(),
                exclusive: false,
            };
            master.nodes.insert(node.name.clone(), node);
        }
        // Whoever was connected is so no more.
        master
            .nodes
            .values_mut()
            .filter(|node| node.exclusive)
            .for_each(|node| node.offline = true);
        let ledger = options.ledger.as_deref().map(Ledger::open).transpose()?;
        let pods = options.pods.as_deref().map(Pods::open).transpose()?;
        Ok(Self {
            url: format!("http://{address}/"),
            started: Instant::now(),
            changed: Notify::new(),
            pods,
            master: Mutex::new(master),
            journal: Mutex::new(journal),
            ledger: Mutex::new(ledger),
            request: agents::request()?,
            ways: Mutex::default(),
            options,
        })
    }

    /// What it has now.
    pub fn lock(&self) -> MutexGuard<'_, Master> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent of a node is connected, by this way, or is so no more.
    pub(super) fn connected(&self, node: &str, way: Option<Way>) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        match way {
            Some(way) => drop(ways.insert(node.to_owned(), way)),
            None => drop(ways.remove(node)),
        }
    }

    /// The way to the agent of a node.
    pub(super) fn way(&self, node: &str) -> Option<Way> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    /// Writes down what has to survive a restart. A master that cannot write is of no use.
    pub(super) fn keep(&self, line: &Line<'_>) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = journal.write(line) {
            self.give_up(&error);
        }
    }

    /// Whether this master has written a line of the ledger, before it was restarted as well.
    pub(super) fn is_recorded(
        &self,
        parameters: &BTreeMap<String, String>,
        what: What,
        detail: &str,
    ) -> bool {
        let key = parameters.get("PILOTFISH_BUILD_KEY").map_or("", String::as_str);
        let is_it = |entry: Entry| {
            entry.master == self.options.name
                && (entry.key.as_str(), entry.what, entry.detail.as_str()) == (key, what, detail)
        };
        let text = self.options.ledger.as_deref().map(std::fs::read_to_string);
        let Some(Ok(text)) = text else { return false };
        // The last line may be one that is being written, of another master.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).any(is_it)
    }

    /// Writes a line of the ledger.
    pub(super) fn record(&self, parameters: &BTreeMap<String, String>, what: What, detail: &str) {
        let text = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let entry = Entry {
            at_us: now_us(),
            master: self.options.name.clone(),
            build: text("PILOTFISH_BUILD_ID"),
            key: text("PILOTFISH_BUILD_KEY"),
            what,
            detail: detail.to_owned(),
        };
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = ledger.as_mut().map(|ledger| ledger.write(&entry)) {
            self.give_up(&error);
        }
    }

    #[expect(clippy::print_stderr, reason = "a command line tool")]
    fn give_up(&self, error: &FleetError) {
        eprintln!("{}: {error}", self.options.name);
        std::process::exit(1);
    }

    /// What a user may do: none where the login is wrong.
    pub(super) fn level(&self, login: Option<(&str, &str)>) -> Option<Level> {
        let (name, token) = login?;
        let user = self.options.users.iter().find(|one| one.name == name && one.token == token);
        user.map(|user| user.level)
    }
}

impl Job {
    /// The label that its builds ask for, which only a freestyle job says in its definition.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        let (_, after) = self.xml.split_once("<assignedNode>")?;
        after.split_once("</assignedNode>").map(|(label, _)| label)
    }
}

impl Master {
    /// The node that a build with this label may run on now.
    #[must_use]
    pub fn free_node(&self, label: &str) -> Option<&Node> {
        let is_free = |node: &&Node| {
            let busy = self.running().filter(|one| one.node.as_ref() == Some(&node.name)).count();
            busy < node.executors as usize
        };
        self.nodes
            .values()
            .filter(|node| !node.offline && node.taken_out.is_none() && node.labels.contains(label))
            .find(is_free)
    }

    /// Items that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Item> {
        self.items.values().filter(|item| item.build.is_none() && !item.cancelled)
    }

    /// Builds that run.
    pub fn running(&self) -> impl Iterator<Item = &Build> {
        self.builds.values().filter(|build| build.result.is_none())
    }

    /// Forgets what a live one would have forgotten, too.
    pub(super) fn forget(&mut self, job: &str) {
        let of_job = (job.to_owned(), 0)..=(job.to_owned(), u64::MAX);
        let count = self.builds.range(of_job.clone()).count();
        if count > KEEP
            && let Some(first) = self
                .builds
                .range(of_job)
                .find(|(_, build)| build.result.is_some())
                .map(|(key, _)| key.clone())
        {
            self.builds.remove(&first);
        }
        if self.items.len() > LEFT
            && let Some(first) =
                self.items.values().find(|one| one.build.is_some()).map(|one| one.id)
        {
            self.items.remove(&first);
        }
    }
}
