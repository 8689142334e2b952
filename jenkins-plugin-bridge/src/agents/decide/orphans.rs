//! What carries our mark and is in no ledger: nodes and pods that a crash has left, and those of pools that
//! are there no more. And the nodes that a master needs to count what waits.

use std::collections::BTreeSet;

use super::{Act, Rules, World};
use crate::agents::model::{AgentState, Mark, Marked};

pub(super) fn find(world: &World<'_>, rules: &Rules, acts: &mut Vec<Act>) {
    for (name, master) in world.masters {
        let known: BTreeSet<&str> = world
            .agents
            .iter()
            .filter(|one| one.state != AgentState::Gone && one.master.as_ref() == Some(name))
            .filter_map(|one| one.node.as_deref())
            .collect();
        let gone: BTreeSet<&str> = world
            .agents
            .iter()
            .filter(|one| one.state == AgentState::Gone)
            .filter_map(|one| one.node.as_deref())
            .collect();
        let mut offered: BTreeSet<String> = BTreeSet::new();
        for (node_name, node) in &master.nodes {
            let Some(mark) = Mark::read(&node.description) else { continue };
            if mark.owner != world.owner || known.contains(node_name.as_str()) {
                continue;
            }
            let is_placeholder = mark.what == Marked::Placeholder;
            let is_wanted = is_placeholder
                && world.pools.get(&mark.pool).is_some_and(|pool| {
                    pool.serves(name) && pool.labels.iter().all(|one| node.labels.contains(&one.0))
                })
                && offered.insert(mark.pool.clone());
            if is_wanted {
                continue;
            }
            let is_old = world.now_ms > mark.made_ms + rules.orphan_ms
                || gone.contains(node_name.as_str())
                || is_placeholder;
            if !is_old {
                continue;
            }
            let (master, node_name) = (name.clone(), node_name.clone());
            acts.push(if node.idle && (node.offline || node.out) {
                Act::RemoveNode { master, node: node_name }
            } else if node.out {
                // Its build is to end first.
                continue;
            } else {
                Act::TakeOut { master, node: node_name }
            });
        }
        if !master.takes {
            continue;
        }
        for (pool_name, pool) in world.pools {
            if pool.serves(name) && !offered.contains(pool_name) {
                acts.push(Act::Offer { master: name.clone(), pool: pool_name.clone() });
            }
        }
    }
    let Some((at_ms, pods)) = world.pods else { return };
    let alive: BTreeSet<&str> = world
        .agents
        .iter()
        .filter(|one| one.state != AgentState::Gone)
        .map(|one| one.id.as_str())
        .collect();
    for pod in pods.values() {
        if !alive.contains(pod.id.as_str()) && at_ms > pod.made_ms + rules.orphan_ms {
            acts.push(Act::RemovePod { pool: pod.pool.clone(), pod: pod.name.clone() });
        }
    }
}
