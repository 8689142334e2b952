//! What comes next for a master: from how it stands and what is seen, to how it stands then. No clock, no
//! network; what the cluster has to look like follows from the status alone ([`Wanted`]), so that an
//! operator that is started again goes on where the last one was.

use super::backup;
use super::gate::Gate;
use super::model::JenkinsControllerSpec;
use super::status::{
    Backup, BackupKind, Failed, JenkinsControllerStatus as Status, Phase, seconds, stamp,
};

/// Seconds beyond what a pod needs to stop after which its being there is told.
const STOPS_LATE: i64 = 300;

/// What is seen of a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// The revision that the resource asks for; none where the resource cannot be used.
    pub asked: Option<String>,
    /// The revision of the StatefulSet.
    pub applied: Option<String>,
    /// Pods of it that exist.
    pub pods: usize,
    /// Its pod is that of the applied revision and answers.
    pub healthy: bool,
    /// Why its pod will not start.
    pub trouble: Option<String>,
    /// How the backup or its restoring stands.
    pub task: Task,
    /// Whether it may be stopped.
    pub gate: Gate,
    /// Builds that run there, where that is known.
    pub busy: Option<u32>,
    /// How a home is kept here; none where it is not.
    pub backup: Option<BackupKind>,
}

/// How a backup or its restoring stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// It is not there, or not at its end.
    Running,
    /// It is done.
    Done,
    /// It failed, and why.
    Failed(String),
}

/// What the StatefulSet has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'s> {
    /// Its revision.
    pub revision: &'s str,
    /// Its pods.
    pub replicas: u32,
}

/// What the StatefulSet has to be for a master that stands so.
#[must_use]
pub fn wanted(status: &Status) -> Option<Wanted<'_>> {
    let (revision, replicas) = match status.phase {
        Phase::Pending => return None,
        Phase::Creating => (&status.target, 1),
        Phase::Running | Phase::Waiting | Phase::Draining | Phase::Restarting => {
            (&status.revision, 1)
        }
        Phase::Stopping | Phase::BackingUp => (&status.revision, 0),
        Phase::Starting => (&status.target, 1),
        Phase::Reverting => (&status.target, 0),
        Phase::Restoring | Phase::RestoreFailed => (&status.revision, 0),
        Phase::Failed if status.revision.is_some() => (&status.revision, 1),
        Phase::Failed => (&status.target, 1),
    };
    revision.as_deref().map(|revision| Wanted { revision, replicas })
}

/// What comes next. The status is the same where nothing does.
#[must_use]
pub fn next(spec: &JenkinsControllerSpec, name: &str, status: &Status, seen: &Observed) -> Status {
    let mut status = status.clone();
    // One step at a time: what is seen was seen before it.
    advance(spec, name, &mut status, seen);
    status.ready = seen.healthy && seen.applied.is_some();
    status
}

fn enter(status: &mut Status, phase: Phase, now: i64, message: impl Into<String>) {
    status.phase = phase;
    status.since = Some(stamp(now));
    status.message = message.into();
}

