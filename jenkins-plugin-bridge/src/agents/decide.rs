//! What is to be done next: the ledger, the masters and the pods in, acts out. No clock, no network, no
//! chance.

mod node;
mod orphans;

use std::collections::{BTreeMap, BTreeSet};

use super::demand::Demand;
use super::file::Pool;
use super::model::{Agent, AgentState};
use super::pods::SeenPod;
pub use node::Seen;

/// Times, in milliseconds, and numbers.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long after its decision a pod may not be seen yet.
    pub pod_grace_ms: i64,
    /// How old a node or a pod is that nobody knows, before it is removed.
    pub orphan_ms: i64,
    /// How long an agent that waits may say nothing.
    pub silent_ms: i64,
    /// How long failures count.
    pub failures_ms: i64,
    /// So many failures, and a pool starts no more until they count no longer.
    pub failures: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pod_grace_ms: 30_000,
            orphan_ms: 120_000,
            silent_ms: 90_000,
            failures_ms: 300_000,
            failures: 5,
        }
    }
}

/// A node of a master.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSeen {
    /// No agent is connected, or somebody took it out.
    pub offline: bool,
    /// Somebody took it out.
    pub out: bool,
    /// No build runs there.
    pub idle: bool,
    /// Its description.
    pub description: String,
    /// Its labels, its own name among them.
    pub labels: BTreeSet<String>,
}

/// A master, as it was looked at last.
#[derive(Debug, Clone, Default)]
pub struct MasterSeen {
    /// When that look began, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its nodes by name.
    pub nodes: BTreeMap<String, NodeSeen>,
    /// What waits there.
    pub demand: Demand,
    /// Whether nodes may be made there now.
    pub takes: bool,
}

/// A build of the bridge that waits for its own agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub build: String,
    /// Where it runs.
    pub master: String,
    /// Its pool.
    pub pool: String,
    /// The label that only it has.
    pub label: String,
}

/// All that decisions are made from.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// Since when somebody decides without a break: before that nobody could be heard or seen.
    pub since_ms: i64,
    /// Whose nodes and pods these are.
    pub owner: &'a str,
    /// The pools.
    pub pools: &'a BTreeMap<String, Pool>,
    /// The ledger: all that are not gone, and those that have gone lately, the oldest first.
    pub agents: &'a [Agent],
    /// Masters that could be looked at.
    pub masters: &'a BTreeMap<String, MasterSeen>,
    /// Names of all masters that are declared.
    pub declared: &'a BTreeSet<String>,
    /// The pods, and when they were listed; nothing where they cannot be seen.
    pub pods: Option<(i64, &'a BTreeMap<String, SeenPod>)>,
    /// Builds of the bridge that wait for an agent.
    pub wanted: &'a [Wanted],
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Start a pod.
    Start {
        /// Of this pool.
        pool: String,
    },
    /// Give an agent that waits to a master.
    Claim {
        /// The agent.
        agent: String,
        /// The master.
        master: String,
        /// The label that was asked for.
        label: String,
        /// The build that alone it is for.
        build: Option<String>,
    },
    /// Make the node of an agent that is claimed.
    MakeNode {
        /// The agent.
        agent: String,
    },
    /// Write down what was seen of its node.
    Note {
        /// The agent.
        agent: String,
        /// What.
        seen: Seen,
    },
    /// Have the node of an agent take no more builds.
    TakeOut {
        /// The master.
        master: String,
        /// The node.
        node: String,
    },
    /// An agent is to leave.
    Leave {
        /// The agent.
        agent: String,
        /// Why.
        why: String,
    },
    /// Remove the node of an agent that leaves, then its pod.
    Remove {
        /// The agent.
        agent: String,
    },
    /// Nothing is left of an agent that leaves.
    Forget {
        /// The agent.
        agent: String,
    },
    /// Make a node that only has the labels of a pool, so that what waits for them is counted.
    Offer {
        /// The master.
        master: String,
        /// The pool.
        pool: String,
    },
    /// Remove a node that nobody knows.
    RemoveNode {
        /// The master.
        master: String,
        /// The node.
        node: String,
    },
    /// Remove a pod that nobody knows.
    RemovePod {
        /// Its pool.
        pool: String,
        /// The pod.
        pod: String,
    },
}

