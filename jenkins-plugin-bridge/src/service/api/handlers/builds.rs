//! The operations on builds: what a running one decides, reports and claims, and how it is seen.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::App;
use super::routed::{PREFIX, claim_routed, get_routed};
use crate::plan::outputs::value;
use crate::plan::{PlanNode, RunFacts, digest_of, evaluate};
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::leases::LockAnswer;
use crate::service::api::routed::AnyBuild;
use crate::service::api::types::{
    Build, Claim, ClaimAnswer, Evaluation, EvaluationAnswer, Event, Events, EventsAnswer,
    KeptEvaluation, SignedEvaluation, outputs_of,
};
use crate::service::auth::{Caller, Scope};
use crate::service::problem::Problem;
use crate::service::sign::EVALUATION_TYPE;
use crate::service::state::{Service, StoredPlan};
use crate::service::store::{BuildRow, ClaimRow, EventsState};
use crate::text::canonical_json;

/// The most events of one request.
const EVENTS: usize = 1_000;
/// The most characters of a message.
const MESSAGE_CHARACTERS: usize = 2_000;
/// The most characters of the address of a build.
const URL_CHARACTERS: usize = 2_000;
/// Format of a signed evaluation.
const SIGNED_FORMAT: &str = "pilotfish/signed-evaluation/v1";

pub async fn evaluate_plan(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(digest): Path<String>,
    input: Input<RunFacts>,
) -> Result<Json<EvaluationAnswer>, Problem> {
    let claims = caller.build()?.clone();
    if claims.digest != digest {
        return Err(Problem::missing("plan"));
    }
    input.take_key(&service, &caller).await?;
    build_row(&service, &claims.build).await?;
    let plan = service.plan(&digest).await?.ok_or_else(|| Problem::missing("plan"))?;
    let decisions = evaluate::evaluate(&plan.plan, &input.value)?;
    let answer = Evaluation { digest, decisions };
    let (facts, text) = (to_text(&input.value)?, to_text(&answer)?);
    let now = service.now_signed();
    let kept = service
        .store
        .save_evaluation(&claims.build, &digest_of(&facts), &facts, &text, now)
        .await?;
    let answer = if kept == text {
        answer
    } else {
        serde_json::from_str(&kept).map_err(|error| Problem::internal(&error))?
    };
    let issued_at = service.now();
    let signed = SignedEvaluation {
        build: claims.build,
        decisions: answer.decisions.clone(),
        digest: answer.digest.clone(),
        // No longer than the token that asked: both are for the same build.
        expires_at: claims.expires_at,
        format: SIGNED_FORMAT.to_owned(),
        issued_at,
        request: input.digest,
    };
    let signed = service.keys.sign(EVALUATION_TYPE, to_text(&signed)?.as_bytes());
    Ok(Json(EvaluationAnswer { evaluation: answer, signed }))
}

fn to_text(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_value(value)
        .map(|value| canonical_json(&value))
        .map_err(|error| Problem::internal(&error))
}

async fn build_row(service: &Service, id: &str) -> Result<BuildRow, Problem> {
    service.store.build(id).await?.ok_or_else(|| Problem::missing("build"))
}

pub async fn add_events(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    input: Input<Events>,
) -> Result<Json<EventsAnswer>, Problem> {
    let claims = caller.build()?;
    if claims.build != id {
        return Err(Problem::missing("build"));
    }
    input.take_key(&service, &caller).await?;
    let row = build_row(&service, &id).await?;
    let plan = service.plan(&claims.digest).await?.ok_or_else(|| Problem::missing("plan"))?;
    let rows = checked(&input.value, &plan)?;
    match service.store.add_events(&id, &rows, service.now_signed()).await? {
        EventsState::Added(added) => {
            if added > 0 {
                let (master, job) = (&row.controller, &row.job);
                service.store.stages_changed(master, job, row.number).await?;
            }
            service.metrics.events.fetch_add(u64::try_from(added).unwrap_or(0), Relaxed);
            give_locks_back(&service, &id, &plan, &input.value).await?;
            Ok(Json(EventsAnswer { received: rows.len(), added }))
        }
        EventsState::Contradicts(sequence) => Err(Problem::conflict(format!(
            "event {sequence} is there already and says something else; nothing was taken"
        ))),
        EventsState::TooMany => {
            Err(Problem::conflict("the build has too many events; nothing was taken"))
        }
    }
}

