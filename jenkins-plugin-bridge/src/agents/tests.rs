//! What is decided, for worlds of one master and one pool.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Act, MasterSeen, NodeSeen, Rules, Seen, Wanted, World, decide};
use super::file::{AgentsFile, Pool};
use super::model::{Agent, AgentState, Mark, Marked};
use super::pods::SeenPod;

const NOW: i64 = 1_700_000_000_000;

fn pool(more: &str) -> Pool {
    let text = format!(
        "api: pilotfish/v1\nkind: agents\nbridge: https://b\npools:\n  p:\n    labels: [linux]\n    \
         profile: ordinary\n{more}"
    );
    AgentsFile::read("agents.yaml", &text).unwrap().pools.into_values().next().unwrap()
}

struct Small {
    now_ms: i64,
    since_ms: i64,
    pools: BTreeMap<String, Pool>,
    agents: Vec<Agent>,
    masters: BTreeMap<String, MasterSeen>,
    declared: BTreeSet<String>,
    pods: BTreeMap<String, SeenPod>,
    wanted: Vec<Wanted>,
}

impl Small {
    /// One master with a placeholder, at which nothing waits.
    fn new(more: &str) -> Self {
        let mut master = MasterSeen { at_ms: NOW, takes: true, ..MasterSeen::default() };
        master.nodes.insert("placeholder".into(), node(Marked::Placeholder, "p", true, true));
        master.demand.look(&BTreeMap::from([("linux".to_owned(), 0.0)]), NOW - 20_000);
        Self {
            now_ms: NOW,
            since_ms: NOW - 1_000_000,
            pools: BTreeMap::from([("p".to_owned(), pool(more))]),
            agents: Vec::new(),
            masters: BTreeMap::from([("north".to_owned(), master)]),
            declared: BTreeSet::from(["north".to_owned()]),
            pods: BTreeMap::new(),
            wanted: Vec::new(),
        }
    }

    fn waits(&mut self, count: u8) {
        let average = BTreeMap::from([("linux".to_owned(), 0.1 * f32::from(count))]);
        self.masters.get_mut("north").unwrap().demand.look(&average, NOW - 10_000);
    }

    /// An agent with its pod.
    fn agent(&mut self, id: &str, state: AgentState) -> &mut Agent {
        let mut agent = Agent::new(id.to_owned(), "p", NOW - 60_000);
        agent.state = state;
        let pod = SeenPod {
            name: agent.pod.clone(),
            pool: "p".into(),
            id: id.into(),
            made_ms: NOW - 60_000,
            ended: false,
        };
        self.pods.insert(pod.name.clone(), pod);
        if state >= AgentState::Waiting {
            agent.waiting_ms = Some(NOW - 50_000);
        }
        if state >= AgentState::Claimed {
            agent.node = Some(agent.node_name());
            agent.master = Some("north".into());
            agent.label = Some("linux".into());
            agent.claimed_ms = Some(NOW - 40_000);
            agent.made_ms = Some(NOW - 39_000);
        }
        self.agents.push(agent);
        self.agents.last_mut().unwrap()
    }

    /// An agent whose node is online, and idle or not.
    fn at_work(&mut self, id: &str, idle: bool) -> (&mut Agent, &mut NodeSeen) {
        self.agent(id, AgentState::Claimed).online_ms = Some(NOW - 30_000);
        let agent = self.agents.last_mut().unwrap();
        let nodes = &mut self.masters.get_mut("north").unwrap().nodes;
        let name = agent.node.clone().unwrap();
        nodes.insert(name.clone(), node(Marked::Agent, "p", false, idle));
        (agent, nodes.get_mut(&name).unwrap())
    }

    fn node(&mut self, name: &str) -> &mut NodeSeen {
        self.masters.get_mut("north").unwrap().nodes.get_mut(name).unwrap()
    }

