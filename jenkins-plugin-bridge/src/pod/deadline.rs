//! The longest time that a plan may take, from the timeouts of its stages.

use crate::plan::{DecisionState, Plan, PlanGroup, PlanNode, PlanStage};

/// The longest time a plan may take, in seconds; none where a stage has no bound.
pub(super) fn longest(plan: &Plan) -> Option<u64> {
    if let Some(seconds) = plan.timeout_seconds {
        return Some(seconds);
    }
    let [_, others @ ..] = plan.post.lists();
    let sum = |nodes: &[PlanNode]| nodes.iter().map(of_node).try_fold(0u64, add);
    let stages = sum(&plan.stages)?;
    // One of the three happens, and what is always done comes after it.
    let end = others.into_iter().map(|(_, nodes)| sum(nodes)).try_fold(0, largest)?;
    add(add(stages, Some(end))?, sum(&plan.post.always))
}

fn add(sum: u64, next: Option<u64>) -> Option<u64> {
    Some(sum.saturating_add(next?))
}

fn largest(most: u64, next: Option<u64>) -> Option<u64> {
    Some(most.max(next?))
}

fn of_node(node: &PlanNode) -> Option<u64> {
    if node.decision().state == DecisionState::Skipped {
        return Some(0);
    }
    match node {
        PlanNode::Stage(stage) => of_stage(stage),
        PlanNode::Sequence(group) => group.nodes.iter().map(of_node).try_fold(0, add),
        PlanNode::Parallel(group) => of_branches(group),
    }
}

/// Branches that wait for a free place: with `n` places no order of starting takes longer than
/// the sum over `n` and the longest branch (Graham's bound for list scheduling).
fn of_branches(group: &PlanGroup) -> Option<u64> {
    let all = group.nodes.iter().map(of_node).collect::<Option<Vec<u64>>>()?;
    let longest = all.iter().copied().max().unwrap_or(0);
    let places = group.max_parallel.map_or(all.len(), usize::from).max(1);
    if places >= all.len() {
        return Some(longest);
    }
    let sum = all.iter().fold(0u64, |sum, one| sum.saturating_add(*one));
    let waits = u64::try_from(places).map_or(sum, |places| sum.div_ceil(places));
    Some(sum.min(waits.saturating_add(longest)))
}

fn of_stage(stage: &PlanStage) -> Option<u64> {
    // Nobody knows how long another build keeps a lock.
    if stage.lock.is_some() {
        return None;
    }
    let consent = match &stage.approval {
        Some(approval) => approval.timeout.as_ref()?.seconds(),
        None => 0,
    };
    let one = stage.timeout_seconds?;
    let tries = stage.retry.as_ref().map_or(1, |retry| u64::from(retry.attempts));
    let wait = stage.retry.as_ref().and_then(|retry| retry.delay.as_ref());
    let wait = wait.map_or(0, crate::catalog::model::Span::seconds);
    // The wait is doubled after each try.
    let doubled = (0..tries.saturating_sub(1)).fold(0u64, |sum, round| {
        let factor = u32::try_from(round).ok().and_then(|by| 1u64.checked_shl(by));
        sum.saturating_add(wait.saturating_mul(factor.unwrap_or(u64::MAX)))
    });
    Some(one.saturating_mul(tries).saturating_add(doubled).saturating_add(consent))
}
