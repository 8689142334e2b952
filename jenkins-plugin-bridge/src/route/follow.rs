//! Follows the builds of one master: what waits, what runs, what has ended; and cancels what counts no
//! more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::driver::{Memory, RouteOptions, back, finish};
use super::model::{Attempt, Build, BuildState, LostPolicy};
use super::reconcile::{Finding, of_builds, of_outcome, of_place, reconcile};
use crate::masters::{Health, Master};
use crate::rest::{AtWork, JobName, RestError, build_path};
use crate::service::Service;
use crate::service::store::{AttemptChange, Change, StoreError};

/// A trigger that is still on its way has arrived after so long, in milliseconds.
const ON_ITS_WAY_MS: i64 = 30_000;

/// What a follower knows of its master.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// Nothing waits there that counts no more, as far as was seen since it answers.
    pub is_clean: AtomicBool,
    /// What it has.
    pub facts: Mutex<Facts>,
}

/// What a master has that plans may need; nothing where it cannot be seen.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// Ids of credentials.
    pub credentials: Option<BTreeSet<String>>,
    /// Short names of plugins.
    pub plugins: Option<BTreeSet<String>>,
    read: Option<Instant>,
}

#[derive(Debug)]
enum Trouble {
    Rest(RestError),
    Store(StoreError),
}