    fn acts(&self) -> Vec<Act> {
        let world = World {
            now_ms: self.now_ms,
            since_ms: self.since_ms,
            owner: "o",
            pools: &self.pools,
            agents: &self.agents,
            masters: &self.masters,
            declared: &self.declared,
            pods: Some((self.now_ms, &self.pods)),
            wanted: &self.wanted,
        };
        decide(&world, &Rules::default())
    }

    fn leaves(&self) -> Vec<String> {
        let leave = |act| match act {
            Act::Leave { why, .. } => Some(why),
            _ => None,
        };
        self.acts().into_iter().filter_map(leave).collect()
    }
}

fn node(what: Marked, pool: &str, offline: bool, idle: bool) -> NodeSeen {
    let mark = Mark { owner: "o".into(), what, pool: pool.into(), made_ms: NOW - 60_000 };
    let labels = BTreeSet::from(["linux".to_owned()]);
    NodeSeen { offline, out: false, idle, description: mark.text(), labels }
}

fn start() -> Act {
    Act::Start { pool: "p".into() }
}

#[test]
fn a_build_that_waits_gets_an_agent_and_no_more_than_one() {
    let mut world = Small::new("");
    assert_eq!(world.acts(), []);
    world.waits(1);
    assert_eq!(world.acts(), [start()]);
    world.agent("a1", AgentState::Starting);
    assert_eq!(world.acts(), [], "one is on its way");
    world.agents[0].state = AgentState::Waiting;
    let claim = Act::Claim {
        agent: "a1".into(),
        master: "north".into(),
        label: "linux".into(),
        build: None,
    };
    assert_eq!(world.acts(), [claim]);
    world.agents.clear();
    // It has taken the build since that was counted.
    world.at_work("a1", false).0.busy_ms = Some(NOW - 5_000);
    world.masters.get_mut("north").unwrap().nodes.values_mut().for_each(|node| node.out = true);
    assert_eq!(world.acts(), []);
    // It had a build before that was counted: another one waits.
    world.agents[0].busy_ms = Some(NOW - 25_000);
    assert_eq!(world.acts(), [start()]);
}

#[test]
fn no_more_are_started_than_there_may_be_nor_after_failures() {
    let mut world = Small::new("    most: 3\n");
    world.waits(10);
    assert_eq!(world.acts(), [start(), start(), start()]);
    world.agent("a1", AgentState::Claimed);
    world.agent("a2", AgentState::Leaving);
    assert_eq!(world.acts().iter().filter(|act| **act == start()).count(), 1);
    let mut failing = Small::new("");
    failing.waits(1);
    for id in ["a", "b", "c", "d", "e"] {
        failing.agent(id, AgentState::Gone).waiting_ms = None;
    }
    failing.pods.clear();
    assert_eq!(failing.acts(), []);
    failing.now_ms += 300_000;
    assert_eq!(failing.acts(), [start()]);
}

#[test]
fn so_many_wait_as_were_claimed_lately_within_limits() {
    let mut world = Small::new("    warm: {min: 1, max: 3}\n");
    assert_eq!(world.acts(), [start()]);
    world.agent("a1", AgentState::Waiting);
    assert_eq!(world.acts(), []);
    for id in ["b", "c", "d", "e"] {
        let agent = world.agent(id, AgentState::Gone);
        agent.claimed_ms = Some(NOW - 60_000);
    }
    world.pods.retain(|name, _| name.ends_with("a1"));
    assert_eq!(world.acts(), [start(), start()]);
    // Ten minutes later that is forgotten, and what is too many goes.
    world.now_ms += 600_000;
    for id in ["f", "g"] {
        world.agent(id, AgentState::Waiting);
    }
    world.agents.iter_mut().for_each(|agent| agent.heard_ms = Some(NOW + 599_000));
    assert_eq!(world.leaves(), ["it is not needed", "it is not needed"]);
}

