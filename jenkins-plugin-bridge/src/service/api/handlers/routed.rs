//! The operations on builds of the bridge: asked for, seen, followed, stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::stream;

use super::App;
use super::archive::{archived, instead};
use super::builds::run_told;
use crate::archive::Archive;
use crate::jobs::JobSpec;
use crate::masters::{Health, Master};
use crate::rest::{LogPiece, build_of, build_path};
use crate::route::{Build, BuildRequest, BuildState, Needs};
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::leases::LockAnswer;
use crate::service::api::routed::{BuildOrder, ListQuery, LogQuery, RoutedBuild, StageState};
use crate::service::api::types::Build as PlannedBuild;
use crate::service::audit::acts;
use crate::service::auth::{Caller, Scope};
use crate::service::board::timeline::{Row, stages};
use crate::service::new_token;
use crate::service::problem::Problem;
use crate::service::state::Service;
use crate::service::store::{AttemptChange, Change, NewBuild, StoreError};

/// How an id of a build of the bridge begins.
pub const PREFIX: &str = "r-";
/// The most builds of a list.
const LISTED: u32 = 500;
/// Between two looks at a log that is followed.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// The longest that a log is followed by one request: proxies end it sooner or later anyway.
const LOG_FOR: Duration = Duration::from_secs(3600);
/// The most bytes of a value.
const VALUE_BYTES: usize = 64 << 10;

pub async fn create_build(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<BuildOrder>,
) -> Result<Json<RoutedBuild>, Problem> {
    let order = &input.value;
    acts("start a build", &order.job);
    caller.access(Scope::BuildsTrigger)?;
    input.take_key(&service, &caller).await?;
    let key = input.key().map(str::to_owned);
    let kept = order_build(&service, order, caller.subject(), key).await?;
    acts("start a build", &format!("{} #{}", kept.job, kept.number));
    answer(&service, kept).await
}

/// Keeps a build that is asked for, by a caller or by a trigger. The same key of the same subject gives the
/// same build.
///
/// # Errors
/// What is wrong with the order: 500 and more where it may be good later.
pub async fn order_build(
    service: &Service,
    order: &BuildOrder,
    subject: String,
    idempotency_key: Option<String>,
) -> Result<Build, Problem> {
    let job = service.store.job(&order.job).await?.ok_or_else(|| Problem::missing("job"))?.spec;
    let request = request(service, &job, order)?;
    let now = service.now_ms();
    let build = Build {
        id: new_token(PREFIX)?,
        job: job.name.clone(),
        number: 0,
        state: BuildState::Waiting,
        version: 0,
        request,
        master: None,
        attempt: 0,
        key: None,
        queue_item: None,
        url: None,
        reason: "it was asked for a moment ago".to_owned(),
        result: None,
        created_ms: now,
        changed_ms: now,
        started_ms: None,
        finished_ms: None,
    };
    let new = NewBuild { build, subject, idempotency_key };
    let kept = service.store.add_routed(&new).await?.ok_or_else(|| Problem::missing("job"))?;
    service.route_now.notify_one();
    Ok(kept)
}

/// What is asked for with what the job says. Parameters that the pipeline refuses are refused here.
fn request(service: &Service, job: &JobSpec, order: &BuildOrder) -> Result<BuildRequest, Problem> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, one) in &job.parameters {
        if !one.default.is_empty() {
            parameters.insert(name.clone(), one.default.clone());
        }
    }
    for (name, value) in &order.parameters {
        if !job.parameters.contains_key(name) {
            let known = job.parameters.keys().map(String::as_str);
            let hint = crate::text::nearest_hint(name, known);
            return Err(Problem::malformed(format!("the job has no parameter `{name}`{hint}")));
        }
        if value.len() > VALUE_BYTES {
            return Err(Problem::malformed(format!("`{name}` has more than {VALUE_BYTES} bytes")));
        }
        parameters.insert(name.clone(), value.clone());
    }
    let mut labels: std::collections::BTreeSet<String> =
        job.labels.iter().map(|label| label.0.clone()).collect();
    labels.extend(order.labels.iter().map(|label| label.0.clone()));
    let masters = service.masters.all();
    let first = masters
        .iter()
        .find(|master| labels.is_subset(&master.labels()))
        .or_else(|| masters.first())
        .ok_or_else(|| Problem::unavailable("this bridge has no masters"))?;
    let plan = service.drafted_plan(&first.name, job, &parameters)?;
    let branch = job.supersede_by.as_ref().and_then(|name| parameters.get(name)).cloned();
    Ok(BuildRequest {
        needs: Needs::of(&plan.plan),
        superseded: branch.is_some(),
        branch,
        labels,
        parameters,
        priority: order.priority,
        team: job.team.as_ref().map(ToString::to_string).unwrap_or_default(),
        concurrency: job.concurrency,
        locks: job.locks.iter().map(ToString::to_string).collect(),
        on_lost: order.on_lost.unwrap_or(job.on_lost),
        zone: job.zone.as_ref().map(ToString::to_string),
        cause: order.cause.clone(),
    })
}

