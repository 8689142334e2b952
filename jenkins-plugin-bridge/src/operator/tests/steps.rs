//! Walks through the life of a master.

use proptest::prelude::*;

use super::super::conditions;
use super::super::gate::Gate;
use super::super::status::{BackupKind, JenkinsControllerStatus as Status, Phase};
use super::super::step::{Observed, Task, next, wanted};
use super::small;

/// A master and what is seen of it.
struct Walk {
    status: Status,
    seen: Observed,
    told: Vec<String>,
}

impl Walk {
    fn new() -> Self {
        let seen = Observed {
            now: 1_796_000_000,
            asked: Some("one".into()),
            applied: None,
            pods: 0,
            healthy: false,
            trouble: None,
            task: Task::Running,
            gate: Gate::Closed("too few".into()),
            busy: None,
            backup: Some(BackupKind::Archive),
        };
        Self { status: Status::default(), seen, told: Vec::new() }
    }

    /// One look; what is seen before it is changed by `change`.
    fn look(&mut self, seconds: i64, change: impl FnOnce(&mut Observed)) -> &mut Self {
        self.seen.now += seconds;
        change(&mut self.seen);
        self.status = next(&small().spec, "north", &self.status, &self.seen);
        conditions::judge(&mut self.status, &[], Some(3), self.seen.now);
        let set = wanted(&self.status);
        let set =
            set.map_or("nothing".to_owned(), |set| format!("{}x{}", set.revision, set.replicas));
        self.told.push(format!("{} {set} {}", self.status.phase.name(), self.status.message));
        self
    }

    fn running() -> Self {
        let mut walk = Self::new();
        walk.look(0, |_| {}).look(20, |seen| {
            seen.applied = Some("one".into());
            (seen.pods, seen.healthy) = (1, true);
        });
        assert_eq!(walk.status.phase, Phase::Running);
        walk
    }

    /// A new revision, until it starts.
    fn starting(&mut self) -> &mut Self {
        self.look(5, |seen| seen.asked = Some("two".into()))
            .look(5, |_| {})
            .look(5, |seen| seen.gate = Gate::Open)
            .look(5, |seen| seen.busy = Some(2))
            .look(5, |seen| seen.busy = Some(0))
            .look(5, |seen| (seen.pods, seen.healthy) = (1, false))
            .look(5, |seen| seen.pods = 0)
            .look(5, |_| {})
            .look(5, |seen| seen.task = Task::Done);
        assert_eq!(self.status.phase, Phase::Starting);
        self.seen.task = Task::Running;
        self
    }

    fn condition(&self, kind: &str) -> String {
        let one = self.status.conditions.iter().find(|one| one.kind == kind).unwrap();
        format!("{} {}: {}", one.status, one.reason, one.message)
    }
}

#[test]
fn an_upgrade_that_gets_healthy() {
    let mut walk = Walk::running();
    walk.starting().look(5, |seen| {
        seen.applied = Some("two".into());
        seen.pods = 1;
    });
    walk.look(30, |seen| seen.healthy = true).look(5, |_| {});
    assert_eq!(walk.status.revision.as_deref(), Some("two"));
    assert_eq!(walk.condition("Degraded"), "False AsWanted: ");
    insta::assert_snapshot!(walk.told.join("\n"));
}

#[test]
fn an_upgrade_that_does_not_is_put_back_and_not_tried_again() {
    let mut walk = Walk::running();
    walk.starting().look(5, |seen| {
        seen.applied = Some("two".into());
        seen.pods = 1;
    });
    walk.look(30, |seen| seen.trouble = Some("container jenkins ended with 1".into()))
        .look(5, |_| {})
        .look(5, |seen| (seen.pods, seen.trouble) = (0, None))
        .look(5, |_| {})
        .look(5, |seen| seen.task = Task::Done)
        .look(5, |seen| {
            seen.applied = Some("one".into());
            (seen.pods, seen.healthy) = (1, true);
        })
        .look(600, |_| {});
    assert_eq!(walk.status.phase, Phase::Running);
    assert_eq!(walk.status.revision.as_deref(), Some("one"));
    assert_eq!(
        walk.condition("Degraded"),
        "True RolledBack: revision two: container jenkins ended with 1"
    );
    assert_eq!(walk.condition("Ready"), "True Healthy: its login page answers");
    insta::assert_snapshot!(walk.told.join("\n"));
    // What was asked for before is as it is now; what failed may then be asked for again.
    walk.look(5, |seen| seen.asked = Some("one".into()));
    assert_eq!(walk.condition("Degraded"), "False AsWanted: ");
    walk.look(5, |seen| seen.asked = Some("two".into()));
    assert_eq!(walk.status.phase, Phase::Waiting);
}

#[test]
fn a_login_page_that_never_answers_ends_the_wait() {
    let mut walk = Walk::running();
    walk.starting().look(5, |seen| {
        seen.applied = Some("two".into());
        seen.pods = 1;
    });
    walk.look(890, |_| {});
    assert_eq!(walk.status.phase, Phase::Starting);
    walk.look(10, |_| {});
    assert_eq!(walk.status.phase, Phase::Reverting);
    assert!(walk.status.message.contains("within 900 s"), "{}", walk.status.message);
}