/// What a pool lacks.
struct Lack {
    master: String,
    label: String,
    build: Option<String>,
    count: u32,
}

/// What is to be done.
#[must_use]
pub fn decide(world: &World<'_>, rules: &Rules) -> Vec<Act> {
    let mut acts = Vec::new();
    for agent in world.agents {
        life(world, rules, agent, &mut acts);
    }
    let leaving: BTreeSet<String> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Leave { agent, .. } => Some(agent.clone()),
            _ => None,
        })
        .collect();
    for (name, pool) in world.pools {
        supply(world, rules, (name, pool), &leaving, &mut acts);
    }
    orphans::find(world, rules, &mut acts);
    acts
}

/// What becomes of one agent.
fn life(world: &World<'_>, rules: &Rules, agent: &Agent, acts: &mut Vec<Act>) {
    let mut leave = |why: String| acts.push(Act::Leave { agent: agent.id.clone(), why });
    let pod = world.pods.map(|(at_ms, pods)| (at_ms, pods.get(&agent.pod)));
    let is_missing =
        matches!(pod, Some((at_ms, None)) if at_ms > agent.created_ms + rules.pod_grace_ms);
    let has_ended = matches!(pod, Some((_, Some(pod))) if pod.ended);
    match agent.state {
        AgentState::Gone => return,
        AgentState::Leaving => {
            let is_away = matches!(pod, Some((at_ms, None)) if at_ms > agent.created_ms);
            let id = agent.id.clone();
            // Its pod may be made at this very moment by one that leads no more.
            let is_over = world.now_ms > agent.created_ms + rules.pod_grace_ms;
            let has_no_node = agent.node.is_none() || agent.node_gone;
            let act = if has_no_node && is_away && is_over {
                Act::Forget { agent: id }
            } else {
                Act::Remove { agent: id }
            };
            acts.push(act);
            return;
        }
        _ => {}
    }
    if is_missing {
        return leave("its pod is gone".to_owned());
    }
    if has_ended {
        return leave("its pod has ended".to_owned());
    }
    let Some(pool) = world.pools.get(&agent.pool) else {
        return match agent.state {
            AgentState::Claimed => node::drain(world, agent, acts),
            _ => leave("its pool is there no more".to_owned()),
        };
    };
    match agent.state {
        AgentState::Starting
            if world.now_ms > agent.created_ms.max(world.since_ms) + pool.start_within_ms() =>
        {
            leave("it did not start in time".to_owned());
        }
        AgentState::Waiting => {
            let heard = agent.heard_ms.or(agent.waiting_ms);
            let is_silent = |at: i64| world.now_ms > at.max(world.since_ms) + rules.silent_ms;
            if heard.is_some_and(is_silent) {
                leave("nothing was heard of it any more".to_owned());
            } else if world.now_ms > agent.created_ms + pool.half_life_ms() {
                // The pod is stopped at the end of its life, whatever runs in it.
                leave("it has waited for half of its life".to_owned());
            }
        }
        AgentState::Claimed => node::follow(world, agent, pool, acts),
        _ => {}
    }
}

/// Claims agents for what waits, and starts or ends some so that the right number waits.
fn supply(
    world: &World<'_>,
    rules: &Rules,
    (name, pool): (&str, &Pool),
    leaving: &BTreeSet<String>,
    acts: &mut Vec<Act>,
) {
    let of_pool = || world.agents.iter().filter(|one| one.pool == name);
    let mut waiting: Vec<&Agent> = of_pool()
        .filter(|one| one.state == AgentState::Waiting && !leaving.contains(&one.id))
        .collect();
    // The longest first.
    waiting.sort_by_key(|one| one.waiting_ms);
    waiting.reverse();
    let mut unmet = 0_u32;
    for lack in lacks(world, name, pool) {
        for _ in 0..lack.count {
            match waiting.pop() {
                Some(agent) => acts.push(Act::Claim {
                    agent: agent.id.clone(),
                    master: lack.master.clone(),
                    label: lack.label.clone(),
                    build: lack.build.clone(),
                }),
                None => unmet = unmet.saturating_add(1),
            }
        }
    }
    let target = target(world, name, pool);
    let starting = of_pool()
        .filter(|one| one.state == AgentState::Starting && !leaving.contains(&one.id))
        .count();
    let alive = of_pool().filter(|one| one.state != AgentState::Gone).count();
    let wanted = unmet.saturating_add(target) as usize;
    let there = waiting.len() + starting;
    if there < wanted {
        let places = (pool.most as usize).saturating_sub(alive);
        let since_ms = world.now_ms.saturating_sub(rules.failures_ms);
        let failed = of_pool().filter(|one| one.has_failed(since_ms)).count();
        let allowed = if failed >= rules.failures { 0 } else { places };
        let start = || Act::Start { pool: name.to_owned() };
        acts.extend(std::iter::repeat_with(start).take((wanted - there).min(allowed)));
    }
    // Of those that are too many the longest first: their pods end soonest.
    let surplus = waiting.len().saturating_sub(wanted);
    for agent in waiting.iter().rev().take(surplus) {
        if agent.waiting_ms.is_some_and(|since| world.now_ms > since + pool.unused_for_ms()) {
            acts.push(Act::Leave { agent: agent.id.clone(), why: "it is not needed".to_owned() });
        }
    }
}