async fn answer(service: &Service, build: Build) -> Result<Json<RoutedBuild>, Problem> {
    let attempts = service.store.attempts(&build.id).await?;
    let mut told = [RoutedBuild::of(build, attempts)];
    say_what_they_wait_for(service, told.iter_mut().collect()).await?;
    let [told] = told;
    Ok(Json(told))
}

/// Says of builds that run and wait for the lock of a stage what they wait for.
pub async fn say_what_they_wait_for(
    service: &Service,
    mut builds: Vec<&mut RoutedBuild>,
) -> Result<(), StoreError> {
    builds.retain(|build| build.state == BuildState::Running && build.reason.is_empty());
    if builds.is_empty() {
        return Ok(());
    }
    let reasons = LockAnswer::reasons(&service.store.locks(None, service.now_ms()).await?);
    for build in builds {
        let number = build.url.as_deref().and_then(build_of).map(|(_, number)| number);
        if let (Some(master), Some(number)) = (&build.master, number)
            && let Some(reason) = reasons.get(&(master.clone(), build.job.clone(), number))
        {
            build.reason.clone_from(reason);
        }
    }
    Ok(())
}

/// A build of the bridge, for `get_build`.
pub async fn get_routed(
    service: &Service,
    caller: &Caller,
    id: &str,
) -> Result<Json<RoutedBuild>, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = find(service, id).await?;
    let run = run_of(service, &build).await?;
    let Json(mut answer) = answer(service, build).await?;
    if let Some(id) = run {
        let run = run_told(service, &id).await?;
        answer.stages = stages_of(service, &run).await?;
        answer.outputs = run.outputs;
    }
    Ok(Json(answer))
}

/// The stages of a run.
async fn stages_of(service: &Service, run: &PlannedBuild) -> Result<Vec<StageState>, Problem> {
    let Some(plan) = service.plan(&run.digest).await? else { return Ok(Vec::new()) };
    let timeline = stages(&plan.plan, &run.events, &run.locks, service.now_ms());
    let told = |row: Row| StageState {
        title: row.title,
        depth: row.depth,
        is_group: row.is_group,
        state: row.state,
        reason: row.reason,
        ms: row.ms,
        tests: row.tests,
    };
    Ok(timeline.rows.into_iter().map(told).collect())
}

/// The id of the run that asked for a plan for a build of the bridge.
async fn run_of(service: &Service, build: &Build) -> Result<Option<String>, Problem> {
    let (Some(master), Some(url)) = (&build.master, &build.url) else { return Ok(None) };
    planned(service, master, url, &build.job).await
}

/// The id of the run at an address of a master that asked for a plan.
pub async fn planned(
    service: &Service,
    master: &str,
    url: &str,
    job: &str,
) -> Result<Option<String>, Problem> {
    let Some((_, number)) = build_of(url) else { return Ok(None) };
    Ok(service.store.last_build(master, job, number).await?.map(|row| row.id))
}

async fn find(service: &Service, id: &str) -> Result<Build, Problem> {
    service.store.routed(id).await?.ok_or_else(|| Problem::missing("build"))
}