#[test]
fn without_a_backup_nothing_is_changed() {
    let mut walk = Walk::running();
    walk.look(5, |seen| seen.asked = Some("two".into()))
        .look(5, |seen| seen.gate = Gate::Open)
        .look(5, |_| {})
        .look(5, |seen| (seen.pods, seen.healthy) = (0, false));
    assert_eq!(walk.status.phase, Phase::BackingUp);
    walk.look(5, |seen| seen.task = Task::Failed("no space".into()));
    assert_eq!(walk.status.phase, Phase::Restarting);
    assert_eq!(wanted(&walk.status).unwrap().revision, "one");
    walk.look(5, |seen| (seen.pods, seen.healthy) = (1, true));
    assert_eq!(walk.status.phase, Phase::Running);
    assert_eq!(walk.condition("Degraded"), "True BackupFailed: revision two: no space");
}

#[test]
fn a_home_that_cannot_be_put_back_is_left_alone() {
    let mut walk = Walk::running();
    walk.starting().look(5, |seen| seen.applied = Some("two".into()));
    walk.look(5, |seen| seen.trouble = Some("it ended".into())).look(5, |_| {});
    assert_eq!(walk.status.phase, Phase::Restoring);
    walk.look(5, |seen| seen.task = Task::Failed("the archive is damaged".into()));
    walk.look(3600, |_| {});
    assert_eq!(walk.condition("Degraded"), "True RestoreFailed: the archive is damaged");
    assert_eq!(wanted(&walk.status).unwrap().replicas, 0);
}

#[test]
fn a_snapshot_that_is_put_back_is_another_claim() {
    let mut walk = Walk::running();
    walk.seen.backup = Some(BackupKind::Snapshot);
    walk.starting().look(5, |seen| seen.applied = Some("two".into()));
    walk.look(5, |seen| seen.trouble = Some("it ended".into())).look(5, |_| {});
    walk.look(5, |seen| seen.task = Task::Done);
    let backup = walk.status.backup.clone().unwrap();
    assert_eq!(walk.status.home, Some(format!("{}-home", backup.name)));
}

#[test]
fn what_cannot_be_used_or_is_paused_changes_nothing() {
    let mut walk = Walk::running();
    walk.look(5, |seen| seen.asked = None);
    assert_eq!(walk.status.phase, Phase::Running);
    let mut spec = small().spec;
    spec.paused = true;
    walk.seen.asked = Some("two".into());
    let status = next(&spec, "north", &walk.status, &walk.seen);
    assert_eq!(status, walk.status);
}

#[test]
fn a_first_start_that_fails_is_mended_by_another_one() {
    let mut walk = Walk::new();
    walk.look(0, |_| {}).look(5, |seen| {
        seen.applied = Some("one".into());
        seen.pods = 1;
        seen.trouble = Some("no such image".into());
    });
    assert_eq!(walk.status.phase, Phase::Failed);
    assert_eq!(walk.condition("Degraded"), "True Failed: no such image");
    walk.look(5, |seen| seen.asked = Some("two".into()));
    assert_eq!(wanted(&walk.status).unwrap().revision, "two");
    walk.look(5, |seen| {
        seen.applied = Some("two".into());
        (seen.trouble, seen.healthy) = (None, true);
    });
    assert_eq!(walk.status.phase, Phase::Running);
}

fn observed() -> impl Strategy<Value = Observed> {
    let revision = || prop::sample::select(vec!["one", "two", "three"]).prop_map(str::to_owned);
    let task = prop_oneof![Just(Task::Running), Just(Task::Done), Just(Task::Failed("no".into())),];
    let gate = prop_oneof![Just(Gate::Open), Just(Gate::Closed("no".into()))];
    let backup = prop::sample::select(vec![None, Some(BackupKind::Archive)]);
    (
        (prop::option::of(revision()), prop::option::of(revision()), 0..2_usize, any::<bool>()),
        (prop::option::of(Just("no".to_owned())), task, gate, prop::option::of(0..3_u32), backup),
    )
        .prop_map(|((asked, applied, pods, healthy), (trouble, task, gate, busy, backup))| {
            Observed { now: 0, asked, applied, pods, healthy, trouble, task, gate, busy, backup }
        })
}

proptest! {
    /// Whatever is seen: nothing is stopped unless the gate was open, there is always something to go
    /// back to, and no revision is started on a home that is being worked on.
    #[test]
    fn whatever_is_seen_a_master_is_stopped_through_the_gate_only(
        all in prop::collection::vec((observed(), 0..2000_i64), 1..60),
    ) {
        let mut status = Status::default();
        let mut now = 1_796_000_000;
        for (mut seen, after) in all {
            now += after;
            seen.now = now;
            let before = status.clone();
            status = next(&small().spec, "north", &before, &seen);
            let ups = |one: &Status| wanted(one).map_or(0, |set| set.replicas);
            if status.phase == Phase::Draining && before.phase != Phase::Draining {
                prop_assert_eq!(&seen.gate, &Gate::Open);
                prop_assert_eq!(before.phase, Phase::Waiting);
            }
            if ups(&before) == 1 && ups(&status) == 0 {
                prop_assert!(matches!(before.phase, Phase::Draining | Phase::Starting));
            }
            if status.phase.is_upgrade() {
                prop_assert!(status.revision.is_some(), "{:?}", status);
            }
            if matches!(status.phase, Phase::BackingUp | Phase::Restoring) {
                prop_assert_eq!(ups(&status), 0);
                prop_assert!(status.backup.is_some());
            }
            if status.phase != Phase::Pending {
                prop_assert!(wanted(&status).is_some(), "{:?}", status);
            }
        }
    }
}