fn advance(spec: &JenkinsControllerSpec, name: &str, status: &mut Status, seen: &Observed) {
    let now = seen.now;
    let waited = now - status.since.as_deref().map_or(now, seconds);
    let asked = seen.asked.clone().filter(|_| !spec.paused);
    let is_new = |status: &Status| {
        asked.is_some()
            && asked != status.revision
            && status.failed.as_ref().map(|one| &one.revision) != asked.as_ref()
    };
    // The pod that is seen is that of the revision which is wanted.
    let is = |revision: &Option<String>| seen.applied.is_some() && seen.applied == *revision;
    match status.phase {
        Phase::Pending => {
            if let Some(asked) = asked {
                status.target = Some(asked);
                enter(status, Phase::Creating, now, "it starts for the first time");
            }
        }
        Phase::Creating => {
            if seen.healthy && is(&status.target) {
                status.revision = status.target.take();
                enter(status, Phase::Running, now, "");
            } else if asked.is_some() && asked != status.target {
                status.target = asked;
                enter(status, Phase::Creating, now, "it starts for the first time");
            } else if let Some(why) = too_late(spec, seen, waited, is(&status.target)) {
                enter(status, Phase::Failed, now, why);
            }
        }
        Phase::Running => {
            if asked.is_some() && asked == status.revision {
                // What failed is asked for no more, and may be tried again.
                status.failed = None;
            }
            if is_new(status) {
                status.target = asked;
                enter(status, Phase::Waiting, now, "");
            }
        }
        Phase::Waiting => {
            if !is_new(status) {
                status.target = None;
                enter(status, Phase::Running, now, "");
                return;
            }
            status.target = asked;
            match &seen.gate {
                Gate::Open => enter(status, Phase::Draining, now, "it gets no new builds"),
                Gate::Closed(why) => status.message.clone_from(why),
            }
        }
        Phase::Draining => {
            if !is_new(status) {
                status.target = None;
                enter(status, Phase::Running, now, "");
                return;
            }
            status.target = asked;
            match seen.busy {
                Some(busy) if busy > 0 && seen.healthy => {
                    if waited >= i64::from(spec.upgrade.drain_seconds) {
                        enter(status, Phase::Stopping, now, format!("{busy} builds still run"));
                    } else {
                        status.message = format!("{busy} builds run");
                    }
                }
                _ => enter(status, Phase::Stopping, now, ""),
            }
        }
        Phase::Stopping => {
            if seen.pods > 0 {
                if waited > STOPS_LATE {
                    status.message = format!("its pod is there after {waited} s");
                }
                return;
            }
            let Some(kind) = seen.backup else {
                status.backup = None;
                return enter(status, Phase::Starting, now, "its home was not kept");
            };
            let name = backup::name(name, now);
            let revision = status.revision.clone().unwrap_or_default();
            enter(status, Phase::BackingUp, now, format!("its home is kept as {name}"));
            status.backup = Some(Backup { name, kind, revision });
        }
        Phase::BackingUp => match backed_up(spec, seen, waited) {
            Task::Running => {}
            Task::Done => enter(status, Phase::Starting, now, ""),
            Task::Failed(why) => {
                status.failed = Some(Failed {
                    revision: status.target.take().unwrap_or_default(),
                    reason: "BackupFailed".to_owned(),
                    message: why.clone(),
                });
                status.backup = None;
                enter(status, Phase::Restarting, now, why);
            }
        },
        Phase::Starting => {
            if seen.healthy && is(&status.target) {
                status.revision = status.target.take();
                status.failed = None;
                enter(status, Phase::Running, now, "");
            } else if let Some(why) = too_late(spec, seen, waited, is(&status.target)) {
                status.failed = Some(Failed {
                    revision: status.target.clone().unwrap_or_default(),
                    reason: "RolledBack".to_owned(),
                    message: why.clone(),
                });
                enter(status, Phase::Reverting, now, why);
            }
        }
        Phase::Reverting => {
            if seen.pods == 0 {
                status.target = None;
                let next =
                    if status.backup.is_some() { Phase::Restoring } else { Phase::Restarting };
                let message = status.message.clone();
                enter(status, next, now, message);
            }
        }
        Phase::Restoring => match backed_up(spec, seen, waited) {
            Task::Running => {}
            Task::Done => {
                if let Some(one) = &status.backup
                    && one.kind == BackupKind::Snapshot
                {
                    status.home = Some(backup::restored_claim(one));
                }
                let message = status.message.clone();
                enter(status, Phase::Restarting, now, message);
            }
            Task::Failed(why) => enter(status, Phase::RestoreFailed, now, why),
        },
        Phase::Restarting => {
            if seen.healthy && is(&status.revision) {
                let why = status.failed.as_ref().map(|one| one.message.clone());
                enter(status, Phase::Running, now, why.unwrap_or_default());
            } else if let Some(why) = too_late(spec, seen, waited, is(&status.revision)) {
                enter(status, Phase::Failed, now, why);
            }
        }
        Phase::Failed => {
            let own = status.revision.clone().or(status.target.clone());
            if seen.healthy && is(&own) {
                status.revision = own;
                status.target = None;
                enter(status, Phase::Running, now, "");
            } else if status.revision.is_none() && asked.is_some() && asked != status.target {
                status.target = asked;
                enter(status, Phase::Creating, now, "it starts for the first time");
            } else if status.revision.is_some() && is_new(status) {
                // It serves nothing; the gate only has one at a time.
                status.target = asked;
                enter(status, Phase::Waiting, now, "");
            }
        }
        Phase::RestoreFailed => {
            // Whoever has put the home right says so by asking for something else.
            if is_new(status) {
                status.target = asked;
                status.backup = None;
                enter(status, Phase::Waiting, now, "");
            }
        }
    }
}

/// Why a start is given up.
fn too_late(
    spec: &JenkinsControllerSpec,
    seen: &Observed,
    waited: i64,
    is_it: bool,
) -> Option<String> {
    // What is said of the pod before is not about this one.
    let trouble = seen.trouble.as_ref().filter(|_| is_it);
    if let Some(trouble) = trouble {
        return Some(trouble.clone());
    }
    let most = i64::from(spec.health.start_seconds);
    (waited > most).then(|| format!("its login page did not answer within {most} s"))
}

fn backed_up(spec: &JenkinsControllerSpec, seen: &Observed, waited: i64) -> Task {
    let most = i64::from(spec.backup.seconds);
    match &seen.task {
        Task::Running if waited > most => Task::Failed(format!("it took more than {most} s")),
        other => other.clone(),
    }
}