pub async fn list_builds(
    State(service): App,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<RoutedBuild>>, Problem> {
    caller.access(Scope::BuildsRead)?;
    let filter = query.filter(LISTED).map_err(Problem::malformed)?;
    let builds = service.store.newest_routed(&filter).await?;
    let mut told: Vec<_> =
        builds.into_iter().map(|build| RoutedBuild::of(build, Vec::new())).collect();
    say_what_they_wait_for(&service, told.iter_mut().collect()).await?;
    Ok(Json(told))
}

/// Has a build claimed by the run that comes with the key of the attempt that counts.
pub async fn claim_routed(
    service: &Service,
    caller: &Caller,
    id: &str,
    controller: &str,
    url: &str,
    key: Option<&str>,
) -> Result<crate::service::api::types::ClaimAnswer, Problem> {
    let token = caller.access(Scope::PlansCreate)?;
    if token.controller.as_deref() != Some(controller) {
        return Err(Problem::forbidden("this token is for another controller"));
    }
    let key = key.ok_or_else(|| {
        Problem::malformed("`key` is missing: it is the parameter PILOTFISH_BUILD_KEY")
    })?;
    let now = service.now_ms();
    if service.store.claim_routed(id, key, controller, url, now).await? {
        service.route_now.notify_one();
        return Ok(crate::service::api::types::ClaimAnswer {
            controller: controller.to_owned(),
            url: url.to_owned(),
            claimed_at: now / 1000,
        });
    }
    let build = find(service, id).await?;
    Err(Problem::conflict(match (build.state, &build.url) {
        (BuildState::Running, Some(holder)) => {
            format!("{holder} runs this build already; run nothing and end as not built")
        }
        (BuildState::Finished, _) => {
            "this build has ended already; run nothing and end as not built".to_owned()
        }
        _ => "this attempt counts no more; run nothing and end as not built".to_owned(),
    }))
}

pub async fn stop_build(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<RoutedBuild>, Problem> {
    acts("stop a build", &id);
    let name = caller.access(Scope::BuildsTrigger)?.name.clone();
    let build = find(&service, &id).await?;
    acts("stop a build", &format!("{} #{}", build.job, build.number));
    let build = stop(&service, &id, &format!("stopped by {name}")).await?;
    answer(&service, build).await
}

/// Stops a build, whatever it does.
pub(super) async fn stop(service: &Service, id: &str, reason: &str) -> Result<Build, Problem> {
    // Whatever changes it in between is looked at again.
    for _ in 0..3 {
        let build = find(service, id).await?;
        let now = service.now_ms();
        if build.state == BuildState::Finished {
            return Ok(build);
        }
        let mut reason = reason.to_owned();
        if build.state == BuildState::Running {
            let path = build.url.as_deref().and_then(build_path);
            match (who_answers(service, &build), path) {
                (Ok(master), Some(path)) => {
                    master.client.stop(&path).await?;
                    // How it ends is what its master says.
                    return Ok(build);
                }
                (Ok(_), None) => {}
                // Nobody says how it ends. Its run is stopped there when its master is back.
                (Err(why), _) => reason = format!("{reason}; {why}, and it may still run there"),
            }
        }
        let mut new = build.clone();
        crate::route::driver::finish(&mut new, "ABORTED", &reason, now);
        let attempt = match &build.key {
            Some(key) => AttemptChange::Ends { key: key.clone(), outcome: reason, is_stale: true },
            None => AttemptChange::None,
        };
        if service.store.change_routed(&[Change { build: new, attempt }], now).await? == [true] {
            service.route_now.notify_one();
        }
    }
    Err(Problem::conflict("the build changes too fast; try again"))
}

/// The master that has a build; why nobody answers for it, where that is so.
fn who_answers(service: &Service, build: &Build) -> Result<Arc<Master>, String> {
    let name = build.master.as_deref().unwrap_or("its master");
    let Some(master) = service.masters.get(name) else {
        return Err(format!("{name} is not among the masters any more"));
    };
    if master.state().health == Health::Unhealthy {
        return Err(format!("{name} does not answer"));
    }
    Ok(master)
}

/// The log of a build from a byte on. The same address is good whatever master runs it.
pub async fn get_log(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    caller.access(Scope::BuildsRead)?;
    let build = find(&service, &id).await?;
    if !query.follow {
        let (piece, attempt) = piece(&service, &build, query.attempt, query.offset).await?;
        let more = piece.more || build.state != BuildState::Finished;
        let mut response = Response::new(Body::from(piece.bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert("pilotfish-log-next", HeaderValue::from(piece.next));
        headers.insert("pilotfish-log-attempt", HeaderValue::from(attempt));
        headers.insert("pilotfish-log-attempt-more", flag(piece.more));
        headers.insert("pilotfish-log-more", flag(more));
        return Ok(response);
    }
    let state = Following {
        until: tokio::time::Instant::now() + LOG_FOR,
        service,
        id,
        attempt: query.attempt,
        offset: query.offset,
        is_over: false,
    };
    let pieces = stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), state))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Something in front of the service may hold text back that comes in small pieces.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn flag(is_set: bool) -> HeaderValue {
    HeaderValue::from_static(if is_set { "true" } else { "false" })
}

/// A piece of the log of an attempt; of the last one that has a log where none is named.
async fn piece(
    service: &Service,
    build: &Build,
    attempt: Option<i64>,
    offset: u64,
) -> Result<(LogPiece, i64), Problem> {
    let read = async |archive: &Archive| {
        let Some(kept) = archive.kept(&build.id).await? else { return Ok(None) };
        if attempt.is_some_and(|one| one != kept.attempt) {
            return Ok(None);
        }
        let log = archive.log(&build.id, offset).await?;
        Ok(log.map(|piece| (piece, kept.attempt)))
    };
    let unread = match archived(service, build, read).await {
        Ok(Some(((bytes, next, more), number))) => {
            return Ok((LogPiece { bytes, next, more }, number));
        }
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    instead(unread, piece_at_master(service, build, attempt, offset).await)
}

/// The same from the master that has it.
async fn piece_at_master(
    service: &Service,
    build: &Build,
    attempt: Option<i64>,
    offset: u64,
) -> Result<(LogPiece, i64), Problem> {
    let nothing = LogPiece { bytes: Vec::new(), next: offset, more: false };
    let attempts = service.store.attempts(&build.id).await?;
    let chosen = match attempt {
        Some(number) => Some(
            attempts
                .iter()
                .find(|one| one.attempt == number)
                .ok_or_else(|| Problem::missing("attempt"))?,
        ),
        None => attempts.iter().rev().find(|one| one.url.is_some()),
    };
    let Some(chosen) = chosen else { return Ok((nothing, 0)) };
    let Some(path) = chosen.url.as_deref().and_then(build_path) else {
        return Ok((nothing, chosen.attempt));
    };
    let master = service.masters.get(&chosen.master).ok_or_else(|| Problem::missing("log"))?;
    Ok((master.client.log(&path, offset).await?, chosen.attempt))
}

struct Following {
    service: Arc<Service>,
    id: String,
    attempt: Option<i64>,
    offset: u64,
    until: tokio::time::Instant,
    is_over: bool,
}

impl Following {
    /// The next bytes; nothing at the end of the build.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over && tokio::time::Instant::now() < self.until {
            let build = self.service.store.routed(&self.id).await.ok()??;
            let ended = build.state == BuildState::Finished;
            let newest = (build.attempt > 0).then_some(build.attempt);
            if self.attempt.is_none() {
                self.attempt = newest;
            }
            // A master that does not answer now may do so later, or the build goes on at another one.
            if let Ok((piece, _)) = piece(&self.service, &build, self.attempt, self.offset).await {
                self.offset = piece.next;
                let moved = newest > self.attempt && !piece.more;
                self.is_over = ended && !piece.more && !moved;
                if !piece.bytes.is_empty() {
                    return Some(Bytes::from(piece.bytes));
                }
                if moved {
                    (self.attempt, self.offset) = (newest, 0);
                    let master = build.master.unwrap_or_default();
                    let text = format!("--- the build goes on at {master} ---\n");
                    return Some(Bytes::from(text));
                }
            } else if newest > self.attempt {
                (self.attempt, self.offset) = (newest, 0);
                let text = "--- the rest is at a master that does not answer ---\n";
                return Some(Bytes::from_static(text.as_bytes()));
            } else {
                self.is_over = ended;
            }
            if !self.is_over {
                tokio::time::sleep(LOG_EVERY).await;
            }
        }
        None
    }
}