/// What stages held that have ended. Told again after a broken connection it is done again.
async fn give_locks_back(
    service: &Service,
    build: &str,
    plan: &StoredPlan,
    events: &Events,
) -> Result<(), Problem> {
    let has_lock = |id: &str| plan.plan.all_stages().any(|one| one.id == id && one.lock.is_some());
    for event in &events.events {
        match event {
            Event::StageFinished { node, .. } if has_lock(node) => {
                service.store.release_locks(build, Some(node)).await?;
            }
            Event::BuildFinished { .. } if plan.plan.all_stages().any(|one| one.lock.is_some()) => {
                service.store.release_locks(build, None).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The events as they are kept, if the plan has what they speak of.
fn checked(events: &Events, plan: &StoredPlan) -> Result<Vec<(i64, String)>, Problem> {
    let events = &events.events;
    if events.is_empty() || events.len() > EVENTS {
        return Err(Problem::malformed(format!("send 1 to {EVENTS} events")));
    }
    let nodes: BTreeMap<&str, &PlanNode> =
        plan.plan.nodes().into_iter().map(|node| (node.id(), node)).collect();
    events
        .iter()
        .map(|event| {
            let sequence = event.sequence();
            let (node, message) = match event {
                Event::StageStarted { node, .. } => (Some(node), None),
                Event::StageFinished { node, message, .. } => (Some(node), message.as_ref()),
                Event::BuildFinished { .. } => (None, None),
            };
            if let Some(node) = node
                && !nodes.contains_key(node.as_str())
            {
                let cut: String = node.chars().take(80).collect();
                let detail = format!("event {sequence}: the plan has no {cut:?}");
                return Err(Problem::malformed(detail));
            }
            if message.is_some_and(|text| text.chars().count() > MESSAGE_CHARACTERS) {
                return Err(Problem::malformed(format!(
                    "event {sequence}: a message has at most {MESSAGE_CHARACTERS} characters"
                )));
            }
            if let Event::StageFinished { node, outputs, .. } = event
                && !outputs.is_empty()
            {
                let declared = match nodes.get(node.as_str()) {
                    Some(PlanNode::Stage(stage)) => &stage.outputs,
                    _ => &BTreeMap::new(),
                };
                value::check(declared, outputs)
                    .map_err(|why| Problem::malformed(format!("event {sequence}: {why}")))?;
            }
            Ok((i64::from(sequence), to_text(event)?))
        })
        .collect()
}

/// The first run that says so has the build. A run says so again after a restart of its controller
/// and is no loser then.
pub async fn claim_build(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    input: Input<Claim>,
) -> Result<Json<ClaimAnswer>, Problem> {
    let Claim { controller, url, key } = &input.value;
    let is_address = url.starts_with("http://") || url.starts_with("https://");
    if !is_address || url.chars().count() > URL_CHARACTERS || url.chars().any(char::is_control) {
        return Err(Problem::malformed(format!(
            "`url` takes the address of the build at its controller, up to {URL_CHARACTERS} characters"
        )));
    }
    if id.starts_with(PREFIX) {
        let key = key.as_deref();
        return claim_routed(&service, &caller, &id, controller, url, key).await.map(Json);
    }
    let claims = caller.build()?;
    if claims.build != id {
        return Err(Problem::missing("build"));
    }
    input.take_key(&service, &caller).await?;
    let row = build_row(&service, &id).await?;
    if *controller != row.controller {
        return Err(Problem::conflict(format!(
            "the build is one of the controller {}; run nothing and end as not built",
            row.controller
        )));
    }
    let wanted = ClaimRow {
        controller: controller.clone(),
        url: url.clone(),
        claimed_at: service.now_signed(),
    };
    let holder = service.store.claim(&id, &wanted).await?;
    if (&holder.controller, &holder.url) != (&wanted.controller, &wanted.url) {
        return Err(Problem::conflict(format!(
            "{} runs this build already; run nothing and end as not built",
            holder.url
        )));
    }
    Ok(Json(claim_answer(holder)))
}

fn claim_answer(row: ClaimRow) -> ClaimAnswer {
    ClaimAnswer { controller: row.controller, url: row.url, claimed_at: row.claimed_at }
}

pub async fn get_build(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<AnyBuild>, Problem> {
    if id.starts_with(PREFIX) {
        let Json(build) = get_routed(&service, &caller, &id).await?;
        return Ok(Json(AnyBuild::Routed(Box::new(build))));
    }
    let own = match &caller {
        Caller::Build(claims) if claims.build == id => None,
        Caller::Build(_) => return Err(Problem::missing("build")),
        Caller::Access(_) => caller.access(Scope::BuildsRead)?.controller.clone(),
    };
    let build = run_told(&service, &id).await?;
    if own.is_some_and(|own| own != build.controller) {
        return Err(Problem::missing("build"));
    }
    Ok(Json(AnyBuild::Planned(Box::new(build))))
}

/// A build that was given a plan, with all that it reported.
pub async fn run_told(service: &Service, id: &str) -> Result<Build, Problem> {
    let row = build_row(service, id).await?;
    let parse = |error: serde_json::Error| Problem::internal(&error);
    let events = events_of(service, id).await?;
    let outcome = events.iter().rev().find_map(|event| match event {
        Event::BuildFinished { outcome, .. } => Some(*outcome),
        _ => None,
    });
    let mut evaluations = Vec::new();
    for (facts, answer) in service.store.evaluations(id).await? {
        evaluations.push(KeptEvaluation {
            facts: serde_json::from_str(&facts).map_err(parse)?,
            answer: serde_json::from_str(&answer).map_err(parse)?,
        });
    }
    let claim = service.store.claim_of(id).await?.map(claim_answer);
    let locks = match outcome {
        None => LockAnswer::of_build(&service.store.locks(None, service.now_ms()).await?, id),
        Some(_) => Vec::new(),
    };
    let pod = service.store.start_of(id).await?;
    let pod = pod.map(|text| serde_json::from_str(&text)).transpose().map_err(parse)?;
    Ok(Build {
        claim,
        pod,
        locks,
        id: row.id,
        controller: row.controller,
        job: row.job,
        number: row.number,
        digest: row.digest,
        created_at: row.created_at,
        outcome,
        outputs: outputs_of(&events),
        events,
        evaluations,
    })
}

async fn events_of(service: &Service, id: &str) -> Result<Vec<Event>, Problem> {
    let texts = service.store.events(id).await?;
    let events: Result<_, _> = texts.iter().map(|text| serde_json::from_str(text)).collect();
    events.map_err(|error: serde_json::Error| Problem::internal(&error))
}