impl From<RestError> for Trouble {
    fn from(error: RestError) -> Self {
        Self::Rest(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) async fn follow(
    service: Arc<Service>,
    options: Arc<RouteOptions>,
    memory: Arc<Memory>,
    master: Arc<Master>,
    follower: Arc<Follower>,
) {
    loop {
        if master.state().health != Health::Healthy {
            follower.is_clean.store(false, Ordering::Relaxed);
        } else {
            match round(&service, &options, &memory, &master).await {
                Ok(()) => {
                    if !follower.is_clean.swap(true, Ordering::Relaxed) {
                        service.route_now.notify_one();
                    }
                    facts(&options, &master, &follower).await;
                }
                Err(Trouble::Rest(error)) => {
                    tracing::debug!(master = master.name, %error, "builds could not be followed");
                }
                Err(Trouble::Store(error)) => {
                    tracing::warn!(master = master.name, %error, "builds could not be followed");
                }
            }
        }
        tokio::time::sleep(options.follow_every).await;
    }
}

async fn facts(options: &RouteOptions, master: &Master, follower: &Follower) {
    let is_new = |facts: &Facts| facts.read.is_some_and(|at| at.elapsed() < options.facts_every);
    if is_new(&follower.facts.lock().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let credentials = master.client.credential_ids().await.ok().flatten();
    let plugins = master.client.plugin_names().await.ok().flatten();
    *follower.facts.lock().unwrap_or_else(PoisonError::into_inner) =
        Facts { credentials, plugins, read: Some(Instant::now()) };
}

/// One look at a master that has builds of ours, or may have.
async fn round(
    service: &Service,
    options: &RouteOptions,
    memory: &Memory,
    master: &Master,
) -> Result<(), Trouble> {
    let builds = service.store.routed_of(&master.name).await?;
    let stale = service.store.stale_of(&master.name).await?;
    if builds.is_empty() && stale.is_empty() {
        return Ok(());
    }
    let at_work = master.client.at_work().await?;
    for one in stale {
        clean(service, master, &one, &at_work).await?;
    }
    let mut changes = Vec::new();
    for build in builds {
        let finding = find(service, master, &build, &at_work).await?;
        remember(memory, &master.name, &build, &finding, service.now_ms() + options.cool_ms);
        changes.extend(change(&build, finding, service.now_ms()));
    }
    if !changes.is_empty() {
        service.store.change_routed(&changes, service.now_ms()).await?;
        service.route_now.notify_one();
    }
    Ok(())
}

/// Cancels or stops what counts no more.
async fn clean(
    service: &Service,
    master: &Master,
    one: &Attempt,
    at_work: &AtWork,
) -> Result<(), Trouble> {
    let mut found = false;
    for item in at_work.waiting.iter().filter(|item| item.key.as_deref() == Some(&one.key)) {
        found = true;
        master.client.cancel(item.id).await?;
    }
    if let Some(path) = one.url.as_deref().and_then(build_path)
        && at_work.running.contains(&path)
    {
        found = true;
        master.client.stop(&path).await?;
    }
    let ended = one.ended_ms.unwrap_or(one.created_ms);
    if !found && service.now_ms() - ended >= ON_ITS_WAY_MS {
        service.store.attempt_is_over(&one.key).await?;
    }
    Ok(())
}

async fn find(
    service: &Service,
    master: &Master,
    build: &Build,
    at_work: &AtWork,
) -> Result<Finding, Trouble> {
    let mut finding = reconcile(build, at_work, service.now_ms());
    if let Finding::AskPlace(item) = finding {
        finding = of_place(&master.client.place(item).await?);
    }
    if finding == Finding::Search {
        let Ok(job) = JobName::parse(&build.job) else { return Ok(Finding::Same) };
        finding = of_builds(build, &master.client.recent_builds(&job).await?);
    }
    if let Finding::AskOutcome(path) = &finding {
        finding = of_outcome(&master.client.outcome(path).await?);
    }
    Ok(finding)
}

/// Where runs of a job end before they claim their builds, with a wrong token or without the library, the
/// next try is at another master, if there is one.
fn remember(memory: &Memory, master: &str, build: &Build, finding: &Finding, until_ms: i64) {
    if let Finding::EndedUnclaimed(reason) = finding {
        memory.no_job(&build.job, master, until_ms, reason.clone());
    }
}

/// What was found as a change of what is written down.
fn change(build: &Build, finding: Finding, now_ms: i64) -> Option<Change> {
    let mut new = build.clone();
    let key = build.key.clone().unwrap_or_default();
    let ends = |outcome: &str, is_stale: bool| AttemptChange::Ends {
        key: key.clone(),
        outcome: outcome.to_owned(),
        is_stale,
    };
    let attempt = match finding {
        Finding::Same | Finding::AskPlace(_) | Finding::Search | Finding::AskOutcome(_) => {
            return None;
        }
        Finding::Waits(item) => {
            new.state = BuildState::Queued;
            new.queue_item = Some(item);
            new.changed_ms = now_ms;
            AttemptChange::Moves
        }
        Finding::NotStarted(reason) | Finding::EndedUnclaimed(reason) => {
            back(&mut new, &reason, now_ms);
            // A trigger that was not answered may still be on its way.
            ends(&reason, build.state == BuildState::Triggering)
        }
        Finding::Ended { result, reason } => {
            finish(&mut new, &result, &reason, now_ms);
            ends(&result, false)
        }
        Finding::Runs if build.state == BuildState::Running && build.reason.is_empty() => {
            return None;
        }
        Finding::Runs => {
            new.state = BuildState::Running;
            new.reason.clear();
            new.changed_ms = now_ms;
            AttemptChange::None
        }
        Finding::Gone if build.request.on_lost == LostPolicy::Fail => {
            let reason = "its master knows it no more, and it was running there";
            finish(&mut new, "FAILURE", reason, now_ms);
            ends(reason, true)
        }
        Finding::Gone if build.state == BuildState::Running => {
            new.state = BuildState::Unknown;
            new.reason = "its master knows it no more, and it was running there".to_owned();
            // Fenced at once where it may be.
            new.changed_ms = 0;
            AttemptChange::None
        }
        Finding::Gone => return None,
    };
    Some(Change { build: new, attempt })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::build;

    #[test]
    fn a_run_that_ends_before_its_claim_is_held_against_its_master_for_that_job() {
        let queued = build(1, BuildState::Queued);
        let memory = Memory::default();
        let lost = Finding::NotStarted("lost with the queue".to_owned());
        remember(&memory, "main", &queued, &lost, 50);
        assert_eq!(memory.why_no_job(&queued.job, "main", 49), None);
        let failed = Finding::EndedUnclaimed("it had a wrong token".to_owned());
        remember(&memory, "main", &queued, &failed, 50);
        assert_eq!(memory.why_no_job(&queued.job, "main", 49).unwrap(), "it had a wrong token");
        assert_eq!(memory.why_no_job(&queued.job, "main", 50), None, "it is tried again then");
        assert_eq!(memory.why_no_job(&queued.job, "second", 49), None);
        let change = change(&queued, failed, 7).unwrap();
        assert_eq!(change.build.state, BuildState::Waiting);
        assert_eq!(change.build.reason, "it had a wrong token");
        assert!(matches!(change.attempt, AttemptChange::Ends { is_stale: false, .. }));
    }
}
