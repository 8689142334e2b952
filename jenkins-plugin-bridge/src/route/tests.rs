use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::decide::{Decision, Limits, MasterView, Rules, decide};
use super::fill::{LimitFill, LimitKind, fill};
use super::model::{Build, BuildRequest, BuildState, LostPolicy};
use super::reconcile::{Finding, TRIGGER_PATIENCE_MS, of_builds, of_place, reconcile};
use crate::rest::{AtWork, Outcome, Place, Ran, Waiting};

const NOW: i64 = 1_000_000;

fn master(name: &str) -> MasterView {
    MasterView {
        name: name.into(),
        labels: BTreeSet::from(["linux".into()]),
        capacity: 10,
        executors: 10,
        ..MasterView::default()
    }
}

pub(super) fn build(number: i64, state: BuildState) -> Build {
    let placed = state.is_placed();
    Build {
        id: format!("r-{number}"),
        job: "team/web".into(),
        number,
        state,
        version: 1,
        request: BuildRequest {
            labels: BTreeSet::from(["linux".into()]),
            ..BuildRequest::default()
        },
        master: placed.then(|| "a".into()),
        attempt: i64::from(placed),
        key: placed.then(|| format!("k-{number}")),
        queue_item: (state == BuildState::Queued).then_some(number),
        url: matches!(state, BuildState::Running | BuildState::Unknown)
            .then(|| format!("http://a/job/team/job/web/{number}/")),
        reason: String::new(),
        result: None,
        created_ms: number,
        changed_ms: NOW,
        started_ms: None,
        finished_ms: None,
    }
}

fn decided(masters: &[MasterView], builds: &[Build], limits: &Limits) -> Vec<Decision> {
    decide(masters, builds, limits, &Rules::default(), &BTreeMap::new(), NOW)
}

fn placed(decisions: &[Decision]) -> Vec<(usize, &str)> {
    let of = |one| match one {
        &Decision::Place { build, ref master } => Some((build, master.as_str())),
        _ => None,
    };
    decisions.iter().filter_map(of).collect()
}

fn reason(decisions: &[Decision], index: usize) -> &str {
    decisions
        .iter()
        .find_map(|one| match one {
            Decision::Stay { build, reason } if *build == index => Some(reason.as_str()),
            _ => None,
        })
        .unwrap_or("")
}

#[test]
fn builds_are_spread_by_expected_wait() {
    let masters = [master("a"), MasterView { busy: 5, ..master("b") }];
    let builds: Vec<Build> = (0..15).map(|n| build(n, BuildState::Waiting)).collect();
    let decisions = decided(&masters, &builds, &Limits::default());
    let to_a = placed(&decisions).iter().filter(|(_, name)| *name == "a").count();
    assert_eq!((placed(&decisions).len(), to_a), (15, 10));
}

#[test]
fn warm_caches_and_zones_decide_where_load_does_not() {
    let far = MasterView { zone: Some("far".into()), ..master("a") };
    let near = MasterView { zone: Some("near".into()), ..master("b") };
    let mut wants = build(1, BuildState::Waiting);
    wants.request.zone = Some("near".into());
    assert_eq!(placed(&decided(&[far, near], &[wants], &Limits::default())), [(0, "b")]);
    let last = BTreeMap::from([("team/web".to_owned(), "b".to_owned())]);
    let masters = [master("a"), master("b")];
    let builds = [build(1, BuildState::Waiting)];
    let decisions = decide(&masters, &builds, &Limits::default(), &Rules::default(), &last, NOW);
    assert_eq!(placed(&decisions), [(0, "b")]);
}

#[test]
fn what_a_master_lacks_is_said() {
    let mut poor = master("a");
    poor.credentials = Some(BTreeSet::from(["other".into()]));
    poor.plugins = Some(BTreeSet::new());
    let mut wants = build(1, BuildState::Waiting);
    wants.request.needs.credentials = BTreeSet::from(["registry".into()]);
    wants.request.needs.plugins = BTreeSet::from(["credentials-binding".into()]);
    let builds = [wants];
    let decisions = decided(std::slice::from_ref(&poor), &builds, &Limits::default());
    insta::assert_snapshot!(reason(&decisions, 0));
    // What cannot be seen is not held against a master.
    assert_eq!(placed(&decided(&[poor, master("b")], &builds, &Limits::default())), [(0, "b")]);
}