/// The builds that wait for agents of a pool, by master; those that an agent is on its way to are among them.
#[must_use]
pub fn builds_that_wait(world: &World<'_>, name: &str, pool: &Pool) -> BTreeMap<String, u32> {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    for wanted in world.wanted.iter().filter(|one| one.pool == name) {
        *all.entry(wanted.master.clone()).or_default() += 1;
    }
    for (master_name, master) in world.masters.iter().filter(|(name, _)| pool.serves(name)) {
        let counts = pool.labels.iter().filter_map(|label| master.demand.of(&label.0));
        let count = counts.fold(0_u32, |sum, one| sum.saturating_add(one.count));
        if count > 0 {
            let builds = all.entry(master_name.clone()).or_default();
            *builds = builds.saturating_add(count);
        }
    }
    all
}

/// How many are to wait: as many as were claimed lately, within limits.
fn target(world: &World<'_>, name: &str, pool: &Pool) -> u32 {
    let (min, max) = pool.warm.limits(world.now_ms / 1000);
    let since = world.now_ms.saturating_sub(pool.warm.follow_ms());
    let claimed = world
        .agents
        .iter()
        .filter(|one| one.pool == name && one.claimed_ms.is_some_and(|at| at > since))
        .count();
    u32::try_from(claimed).unwrap_or(u32::MAX).clamp(min, max)
}

/// What waits for agents of a pool and has none on its way.
fn lacks(world: &World<'_>, name: &str, pool: &Pool) -> Vec<Lack> {
    let mut all = Vec::new();
    let alive = || world.agents.iter().filter(|one| one.state == AgentState::Claimed);
    for wanted in world.wanted.iter().filter(|one| one.pool == name) {
        // One that came and went had its build, or the build does not want it any more.
        let has_one = world.agents.iter().any(|one| {
            one.build.as_ref() == Some(&wanted.build)
                && (one.state == AgentState::Claimed || one.online_ms.is_some())
        });
        let takes = world.masters.get(&wanted.master).is_some_and(|master| master.takes);
        if !has_one && takes {
            all.push(Lack {
                master: wanted.master.clone(),
                label: wanted.label.clone(),
                build: Some(wanted.build.clone()),
                count: 1,
            });
        }
    }
    for (master_name, master) in world.masters {
        if !master.takes || !pool.serves(master_name) {
            continue;
        }
        for label in &pool.labels {
            let Some(waits) = master.demand.of(&label.0) else { continue };
            // A build that an agent has taken since may still be counted.
            let on_its_way = alive()
                .filter(|one| {
                    one.master.as_ref() == Some(master_name)
                        && one.label.as_ref() == Some(&label.0)
                        && one.build.is_none()
                        && one.busy_ms.is_none_or(|busy| busy >= waits.since_ms)
                })
                .count();
            let on_its_way = u32::try_from(on_its_way).unwrap_or(u32::MAX);
            let count = waits.count.saturating_sub(on_its_way);
            if count > 0 {
                let (master, label) = (master_name.clone(), label.0.clone());
                all.push(Lack { master, label, build: None, count });
            }
        }
    }
    all
}
