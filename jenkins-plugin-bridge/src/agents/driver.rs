//! Does what was decided: looks at masters and pods, writes the ledger, makes and removes nodes and pods.
//! One replica does. What it writes first it does afterwards, and all of that can be done again.

mod act;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::decide::{Act, MasterSeen, NodeSeen, Rules, Wanted, World, builds_that_wait, decide};
use super::model::{Agent, AgentState};
use super::pods::SeenPod;
use super::standby::Setup;
use crate::masters::Permission;
use crate::rest::Computer;
use crate::service::Service;
use crate::service::leader::{LeaseTimes, lead};

/// Name of the lease.
const LEASE: &str = "agents";
/// How long the ledger has agents of which nothing is left: demand is looked back at in it, and a node that
/// comes back is known. In milliseconds.
const KEEP_MS: i64 = 3_600_000;
/// What lists pods is known as.
const LIST: &str = "list";
/// Between two times that what is over is forgotten.
const SWEEP: Duration = Duration::from_secs(600);
/// How long a build may wait for an agent of its own, in milliseconds.
const WISH_MS: i64 = 24 * 3_600_000;

/// How agents are kept.
#[derive(Debug, Clone, Copy)]
pub struct AgentOptions {
    /// Times of decisions.
    pub rules: Rules,
    /// Between two rounds where nothing happens.
    pub tick: Duration,
    /// Between two looks at a master. With the default it gets 12 requests a minute for it.
    pub look: Duration,
    /// The same while agents are on their way or work there: 30 requests a minute.
    pub look_busy: Duration,
    /// Between two lists of pods.
    pub list: Duration,
    /// After something that failed.
    pub again: Duration,
    /// The lease.
    pub lease: LeaseTimes,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            tick: Duration::from_secs(1),
            look: Duration::from_secs(5),
            look_busy: Duration::from_secs(2),
            list: Duration::from_secs(5),
            again: Duration::from_secs(10),
            lease: LeaseTimes::default(),
        }
    }
}

/// Keeps agents whenever this replica leads that. Never ends by itself; does nothing where the service
/// makes no agents.
pub async fn keep_agents(service: Arc<Service>, holder: String, options: AgentOptions) {
    if service.agents.setup().is_none() {
        return std::future::pending().await;
    }
    let duty = || Driver::new(&service, options).run();
    lead(&service.store, LEASE, &holder, options.lease, duty).await;
}

/// What a task has brought.
enum Done {
    Look { master: String, at_ms: i64, computers: Option<Vec<Computer>> },
    Pods { at_ms: i64, pods: Option<BTreeMap<String, SeenPod>> },
    Act { act: Act, well: bool },
}

struct Driver<'a> {
    service: &'a Arc<Service>,
    options: AgentOptions,
    masters: BTreeMap<String, MasterSeen>,
    looked: HashMap<String, Instant>,
    pods: Option<(i64, BTreeMap<String, SeenPod>)>,
    listed: Option<Instant>,
    /// Since when this replica leads, in milliseconds since 1970.
    since_ms: i64,
    /// What is under way.
    under_way: HashSet<String>,
    /// The same by task, so that one that has failed to end is known.
    keys: HashMap<tokio::task::Id, String>,
    /// What has failed, and when it is tried again.
    blocked: HashMap<String, Instant>,
    tasks: JoinSet<Done>,
    swept: Option<Instant>,
    /// What was told of builds that wait, by pool and master.
    told: BTreeMap<String, BTreeMap<String, u32>>,
}