#[test]
fn it_is_told_how_full_limits_are() {
    let states =
        [BuildState::Running, BuildState::Queued, BuildState::Waiting, BuildState::Waiting];
    let mut builds: Vec<Build> = (0..).zip(states).map(|(n, state)| build(n, state)).collect();
    for (number, team) in ["red", "blue", "red", ""].iter().enumerate() {
        builds[number].request.team = (*team).into();
    }
    let limits = Limits {
        labels: BTreeMap::from([("linux".into(), 2), ("mac".into(), 1)]),
        teams: BTreeMap::from([("red".into(), 5)]),
        any_team: Some(1),
        clusters: BTreeMap::from([("c".into(), 3)]),
    };
    let clusters = BTreeMap::from([("a".to_owned(), "c".to_owned())]);
    let told: Vec<String> = fill(&limits, &builds, &clusters)
        .iter()
        .map(|LimitFill { kind, name, limit, used, waiting }| {
            format!("{} {name} {used}/{limit} {waiting:?}", kind.as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            "label linux 2/2 Some(2)",
            "label mac 0/1 Some(0)",
            "team blue 1/1 Some(0)",
            "team red 1/5 Some(1)",
            "cluster c 2/3 None",
        ]
    );
    // What is full here is what decides.
    let full = fill(&limits, &builds, &clusters);
    let is_full = |kind, name: &str| {
        full.iter().any(|one| one.kind == kind && one.name == name && one.is_full())
    };
    assert!(is_full(LimitKind::Label, "linux") && is_full(LimitKind::Team, "blue"));
    let decisions = decided(&[master("a")], &builds, &limits);
    assert_eq!(reason(&decisions, 2), "the label linux has its 2 builds running");
}

#[test]
fn limits_hold_and_are_the_reason() {
    let masters = [master("a")];
    let mut builds: Vec<Build> = (0..4).map(|n| build(n, BuildState::Waiting)).collect();
    for (number, team) in ["red", "red", "blue", "blue"].iter().enumerate() {
        builds[number].request.team = (*team).into();
    }
    let limits = Limits { any_team: Some(1), ..Limits::default() };
    let decisions = decided(&masters, &builds, &limits);
    assert_eq!(placed(&decisions), [(0, "a"), (2, "a")]);
    assert_eq!(reason(&decisions, 1), "the team red has its 1 builds running");
    let limits = Limits { labels: BTreeMap::from([("linux".into(), 3)]), ..Limits::default() };
    assert_eq!(placed(&decided(&masters, &builds, &limits)).len(), 3);
    let mut clustered = master("a");
    clustered.cluster = Some("c".into());
    let limits = Limits { clusters: BTreeMap::from([("c".into(), 2)]), ..Limits::default() };
    assert_eq!(placed(&decided(&[clustered], &builds, &limits)).len(), 2);
    for build in &mut builds {
        build.request.concurrency = Some(1);
    }
    assert_eq!(placed(&decided(&masters, &builds, &Limits::default())).len(), 1);
}

#[test]
fn a_storm_of_one_team_does_not_hold_up_another() {
    let masters = [MasterView { capacity: 4, ..master("a") }];
    let mut builds: Vec<Build> = (0..500).map(|n| build(n, BuildState::Waiting)).collect();
    for one in &mut builds {
        one.request.team = "storm".into();
    }
    builds.push(build(500, BuildState::Waiting));
    builds[500].request.team = "calm".into();
    let decisions = decided(&masters, &builds, &Limits::default());
    assert_eq!(placed(&decisions), [(0, "a"), (500, "a"), (1, "a"), (2, "a")]);
    assert_eq!(reason(&decisions, 3), "the one master with linux that can take it is full");
    builds[499].request.priority = 1;
    assert_eq!(placed(&decided(&masters, &builds, &Limits::default()))[0], (499, "a"));
}

#[test]
fn locks_and_newer_builds_of_a_branch() {
    let masters = [master("a")];
    let mut builds: Vec<Build> = (1..4).map(|n| build(n, BuildState::Waiting)).collect();
    for one in &mut builds {
        one.request.locks = BTreeSet::from(["staging".into()]);
    }
    let decisions = decided(&masters, &builds, &Limits::default());
    assert_eq!(placed(&decisions).len(), 1);
    assert_eq!(reason(&decisions, 1), "build 1 of team/web holds the lock staging");
    for one in &mut builds {
        one.request.branch = Some("main".into());
        one.request.superseded = true;
    }
    builds[0].state = BuildState::Running;
    builds[0].master = Some("a".into());
    let decisions = decided(&masters, &builds, &Limits::default());
    let dropped: Vec<usize> = decisions
        .iter()
        .filter(|one| matches!(one, Decision::Finish { result, .. } if result == "ABORTED"))
        .map(Decision::build)
        .collect();
    assert_eq!(dropped, [1], "what runs goes on, the newest waits");
}

#[test]
fn what_was_not_started_moves_and_what_was_follows_its_policy() {
    let lost = MasterView {
        lost_ms: Some(NOW - Rules::default().lost_after_ms),
        refusal: Some("away".into()),
        ..master("a")
    };
    let masters = [lost.clone(), master("b")];
    let states = [BuildState::Triggering, BuildState::Queued];
    for state in states {
        let decisions = decided(&masters, &[build(1, state)], &Limits::default());
        assert!(matches!(&decisions[..], [Decision::Move { .. }]), "{state:?} {decisions:?}");
    }
    let mut runs = build(1, BuildState::Running);
    let mut under = |policy| {
        runs.request.on_lost = policy;
        decided(&masters, &[runs.clone()], &Limits::default())
    };
    assert!(matches!(&under(LostPolicy::Wait)[..], [Decision::Stay { .. }]));
    assert!(matches!(&under(LostPolicy::Fail)[..], [Decision::Finish { .. }]));
    assert!(matches!(&under(LostPolicy::Rerun)[..], [Decision::Fence { .. }]));
    let away_for_a_moment = MasterView { lost_ms: Some(NOW - 1), ..lost };
    let decisions = decided(
        &[away_for_a_moment, master("b")],
        &[build(1, BuildState::Queued)],
        &Limits::default(),
    );
    assert_eq!(decisions, []);
}

#[test]
fn what_nobody_can_fence_is_not_run_again() {
    let mut unknown = build(1, BuildState::Unknown);
    assert_eq!(decided(&[master("b")], &[unknown.clone()], &Limits::default()), []);
    unknown.request.on_lost = LostPolicy::Rerun;
    assert_eq!(decided(&[master("b")], &[unknown.clone()], &Limits::default()), []);
    unknown.changed_ms = NOW - Rules::default().fence_every_ms;
    let again = decided(&[master("b")], &[unknown], &Limits::default());
    assert_eq!(again, [Decision::Fence { build: 0 }]);
}

fn at_work(keys: &[(u64, &str)], running: &[&str]) -> AtWork {
    AtWork {
        waiting: keys
            .iter()
            .map(|(id, key)| Waiting { id: *id, key: Some((*key).into()), why: String::new() })
            .collect(),
        running: running.iter().map(|path| (*path).to_owned()).collect(),
    }
}

#[test]
fn split_views_are_resolved_by_looking() {
    let nothing = at_work(&[], &[]);
    let mut asked = build(1, BuildState::Triggering);
    asked.queue_item = None;
    assert_eq!(reconcile(&asked, &nothing, NOW + 1), Finding::Same, "the answer may still come");
    assert_eq!(reconcile(&asked, &nothing, NOW + TRIGGER_PATIENCE_MS), Finding::Search);
    assert_eq!(reconcile(&asked, &at_work(&[(7, "k-1")], &[]), NOW), Finding::Waits(7));
    let ran = |key: &str, outcome| Ran { number: 3, item: None, key: Some(key.into()), outcome };
    assert!(matches!(of_builds(&asked, &[ran("k-2", Outcome::Runs)]), Finding::NotStarted(_)));
    assert_eq!(of_builds(&asked, &[ran("k-1", Outcome::Runs)]), Finding::Same);
    let ended = Outcome::Ended("NOT_BUILT".into());
    assert!(matches!(of_builds(&asked, &[ran("k-1", ended)]), Finding::EndedUnclaimed(_)));

    let queued = build(1, BuildState::Queued);
    // A job that declares no parameters any more: its build has no key, but the item that was triggered.
    let keyless = |item, outcome| Ran { number: 3, item: Some(item), key: None, outcome };
    assert_eq!(of_builds(&queued, &[keyless(1, Outcome::Runs)]), Finding::Same);
    let ended = Outcome::Ended("SUCCESS".into());
    let found = of_builds(&queued, &[keyless(1, ended.clone())]);
    assert!(
        matches!(found, Finding::Ended { result, .. } if result == "FAILURE"),
        "never run twice"
    );
    assert!(matches!(of_builds(&queued, &[keyless(2, ended)]), Finding::NotStarted(_)));
    assert_eq!(reconcile(&queued, &at_work(&[(1, "k-1")], &[]), NOW), Finding::Same);
    assert_eq!(reconcile(&queued, &at_work(&[(9, "k-1")], &[]), NOW), Finding::Waits(9));
    assert_eq!(reconcile(&queued, &nothing, NOW), Finding::AskPlace(1));
    assert_eq!(of_place(&Place::Missing), Finding::Search, "a crash lost a part of the queue");
    assert!(matches!(of_place(&Place::Cancelled), Finding::Ended { .. }));

    let runs = build(1, BuildState::Running);
    let path = "job/team/job/web/1/";
    assert_eq!(reconcile(&runs, &at_work(&[], &[path]), NOW), Finding::Same);
    assert_eq!(reconcile(&runs, &nothing, NOW), Finding::AskOutcome(path.into()));
    let unknown = build(1, BuildState::Unknown);
    assert_eq!(reconcile(&unknown, &at_work(&[], &[path]), NOW), Finding::Runs);
}

fn any_build(number: i64) -> impl Strategy<Value = Build> {
    let states = prop::sample::select(vec![
        BuildState::Waiting,
        BuildState::Waiting,
        BuildState::Triggering,
        BuildState::Queued,
        BuildState::Running,
        BuildState::Unknown,
    ]);
    let policies =
        prop::sample::select(vec![LostPolicy::Wait, LostPolicy::Rerun, LostPolicy::Fail]);
    (states, policies, 0..3_u8, 0..3_u8, any::<bool>(), -2..3_i32).prop_map(
        move |(state, policy, team, on, lock, priority)| {
            let mut one = build(number, state);
            one.request.on_lost = policy;
            one.request.team = format!("t{team}");
            one.request.priority = priority;
            one.request.locks = if lock { BTreeSet::from(["l".into()]) } else { BTreeSet::new() };
            if one.master.is_some() {
                one.master = Some(format!("m{on}"));
            }
            one
        },
    )
}

fn any_masters() -> impl Strategy<Value = Vec<MasterView>> {
    prop::collection::vec((any::<bool>(), any::<bool>(), 0..6_u32, 0..8_u32, any::<bool>()), 3)
        .prop_map(|all| {
            all.into_iter()
                .enumerate()
                .map(|(index, (refuses, lost, capacity, busy, labelled))| MasterView {
                    refusal: (refuses || lost).then(|| "no".to_owned()),
                    lost_ms: lost.then_some(NOW - 60_000),
                    capacity,
                    busy,
                    labels: if labelled {
                        BTreeSet::from(["linux".into()])
                    } else {
                        BTreeSet::new()
                    },
                    ..master(&format!("m{index}"))
                })
                .collect()
        })
}

fn any_builds() -> impl Strategy<Value = Vec<Build>> {
    (1..40_i64).prop_flat_map(|count| (0..count).map(any_build).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn decisions_keep_every_promise(masters in any_masters(), builds in any_builds(), limit in 1..6_u32) {
        let limits = Limits { any_team: Some(limit), ..Limits::default() };
        let decisions = decided(&masters, &builds, &limits);
        prop_assert_eq!(&decisions, &decided(&masters, &builds, &limits), "not the same twice");
        let mut seen = BTreeSet::new();
        let mut on: BTreeMap<&str, u32> = BTreeMap::new();
        let mut teams: BTreeMap<&str, u32> = BTreeMap::new();
        let mut locks = 0;
        for one in builds.iter().filter(|one| one.state.is_placed()) {
            *on.entry(one.master.as_deref().unwrap()).or_default() += 1;
            *teams.entry(&one.request.team).or_default() += 1;
            locks += usize::from(!one.request.locks.is_empty());
        }
        for decision in &decisions {
            let one = &builds[decision.build()];
            prop_assert!(seen.insert(decision.build()), "two decisions about one build");
            match decision {
                Decision::Place { master, .. } => {
                    prop_assert_eq!(one.state, BuildState::Waiting);
                    let view = masters.iter().find(|view| view.name == *master).unwrap();
                    prop_assert_eq!(&view.refusal, &None);
                    prop_assert!(one.request.labels.is_subset(&view.labels));
                    let count = on.entry(&view.name).or_default();
                    *count += 1;
                    prop_assert!(*count <= view.capacity, "{} has {count}", view.name);
                    let count = teams.entry(&one.request.team).or_default();
                    *count += 1;
                    prop_assert!(*count <= limit);
                    if !one.request.locks.is_empty() {
                        locks += 1;
                        prop_assert!(locks == 1, "a lock is held twice");
                    }
                }
                Decision::Move { .. } => prop_assert!(
                    matches!(one.state, BuildState::Triggering | BuildState::Queued),
                    "what was started does not move"
                ),
                Decision::Fence { .. } => {
                    prop_assert_eq!(one.request.on_lost, LostPolicy::Rerun);
                    prop_assert!(matches!(one.state, BuildState::Running | BuildState::Unknown));
                }
                Decision::Finish { .. } if one.state == BuildState::Running => {
                    prop_assert_eq!(one.request.on_lost, LostPolicy::Fail);
                }
                Decision::Finish { .. } | Decision::Stay { .. } => {}
            }
        }
    }
}
