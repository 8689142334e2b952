//! Pictures of time: stages from what a build reported, phases of its pod, attempts at masters. Places are
//! in thousandths of the whole, so that a picture is as wide as the page.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::cluster::start::Phases;
use crate::plan::{DecisionState, Plan, PlanNode};
use crate::service::api::leases::{LockAnswer, LockState};
use crate::service::api::types::{Event, TestCounts};

/// The width of a picture.
const WIDTH: i64 = 1000;
/// The least width of a bar: one that cannot be seen says that nothing was.
const LEAST: i64 = 3;

/// A bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Its left end.
    pub x: i64,
    /// Its width.
    pub width: i64,
}

/// A stage or a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its title.
    pub title: String,
    /// How far inside of groups it is.
    pub depth: usize,
    /// It is a group.
    pub is_group: bool,
    /// How it is: an outcome, `running`, `pending`, or `skipped`.
    pub state: &'static str,
    /// Why.
    pub reason: String,
    /// When it ran.
    pub bar: Option<Bar>,
    /// How long, in milliseconds.
    pub ms: i64,
    /// Test cases.
    pub tests: Option<TestCounts>,
    /// What it gave to later stages.
    pub outputs: BTreeMap<String, String>,
}

/// The stages of a build.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Timeline {
    /// The rows, in the order of the plan.
    pub rows: Vec<Row>,
    /// When the first one began, in milliseconds since 1970.
    pub start_ms: i64,
    /// From there to the end of the last one, or to now.
    pub whole_ms: i64,
    /// Some are still to come.
    pub is_running: bool,
}

#[derive(Default)]
struct Happened<'e> {
    began: Option<i64>,
    ended: Option<i64>,
    outcome: Option<&'static str>,
    message: Option<&'e str>,
    tests: Option<TestCounts>,
    outputs: Option<&'e BTreeMap<String, String>>,
}

fn signed(at_ms: u64) -> i64 {
    i64::try_from(at_ms).unwrap_or(i64::MAX)
}

fn bar(from: i64, to: i64, start: i64, whole: i64) -> Bar {
    let place = |at: i64| {
        let share =
            i128::from(at.saturating_sub(start)) * i128::from(WIDTH) / i128::from(whole.max(1));
        i64::try_from(share.clamp(0, i128::from(WIDTH))).unwrap_or(WIDTH)
    };
    let x = place(from).min(WIDTH - LEAST);
    Bar { x, width: (place(to) - x).max(LEAST) }
}

/// The stages of a plan with what was reported about them.
#[must_use]
pub fn stages(plan: &Plan, events: &[Event], locks: &[LockAnswer], now_ms: i64) -> Timeline {
    let mut by_node: HashMap<&str, Happened<'_>> = HashMap::new();
    for lock in locks.iter().filter(|lock| lock.state == LockState::Waiting) {
        by_node.entry(&lock.stage).or_default().message = Some(&lock.reason);
    }
    let (mut start, mut end, mut is_over) = (i64::MAX, i64::MIN, false);
    for event in events {
        let at = match event {
            Event::StageStarted { at_ms, node, .. } => {
                let own = by_node.entry(node).or_default();
                // A stage that is tried again began with its first try.
                own.began.get_or_insert(signed(*at_ms));
                (own.ended, own.outcome) = (None, None);
                at_ms
            }
            Event::StageFinished { at_ms, node, outcome, message, tests, outputs, .. } => {
                let own = by_node.entry(node).or_default();
                own.ended = Some(signed(*at_ms));
                own.outcome = Some(outcome.word());
                own.message = message.as_deref();
                own.tests = *tests;
                own.outputs = Some(outputs);
                at_ms
            }
            Event::BuildFinished { at_ms, .. } => {
                is_over = true;
                at_ms
            }
        };
        start = start.min(signed(*at));
        end = end.max(signed(*at));
    }
    let is_running = !events.is_empty() && !is_over;
    if is_running {
        end = end.max(now_ms);
    }
    let mut timeline = Timeline { is_running, ..Timeline::default() };
    if start <= end {
        timeline.start_ms = start;
        timeline.whole_ms = end.saturating_sub(start);
    }
    let lists = plan.post.lists();
    let all = plan.stages.iter().chain(lists.iter().flat_map(|(_, nodes)| nodes.iter()));
    for node in all {
        add(node, 0, &by_node, end, is_over, &mut timeline);
    }
    timeline
}