#[test]
fn hours_change_how_many_wait() {
    let hours = "    warm: {min: 0, hours: [{during: {days: [tue], from: '22:00', until: '23:00'}, min: 2, max: 2}]}\n";
    let mut world = Small::new(hours);
    // 14 November 2023 was a Tuesday; this is 22:13.
    assert_eq!(world.acts(), [start(), start()]);
    world.now_ms += 3_600_000;
    assert_eq!(world.acts(), []);
}

#[test]
fn an_agent_is_for_one_build() {
    let mut world = Small::new("");
    let (agent, _) = world.at_work("a1", false);
    let name = agent.node.clone().unwrap();
    let take_out = Act::TakeOut { master: "north".into(), node: name.clone() };
    let busy = Act::Note { agent: "a1".into(), seen: Seen::Busy };
    assert_eq!(world.acts(), [busy, take_out.clone()]);
    world.agents[0].busy_ms = Some(NOW);
    let nodes = |world: &mut Small| world.masters.get_mut("north").unwrap().nodes.clone();
    let mut seen = nodes(&mut world);
    seen.get_mut(&name).unwrap().out = true;
    world.masters.get_mut("north").unwrap().nodes = seen.clone();
    assert_eq!(world.acts(), [], "its build runs");
    seen.get_mut(&name).unwrap().idle = true;
    world.masters.get_mut("north").unwrap().nodes = seen.clone();
    assert_eq!(world.leaves(), ["its build has ended"]);
    // It ended before anybody could take it out: another build may come at this moment.
    seen.get_mut(&name).unwrap().out = false;
    world.masters.get_mut("north").unwrap().nodes = seen;
    assert_eq!(world.acts(), [take_out]);
}

#[test]
fn a_build_that_came_since_the_last_look_waits_for_its_node_to_be_out() {
    let mut world = Small::new("");
    let (agent, _) = world.at_work("a1", true);
    let name = agent.node.clone().unwrap();
    world.agents[0].busy_ms = Some(NOW);
    world.masters.get_mut("north").unwrap().at_ms = NOW - 1;
    let take_out = Act::TakeOut { master: "north".into(), node: name.clone() };
    assert_eq!(world.acts(), std::slice::from_ref(&take_out));
    let node = world.masters.get_mut("north").unwrap().nodes.remove(&name).unwrap();
    assert_eq!(world.acts(), [take_out], "nobody has seen it yet");
    world.masters.get_mut("north").unwrap().nodes.insert(name.clone(), node);
    world.node(&name).out = true;
    world.node(&name).idle = false;
    assert_eq!(world.acts(), []);
}

#[test]
fn one_for_many_builds_stays_until_none_comes() {
    let mut world = Small::new("    reuse: true\n    unused_for: 1m\n");
    world.at_work("a1", false).0.busy_ms = Some(NOW - 20_000);
    assert_eq!(world.acts(), [Act::Note { agent: "a1".into(), seen: Seen::Busy }]);
    let mut world = Small::new("    reuse: true\n    unused_for: 1m\n");
    let (agent, _) = world.at_work("a1", true);
    (agent.busy_ms, agent.used_ms) = (Some(NOW - 100_000), Some(NOW - 50_000));
    assert_eq!(world.acts(), []);
    world.now_ms += 20_000;
    assert!(matches!(world.acts().as_slice(), [Act::TakeOut { .. }]));
}

