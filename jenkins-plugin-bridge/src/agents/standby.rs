//! Agents that wait and ask, in this process: what each is given, and who is to be told.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::decide::Wanted;
use super::file::{AgentsFile, Pool};
use super::model::Agent;
use super::pods::Pods;

/// What an agent is told when it is claimed.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Root URL of the master.
    pub url: String,
    /// Name of the node.
    pub node: String,
    /// Secret of the node.
    pub secret: Zeroizing<String>,
    /// It is for one build, whichever comes first.
    pub one_use: bool,
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("url", &self.url)
            .field("node", &self.node)
            .field("one_use", &self.one_use)
            .finish_non_exhaustive()
    }
}

/// What agents there may be, and where their pods come from.
#[derive(Debug)]
pub struct Setup {
    /// Whose they are.
    pub owner: String,
    /// Address of the bridge.
    pub bridge: String,
    /// The pools.
    pub pools: std::collections::BTreeMap<String, Pool>,
    /// Where pods come from.
    pub pods: Arc<dyn Pods>,
}

impl Setup {
    /// What a file says, with pods from there.
    #[must_use]
    pub fn new(file: &AgentsFile, pods: Arc<dyn Pods>) -> Self {
        let pools = file.pools.iter().map(|(name, pool)| (name.to_string(), pool.clone()));
        Self {
            owner: file.owner.to_string(),
            bridge: file.bridge.clone(),
            pools: pools.collect(),
            pods,
        }
    }
}

impl Setup {
    /// Whether an agent is for one build, whichever comes first. No other build knows the label of an agent that is
    /// for a build of the bridge.
    pub(crate) fn is_one_use(&self, agent: &Agent) -> bool {
        agent.build.is_none() && self.pools.get(&agent.pool).is_some_and(|pool| !pool.reuse)
    }

    /// The agent that a build with a plan is to have at a master, where a pool there has such builds.
    #[must_use]
    pub fn own_agent(&self, master: &str, build: &str) -> Option<Wanted> {
        let of_builds = |(_, pool): &(&String, &Pool)| pool.builds && pool.serves(master);
        let (pool, _) = self.pools.iter().find(of_builds)?;
        Some(Wanted {
            build: build.to_owned(),
            master: master.to_owned(),
            pool: pool.clone(),
            label: format!("pilotfish-{build}"),
        })
    }
}

/// Agents that wait, as this process knows them.
#[derive(Debug, Default)]
pub struct Standbys {
    setup: OnceLock<Setup>,
    assignments: Mutex<HashMap<String, Assignment>>,
    waiters: Mutex<HashMap<String, Arc<Notify>>>,
    /// Something has happened that the leader may want to know.
    pub(crate) wake: Notify,
    /// Agents are kept by this process, which tells of all that it does.
    leads: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Standbys {
    /// Says what there may be; once.
    pub fn set_up(&self, setup: Setup) {
        let _ = self.setup.set(setup);
    }

    /// What there may be; nothing where the service makes no agents.
    #[must_use]
    pub fn setup(&self) -> Option<&Setup> {
        self.setup.get()
    }

    /// Gives an agent what it waits for.
    pub(crate) fn assign(&self, id: &str, assignment: Assignment) {
        locked(&self.assignments).insert(id.to_owned(), assignment);
        self.tell(id);
    }

    /// Something has happened to an agent.
    pub(crate) fn tell(&self, id: &str) {
        if let Some(waiter) = locked(&self.waiters).get(id) {
            // Kept for one that is about to wait.
            waiter.notify_one();
        }
    }

    /// What an agent was given, if it was claimed by this process.
    pub(crate) fn assignment(&self, id: &str) -> Option<Assignment> {
        locked(&self.assignments).get(id).cloned()
    }

    /// Forgets what agents were given that do not wait for it any more.
    pub(crate) fn keep_only(&self, waits: impl Fn(&str) -> bool) {
        locked(&self.assignments).retain(|id, _| waits(id));
    }

    /// Says that this process keeps the agents, until that is dropped.
    pub(crate) fn lead(&self) -> Leading<'_> {
        self.leads.store(true, Relaxed);
        Leading(self)
    }

    /// Whether this process keeps the agents.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Relaxed)
    }

    /// Forgets what an agent was given.
    pub(crate) fn forget(&self, id: &str) {
        locked(&self.assignments).remove(id);
    }

    /// Where an agent waits, until that is dropped.
    pub(crate) fn wait(&self, id: &str) -> Wait<'_> {
        let notify = Arc::new(Notify::new());
        locked(&self.waiters).insert(id.to_owned(), Arc::clone(&notify));
        Wait { all: self, id: id.to_owned(), notify }
    }
}

/// This process keeps the agents.
pub(crate) struct Leading<'a>(&'a Standbys);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.leads.store(false, Relaxed);
    }
}

/// An agent that waits.
pub(crate) struct Wait<'a> {
    all: &'a Standbys,
    id: String,
    notify: Arc<Notify>,
}

impl Wait<'_> {
    /// Returns when something has happened to the agent.
    pub async fn told(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiters = locked(&self.all.waiters);
        // A later request of the same agent has taken its place.
        if waiters.get(&self.id).is_some_and(|one| Arc::ptr_eq(one, &self.notify)) {
            waiters.remove(&self.id);
        }
    }
}