fn add(
    node: &PlanNode,
    depth: usize,
    by_node: &HashMap<&str, Happened<'_>>,
    end: i64,
    is_over: bool,
    timeline: &mut Timeline,
) {
    let nothing = Happened::default();
    let own = by_node.get(node.id()).unwrap_or(&nothing);
    let decision = node.decision();
    let state = match (own.outcome, own.began) {
        (Some(outcome), _) => outcome,
        (None, Some(_)) if !is_over => "running",
        // The build ended and nobody said how this one did.
        (None, Some(_)) => "aborted",
        (None, None) if is_over || decision.state == DecisionState::Skipped => "skipped",
        (None, None) => "pending",
    };
    let bar = own.began.map(|began| {
        let ended = own.ended.unwrap_or(end);
        (ended.saturating_sub(began), bar(began, ended, timeline.start_ms, timeline.whole_ms))
    });
    let reason = match own.message {
        Some(message) => message.to_owned(),
        None if own.began.is_none() && state != "success" => decision.reason.clone(),
        None => String::new(),
    };
    timeline.rows.push(Row {
        title: node.title().to_owned(),
        depth,
        is_group: !matches!(node, PlanNode::Stage(_)),
        state,
        reason,
        ms: bar.map_or(0, |(ms, _)| ms),
        bar: bar.map(|(_, bar)| bar).filter(|_| state != "skipped"),
        tests: own.tests,
        outputs: own.outputs.cloned().unwrap_or_default(),
    });
    for child in node.children() {
        add(child, depth + 1, by_node, end, is_over, timeline);
    }
}

/// A phase of the start of a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// How long it took, in milliseconds.
    pub ms: i64,
    /// Where it is.
    pub bar: Bar,
}

/// The phases that a pod has been through.
#[must_use]
pub fn phases(phases: &Phases) -> Vec<Phase> {
    let reached: Vec<(&'static str, i64)> =
        phases.named().into_iter().filter_map(|(name, at)| Some((name, signed(at?)))).collect();
    let whole = reached.iter().map(|(_, at)| *at).max().unwrap_or(0);
    let mut from = 0;
    reached
        .into_iter()
        .map(|(name, at)| {
            let at = at.max(from);
            let phase = Phase { name, ms: at - from, bar: bar(from, at, 0, whole) };
            from = at;
            phase
        })
        .collect()
}

/// Where spans of time are within all of them together; one that has not ended goes on until now.
#[must_use]
pub fn spans(all: &[(i64, Option<i64>)], now_ms: i64) -> Vec<Bar> {
    let start = all.iter().map(|(from, _)| *from).min().unwrap_or(0);
    let end = all.iter().map(|(_, to)| to.unwrap_or(now_ms)).max().unwrap_or(0);
    let whole = end.saturating_sub(start);
    all.iter().map(|(from, to)| bar(*from, to.unwrap_or(now_ms), start, whole)).collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn bars_are_within_the_picture() {
        assert_eq!(bar(50, 100, 0, 100), Bar { x: 500, width: 500 });
        assert_eq!(bar(100, 100, 0, 100), Bar { x: WIDTH - LEAST, width: LEAST });
        assert_eq!(bar(i64::MIN, i64::MAX, 0, 0), Bar { x: 0, width: WIDTH });
        assert_eq!(
            spans(&[(0, Some(10)), (10, None)], 20),
            [Bar { x: 0, width: 500 }, Bar { x: 500, width: 500 }]
        );
    }

    #[test]
    fn phases_follow_one_another() {
        let seen = Phases {
            scheduled_ms: Some(1_000),
            pulled_ms: Some(4_000),
            started_ms: None,
            connected_ms: Some(5_000),
        };
        let shown: Vec<(&str, i64)> = phases(&seen).iter().map(|one| (one.name, one.ms)).collect();
        assert_eq!(shown, [("scheduled", 1_000), ("pulled", 3_000), ("connected", 1_000)]);
        assert_eq!(phases(&Phases::default()), []);
    }
}
