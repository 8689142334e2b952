//! What is done after it was written down.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Memory, RouteOptions, back, finish, lock};
use crate::jobs::{CopyState, mend_copy};
use crate::masters::{Master, Permission};
use crate::rest::{JobName, KEY_PARAMETER, RestError};
use crate::route::fence::{Fenced, Lost};
use crate::route::model::{Build, BuildState, FENCING};
use crate::service::Service;
use crate::service::store::{AttemptChange, Change, StoreError};

/// The definition of a job is looked at again after so long, in milliseconds: one request for each job that is
/// built at a master.
const DECLARED_MS: i64 = 60_000;
/// A job that a master does not have is not tried there again for so long, in milliseconds.
const NO_JOB_MS: i64 = 60_000;

/// Asks a master to start a build, and writes down what came of it. Where that is not known the build stays
/// as it is: it is looked for.
pub(super) async fn trigger(
    service: Arc<Service>,
    options: Arc<RouteOptions>,
    memory: Arc<Memory>,
    master: Arc<Master>,
    build: Build,
) {
    let now = service.now_ms();
    let change = match triggered(&service, &memory, &master, &build).await {
        Ok(item) => {
            let mut new = build.clone();
            new.state = BuildState::Queued;
            new.queue_item = i64::try_from(item).ok();
            new.reason.clear();
            new.changed_ms = now;
            Change { build: new, attempt: AttemptChange::Moves }
        }
        Err(Trouble::Plan(reason)) => {
            let mut new = build.clone();
            finish(&mut new, "FAILURE", &format!("there is no plan: {reason}"), now);
            Change { attempt: ends(&build, &new.reason, false), build: new }
        }
        Err(Trouble::Job(reason)) => {
            memory.no_job(&build.job, &master.name, now + NO_JOB_MS, reason.clone());
            taken_back(&build, &format!("{}: {reason}", master.name), now)
        }
        Err(Trouble::Rest(error)) if may_have_started(&error) => {
            memory.cool(&master.name, now + options.cool_ms, error.to_string());
            tracing::warn!(build = build.id, master = master.name, %error, "a trigger has no answer");
            return;
        }
        Err(Trouble::Rest(error)) => {
            memory.cool(&master.name, now + options.cool_ms, error.to_string());
            taken_back(&build, &format!("{}: {error}", master.name), now)
        }
        Err(Trouble::Store(error)) => {
            tracing::warn!(build = build.id, %error, "a build could not be triggered");
            taken_back(&build, "the database was busy", now)
        }
    };
    // Where the build has been claimed in the meantime it is as it should be, and this is too late.
    if let Err(error) = service.store.change_routed(&[change], now).await {
        tracing::warn!(build = build.id, %error, "what came of a trigger could not be kept");
    }
}

enum Trouble {
    Plan(String),
    Job(String),
    Rest(RestError),
    Store(StoreError),
}

/// Whether nobody knows what came of a request.
fn may_have_started(error: &RestError) -> bool {
    match error {
        RestError::Slow { .. } | RestError::Malformed { .. } => true,
        // A gateway gives up on a controller that is still at work.
        RestError::Unavailable { status, .. } => *status != 503,
        RestError::Unreachable { .. } => true,
        _ => false,
    }
}

/// What a refusal is about: the job, or the master as a whole.
fn trouble(error: RestError) -> Trouble {
    match error {
        RestError::Status { status: 409, .. } => {
            Trouble::Job("the job is disabled there; `jobs keep` mends it".to_owned())
        }
        // `ParameterizedJobMixIn.doBuildWithParameters` throws for a job without parameters, and whatever else
        // a job's own plugins throw is about that job.
        RestError::Status { status, reason, .. } => {
            Trouble::Job(format!("it cannot be started there ({status}: {reason})"))
        }
        other => Trouble::Rest(other),
    }
}

/// Whether the key of a build would be kept. It was looked at a moment ago, or is now.
async fn is_ready(
    memory: &Memory,
    master: &Master,
    job: &JobName,
    now_ms: i64,
) -> Result<bool, RestError> {
    if memory.is_declared(&master.name, job.as_str(), now_ms) {
        return Ok(true);
    }
    let declares = master.client.declares_key(job).await?;
    if declares {
        memory.declared(&master.name, job.as_str(), now_ms + DECLARED_MS);
    }
    Ok(declares)
}