#[test]
fn what_does_not_come_about_leaves() {
    let mut world = Small::new("");
    world.agent("a1", AgentState::Starting);
    world.agent("a2", AgentState::Waiting).heard_ms = Some(NOW - 91_000);
    let made = world.agent("a3", AgentState::Claimed);
    made.made_ms = Some(NOW - 1_000);
    world.agents.iter_mut().for_each(|agent| agent.created_ms = NOW - 31_000);
    assert_eq!(
        world.leaves(),
        ["nothing was heard of it any more", "somebody has removed its node"]
    );
    world.pods.clear();
    assert_eq!(world.leaves(), ["its pod is gone"; 3]);
    world.agents.iter_mut().for_each(|agent| agent.created_ms = NOW - 1_000);
    assert!(!world.leaves().contains(&"its pod is gone".to_owned()), "it may be made right now");
    let mut late = Small::new("    start_within: 30s\n");
    late.agent("a1", AgentState::Starting);
    assert_eq!(late.leaves(), ["it did not start in time"]);
    let mut old = Small::new("    life: 100s\n");
    old.agent("a1", AgentState::Waiting).heard_ms = Some(NOW);
    assert_eq!(old.leaves(), ["it has waited for half of its life"]);
    let mut ended = Small::new("");
    ended.at_work("a1", false);
    ended.pods.values_mut().for_each(|pod| pod.ended = true);
    assert_eq!(ended.leaves(), ["its pod has ended"]);
    // Nobody could be heard before the bridge was there again.
    old.now_ms = NOW - 20_000;
    old.agents[0].heard_ms = Some(NOW - 1_000_000);
    old.since_ms = NOW - 30_000;
    assert_eq!(old.leaves(), [""; 0]);
    let mut gone = Small::new("");
    gone.at_work("a1", true);
    gone.declared.clear();
    assert_eq!(gone.leaves(), ["its master is there no more"]);
}

#[test]
fn a_build_may_end_though_its_pool_is_there_no_more() {
    let mut world = Small::new("");
    world.at_work("a1", false);
    let name = world.agents[0].node.clone().unwrap();
    world.pools.clear();
    world.masters.get_mut("north").unwrap().nodes.remove("placeholder");
    let out = Act::TakeOut { master: "north".into(), node: name.clone() };
    assert_eq!(world.acts(), [out]);
    world.node(&name).out = true;
    assert_eq!(world.acts(), [], "its build runs");
    world.node(&name).idle = true;
    assert_eq!(world.leaves(), ["its pool is there no more"]);
}

#[test]
fn a_node_that_is_online_is_not_late() {
    let mut world = Small::new("    start_within: 30s\n");
    world.at_work("a1", true).0.online_ms = None;
    let online = Act::Note { agent: "a1".into(), seen: Seen::Online };
    assert_eq!(world.acts(), [online], "it came while nobody looked");
    let nodes = &mut world.masters.get_mut("north").unwrap().nodes;
    nodes.values_mut().for_each(|node| node.offline = true);
    assert_eq!(world.leaves(), ["its node was not online in time"]);
}

#[test]
fn a_master_that_is_not_seen_is_no_reason_for_anything() {
    let mut world = Small::new("");
    world.waits(3);
    world.at_work("a1", true).0.online_ms = Some(NOW - 10_000_000);
    world.masters.clear();
    assert_eq!(world.acts(), []);
}

#[test]
fn a_node_that_may_not_have_been_made_is_made_again() {
    let mut world = Small::new("");
    world.agent("a1", AgentState::Claimed).made_ms = None;
    assert_eq!(world.acts(), [Act::MakeNode { agent: "a1".into() }]);
}

#[test]
fn what_leaves_is_forgotten_once_nothing_is_left() {
    let mut world = Small::new("");
    world.agent("a1", AgentState::Leaving);
    let remove = [Act::Remove { agent: "a1".into() }];
    assert_eq!(world.acts(), remove);
    world.pods.clear();
    assert_eq!(world.acts(), remove, "its node is not known to be gone");
    world.agents[0].node_gone = true;
    assert_eq!(world.acts(), [Act::Forget { agent: "a1".into() }]);
}

