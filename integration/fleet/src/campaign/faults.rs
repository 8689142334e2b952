//! Faults, one after the other, as a seed says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pilotfish_bridge::service::Store;
use serde_json::json;

use super::process::{Bridge, MasterProcess, Setup};
use crate::error::FleetError;
use crate::random::Random;

/// The lease of whoever routes builds.
const ROUTER: &str = "router";
/// The longest that nobody may lead.
const TAKEOVER: Duration = Duration::from_secs(60);

fn other(error: impl std::fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

/// A fault of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A master is killed, and comes back later.
    Kill,
    /// A master is stopped for a while, as by a long collection of garbage.
    Pause,
    /// The bridge does not reach a master, whose builds go on.
    CutOff,
    /// A master and its builds reach nobody, and nobody reaches them.
    Isolated,
    /// A master is killed and is back at once.
    Restart,
    /// The next triggers are done and not answered.
    LostAnswers,
    /// A master answers 503 for a while.
    Unavailable,
    /// A master takes long for each answer.
    Slow,
    /// A master starts no builds for a while.
    Stuck,
    /// The bridge is killed, and is started again.
    Bridge,
}

const KINDS: [Kind; 10] = [
    Kind::Kill,
    Kind::Pause,
    Kind::CutOff,
    Kind::Isolated,
    Kind::Restart,
    Kind::LostAnswers,
    Kind::Unavailable,
    Kind::Slow,
    Kind::Stuck,
    Kind::Bridge,
];

/// Strikes, and mends what it struck after a while.
#[derive(Debug)]
pub(super) struct Faults {
    random: Random,
    /// Masters that something is wrong with, and for how many more strikes.
    struck: BTreeMap<usize, (Kind, u64)>,
    counts: BTreeMap<Kind, u64>,
    /// The database, where several replicas may lead.
    store: Option<Store>,
    takeovers: Vec<Duration>,
}

impl Faults {
    pub async fn new(seed: u64, setup: &Setup) -> Result<Self, FleetError> {
        let store = match setup.replicas.len() {
            1 => None,
            _ => Some(Store::open(&setup.database()).await.map_err(other)?),
        };
        Ok(Self {
            random: Random::new(seed),
            struck: BTreeMap::new(),
            counts: BTreeMap::new(),
            store,
            takeovers: Vec::new(),
        })
    }

    pub fn takeovers(&self) -> Vec<Duration> {
        self.takeovers.clone()
    }

    /// Kills the replica that routes builds, and waits until another one does.
    async fn kill_leader(&mut self, bridges: &mut [Bridge]) -> Result<(), FleetError> {
        let Some(store) = &self.store else { return Ok(()) };
        let leader = store.lease(ROUTER).await.map_err(other)?;
        let Some(index) = bridges.iter().position(|one| one.holds(&leader.holder)) else {
            return Ok(());
        };
        bridges[index].kill();
        let killed = Instant::now();
        while killed.elapsed() < TAKEOVER {
            let now = store.lease(ROUTER).await.map_err(other)?;
            if now.generation != leader.generation && !now.holder.is_empty() {
                self.takeovers.push(killed.elapsed());
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(FleetError::Other("no replica took over from a leader that was killed".to_owned()))
    }

    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn by_kind(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(kind, count)| (format!("{kind:?}"), *count)).collect()
    }

    /// One fault, and some time in which it has its effect.
    pub async fn strike(
        &mut self,
        http: &reqwest::Client,
        setup: &Setup,
        masters: &mut [MasterProcess],
        bridges: &mut [Bridge],
    ) -> Result<(), FleetError> {
        let over: Vec<usize> = self
            .struck
            .iter_mut()
            .filter_map(|(index, (_, left))| {
                *left = left.saturating_sub(1);
                (*left == 0).then_some(*index)
            })
            .collect();
        for index in over {
            self.mend_one(http, setup, masters, index).await?;
        }
        let last = u64::try_from(masters.len()).unwrap_or(1) - 1;
        let index = usize::try_from(self.random.between(0, last)).unwrap_or(0);
        let kind = KINDS[usize::try_from(self.random.between(0, 9)).unwrap_or(0)];
        let lasts = self.random.between(1, 4);
        if kind == Kind::Bridge {
            let wait = Duration::from_millis(self.random.between(0, 500));
            if self.store.is_some() {
                self.kill_leader(bridges).await?;
            } else {
                bridges.iter_mut().for_each(Bridge::kill);
            }
            tokio::time::sleep(wait).await;
            bridges.iter_mut().try_for_each(|one| one.restart(setup))?;
            *self.counts.entry(kind).or_default() += 1;
        } else if !self.struck.contains_key(&index) && self.struck.len() + 1 < masters.len() {
            // At least one master is well at any time, or nothing could be expected.
            *self.counts.entry(kind).or_default() += 1;
            let master = &mut masters[index];
            match kind {
                Kind::Kill => master.kill(),
                Kind::Restart => {
                    master.kill();
                    master.restart(setup)?;
                }
                Kind::Pause => master.pause(),
                Kind::CutOff => switch(http, master, json!({"unreachable": true})).await?,
                Kind::Isolated => {
                    let both = json!({"unreachable": true, "bridge_unreachable": true});
                    switch(http, master, both).await?;
                }
                Kind::LostAnswers => switch(http, master, json!({"lost_answers": 5})).await?,
                Kind::Unavailable => switch(http, master, json!({"unavailable": true})).await?,
                Kind::Slow => switch(http, master, json!({"slow_ms": 400})).await?,
                Kind::Stuck => switch(http, master, json!({"stuck": true})).await?,
                Kind::Bridge => {}
            }
            if kind != Kind::Restart {
                self.struck.insert(index, (kind, lasts));
            }
        }
        tokio::time::sleep(Duration::from_millis(self.random.between(100, 900))).await;
        Ok(())
    }

    async fn mend_one(
        &mut self,
        http: &reqwest::Client,
        setup: &Setup,
        masters: &mut [MasterProcess],
        index: usize,
    ) -> Result<(), FleetError> {
        let Some((kind, _)) = self.struck.remove(&index) else { return Ok(()) };
        let master = &mut masters[index];
        match kind {
            Kind::Kill => master.restart(setup),
            Kind::Pause => {
                master.go_on();
                Ok(())
            }
            _ => switch(http, master, json!({})).await,
        }
    }

    /// Mends everything.
    pub async fn mend(
        &mut self,
        http: &reqwest::Client,
        setup: &Setup,
        masters: &mut [MasterProcess],
        bridges: &mut [Bridge],
    ) -> Result<(), FleetError> {
        for index in self.struck.keys().copied().collect::<Vec<_>>() {
            self.mend_one(http, setup, masters, index).await?;
        }
        bridges.iter_mut().try_for_each(|one| one.restart(setup))
    }
}

async fn switch(
    http: &reqwest::Client,
    master: &MasterProcess,
    faults: serde_json::Value,
) -> Result<(), FleetError> {
    let sent = http
        .post(format!("{}faults", master.control))
        .timeout(Duration::from_secs(10))
        .body(faults.to_string())
        .send()
        .await;
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            Err(FleetError::Other(format!("{} answered {}", master.name, answer.status())))
        }
        Err(error) => Err(FleetError::Other(format!("{}: {error}", master.name))),
    }
}
