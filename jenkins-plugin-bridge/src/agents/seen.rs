//! Pools as people see them: what waits for their agents, and what those do.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::Rules;
use super::file::Pool;
use super::model::{Activity, Agent};

/// A pool of agents with what waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSeen {
    /// Its name.
    pub pool: String,
    /// The labels of its nodes; none where it is in the file no more.
    pub labels: BTreeSet<String>,
    /// The masters that it serves; empty for all.
    pub masters: BTreeSet<String>,
    /// Name of its pod profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Agents at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// The fewest and the most that wait at this time of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<(u32, u32)>,
    /// Builds that wait for agents, by master: those that an agent is on its way to are among them. A master counts
    /// them every ten seconds.
    pub builds: BTreeMap<String, u32>,
    /// Agents whose pods start.
    pub starting: u32,
    /// Agents that wait for somebody to need them.
    pub waiting: u32,
    /// Agents that were claimed and are not online yet.
    pub connecting: u32,
    /// Agents that are online and have had no build yet.
    pub online: u32,
    /// Agents that a build has come to.
    pub busy: u32,
    /// Agents that are being removed.
    pub leaving: u32,
    /// Why no more are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl PoolSeen {
    /// All builds that wait for its agents.
    #[must_use]
    pub fn builds_that_wait(&self) -> u32 {
        self.builds.values().fold(0, |sum, one| sum.saturating_add(*one))
    }

    /// Its agents that are not gone.
    fn alive(&self) -> u32 {
        self.starting + self.waiting + self.connecting + self.online + self.busy + self.leaving
    }

    fn add(&mut self, activity: Activity) {
        let count = match activity {
            Activity::Starting => &mut self.starting,
            Activity::Waiting => &mut self.waiting,
            Activity::Connecting => &mut self.connecting,
            Activity::Online => &mut self.online,
            Activity::Busy => &mut self.busy,
            Activity::Leaving => &mut self.leaving,
            Activity::Gone => return,
        };
        *count += 1;
    }
}

/// The pools of the file, and those that are there no more and still have agents.
#[must_use]
pub fn pools_seen(
    pools: Option<&BTreeMap<String, Pool>>,
    agents: &[Agent],
    mut builds: BTreeMap<String, BTreeMap<String, u32>>,
    now_ms: i64,
    rules: &Rules,
) -> Vec<PoolSeen> {
    let mut all: BTreeMap<String, PoolSeen> = BTreeMap::new();
    for (name, pool) in pools.into_iter().flatten() {
        let seen = PoolSeen {
            pool: name.clone(),
            labels: pool.labels.iter().map(|label| label.0.clone()).collect(),
            masters: pool.masters.iter().map(ToString::to_string).collect(),
            profile: Some(pool.profile.to_string()),
            most: Some(pool.most),
            warm: Some(pool.warm.limits(now_ms / 1000)),
            builds: builds.remove(name).unwrap_or_default(),
            ..PoolSeen::default()
        };
        all.insert(name.clone(), seen);
    }
    for agent in agents.iter().filter(|agent| agent.activity() != Activity::Gone) {
        let known = all.entry(agent.pool.clone()).or_insert_with(|| PoolSeen {
            pool: agent.pool.clone(),
            refusal: Some("it is not in the file of agents any more".to_owned()),
            ..PoolSeen::default()
        });
        known.add(agent.activity());
    }
    let since_ms = now_ms.saturating_sub(rules.failures_ms);
    for seen in all.values_mut() {
        let failed = agents.iter().filter(|one| one.pool == seen.pool && one.has_failed(since_ms));
        let failed: Vec<&Agent> = failed.collect();
        if let Some(last) = failed.last().filter(|_| failed.len() >= rules.failures) {
            let minutes = rules.failures_ms / 60_000;
            seen.refusal = Some(format!(
                "{} of its pods never got ready within {minutes} minutes, the last one because {}; it is tried \
                 again when those are over",
                failed.len(),
                last.reason
            ));
        } else if let Some(most) = seen.most.filter(|most| seen.alive() >= *most) {
            seen.refusal = Some(format!("it has as many agents as it may: `most` is {most}"));
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod unit {
    use super::super::AgentsFile;
    use super::super::model::AgentState;
    use super::*;

    fn agent(id: u32, pool: &str, state: AgentState, change: impl Fn(&mut Agent)) -> Agent {
        let mut agent = Agent::new(id.to_string(), pool, 1_000_000);
        agent.state = state;
        change(&mut agent);
        agent
    }

    #[test]
    fn pools_have_what_their_agents_do_and_why_there_are_no_more() {
        let file = "api: pilotfish/v1\nkind: agents\nbridge: https://b\npools:\n  \
                    full: {labels: [x], profile: q, most: 3, warm: {min: 1}}\n  broken: {labels: [y], profile: q}\n";
        let file = AgentsFile::read("agents.yaml", file).unwrap();
        let pools = file.pools.into_iter().map(|(name, pool)| (name.to_string(), pool)).collect();
        let mut agents = vec![
            agent(1, "full", AgentState::Waiting, |one| one.waiting_ms = Some(1)),
            agent(2, "full", AgentState::Claimed, |one| one.claimed_ms = Some(5)),
            agent(3, "full", AgentState::Claimed, |one| {
                (one.claimed_ms, one.online_ms, one.busy_ms) = (Some(5), Some(45), Some(50));
            }),
            agent(4, "full", AgentState::Gone, |one| one.waiting_ms = Some(1)),
            agent(5, "old", AgentState::Leaving, |_| ()),
        ];
        assert_eq!(agents[2].connected_within_ms(), Some(40));
        for id in 6..11 {
            agents.push(agent(id, "broken", AgentState::Gone, |one| {
                one.reason = "there is no image".to_owned();
            }));
        }
        let builds = BTreeMap::from([("full".to_owned(), BTreeMap::from([("m".to_owned(), 4)]))]);
        let rules = Rules::default();
        let seen = pools_seen(Some(&pools), &agents, builds.clone(), 1_000_001, &rules);
        let [broken, full, old] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(broken.refusal.as_ref().unwrap().contains("because there is no image"));
        assert_eq!((full.waiting, full.connecting, full.busy, full.starting), (1, 1, 1, 0));
        assert_eq!((full.builds_that_wait(), full.warm), (4, Some((1, 1))));
        assert_eq!(full.refusal.as_deref(), Some("it has as many agents as it may: `most` is 3"));
        assert_eq!((old.leaving, old.most), (1, None));
        // What failed is over after its time.
        let later = 1_000_001 + rules.failures_ms;
        let seen = pools_seen(Some(&pools), &agents, builds, later, &rules);
        assert_eq!(seen[0].refusal, None);
    }
}