async fn triggered(
    service: &Service,
    memory: &Memory,
    master: &Master,
    build: &Build,
) -> Result<u64, Trouble> {
    let job = service.store.job(&build.job).await.map_err(Trouble::Store)?;
    let Some(job) = job else { return Err(Trouble::Plan("the job was removed".to_owned())) };
    let plan = service
        .plan_of_job(&master.name, &job.spec, &build.request.parameters)
        .await
        .map_err(|problem| Trouble::Plan(problem.to_string()))?;
    let name = JobName::parse(&build.job).map_err(|error| Trouble::Plan(error.to_string()))?;
    let mut parameters: Vec<(String, String)> = build
        .request
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    parameters.extend([
        ("PILOTFISH_PLAN".to_owned(), plan.digest.clone()),
        ("PILOTFISH_BUILD_ID".to_owned(), build.id.clone()),
        (KEY_PARAMETER.to_owned(), build.key.clone().unwrap_or_default()),
        ("PILOTFISH_BUILD_NUMBER".to_owned(), build.number.to_string()),
    ]);
    let started = match is_ready(memory, master, &name, service.now_ms()).await {
        Ok(true) => master.client.trigger(&name, &parameters).await,
        Ok(false) => {
            let reason =
                format!("the job there does not declare {KEY_PARAMETER}; `jobs keep` mends it");
            return Err(Trouble::Job(reason));
        }
        Err(error) => Err(error),
    };
    match started {
        Err(RestError::Missing { .. }) if master.spec.permission == Permission::Full => {}
        Err(RestError::Missing { .. }) => {
            return Err(Trouble::Job(
                "the job is not there, and the bridge may not make it".into(),
            ));
        }
        other => return other.map_err(trouble),
    }
    // A master that is new, or was set up anew.
    match mend_copy(&master.client, &job.spec).await.1 {
        CopyState::Same => master.client.trigger(&name, &parameters).await.map_err(trouble),
        CopyState::Foreign { reason } | CopyState::Failed { reason } => Err(Trouble::Job(reason)),
        CopyState::Missing | CopyState::Drifted { .. } => {
            Err(Trouble::Job("the job cannot be made there".to_owned()))
        }
    }
}

fn ends(build: &Build, outcome: &str, is_stale: bool) -> AttemptChange {
    match &build.key {
        Some(key) => {
            AttemptChange::Ends { key: key.clone(), outcome: outcome.to_owned(), is_stale }
        }
        None => AttemptChange::None,
    }
}

fn taken_back(build: &Build, reason: &str, now_ms: i64) -> Change {
    let mut new = build.clone();
    back(&mut new, reason, now_ms);
    Change { build: new, attempt: ends(build, reason, false) }
}

/// Makes sure that a lost build does nothing any more, and has it run again then.
pub(super) async fn fence(
    service: Arc<Service>,
    options: Arc<RouteOptions>,
    memory: Arc<Memory>,
    build: Build,
) {
    let mut build = build;
    if !build.is_being_fenced() {
        // Written down first: once its pod is gone, its run fails for that reason.
        let now = service.now_ms();
        let mut intent = build.clone();
        intent.state = BuildState::Unknown;
        intent.result = Some(FENCING.to_owned());
        intent.reason = "its master is lost, and its pod is being deleted".to_owned();
        intent.changed_ms = now;
        let change = Change { build: intent.clone(), attempt: AttemptChange::None };
        let made = service.store.change_routed(&[change], now).await;
        if !made.is_ok_and(|made| made == [true]) {
            lock(&memory.fencing).remove(&build.id);
            return;
        }
        build = intent;
        build.version += 1;
    }
    let lost = Lost {
        build: build.id.clone(),
        key: build.key.clone().unwrap_or_default(),
        master: build.master.clone().unwrap_or_default(),
        url: build.url.clone().unwrap_or_default(),
    };
    let fenced = options.fence.fence(&lost).await;
    let now = service.now_ms();
    let mut new = build.clone();
    let attempt = match fenced {
        Fenced::Gone => {
            let reason = format!("{} is lost; its pod was deleted and seen gone", lost.master);
            back(&mut new, &reason, now);
            ends(&build, &reason, true)
        }
        Fenced::Unknown(why) => {
            new.result = None;
            new.reason = format!("{} is lost, and it is not run again: {why}", lost.master);
            new.changed_ms = now;
            AttemptChange::None
        }
    };
    tracing::warn!(build = build.id, master = lost.master, reason = new.reason, "a build was lost");
    if let Err(error) = service.store.change_routed(&[Change { build: new, attempt }], now).await {
        tracing::warn!(build = build.id, %error, "what came of fencing could not be kept");
    }
    lock(&memory.fencing).remove(&build.id);
}
