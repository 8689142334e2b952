//! The node of an agent that is claimed: made, online, busy, taken out, gone.

use super::{Act, World};
use crate::agents::file::Pool;
use crate::agents::model::Agent;

/// How often it is written down that an agent for many builds is of use, in milliseconds.
const NOTE_MS: i64 = 10_000;

/// What was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is online.
    Online,
    /// A build runs on it.
    Busy,
    /// It was online, and is not.
    Lost,
}

/// What becomes of an agent by what is seen of its node.
pub(super) fn follow(world: &World<'_>, agent: &Agent, pool: &Pool, acts: &mut Vec<Act>) {
    let id = || agent.id.clone();
    let leave = |why: &str| Act::Leave { agent: id(), why: why.to_owned() };
    let (Some(name), Some(node_name)) = (&agent.master, &agent.node) else {
        return acts.push(leave("it has no master; this is a bug"));
    };
    if !world.declared.contains(name) {
        return acts.push(leave("its master is there no more"));
    }
    let claimed_ms = agent.claimed_ms.unwrap_or(agent.created_ms);
    let is_late = world.now_ms > claimed_ms + pool.start_within_ms();
    let Some(master) = world.masters.get(name) else { return };
    // A build has come since that look, and waits until its node is out.
    let has_come = !pool.reuse && agent.busy_ms.is_some_and(|busy_ms| busy_ms >= master.at_ms);
    if has_come && master.nodes.get(node_name).is_none_or(|node| !node.out) {
        return acts.push(take_out(name, node_name));
    }
    let Some(node) = master.nodes.get(node_name) else {
        match agent.made_ms {
            None if is_late => acts.push(leave("its node could not be made in time")),
            // Nobody knows whether it was made: its name is its own, so that it can be tried again.
            None => acts.push(Act::MakeNode { agent: id() }),
            Some(made_ms) if master.at_ms > made_ms => {
                acts.push(leave("somebody has removed its node"));
            }
            Some(_) => {}
        }
        return;
    };
    if agent.made_ms.is_none() {
        acts.push(Act::MakeNode { agent: id() });
    }
    if !node.offline && (agent.online_ms.is_none() || agent.lost_ms.is_some()) {
        acts.push(Act::Note { agent: id(), seen: Seen::Online });
    }
    if !node.idle {
        let is_old = |used_ms| world.now_ms > used_ms + NOTE_MS;
        if agent.busy_ms.is_none() || (pool.reuse && agent.used_ms.is_none_or(is_old)) {
            acts.push(Act::Note { agent: id(), seen: Seen::Busy });
        }
        if !pool.reuse && !node.out {
            acts.push(take_out(name, node_name));
        }
        return;
    }
    if node.out {
        // Nothing runs there and nothing will.
        let was_busy = agent.busy_ms.is_some();
        return acts.push(leave(if was_busy { "its build has ended" } else { "no build came" }));
    }
    let Some(online_ms) = agent.online_ms else {
        // One that is online now is no longer late: a build may come at this moment.
        if is_late && node.offline {
            acts.push(leave("its node was not online in time"));
        }
        return;
    };
    let used_ms = agent.used_ms.unwrap_or(online_ms);
    let is_used_up = agent.busy_ms.is_some() && !pool.reuse;
    if is_used_up || world.now_ms > used_ms + pool.unused_for_ms() {
        // A build may come at this moment, so it goes when it was seen out and idle.
        acts.push(take_out(name, node_name));
    } else if node.offline {
        match agent.lost_ms {
            None => acts.push(Act::Note { agent: id(), seen: Seen::Lost }),
            Some(lost_ms) if world.now_ms > lost_ms + pool.start_within_ms() => {
                acts.push(leave("its node is offline"));
            }
            Some(_) => {}
        }
    }
}

/// What becomes of an agent whose pool is there no more: its build may end.
pub(super) fn drain(world: &World<'_>, agent: &Agent, acts: &mut Vec<Act>) {
    let why =
        || Act::Leave { agent: agent.id.clone(), why: "its pool is there no more".to_owned() };
    let (Some(name), Some(node_name)) = (&agent.master, &agent.node) else {
        return acts.push(why());
    };
    if !world.declared.contains(name) {
        return acts.push(why());
    }
    let Some(master) = world.masters.get(name) else { return };
    match master.nodes.get(node_name) {
        None => acts.push(why()),
        Some(node) if node.idle && (node.offline || node.out) => acts.push(why()),
        Some(node) if node.out => {}
        Some(_) => acts.push(take_out(name, node_name)),
    }
}

fn take_out(master: &str, node: &str) -> Act {
    Act::TakeOut { master: master.to_owned(), node: node.to_owned() }
}