#[test]
fn what_nobody_knows_is_removed_once_it_is_old_and_idle() {
    let mut world = Small::new("");
    world.at_work("a1", true);
    let name = world.agents.remove(0).node.unwrap();
    assert_eq!(world.acts(), [], "it is not old");
    world.now_ms += 120_000;
    let out = Act::TakeOut { master: "north".into(), node: name.clone() };
    let pod = Act::RemovePod { pool: "p".into(), pod: world.pods.keys().next().unwrap().clone() };
    assert_eq!(world.acts(), [out, pod.clone()]);
    let nodes = &mut world.masters.get_mut("north").unwrap().nodes;
    nodes.get_mut(&name).unwrap().out = true;
    assert_eq!(
        world.acts(),
        [Act::RemoveNode { master: "north".into(), node: name.clone() }, pod.clone()]
    );
    let nodes = &mut world.masters.get_mut("north").unwrap().nodes;
    nodes.get_mut(&name).unwrap().idle = false;
    assert_eq!(world.acts(), [pod], "a build runs there");
    let nodes = &mut world.masters.get_mut("north").unwrap().nodes;
    nodes.get_mut(&name).unwrap().description = "pilotfish-agent other agent p 1".into();
    world.pods.clear();
    assert_eq!(world.acts(), [], "it is somebody else's");
}

#[test]
fn a_master_has_one_node_to_count_by() {
    let mut world = Small::new("");
    let nodes = &mut world.masters.get_mut("north").unwrap().nodes;
    let one = nodes["placeholder"].clone();
    nodes.insert("second".into(), one);
    assert_eq!(world.acts(), [Act::RemoveNode { master: "north".into(), node: "second".into() }]);
    world.node("placeholder").labels.clear();
    world.masters.get_mut("north").unwrap().nodes.remove("second");
    let remove = Act::RemoveNode { master: "north".into(), node: "placeholder".into() };
    let offer = Act::Offer { master: "north".into(), pool: "p".into() };
    assert_eq!(world.acts(), [remove, offer], "the pool has other labels now");
    world.masters.get_mut("north").unwrap().nodes.clear();
    assert_eq!(world.acts(), [Act::Offer { master: "north".into(), pool: "p".into() }]);
    world.masters.get_mut("north").unwrap().takes = false;
    assert_eq!(world.acts(), []);
}

#[test]
fn a_build_of_the_bridge_gets_its_own() {
    let mut world = Small::new("");
    world.wanted.push(Wanted {
        build: "r-1".into(),
        master: "north".into(),
        pool: "p".into(),
        label: "pilotfish-r-1".into(),
    });
    assert_eq!(world.acts(), [start()]);
    world.agent("a1", AgentState::Waiting);
    let claim = Act::Claim {
        agent: "a1".into(),
        master: "north".into(),
        label: "pilotfish-r-1".into(),
        build: Some("r-1".into()),
    };
    assert_eq!(world.acts(), [claim]);
    let (agent, _) = world.at_work("a2", true);
    agent.build = Some("r-1".into());
    world.agents.remove(0);
    assert_eq!(world.acts(), []);
}

#[test]
fn marks_are_read_as_they_were_written() {
    let mark = Mark { owner: "o".into(), what: Marked::Placeholder, pool: "p".into(), made_ms: 17 };
    assert_eq!(mark.text(), "pilotfish-agent o placeholder p 17");
    assert_eq!(Mark::read(&mark.text()), Some(mark));
    for other in [
        "",
        "made by hand",
        "pilotfish-agent o agent p",
        "pilotfish-agent o agent p x",
        "pilotfish-agent o node p 1",
    ] {
        assert_eq!(Mark::read(other), None, "{other}");
    }
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once() {
    let text = "api: pilotfish/v1\nkind: agents\nbridge: http://b\npools:\n  \
        a: {labels: [x], profile: q, most: 2, warm: {min: 3, max: 1}}\n  \
        b: {labels: [x, y], profile: q}\n  c: {labels: [], profile: q}\n";
    let error = AgentsFile::read("agents.yaml", text).unwrap_err().to_string();
    for part in [
        "bridge: begins with http://",
        "pools.a.warm: max is 1, less than min, which is 3",
        "pools.a.warm: 3 may wait, but `most` is 2",
        "pools.b.labels: x is a label of the pool a, too",
        "pools.c.labels: is empty",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
