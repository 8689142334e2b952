//! The operations on masters and labels.

use axum::Json;
use axum::extract::{Path, Query, State};

use super::App;
use crate::jobs::CopyState;
use crate::masters::registry::MOST;
use crate::masters::{Drain, Master, MasterCheck, MasterDeclaration, Source, check};
use crate::rest::JobName;
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::types::{DrainQuery, MasterAnswer};
use crate::service::audit::acts;
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::running::{RunningList, RunningQuery};
use crate::service::state::Service;

pub async fn get_masters(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<MasterAnswer>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let now = service.now_signed();
    Ok(Json(service.masters.all().iter().map(|master| told(master, now)).collect()))
}

/// What is told of a master.
fn told(master: &Master, now: i64) -> MasterAnswer {
    MasterAnswer {
        name: master.name.clone(),
        url: master.client.base().to_owned(),
        source: master.source,
        labels: master.labels(),
        capacity: master.capacity(),
        permission: master.spec.permission,
        zone: master.spec.zone.as_ref().map(ToString::to_string),
        cluster: master.spec.cluster.as_ref().map(ToString::to_string),
        refusal: master.refusal(now),
        drain: master.drain(),
        state: master.state(),
        calls: master.calls(),
        calls_last_minute: master.client.last_minute() + master.probe.last_minute(),
    }
}

pub async fn save_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<MasterDeclaration>,
) -> Result<Json<MasterAnswer>, Problem> {
    let one = &input.value;
    let name = one.name.as_str();
    acts("declare a master", &format!("{name}: {}", one.url));
    caller.access(Scope::MastersWrite)?;
    let mut wrong = one.problems();
    if wrong.is_empty() {
        wrong.extend(around(&service, one));
    }
    if !wrong.is_empty() {
        return Err(Problem::master(&wrong));
    }
    if let Some(known) = service.masters.get(name) {
        is_of_the_api(&known)?;
        if known.spec.address() != one.spec().address() {
            has_no_builds(&service, name, "it has another address").await?;
        }
    }
    input.take_key(&service, &caller).await?;
    service.store.save_declared_master(one, &caller.name(), service.now_ms()).await?;
    service.read_masters().await?;
    service.route_now.notify_one();
    let master = service.masters.get(name).filter(|master| master.source == Source::Api);
    let master = master.ok_or_else(|| Problem::conflict("another one was declared just now"))?;
    Ok(Json(told(&master, service.now_signed())))
}

/// What is wrong with the declaration of a master beside what is in itself.
fn around(service: &Service, one: &MasterDeclaration) -> Vec<crate::Problem> {
    let mut wrong = Vec::new();
    let mut add = |path: &str, message: String| wrong.push(crate::Problem::new(path, message));
    match &service.master_tokens {
        None => add("token", "start the service with --master-tokens for that".to_owned()),
        Some(tokens) => {
            if let Err(problem) = tokens.token_for(&one.token, &one.url) {
                add("token", problem);
            }
        }
    }
    let other = service.masters.at(&one.url).filter(|other| other.name != one.name.as_str());
    if let Some(other) = other {
        add("url", format!("is that of {}, too: one master has one name", other.name));
    }
    let all = service.masters.all();
    let declared = all.iter().filter(|other| other.source == Source::Api);
    if declared.filter(|other| other.name != one.name.as_str()).count() >= MOST {
        add("name", format!("{MOST} masters are declared over the API: remove one first"));
    }
    wrong
}

/// Refuses to change what is declared elsewhere.
fn is_of_the_api(master: &Master) -> Result<(), Problem> {
    let place = match master.source {
        Source::Api => return Ok(()),
        Source::File => "in the masters file",
        Source::Resource => "by a JenkinsController resource",
    };
    Err(Problem::conflict(format!("{} is declared {place}: change it there", master.name)))
}

/// Builds would be looked for elsewhere than they are.
async fn has_no_builds(service: &Service, name: &str, what: &str) -> Result<(), Problem> {
    match service.store.routed_of(name).await?.len() {
        0 => Ok(()),
        count => Err(Problem::conflict(format!(
            "{count} build(s) of the bridge are at {name} and could not be followed any more where {what}: drain it \
             and wait, or stop them"
        ))),
    }
}

pub async fn remove_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<MasterAnswer>, Problem> {
    acts("remove a master", &name);
    caller.access(Scope::MastersWrite)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    is_of_the_api(&master)?;
    has_no_builds(&service, &name, "it is not there").await?;
    service.store.remove_declared_master(&name).await?;
    service.read_masters().await?;
    Ok(Json(told(&master, service.now_signed())))
}

pub async fn drain_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    input: Input<DrainQuery>,
) -> Result<Json<MasterAnswer>, Problem> {
    acts("take a master out", &name);
    caller.access(Scope::MastersWrite)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    let reason = Drain::checked(&input.value.reason).map_err(Problem::malformed)?;
    acts("take a master out", &format!("{name}: {reason}"));
    let drain = Drain { who: caller.name(), reason: reason.to_owned(), since_ms: service.now_ms() };
    service.store.save_drain(&name, &drain).await?;
    service.read_masters().await?;
    service.route_now.notify_one();
    Ok(Json(told(&master, service.now_signed())))
}

pub async fn resume_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<MasterAnswer>, Problem> {
    acts("give a master back", &name);
    caller.access(Scope::MastersWrite)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    service.store.remove_drain(&name).await?;
    service.read_masters().await?;
    service.route_now.notify_one();
    Ok(Json(told(&master, service.now_signed())))
}

pub async fn get_running(
    State(service): App,
    Authenticated(caller): Authenticated,
    Query(query): Query<RunningQuery>,
) -> Result<Json<RunningList>, Problem> {
    caller.access(Scope::BuildsRead)?;
    Ok(Json(service.running_elsewhere(&query).await?))
}

pub async fn check_master(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<MasterCheck>, Problem> {
    caller.access(Scope::MastersRead)?;
    let master = service.masters.get(&name).ok_or_else(|| Problem::missing("master"))?;
    let copies = service.store.copies().await?;
    let of_ours = copies.iter().find(|copy| {
        copy.master == name && matches!(copy.state, CopyState::Same | CopyState::Drifted { .. })
    });
    let job = of_ours.and_then(|copy| JobName::parse(&copy.job).ok());
    Ok(Json(check(&master, job.as_ref()).await?))
}
