//! Looks at the masters. Each master has a task of its own that makes one request after the other, so that
//! the work that a master has with it is bounded whatever else happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::health::{Health, HealthRules, Observation, Seen, State};
use super::registry::{Master, Registry};
use crate::catalog::model::Span;
use crate::rest::{Nodes, Pulse};

/// Between two looks, unless a master says otherwise.
const EVERY: Duration = Duration::from_secs(5);
/// How often the list of masters is read anew.
const LIST_EVERY: Duration = Duration::from_secs(2);
/// Changes that wait for their reader.
const CHANGES: usize = 256;

/// How masters are looked at.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// When they count as ill.
    pub rules: HealthRules,
    /// Between two looks at a master that says nothing else.
    pub every: Duration,
    /// Each so many looks are at nodes, executors and the queue; the others only take the pulse. With
    /// the default a master gets 12 + 2 × 4 = 20 requests a minute.
    pub whole_every: u32,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { rules: HealthRules::default(), every: EVERY, whole_every: 3 }
    }
}

/// A master whose health has changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its name.
    pub master: String,
    /// How it is now.
    pub state: State,
}

/// Starts to look at all masters, those that are declared later, too. The receiver gets changes of health;
/// nobody has to read it. Dropping the handle goes on, aborting it ends all looks.
pub fn watch(
    registry: Arc<Registry>,
    options: WatchOptions,
) -> (JoinHandle<()>, mpsc::Receiver<Change>) {
    let (sender, receiver) = mpsc::channel(CHANGES);
    let task = tokio::spawn(async move {
        let mut running: BTreeMap<String, (Arc<Master>, AbortOnDrop)> = BTreeMap::new();
        loop {
            let all = registry.all();
            running.retain(|_, (master, _)| all.iter().any(|one| Arc::ptr_eq(one, master)));
            for master in all {
                running.entry(master.name.clone()).or_insert_with(|| {
                    let (of, sender) = (Arc::clone(&master), sender.clone());
                    let task = tokio::spawn(async move { look_on(&of, &options, &sender).await });
                    (master, AbortOnDrop(task))
                });
            }
            tokio::time::sleep(LIST_EVERY).await;
        }
    });
    (task, receiver)
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn look_on(master: &Master, options: &WatchOptions, changes: &mpsc::Sender<Change>) {
    let every = master.spec.look_every.as_ref().map(Span::seconds).map(Duration::from_secs);
    let mut tick = tokio::time::interval(every.unwrap_or(options.every));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        tick.tick().await;
        let whole = looks.is_multiple_of(options.whole_every.max(1));
        looks = looks.wrapping_add(1);
        let look = look(master, whole).await;
        if look.outcome.is_err() {
            // The first good answer after trouble is to be a whole one.
            looks = 0;
        }
        if let Some(state) = master.observe(&look, &options.rules) {
            let (name, reason) = (&master.name, &state.reason);
            match state.health {
                Health::Unhealthy => {
                    tracing::warn!(master = name, reason, "a master is not healthy any more");
                }
                _ => tracing::info!(master = name, "a master is healthy"),
            }
            // A full channel has a reader that will see the newest state anyway.
            let _ = changes.try_send(Change { master: master.name.clone(), state });
        }
    }
}

/// One look: the pulse, and where asked for the nodes and the queue.
pub async fn look(master: &Master, whole: bool) -> Observation {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let pulse = master.probe.pulse().await;
    let latency = started.elapsed();
    let outcome = match pulse {
        Err(error) => Err(error.to_string()),
        Ok(pulse) if !whole => {
            let mut seen = master.state().seen;
            seen.version = pulse.version;
            seen.quieting_down = pulse.quieting_down;
            Ok(Some(seen))
        }
        Ok(pulse) => match (master.probe.nodes().await, master.probe.queue_length().await) {
            (Ok(nodes), Ok(queue)) => Ok(Some(seen(pulse, nodes, queue))),
            (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
        },
    };
    Observation {
        at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        outcome,
    }
}

fn seen(pulse: Pulse, nodes: Nodes, queue: u32) -> Seen {
    Seen {
        version: pulse.version,
        quieting_down: pulse.quieting_down,
        executors: nodes.executors,
        busy: nodes.busy,
        agents_online: nodes.online,
        agents_offline: nodes.offline,
        queue,
        labels: nodes.labels,
    }
}