impl<'a> Driver<'a> {
    fn new(service: &'a Arc<Service>, options: AgentOptions) -> Self {
        Self {
            service,
            options,
            masters: BTreeMap::new(),
            looked: HashMap::new(),
            pods: None,
            listed: None,
            since_ms: service.now_ms(),
            under_way: HashSet::new(),
            keys: HashMap::new(),
            blocked: HashMap::new(),
            tasks: JoinSet::new(),
            swept: None,
            told: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        let _leading = self.service.agents.lead();
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "the ledger of agents cannot be read or written");
            }
            let wait = tokio::time::sleep(self.options.tick);
            tokio::select! {
                () = wait => {}
                () = self.service.agents.wake.notified() => {}
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.ended(ended);
            }
        }
    }

    /// Begins something that is not under way yet.
    fn spawn(&mut self, key: String, task: impl Future<Output = Done> + Send + 'static) {
        self.under_way.insert(key.clone());
        let id = self.tasks.spawn(task).id();
        self.keys.insert(id, key);
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Done), tokio::task::JoinError>) {
        let (id, done) = match ended {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        self.under_way.remove(&key);
        match done {
            Some(done) => self.done(key, done),
            None => {
                tracing::error!(key, "a task of agents has failed; this is a bug");
                self.blocked.insert(key, Instant::now() + self.options.again);
            }
        }
    }

    async fn round(&mut self) -> Result<(), crate::service::StoreError> {
        let service = self.service;
        let Some(setup) = service.agents.setup() else { return Ok(()) };
        let now_ms = service.now_ms();
        let agents = service.store.agents(now_ms - KEEP_MS).await?;
        if self.swept.is_none_or(|at| at.elapsed() > SWEEP) {
            self.swept = Some(Instant::now());
            self.blocked.retain(|_, until| *until > Instant::now());
            let waits = |id: &str| {
                let claimed = |one: &Agent| one.id == id && one.state == AgentState::Claimed;
                agents.iter().any(|one| claimed(one) && one.taken_ms.is_none())
            };
            service.agents.keep_only(waits);
            service.store.forget_agents(now_ms - KEEP_MS).await?;
            service.store.forget_agent_wishes(now_ms - WISH_MS).await?;
        }
        let wanted = self.wanted(&agents).await?;
        self.look(setup, &agents);
        self.list(setup);
        let declared: BTreeSet<String> =
            service.masters.all().iter().map(|one| one.name.clone()).collect();
        self.masters.retain(|name, _| declared.contains(name));
        self.looked.retain(|name, _| declared.contains(name));
        let world = World {
            now_ms,
            since_ms: self.since_ms,
            owner: &setup.owner,
            pools: &setup.pools,
            agents: &agents,
            masters: &self.masters,
            declared: &declared,
            pods: self.pods.as_ref().map(|(at_ms, pods)| (*at_ms, pods)),
            wanted: &wanted,
        };
        let acts = decide(&world, &self.options.rules);
        let builds: BTreeMap<String, BTreeMap<String, u32>> = setup
            .pools
            .iter()
            .map(|(name, pool)| (name.clone(), builds_that_wait(&world, name, pool)))
            .collect();
        for act in acts {
            self.begin(setup, act, now_ms).await?;
        }
        for (pool, waiting) in builds {
            if self.told.get(&pool) != Some(&waiting) {
                service.store.save_pool_builds(&pool, &waiting).await?;
                self.told.insert(pool, waiting);
            }
        }
        Ok(())
    }

    /// The builds that wait for an agent of their own.
    async fn wanted(&self, agents: &[Agent]) -> Result<Vec<Wanted>, crate::service::StoreError> {
        let store = &self.service.store;
        let (had, wanted): (Vec<Wanted>, Vec<Wanted>) =
            store.agent_wishes().await?.into_iter().partition(|wish| {
                agents
                    .iter()
                    .any(|one| one.build.as_ref() == Some(&wish.build) && one.online_ms.is_some())
            });
        for wish in had {
            store.forget_agent_wish(&wish.build).await?;
        }
        Ok(wanted)
    }

    /// Begins the looks at masters that are due.
    fn look(&mut self, setup: &Setup, agents: &[Agent]) {
        for master in self.service.masters.all() {
            let served = setup.pools.values().any(|pool| pool.serves(&master.name));
            let has_some = agents.iter().any(|one| {
                one.master.as_ref() == Some(&master.name) && one.state == AgentState::Claimed
            });
            if master.spec.permission != Permission::Full || !(served || has_some) {
                self.masters.remove(&master.name);
                continue;
            }
            let takes = master.refusal(self.service.now_signed()).is_none();
            if let Some(seen) = self.masters.get_mut(&master.name) {
                seen.takes = takes;
            }
            let every = if has_some { self.options.look_busy } else { self.options.look };
            let is_due = self.looked.get(&master.name).is_none_or(|at| at.elapsed() >= every);
            let key = format!("look {}", master.name);
            if !is_due || self.under_way.contains(&key) {
                continue;
            }
            self.looked.insert(master.name.clone(), Instant::now());
            let at_ms = self.service.now_ms();
            self.spawn(key, async move {
                let computers = master.probe.computers().await;
                let computers = computers
                    .inspect_err(|error| tracing::debug!(master = master.name, %error, "not seen"))
                    .ok();
                Done::Look { master: master.name.clone(), at_ms, computers }
            });
        }
    }

    fn list(&mut self, setup: &Setup) {
        let is_due = self.listed.is_none_or(|at| at.elapsed() >= self.options.list);
        if !is_due || self.under_way.contains(LIST) {
            return;
        }
        self.listed = Some(Instant::now());
        let at_ms = self.service.now_ms();
        let (pods, owner) = (Arc::clone(&setup.pods), setup.owner.clone());
        self.spawn(LIST.to_owned(), async move {
            let listed = pods.list(&owner).await;
            let listed = listed
                .inspect_err(|error| tracing::warn!(error, "the pods of agents cannot be seen"))
                .ok();
            Done::Pods { at_ms, pods: listed }
        });
    }

    fn done(&mut self, key: String, done: Done) {
        match done {
            Done::Look { master, at_ms, computers } => match computers {
                // What was seen of one that is not seen now is no basis for anything; its demand begins anew.
                None => drop(self.masters.remove(&master)),
                Some(computers) => self.saw(master, at_ms, computers),
            },
            Done::Pods { at_ms, pods } => self.pods = pods.map(|pods| (at_ms, pods)),
            Done::Act { act, well } => {
                if well {
                    self.blocked.remove(&key);
                    self.follows(&act);
                } else {
                    self.blocked.insert(key, Instant::now() + self.options.again);
                }
            }
        }
    }

    fn saw(&mut self, master: String, at_ms: i64, computers: Vec<Computer>) {
        let seen = self.masters.entry(master).or_default();
        seen.at_ms = at_ms;
        let mut averages: BTreeMap<String, f32> = BTreeMap::new();
        seen.nodes.clear();
        for one in computers {
            let node = NodeSeen {
                offline: one.offline,
                out: one.out,
                idle: one.idle,
                description: one.description,
                labels: one.queues.keys().cloned().collect(),
            };
            let counted = one.queues.into_iter();
            averages.extend(counted.filter_map(|(label, average)| Some((label, average?))));
            seen.nodes.insert(one.name, node);
        }
        seen.demand.look(&averages, at_ms);
    }

    /// What is known without another look once something is done.
    fn follows(&mut self, act: &Act) {
        match act {
            Act::TakeOut { master, node } => {
                if let Some(seen) = self.masters.get_mut(master) {
                    let node = seen.nodes.entry(node.clone()).or_default();
                    // A build may have come before it was out: only the next look tells.
                    *node =
                        NodeSeen { offline: true, out: true, idle: false, ..std::mem::take(node) };
                }
                self.looked.remove(master);
                // A build of it may wait for that.
                self.service.agents.tell(Agent::id_of_node(node));
            }
            Act::RemoveNode { master, node } => {
                if let Some(master) = self.masters.get_mut(master) {
                    master.nodes.remove(node);
                }
            }
            Act::Offer { master, .. } => drop(self.looked.remove(master)),
            Act::Remove { .. } | Act::RemovePod { .. } => self.listed = None,
            _ => {}
        }
    }
}
